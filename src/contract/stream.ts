import type { CloudEvent } from '../event/event.ts'
import type { Delivery } from './delivery.ts'
import type { Feed, Intake } from './feed.ts'

/** How an append ended; `done` is called exactly once, only after durability where it says durable. */
export type Appended =
  | { readonly kind: 'durable' }
  | { readonly kind: 'full' | 'unavailable'; readonly retryAfterMs: number; readonly why: string }
  | { readonly kind: 'too-large'; readonly limitBytes: number }
  | { readonly kind: 'partial'; readonly durable: number }

export const DURABLE: Appended = Object.freeze({ kind: 'durable' })

export interface AppendOptions {
  /** A delivery of this very stream that the append answers (a reply): settled as delivered in the same transaction. */
  readonly settles?: Delivery
  /** Replies and dead letters may use the reserve, so that a full stream can drain. */
  readonly reserve?: boolean
}

/** Durable events between two parties. */
export interface Stream {
  append(events: readonly CloudEvent[], done: (r: Appended) => void, options?: AppendOptions): void
  /** The one feed of this stream; called once. */
  open(into: Intake, signal: AbortSignal): Feed
  stats(): StreamStats
  close(signal: AbortSignal): Promise<void>
  readonly can: Readonly<{ atomicBatch: boolean; delay: boolean; seekTime: boolean }>
}

export interface StreamStats {
  readonly events: number
  readonly bytes: number
  /** Wall clock of the oldest event kept, 0 = none. */
  readonly oldestMs: number
  /** Why nothing is taken at the moment, '' = it takes. */
  readonly refusing: string
}

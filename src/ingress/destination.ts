import type { CloudEvent } from '../event/event.ts'
import type { IngressId, ServiceId } from '../contract/ids.ts'
import type { Outcome } from '../contract/outcome.ts'
import type { Appended } from '../contract/stream.ts'
import type { Job } from '../contract/target.ts'
import type { FlatHeaders } from './http-server.ts'

/** Where an address of the data port leads; made by the engine from a route of the plan. */
export type Destination = StreamDestination | TargetDestination | ServiceDestination | CallbackDestination

/** A broker or channel: 202 once the events are durable. */
export interface StreamDestination {
  readonly kind: 'stream'
  readonly id: IngressId
  append(events: readonly CloudEvent[], done: (r: Appended) => void): void
  /** Largest body taken, bytes; a batch counts as a whole. */
  readonly maxEventBytes: number
  /** 0 = repeats are not looked for. */
  readonly dedupWindowMs: number
}

/** A target without a stream before it: the producer gets its answer when the target has given its own. */
export interface TargetDestination {
  readonly kind: 'target'
  readonly id: IngressId
  /** One attempt; `done` is called exactly once, never before this returns. */
  deliver(event: CloudEvent, done: (o: Outcome) => void): void
  readonly maxEventBytes: number
}

/** A Service by its host name: requests are passed on as they are, one credit each. */
export interface ServiceDestination {
  readonly kind: 'service'
  readonly id: ServiceId
  acquire(job: Job): void
  cancel(job: Job): void
  /** From credit to the last byte of the answer; also the longest wait for a credit. */
  readonly timeoutMs: number
}

/** A POST for the gateway itself (the late answer of a subscriber). */
export interface CallbackDestination {
  readonly kind: 'callback'
  readonly id: IngressId
  readonly maxBodyBytes: number
  /** Calls `answer` exactly once; a later call does nothing. */
  handle(request: CallbackRequest, answer: (status: number, headers: readonly string[], body: string | null) => void): void
}

export interface CallbackRequest {
  readonly path: string
  readonly query: string
  readonly headers: FlatHeaders
  /** The caller's to keep. */
  readonly body: Uint8Array | null
}

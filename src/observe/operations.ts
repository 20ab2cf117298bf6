import type { Start } from '../contract/feed.ts'
import type { Key } from '../contract/ids.ts'
import type { Readings } from './instrument.ts'
import type { Snapshot } from './snapshot.ts'

/** A resource the way Knative shows one, with what only this gateway knows under `sluice`. */
export interface ResourceStatus {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly namespace: string
    readonly name: string
    readonly uid: string
    readonly annotations: Readonly<Record<string, string>>
  }
  readonly spec: unknown
  readonly status: {
    readonly conditions: readonly Condition[]
    readonly address?: { readonly url: string }
    readonly observedGeneration: number
    readonly [sink: string]: unknown
  }
  readonly sluice: Readonly<Record<string, unknown>>
}

export interface Condition {
  readonly type: string
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason?: string
  readonly message?: string
}

export interface Degraded {
  readonly resource: string
  readonly reason: string
  readonly message: string
}

export interface ParkedView {
  readonly id: string
  readonly parkedAt: string
  readonly reason: string
  readonly event: unknown
  readonly raw?: { readonly base64: string; readonly headers: readonly (readonly [string, string])[]; readonly why: string }
  readonly attempts: readonly {
    readonly attempt: number
    readonly at: string
    readonly tookMs: number
    readonly to: string
    readonly status: number
    readonly error: string
  }[]
}

export interface ParkedReplay {
  /** CESQL over the parked event, '' = all. */
  readonly where: string
  /** Events a second, 0 = as fast as it goes. */
  readonly ratePerS: number
  /** Another target's URL or key, '' = the subscription they were parked from. */
  readonly to: string
  readonly dryRun: boolean
  readonly ids: readonly string[]
}

/** What a pause or its end is about: the subscriptions, and how many events they hold and have not read. */
export interface PauseAnswer {
  readonly subscriptions: readonly Key[]
  readonly events: number
}

/** `beside`: by a second reader, the live one is untouched. `rewind`: the live position was set back. */
export interface ReplayAnswer {
  readonly how: 'beside' | 'rewind'
  /** So many will be read, as far as it is known. */
  readonly events: number
}

/** Everything a person or tool can ask of a running gateway. Faults say what is wrong with the call. */
export interface Operations {
  ready(): { readonly ready: boolean; readonly degraded: readonly Degraded[] }
  /** All numbers of one instant, for `/metrics`. */
  readings(): Readings
  snapshot(): Snapshot
  /** The plan in force, secrets hidden. */
  plan(): unknown
  resources(kind: string): readonly ResourceStatus[]
  resource(kind: string, namespace: string, name: string): ResourceStatus | undefined
  decisions(service: Key): readonly unknown[]
  service(service: Key): unknown
  /** Another decider's size, until its lease runs out. Throws `admin.not-found` for an unknown Service. */
  scale(service: Key, desired: number, leaseMs: number, reason: string): void
  parkedKeys(): readonly { readonly key: Key; readonly events: number; readonly bytes: number; readonly known: boolean }[]
  parkedList(key: Key, after: string, most: number): readonly ParkedView[]
  parkedGet(key: Key, id: string): ParkedView | undefined
  parkedReplay(
    key: Key,
    how: ParkedReplay,
  ): Promise<{ readonly matched: number; readonly replayed: number; readonly failed: number }>
  parkedPurge(key: Key, ids: readonly string[] | 'all'): Promise<number>
  /** One subscription, or all of a resource. Remembered over a restart. */
  pause(key: Key): PauseAnswer
  resume(key: Key): PauseAnswer
  /** Starts a second, temporary reader from that point to now; with `rewind` sets the live position back instead. */
  replay(key: Key, from: Start, rewind: boolean): Promise<ReplayAnswer>
  /** Forgets a removed subscription's position and everything it held. */
  purge(key: Key): Promise<void>
  /** Drops what the subscription has not read yet, aloud. */
  skip(key: Key): Promise<{ readonly events: number }>
  reload(): Promise<{ readonly generation: number; readonly faults: readonly string[] }>
}

import type { Key } from '../contract/ids.ts'
import type { GateState } from '../contract/target.ts'
import type { Observation } from '../contract/decider.ts'

/**
 * The numbers of one instant, copied in one synchronous step so that the identities hold in every scrape:
 * restored + offered + replayed = filtered + delivered + deadLettered + parked + handedBack + waiting.
 */
export interface Snapshot {
  readonly subscriptions: readonly SubscriptionNumbers[]
  readonly streams: readonly StreamNumbers[]
  readonly services: readonly RevisionNumbers[]
}

export interface SubscriptionNumbers {
  readonly key: Key
  /** Where it reads from: a stream's or a source's key; histograms are kept by this. */
  readonly origin: Key
  readonly restored: number
  readonly offered: number
  readonly replayed: number
  readonly filtered: number
  readonly delivered: number
  readonly deadLettered: number
  readonly parked: number
  readonly handedBack: number
  readonly waiting: number
  readonly attempts: number
  readonly retries: number
  /** Unread events behind it, a gauge beside the identity. */
  readonly backlog: number
  readonly backlogOldestMs: number
  readonly parkedNow: number
  readonly paused: boolean
  /** Why it reads nothing, '' = it reads. */
  readonly held: string
}

export interface StreamNumbers {
  readonly key: Key
  readonly events: number
  readonly bytes: number
  readonly oldestMs: number
  readonly refusing: boolean
}

export interface RevisionNumbers {
  readonly key: Key
  readonly revision: string
  readonly gate: GateState
  readonly observation: Observation
  readonly desired: number
}

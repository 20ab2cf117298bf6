import { CloudEvent } from '../event/event.ts'
import type { LaneId, SubId } from './ids.ts'
import type { AttemptStory } from './outcome.ts'

/** How a delivery ended, or left memory. */
export type Settlement = 'filtered' | 'delivered' | 'dead-lettered' | 'parked' | 'detached' | 'handed-back'

/** Opaque outside its feed; ordered within a lane. An offset, a sequence, a delivery tag: always a safe integer. */
export type Position = number

/** An event in custody, made by a feed and handed to its intake. A feed may extend it with fields of its own. */
export interface Delivery {
  readonly event: CloudEvent
  readonly sub: SubId
  readonly lane: LaneId
  readonly position: Position
  /** As the system counts, 0 = first time. */
  readonly redelivery: number
  /** Attempts already made before this offer (a detached delivery that came back), with their story. */
  readonly story: readonly AttemptStory[]
  /** 'subscriber', or 'dead-letter' when the attempts that remain are those of the dead-letter sink. */
  readonly phase: 'subscriber' | 'dead-letter'
  /** Wall-clock ms, 0 = no lease. */
  readonly leaseUntilMs: number
  /** What it costs in memory. */
  readonly bytes: number
}

/** What is stored when a delivery waits long or is given up. */
export interface DetachedState {
  /** Wall-clock ms when it is offered again; 0 for a parked one. */
  readonly dueMs: number
  readonly story: readonly AttemptStory[]
  readonly phase: 'subscriber' | 'dead-letter'
  /** Why it was parked: `exhausted`, `rejected`, `loop`, `undecodable`, … ('' while it only waits). */
  readonly reason: string
}

/** Raw bytes that are no event, with why; parked as they came. */
export interface Undecodable {
  readonly raw: Uint8Array
  /** Header or property names and values as text, for the person who looks at it. */
  readonly headers: readonly (readonly [string, string])[]
  readonly why: string
}

/** Stands where an attempt has no delivery behind it: a producer waits for the answer itself. */
export const SILENT_DELIVERY: Delivery = Object.freeze({
  event: new CloudEvent({ id: '-', source: '-', type: '-' }),
  sub: -1,
  lane: 0,
  position: 0,
  redelivery: 0,
  story: [],
  phase: 'subscriber',
  leaseUntilMs: 0,
  bytes: 0,
})

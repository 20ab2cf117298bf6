import type { Delivery } from '../../../contract/delivery.ts'
import type { LaneId, SubId } from '../../../contract/ids.ts'
import type { AttemptStory } from '../../../contract/outcome.ts'
import type { CloudEvent } from '../../../event/event.ts'
import { PositionTracker, WINDOW } from '../../../sources/kafka/tracker.ts'
import type { TopicId } from '../../../vendor/kafka/fetch.ts'
import type { RecordCursor } from '../../../vendor/kafka/records.ts'
import type { Follower } from '../seat.ts'
import { DueHeap } from './due-heap.ts'
import type { KeptPartition } from './reader.ts'
import { dueOf, type Origin } from './record.ts'

/**
 * Lanes of what comes back from a retry topic, one a partition of it, each with room of its own. Above every partition there
 * can be and below the lane of the custody, because lanes below 0 are nobody's to resume.
 */
export const RETRY_LANE: LaneId = 2 ** 29

/** What an event costs in memory beside its bytes. */
const OVERHEAD_BYTES = 512

/** A delivery that waited in a retry topic and is due. */
export class RetryDelivery implements Delivery {
  readonly event: CloudEvent
  readonly sub: SubId
  readonly lane: LaneId
  readonly position: number
  readonly redelivery: number
  readonly story: readonly AttemptStory[]
  readonly phase: 'subscriber' | 'dead-letter'
  readonly leaseUntilMs = 0
  readonly bytes: number
  readonly seat: RetrySeat
  /** The tracker of the time it was read; after a rebalance or another attach the seat has another. */
  readonly tracker: PositionTracker
  readonly dueMs: number
  readonly origin: Origin

  constructor(
    seat: RetrySeat,
    position: number,
    kept: {
      readonly event: CloudEvent
      readonly state: { readonly dueMs: number; readonly story: readonly AttemptStory[]; readonly phase: RetryDelivery['phase'] }
      readonly origin: Origin
    },
  ) {
    this.event = kept.event
    this.sub = seat.follower.sub
    this.lane = seat.lane
    this.position = position
    this.redelivery = kept.origin.redelivery + 1
    this.story = kept.state.story
    this.phase = kept.state.phase
    this.bytes = OVERHEAD_BYTES + (kept.event.data?.length ?? 0)
    this.seat = seat
    this.tracker = seat.tracker
    this.dueMs = kept.state.dueMs
    this.origin = kept.origin
  }
}

/** Where a partition is taken up: offset, flat runs settled above it, the text they came as, and when (monotonic ms). */
export interface RetryStart {
  readonly offset: number
  readonly settled: readonly number[]
  readonly text: string
  readonly atMs: number
}

export interface SeatHooks {
  /** Bytes that are no record. */
  corrupt(seat: RetrySeat, offset: number, raw: Uint8Array, why: string): void
  /** There may be something due earlier than before. */
  schedule(): void
  nowMs(): number
  /** Records that were gone before they could be read. */
  missed(seat: RetrySeat, count: number): void
  /** Too much stands behind the lowest unsettled record: it is not read on for now. */
  stuck(seat: RetrySeat): void
}

/**
 * One partition of a subscription's retry topic, while it is ours:
 *
 *   scanned ─▶ waits (offset and due time, nothing else) ─▶ due: fetched ─▶ offered ─▶ settled
 *                 ▲                                            └── no room, given back ──┘
 *                 └────────────────────────────────────────────────┘
 */
export class RetrySeat implements KeptPartition {
  readonly follower: Follower
  readonly topic: string
  readonly partition: number
  readonly lane: LaneId
  readonly waiting = new DueHeap()
  topicId: TopicId
  tracker: PositionTracker
  fetchOffset: number
  /** About to be given back: nothing is offered. */
  held = false
  blocked = false
  /** Due records are on their way. */
  bringing = false
  /** Given back by the machine: offered again when there is room. */
  returned: number[] = []
  touched = false
  committed: number
  committedText: string
  committedVersion = -1
  committedAtMs: number
  /** Everything below is deleted from the log. */
  deletedBelow = 0
  readonly #hooks: SeatHooks

  constructor(
    follower: Follower,
    place: { readonly topic: string; readonly partition: number; readonly topicId: TopicId },
    at: RetryStart,
    hooks: SeatHooks,
  ) {
    this.follower = follower
    this.topic = place.topic
    this.partition = place.partition
    this.topicId = place.topicId
    this.lane = RETRY_LANE + place.partition
    this.tracker = new PositionTracker(at.offset, at.settled)
    this.fetchOffset = this.tracker.position
    this.committed = at.offset
    this.committedText = at.text
    this.committedAtMs = at.atMs
    this.#hooks = hooks
  }

  /** Whether it may be offered something. */
  get ready(): boolean {
    return this.follower.attached && !this.held && !this.blocked && !this.bringing
  }

  get wanted(): boolean {
    return this.follower.attached && !this.held && this.tracker.window < WINDOW
  }

  took(c: RecordCursor): void {
    const { tracker } = this
    while (tracker.window < WINDOW) {
      const found = c.next()
      if (found === 'end') break
      const ordinal = tracker.take(c.offset, found === 'record' ? c.timestampMs : this.#hooks.nowMs())
      tracker.passTo(c.position)
      if (ordinal < 0) continue
      if (found === 'record') this.waiting.push(dueOf(c.headers), c.offset)
      else this.#hooks.corrupt(this, c.offset, c.raw, c.why)
    }
    tracker.passTo(c.position)
    this.fetchOffset = Math.max(c.position, tracker.position)
    if (tracker.window >= WINDOW) this.#hooks.stuck(this)
    this.#hooks.schedule()
  }

  outside(first: number): void {
    if (first > this.fetchOffset) {
      const { position } = this.tracker
      if (position > 0) this.#hooks.missed(this, first - position)
      this.tracker.passTo(first)
      this.fetchOffset = first
    } else this.restart(first, [])
  }

  /** What is not settled is read again; what was offered before counts for nothing. */
  restart(offset: number, settled: readonly number[]): void {
    this.tracker = new PositionTracker(offset, settled)
    this.fetchOffset = this.tracker.position
    this.waiting.clear()
    this.returned = []
    this.blocked = false
    this.touched = true
    this.committedVersion = -1
    this.deletedBelow = 0
  }

  /** Attached again: everything that is not settled is offered again, when it is due. */
  comeBack(): void {
    this.restart(this.tracker.committable, this.tracker.settledAbove())
  }

  /** There is room again, also for what was given back. */
  unblock(): void {
    this.blocked = false
    for (const offset of this.returned.splice(0)) this.waiting.push(0, offset)
  }

  settle(d: RetryDelivery): void {
    if (d.tracker === this.tracker) this.settleAt(d.position)
  }

  settleAt(offset: number): void {
    this.tracker.settle(this.tracker.find(offset))
    this.touched = true
  }

  giveBack(d: RetryDelivery): void {
    if (d.tracker === this.tracker && !this.returned.includes(d.position)) this.returned.push(d.position)
  }
}

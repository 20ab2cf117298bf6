import type { Delivery } from '../../contract/delivery.ts'
import type { LaneId, SubId } from '../../contract/ids.ts'
import type { AttemptStory } from '../../contract/outcome.ts'
import type { CloudEvent } from '../../event/event.ts'
import type { TopicId } from '../../vendor/kafka/fetch.ts'
import type { RecordCursor } from '../../vendor/kafka/records.ts'
import { type PositionTracker, WINDOW } from './tracker.ts'

/** What a delivery costs beside its bytes: the event, the delivery and their strings. */
const OVERHEAD_BYTES = 512

/** A delivery of ours: knows where it is settled, so that settling searches nothing. */
export class KafkaDelivery implements Delivery {
  readonly event: CloudEvent
  readonly sub: SubId
  readonly lane: LaneId
  readonly position: number
  readonly redelivery = 0
  readonly story: readonly AttemptStory[] = NO_STORY
  readonly phase = 'subscriber'
  readonly leaseUntilMs = 0
  readonly bytes: number
  /** The tracker of the time it was read; when the partition has gone and come back, it has another. */
  readonly tracker: PositionTracker
  readonly ordinal: number

  constructor(
    event: CloudEvent,
    sub: SubId,
    lane: LaneId,
    position: number,
    bytes: number,
    tracker: PositionTracker,
    ordinal: number,
  ) {
    this.event = event
    this.sub = sub
    this.lane = lane
    this.position = position
    this.bytes = bytes + OVERHEAD_BYTES
    this.tracker = tracker
    this.ordinal = ordinal
  }
}

const NO_STORY: readonly AttemptStory[] = Object.freeze([])

/** One partition that is ours. */
export class Partition {
  readonly lane: LaneId
  readonly topic: string
  readonly partition: number
  /** '' = not known yet. */
  topicId: TopicId = ''
  tracker: PositionTracker
  /** Fetched and not read yet, in order. */
  readonly cursors: RecordCursor[] = []
  waitingBytes = 0
  /** Where the next fetch goes on. */
  fetchOffset: number
  /** The offset the running fetch asked for, -1 = none runs; an answer to another question is thrown away. */
  asked = -1
  /** The lane has room. */
  open = true
  /** Nothing is offered or fetched: it is about to be given back, or starts somewhere else. */
  held = false
  /** The window is full; reading goes on when half of it is settled. */
  stalled = false
  /** Monotonic ms: not fetched before, after an error of its own. */
  notBeforeMs = 0
  /** End of what may be read, as the broker last told; -1 = not told yet. */
  end = -1
  committed: number
  committedText: string
  committedVersion = -1
  committedAtMs: number

  constructor(lane: LaneId, topic: string, partition: number, tracker: PositionTracker, committedText: string, nowMs: number) {
    this.lane = lane
    this.topic = topic
    this.partition = partition
    this.tracker = tracker
    this.fetchOffset = tracker.position
    this.committed = tracker.committable
    this.committedText = committedText
    this.committedAtMs = nowMs
  }

  /**
   * Whether the next fetch names it. Two answers wait at most, one being read and one behind it, so that a lane whose
   * gate opens is served from memory while the broker is asked; small answers may be more.
   */
  wantsFetch(nowMs: number, mostWaitingBytes: number): boolean {
    if (this.held || this.stalled || nowMs < this.notBeforeMs) return false
    return this.waitingBytes < mostWaitingBytes / 2 || this.cursors.length < 2
  }

  /** It is not fetched although the broker has more of it. */
  get leftOutWithBacklog(): boolean {
    return !this.held && this.end > this.fetchOffset
  }

  received(cursor: RecordCursor): void {
    this.fetchOffset = cursor.end
    this.cursors.push(cursor)
    this.waitingBytes += cursor.bytes
  }

  /** The answer in front is read to its end. */
  finished(cursor: RecordCursor): void {
    this.tracker.passTo(cursor.position)
    this.cursors.shift()
    this.waitingBytes -= cursor.bytes
  }

  get mayRead(): boolean {
    return this.open && !this.held && !this.stalled
  }

  /** Checked before each record. */
  get windowFull(): boolean {
    return this.tracker.window >= WINDOW
  }

  /** Reads on from another offset; what waits is thrown away, what runs stays. */
  rewind(offset: number): void {
    this.cursors.length = 0
    this.waitingBytes = 0
    this.fetchOffset = offset
    this.asked = -1
  }

  /** Another place with nothing running: seek, or another topic under the same name. */
  restart(tracker: PositionTracker): void {
    this.tracker = tracker
    this.stalled = false
    this.open = true
    this.end = -1
    this.committedVersion = -1
    this.rewind(tracker.position)
  }

  /** Events the broker has beyond what was read. */
  get unread(): number {
    return Math.max(0, this.end - this.tracker.position)
  }
}

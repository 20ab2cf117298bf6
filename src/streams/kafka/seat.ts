import type { Delivery } from '../../contract/delivery.ts'
import type { Start } from '../../contract/feed.ts'
import type { Key, LaneId, SubId } from '../../contract/ids.ts'
import type { AttemptStory } from '../../contract/outcome.ts'
import type { CloudEvent } from '../../event/event.ts'
import { Partition } from '../../sources/kafka/partition.ts'
import { PositionTracker } from '../../sources/kafka/tracker.ts'
import type { BrokerAddress } from '../../vendor/kafka/link.ts'

/** What a delivery costs beside its bytes: the event, the delivery and their strings. */
const OVERHEAD_BYTES = 512
/** A window that was full is read on when half of it is settled. */
const STUCK_UNTIL = 32_768
const NO_STORY: readonly AttemptStory[] = Object.freeze([])

/** A partition that is ours, as the head reads it: its tracker holds nothing but the position the head has come to. */
export class HeadPartition extends Partition {
  /** Seats that read with the head; without one it stands still. */
  heads = 0
  /** Events the head has routed. */
  routed = 0

  get head(): number {
    return this.tracker.position
  }

  /** Nobody reads with it: it goes on elsewhere. */
  moveHead(offset: number): void {
    const { end } = this
    this.restart(new PositionTracker(offset, []))
    this.end = end
  }
}

/** A subscription of the stream: its own consumer group, one seat a partition that is ours. */
export class Follower {
  readonly key: Key
  readonly group: string
  sub: SubId = -1
  attached = false
  from: Start
  readonly seats: (KafkaSeat | undefined)[] = []
  /** Where the offsets of its group are kept, null = not known. */
  coordinator: BrokerAddress | null = null
  /** Events that went past it in partitions that have gone to others since. */
  passed = 0
  /** A look for starts is under way, and another is wanted after it. */
  loading = false
  loadAgain = false
  /** Others are members of its group: nothing is read until they are gone. */
  taken = false
  committing: Promise<boolean> | null = null
  /** It was here before its topic: it begins at the beginning. */
  beforeTopic = false
  /** It is on its way to another place: nothing is offered before it is there. */
  seeking = false
  /** A second reader of the subscription `of`, up to an end in each partition; null = a live one. */
  replay: ReplayOf | null = null

  constructor(key: Key, group: string, from: Start) {
    this.key = key
    this.group = group
    this.from = from
  }
}

/** What a follower that is a replay has beside. */
export interface ReplayOf {
  readonly of: Key
  readonly begunMs: number
  /** The first offset of each partition that is not its business. */
  readonly ends: Map<LaneId, number>
  /** Read and settled to its end by everybody. */
  over: boolean
  /** When Kafka was asked last whether it is. */
  lookedMs: number
}

/**
 * One subscription's place in one partition.
 *
 *   behind ── caught up ──▶ head ── lane or window full, given back ──▶ behind
 *
 * At the head it costs nothing but what matches; its tracker is moved up when somebody asks. Behind it is read by a
 * catch-up reader from `readAt` on. While its lane is blocked or its window full it is offered nothing. A replay is always
 * behind, until it is at its end.
 */
export class KafkaSeat {
  readonly follower: Follower
  readonly lane: LaneId
  readonly partition: HeadPartition
  tracker: PositionTracker
  atHead = false
  /** At the head: it is offered what comes from there on. */
  joinAt = 0
  /** Behind: the next offset it is read from. */
  readAt: number
  blocked = false
  stuck = false
  /** Waits for a catch-up reader, or has one. */
  queued = false
  /** The first offset that is not its business: a replay ends there and never joins the head. */
  until: number
  /** Below that its events may have been offered before, in this process. */
  seenBelow: number
  /** Something was settled since the last commit. */
  touched = true
  committed: number
  committedText: string
  committedVersion = -1
  committedAtMs: number
  #passed = 0
  #joinedRouted = 0

  constructor(f: Follower, p: HeadPartition, at: { offset: number; settled: readonly number[]; text: string }, nowMs: number) {
    this.follower = f
    this.lane = p.lane
    this.partition = p
    this.tracker = new PositionTracker(at.offset, at.settled)
    this.readAt = at.offset
    this.until = f.replay?.ends.get(p.lane) ?? Infinity
    this.seenBelow = at.offset
    this.committed = at.offset
    this.committedText = at.text
    this.committedAtMs = nowMs
  }

  /** Whether it may be offered something. */
  get ready(): boolean {
    return this.follower.attached && !this.follower.seeking && !this.blocked && !this.stuck && !this.partition.held
  }

  /** Has to be read on by a catch-up reader. */
  get behind(): boolean {
    return !this.atHead && this.readAt < (this.until === Infinity ? this.partition.head : this.until)
  }

  /** Brings the tracker up to what the head has passed. */
  catchUp(): void {
    if (this.atHead && this.partition.head > this.joinAt) this.tracker.passTo(this.partition.head)
  }

  join(): void {
    this.atHead = true
    this.joinAt = Math.max(this.readAt, this.partition.head)
    this.partition.heads++
    this.#joinedRouted = this.partition.routed
  }

  leave(): void {
    if (!this.atHead) return
    this.catchUp()
    this.atHead = false
    const p = this.partition
    this.readAt = Math.max(p.head, this.joinAt, this.tracker.position)
    this.#passed += p.routed - this.#joinedRouted
    if (--p.heads === 0) p.open = false
  }

  /** What is not settled is read again; what was offered before counts for nothing. */
  restart(offset: number, settled: readonly number[]): void {
    this.catchUp()
    this.seenBelow = Math.max(this.seenBelow, this.tracker.position)
    this.leave()
    this.tracker = new PositionTracker(offset, settled)
    this.readAt = offset
    this.stuck = false
    this.touched = true
    this.committedVersion = -1
  }

  /** Something of it was settled; true = its window has room again. */
  settled(): boolean {
    this.touched = true
    if (!this.stuck || this.tracker.window > STUCK_UNTIL) return false
    this.stuck = false
    return true
  }

  /** The offsets of its partition mean nothing any more: it reads on there, and a replay has nothing left to read. */
  beginAnew(offset: number): void {
    if (this.until < Infinity) this.until = offset
    this.restart(offset, [])
    this.blocked = false
  }

  /** Attached again: everything that is not settled is offered again. */
  comeBack(): void {
    this.catchUp()
    this.restart(this.tracker.committable, this.tracker.settledAbove())
    this.blocked = false
  }

  get passed(): number {
    return this.#passed + (this.atHead ? this.partition.routed - this.#joinedRouted : 0)
  }

  passedOne(): void {
    this.#passed++
  }

  get unread(): number {
    const { partition: p } = this
    if (this.until < Infinity) return Math.max(0, this.until - this.readAt)
    return Math.max(0, Math.max(p.end, p.head) - (this.atHead ? Math.max(p.head, this.joinAt) : this.readAt))
  }
}

/** Knows where it is settled, so that settling searches nothing. */
export class StreamDelivery implements Delivery {
  readonly event: CloudEvent
  readonly sub: SubId
  readonly lane: LaneId
  readonly position: number
  readonly redelivery: number
  readonly story = NO_STORY
  readonly phase = 'subscriber'
  readonly leaseUntilMs = 0
  readonly bytes: number
  readonly seat: KafkaSeat
  /** The tracker of the time it was read; after a seek or another attach the seat has another. */
  readonly tracker: PositionTracker
  readonly ordinal: number

  constructor(seat: KafkaSeat, event: CloudEvent, position: number, bytes: number, ordinal: number, again: boolean) {
    this.event = event
    this.sub = seat.follower.sub
    this.lane = seat.lane
    this.position = position
    this.redelivery = again || position < seat.seenBelow ? 1 : 0
    this.bytes = bytes + OVERHEAD_BYTES
    this.seat = seat
    this.tracker = seat.tracker
    this.ordinal = ordinal
  }
}

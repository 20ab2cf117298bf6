import type { Delivery, DetachedState } from '../contract/delivery.ts'
import type { LaneId, PodId, SubId } from '../contract/ids.ts'
import type { AttemptStory, Outcome } from '../contract/outcome.ts'
import type { Attempt, Credit, Job, Target } from '../contract/target.ts'
import type { Feed } from '../contract/feed.ts'
import type { CloudEvent } from '../event/event.ts'
import type { OpenCall } from './callbacks.ts'
import { Fifo } from '../flow/fifo.ts'
import { assert } from '../runtime/errors.ts'
import type { Timer } from '../runtime/clock.ts'

/**
 * Where a delivery in memory stands; drawn in `deliverer.ts`, above the functions that walk it.
 * `storing`: its feed is about to keep it (detached or parked). `ended`: it has left memory.
 */
export type WalkState = 'waiting' | 'queued' | 'attempting' | 'resting' | 'storing' | 'ended'

/** The lane of deliveries that no feed offers: parked events that are replayed. */
export const REPLAY_LANE = -1

/** Which sink the next attempt goes to. */
export type LegName = 'subscriber' | 'reply' | 'dead-letter'

/** Why the way to the subscriber ended: what a dead letter tells and a parked event is filed under. */
export interface Failure {
  /** `exhausted`, `rejected`, `loop`, `bad-reply`, `reply-failed`. */
  readonly reason: string
  readonly to: string
  readonly status: number
  readonly why: string
  readonly body: Uint8Array | undefined
}

/** Who keeps a delivery: its feed, or whoever replays it. */
export type Home = Pick<Feed, 'settle' | 'park' | 'detachDelivery'>

/** Called by a walk and its attempts; one per subscription. */
export interface WalkHost {
  started(w: Walk, c: Credit): void
  refused(w: Walk, why: 'full' | 'expired' | 'gone', retryAfterMs: number): void
  answered(a: RunningAttempt, o: Outcome): void
  cameLate(a: RunningAttempt, o: Outcome): void
}

/** What only a delivery in difficulties needs; most never have it, and they are what memory is full of. */
export class Trouble {
  story: AttemptStory[]
  failure: Failure | null = null
  /** What goes to the reply or dead-letter leg. */
  reply: CloudEvent | null = null
  deadLetter: CloudEvent | null = null
  timer: Timer | null = null
  /** Refusals in a row that were no attempt (a full stream). */
  unattempted = 0
  constructor(story: readonly AttemptStory[]) {
    this.story = [...story]
  }
}

/** One delivery on its way, and at the same time its wish for a credit: one object an event on the hot path. */
export class Walk implements Job {
  readonly host: WalkHost
  readonly home: Home
  readonly d: Delivery
  readonly lane: Lane
  /** Ordering key, '' = none. */
  key: string
  readonly offeredMs: number
  state: WalkState = 'waiting'
  leg: LegName = 'subscriber'
  /** Made on this leg. */
  attempts = 0
  /** It has been asked for or attempted: in an ordered lane the next one waits for it. */
  begun = false
  /** Its data has been looked at, and copied out of a bigger buffer if it was in one. */
  ownsData = false
  /** It stands in its lane's line. */
  lined = false
  /** Since when it could be attempted. */
  readyMs: number
  last: RunningAttempt | null = null
  trouble: Trouble | null = null
  /** Neighbours among all deliveries of the lane, oldest first. */
  before: Walk | null = null
  after: Walk | null = null
  nextOfKey: Walk | null = null

  constructor(host: WalkHost, home: Home, d: Delivery, lane: Lane, key: string, nowMs: number) {
    this.host = host
    this.home = home
    this.d = d
    this.lane = lane
    this.key = key
    this.offeredMs = nowMs
    this.readyMs = nowMs
  }

  get kind(): 'event' {
    return 'event'
  }
  get sub(): SubId {
    return this.d.sub
  }
  get bytes(): number {
    return this.d.bytes
  }
  get retry(): boolean {
    return this.attempts > 0
  }
  start(c: Credit): void {
    this.host.started(this, c)
  }
  refused(why: 'full' | 'expired' | 'gone', retryAfterMs: number): void {
    this.host.refused(this, why, retryAfterMs)
  }

  get story(): readonly AttemptStory[] {
    return this.trouble?.story ?? this.d.story
  }

  inTrouble(): Trouble {
    this.trouble ??= new Trouble(this.d.story)
    return this.trouble
  }

  /** What is stored when it leaves memory. */
  stateFor(dueMs: number, reason: string): DetachedState {
    return { dueMs, story: this.story, phase: this.leg === 'dead-letter' ? 'dead-letter' : 'subscriber', reason }
  }
}

/** One attempt under way. A new object each time, because a sender whose attempt timed out still holds the old one. */
export class RunningAttempt implements Attempt {
  readonly walk: Walk
  readonly delivery: Delivery
  readonly event: CloudEvent
  readonly attempt: number
  readonly leg: LegName
  readonly deadlineMs: number
  readonly wantsReply: boolean
  readonly structured: boolean
  readonly namespace: string
  readonly headers: readonly string[]
  readonly target: Target
  readonly pod: PodId
  readonly startedMs: number
  declare readonly settles?: Delivery
  declare readonly batch?: readonly CloudEvent[]
  /** The deliveries of a batch, the first among them. */
  readonly members: readonly Walk[] | null
  /** Where the subscriber may answer later. */
  readonly call: OpenCall | null
  answered = false

  constructor(w: Walk, o: AttemptParts) {
    this.walk = w
    this.delivery = w.d
    this.event = o.event
    this.attempt = w.attempts
    this.leg = w.leg
    this.deadlineMs = o.startedMs + o.timeoutMs
    this.wantsReply = o.wantsReply
    this.structured = o.structured
    this.namespace = o.namespace
    this.headers = o.headers
    this.target = o.target
    this.pod = o.pod
    this.startedMs = o.startedMs
    this.members = o.members
    this.call = o.call
    if (o.settles) this.settles = w.d
    if (o.members !== null) this.batch = o.members.map((m) => m.d.event)
  }

  done(o: Outcome): void {
    assert(!this.answered, `attempt ${this.attempt} of ${this.delivery.event.id} has one outcome`)
    this.answered = true
    this.walk.host.answered(this, o)
  }

  late(o: Outcome): void {
    this.walk.host.cameLate(this, o)
  }
}

export interface AttemptParts {
  readonly event: CloudEvent
  readonly startedMs: number
  readonly timeoutMs: number
  readonly wantsReply: boolean
  readonly structured: boolean
  readonly namespace: string
  readonly headers: readonly string[]
  readonly target: Target
  readonly pod: PodId
  readonly settles: boolean
  readonly members: readonly Walk[] | null
  readonly call: OpenCall | null
}

/** What a feed delivers in order, for one subscription. */
export class Lane {
  readonly id: LaneId
  /** Every delivery of the lane in memory, in the order of offering. */
  first: Walk | null = null
  last: Walk | null = null
  count = 0
  bytes = 0
  /** Those with a credit. */
  attempting = 0
  /** Those that have been asked for and have not ended. */
  begun = 0
  /** Who may be asked for next; those that have left meanwhile are passed over. */
  readonly waiting = new Fifo<Walk>()
  /** The feed was told to stop. */
  full = false
  /** The lane is being taken away: what is offered goes straight back. */
  leaving = false
  inRound = false

  constructor(id: LaneId) {
    this.id = id
  }

  link(w: Walk): void {
    w.before = this.last
    if (this.last === null) this.first = w
    else this.last.after = w
    this.last = w
    this.count++
    this.bytes += w.d.bytes
  }

  unlink(w: Walk): void {
    if (w.before === null) this.first = w.after
    else w.before.after = w.after
    if (w.after === null) this.last = w.before
    else w.after.before = w.before
    w.before = w.after = null
    this.count--
    this.bytes -= w.d.bytes
  }
}

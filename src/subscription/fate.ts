import type { Budget } from '../contract/budget.ts'
import type { Settlement } from '../contract/delivery.ts'
import type { Observer } from '../contract/observer.ts'
import type { Accepted, Rejected, Retryable } from '../contract/outcome.ts'
import { retryDelayMs } from '../flow/backoff.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import type { Random } from '../runtime/random.ts'
import type { Callbacks } from './callbacks.ts'
import type { Counts } from './counts.ts'
import type { LaneBounds, LaneTable } from './lane-table.ts'
import type { Departures } from './leaving.ts'
import type { Reader } from './reader.ts'
import { deadLetterOf, replyTo } from './replies.ts'
import type { Route } from './route.ts'
import { tell } from './story.ts'
import type { Failure, LegName, RunningAttempt, Walk } from './walk.ts'

/** Waits up to this are kept in memory; longer ones are left to the feed, which stores them. DESIGN §5 */
const REST_MOST_MS = 5_000

/** How long a delivery that could not be parked waits before the next try. */
const PARK_AGAIN_MS = 5_000

/** Permanent rejections in a row, parked, after which a person should look before more are read. */
const REJECTIONS_MOST = 100

/** Waits of what was refused without an attempt (a full stream), ms. */
const ROOM_LEAST_MS = 50

/** What all subscriptions of a shard share. */
export interface Surroundings {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly observer: Observer
  readonly budget: Budget
  readonly bounds: LaneBounds
  readonly callbacks: Callbacks
  readonly departures: Departures
}

/** What becomes of a delivery when an attempt has ended: the right half of the drawing in `deliverer.ts`. */
export class Fate {
  readonly #s: Surroundings
  readonly #counts: Counts
  readonly #table: LaneTable
  readonly #route: Route
  readonly #reader: Reader
  #rejections = 0

  constructor(s: Surroundings, counts: Counts, table: LaneTable, route: Route, reader: Reader) {
    this.#s = s
    this.#counts = counts
    this.#table = table
    this.#route = route
    this.#reader = reader
  }

  // -- the outcome ------------------------------------------------------------------------------------------------

  accepted(w: Walk, o: Accepted, nowMs: number): void {
    if (w.leg === 'dead-letter') return this.#settle(w, 'dead-lettered', nowMs)
    if (w.leg === 'reply') {
      this.#s.observer.replied(w.d, w.trouble!.reply!)
      return this.#settle(w, 'delivered', nowMs)
    }
    this.#rejections = 0
    if (o.badReply !== undefined) {
      const to = this.#route.nameOf('subscriber')
      return this.#giveUp(w, { reason: 'bad-reply', to, status: o.status, why: o.badReply, body: undefined }, nowMs)
    }
    if (o.reply === undefined || o.status === 202 || this.#route.plan.reply === null) return this.#settle(w, 'delivered', nowMs)
    const reply = replyTo(w.d.event, o.reply, this.#s.clock.wall())
    const to = this.#route.nameOf('reply')
    if (reply === null) {
      return this.#giveUp(w, { reason: 'loop', to, status: 508, why: 'the reply has no pass left', body: undefined }, nowMs)
    }
    if (this.#route.reply.target === null) {
      return this.#giveUp(
        w,
        { reason: 'reply-failed', to, status: 0, why: 'the reply sink is not resolved', body: undefined },
        nowMs,
      )
    }
    w.inTrouble().reply = reply
    this.#goOnLeg(w, 'reply', nowMs)
  }

  retryable(w: Walk, a: RunningAttempt, o: Retryable, nowMs: number): void {
    const t = w.inTrouble()
    const { delivery } = this.#route.plan
    if (o.unattempted === true) {
      w.attempts--
      this.#counts.attempts--
      t.unattempted++
      if (this.#goesBack(w)) return this.handBack(w)
      const wantedMs = o.retryAfterMs ?? ROOM_LEAST_MS * 2 ** Math.min(t.unattempted, 10)
      return this.#rest(w, Math.min(Math.max(wantedMs, ROOM_LEAST_MS), REST_MOST_MS))
    }
    t.unattempted = 0
    tell(t.story, w, a, o, this.#s.clock, nowMs)
    if (this.#goesBack(w)) return this.handBack(w)
    if (w.attempts > delivery.retry) return this.#failed(w, a, o, w.leg === 'reply' ? 'reply-failed' : 'exhausted', nowMs)
    const delayMs = retryDelayMs(delivery, w.attempts, o.retryAfterMs, this.#s.random)
    this.#counts.retries++
    this.#s.observer.retrying(w.d, w.attempts, delayMs)
    if (delayMs <= REST_MOST_MS || !this.#mayDetach(w)) this.#rest(w, delayMs)
    else this.#detach(w, delayMs)
  }

  rejected(w: Walk, a: RunningAttempt, o: Rejected, nowMs: number): void {
    tell(w.inTrouble().story, w, a, o, this.#s.clock, nowMs)
    const reason = o.status === 508 ? 'loop' : w.leg === 'reply' ? 'reply-failed' : 'rejected'
    this.#failed(w, a, o, reason, nowMs)
  }

  /** No attempt of this leg is left. */
  #failed(w: Walk, a: RunningAttempt, o: Retryable | Rejected, reason: string, nowMs: number): void {
    if (w.leg === 'dead-letter') {
      if (reason === 'loop') this.#s.observer.looped(w.d, o.why)
      return this.park(w, w.trouble?.failure?.reason ?? 'exhausted')
    }
    this.#giveUp(w, { reason, to: a.target.name, status: o.status, why: o.why, body: o.body }, nowMs)
  }

  #giveUp(w: Walk, f: Failure, nowMs: number): void {
    const t = w.inTrouble()
    t.failure = f
    if (f.reason === 'loop') this.#s.observer.looped(w.d, f.why)
    if (this.#route.deadLetter.target === null) return this.park(w, f.reason)
    t.deadLetter = deadLetterOf(w.d.event, f)
    this.#goOnLeg(w, 'dead-letter', nowMs)
  }

  #goOnLeg(w: Walk, leg: LegName, nowMs: number): void {
    w.leg = leg
    w.attempts = 0
    w.readyMs = nowMs
    this.#route.leg(leg).ready.push(w)
  }

  // -- waits ------------------------------------------------------------------------------------------------------

  /** Retries would come too late for whoever takes the lane over. */
  #goesBack(w: Walk): boolean {
    return this.#reader.leaving || w.lane.leaving
  }

  /** Ordered ones hold their place, replies are nowhere else, and a replay is kept by whoever replays. */
  #mayDetach(w: Walk): boolean {
    return this.#table.order !== 'ordered' && w.key === '' && w.leg !== 'reply' && w.lane.id >= 0
  }

  #rest(w: Walk, delayMs: number): void {
    w.state = 'resting'
    w.inTrouble().timer = this.#s.clock.after(delayMs, () => {
      if (w.state !== 'resting') return
      w.state = 'waiting'
      w.readyMs = this.#s.clock.now()
      this.#route.leg(w.leg).ready.push(w)
      this.#reader.pump()
    })
  }

  #detach(w: Walk, delayMs: number): void {
    w.state = 'storing'
    w.home.detachDelivery(w.d, w.stateFor(this.#s.clock.wall() + delayMs, ''), (ok) => {
      if (w.state !== 'storing') return
      if (!ok) return this.#rest(w, delayMs)
      this.#counts.detached++
      this.#left(w, 'detached', this.#s.clock.now())
      this.#reader.pump()
    })
  }

  // -- the ends ---------------------------------------------------------------------------------------------------

  park(w: Walk, reason: string): void {
    w.state = 'storing'
    w.home.park(w.d, w.stateFor(0, reason), (ok) => {
      if (w.state !== 'storing') return
      if (!ok) {
        this.#reader.hold('parked-full')
        w.state = 'resting'
        w.inTrouble().timer = this.#s.clock.after(PARK_AGAIN_MS, () => this.park(w, reason))
        return
      }
      this.#counts.parked++
      this.#left(w, 'parked', this.#s.clock.now())
      this.parkedOne(reason)
      this.#reader.pump()
    })
  }

  /** One more was given up: reading may have to stop, or may go on again. */
  parkedOne(reason: string): void {
    this.#reader.release('parked-full')
    if (reason === 'rejected' && ++this.#rejections >= REJECTIONS_MOST) this.#reader.hold('rejecting')
    if (this.#route.plan.onPark === 'stop') this.#reader.hold('on-park')
  }

  #settle(w: Walk, how: 'delivered' | 'dead-lettered', nowMs: number): void {
    w.home.settle(w.d, how)
    if (how === 'delivered') this.#counts.delivered++
    else this.#counts.deadLettered++
    this.#left(w, how, nowMs)
  }

  /** `tellFeed` false = the lane is somebody else's already. */
  handBack(w: Walk, tellFeed = true): void {
    if (w.state === 'queued') {
      this.#route.leg(w.leg).target?.cancel(w)
      this.unqueue(w)
    }
    if (tellFeed) w.home.settle(w.d, 'handed-back')
    this.#counts.handedBack++
    this.#left(w, 'handed-back', this.#s.clock.now())
  }

  #left(w: Walk, how: Settlement, nowMs: number): void {
    if (w.state === 'attempting') this.#table.attempted(w)
    w.state = 'ended'
    if (w.trouble !== null && w.trouble.timer !== null) w.trouble.timer.cancel()
    this.#table.remove(w)
    this.#s.budget.give(w.d.bytes)
    this.#s.observer.settled(w.d, how, nowMs - w.offeredMs)
    this.#reader.freed(w.lane)
    this.#s.departures.left(w.lane)
  }

  /** A person or a new plan says that it may work now. */
  forgive(): void {
    this.#rejections = 0
  }

  /** It waits again instead of standing in the gate's queue. */
  unqueue(w: Walk): void {
    w.state = 'waiting'
    this.#route.leg(w.leg).asked--
    if (w.leg === 'subscriber') this.#route.limiter.give()
  }
}

import type { Budget } from '../contract/budget.ts'
import type { Feed } from '../contract/feed.ts'
import type { SubId } from '../contract/ids.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import type { LaneTable } from './lane-table.ts'
import type { Leg } from './leg.ts'
import type { Route } from './route.ts'
import type { Lane, Walk } from './walk.ts'

/** Turns of asking and reading on before the loop gets its turn: a feed that fills lanes at once would never end. */
const TURNS_MOST = 4

/** Below so many jobs in its queue a gate is offered more, not with every job that starts. */
const TOP_UP_BELOW = 32

/** Why nothing is read though nobody paused it. */
export type HoldReason = 'parked-full' | 'rejecting' | 'on-park'

export interface ReaderParts {
  readonly clock: Clock
  readonly log: Log
  readonly budget: Budget
}

/** Where what was offered goes on from: decides when attempts are asked for and when lanes are read on. */
export class Reader {
  /** Further up the stack `pump` is at work: what comes now is seen by it. */
  pumping = false
  paused = false
  /** The subscription is being removed, or the gateway stops. */
  leaving = false
  feed: Feed | null = null
  readonly sub: SubId
  readonly #table: LaneTable
  readonly #route: Route
  readonly #p: ReaderParts
  readonly #ask: (w: Walk) => void
  readonly #holds = new Set<HoldReason>()
  /** Lanes whose feed may be told to go on. */
  #freed: Lane[] = []
  #rateTimer: Timer | null = null
  #batchTimer: Timer | null = null
  #batchDue = false
  /** Called while at work: there may be more to do. */
  #again = false

  constructor(sub: SubId, table: LaneTable, route: Route, p: ReaderParts, ask: (w: Walk) => void) {
    this.sub = sub
    this.#table = table
    this.#route = route
    this.#p = p
    this.#ask = ask
  }

  /** '' = it reads. */
  get held(): string {
    const [first] = this.#holds
    if (first !== undefined) return first
    return this.#route.subscriber.target === null ? 'target-unresolved' : ''
  }

  get #idle(): boolean {
    return this.paused || this.leaving || this.#holds.size > 0
  }

  /** Offers the gates what they take, and lets lanes be read on, until neither is possible. */
  pump(): void {
    if (this.pumping) {
      this.#again = true
      return
    }
    this.pumping = true
    try {
      for (let turn = 0; ; turn++) {
        this.#again = false
        this.#askForSubscriber()
        this.#askFor(this.#route.deadLetter)
        this.#askFor(this.#route.reply)
        // An answer within the asking (a reply that is refused at once) may have let the next of its key or lane go.
        if ((this.#freed.length === 0 || !this.#readOn()) && !this.#again) return
        if (turn === TURNS_MOST) return this.#p.clock.soon(() => this.pump())
      }
    } finally {
      this.pumping = false
    }
  }

  /** A job has left the gate's queue. */
  topUp(leg: Leg): void {
    if (leg.asked < TOP_UP_BELOW) this.pump()
  }

  #askForSubscriber(): void {
    const { subscriber, limiter, rate } = this.#route
    while (!this.#idle && subscriber.mayAsk && limiter.hasRoom && this.#batchIsReady()) {
      if (rate !== null && !this.#rateAllows()) return
      const w = subscriber.nextReady() ?? this.#table.next()
      if (w === undefined) return
      if (rate !== null) rate.take(this.#p.clock.now())
      this.#batchDue = false
      if (this.#batchTimer !== null) this.#endBatchWait()
      limiter.take()
      this.#ask(w)
    }
  }

  #askFor(leg: Leg): void {
    while (leg.ready.size > 0 && leg.mayAsk) {
      const w = leg.nextReady()
      if (w === undefined) return
      this.#ask(w)
    }
  }

  /** One at a time stands in the gate's queue, or several would start at once when a pod comes. */
  #rateAllows(): boolean {
    if (this.#route.subscriber.asked > 0) return false
    const waitMs = this.#route.rate!.waitMs(this.#p.clock.now())
    if (waitMs <= 0) return true
    this.#rateTimer ??= this.#p.clock.after(waitMs, () => {
      this.#rateTimer = null
      this.pump()
    })
    return false
  }

  /** Enough for a whole batch beside those already asked for, or the first has waited long enough. */
  #batchIsReady(): boolean {
    const { batchMax, batchWaitMs } = this.#route.plan
    if (batchMax <= 1 || this.#batchDue) return true
    const waiting = this.#table.lined + this.#route.subscriber.ready.size - this.#route.subscriber.asked * batchMax
    if (waiting >= batchMax || batchWaitMs === 0) return true
    if (waiting > 0) {
      this.#batchTimer ??= this.#p.clock.after(batchWaitMs, () => {
        this.#batchTimer = null
        this.#batchDue = true
        this.pump()
        this.#batchDue = false
      })
    }
    return false
  }

  /** A batch goes: the next one's wait begins with its own first event. */
  #endBatchWait(): void {
    this.#batchTimer?.cancel()
    this.#batchTimer = null
  }

  /** The gate has no place: again when it says so, or after a while. */
  refusedBy(leg: Leg, retryAfterMs: number): void {
    if (leg.refused) return
    leg.refused = true
    this.#p.clock.after(Math.max(retryAfterMs, 1), () => {
      leg.refused = false
      this.pump()
    })
  }

  /** A target has room or is open again. */
  roomAgain(): void {
    const { subscriber, deadLetter, reply } = this.#route
    for (const leg of [subscriber, deadLetter, reply]) leg.roomAgain()
    this.readOnAll()
  }

  // -- reading ------------------------------------------------------------------------------------------------------

  /** After an offer: false = the lane has been told to stop, by this call or before. */
  mayReadOn(lane: Lane): boolean {
    if (lane.full) return false
    if (this.#reads && !this.#table.isFull(lane) && !this.#p.budget.full) return true
    lane.full = true
    return false
  }

  get #reads(): boolean {
    const target = this.#route.subscriber.target
    return !this.#idle && target !== null && target.open
  }

  #hasRoom(lane: Lane): boolean {
    if (!this.#reads || lane.leaving || !this.#table.hasRoom(lane)) return false
    // Whatever the others hold, each subscription is sure of one event.
    return !this.#p.budget.full || this.#table.count === 0
  }

  /** A delivery has left the lane. */
  freed(lane: Lane): void {
    if (lane.full && this.#hasRoom(lane) && !this.#freed.includes(lane)) this.#freed.push(lane)
  }

  /** Whatever kept lanes from being read may be over: budget, pause, target. */
  readOnAll(): void {
    for (const lane of this.#table.lanes()) this.freed(lane)
    this.pump()
  }

  /** false = no lane could be read on. */
  #readOn(): boolean {
    const lanes = this.#freed
    this.#freed = []
    let any = false
    for (const lane of lanes) {
      if (!lane.full || lane.id < 0 || this.feed === null || !this.#hasRoom(lane)) continue
      lane.full = false
      any = true
      this.feed.resume(this.sub, lane.id)
    }
    return any
  }

  hold(reason: HoldReason): void {
    if (this.#holds.has(reason)) return
    this.#holds.add(reason)
    this.#p.log.warn('a subscription stops reading', { subscription: this.#route.plan.key, reason })
  }

  release(reason: HoldReason): void {
    if (!this.#holds.delete(reason)) return
    this.#p.log.info('a subscription reads again', { subscription: this.#route.plan.key, reason })
    this.readOnAll()
  }

  releaseAll(): void {
    for (const reason of this.#holds) this.release(reason)
  }

  /** No timer of it fires any more. */
  stop(): void {
    this.#rateTimer?.cancel()
    this.#batchTimer?.cancel()
  }
}

import type { PodId } from '../contract/ids.ts'
import type { LimitsPlan } from '../contract/plan.ts'
import type { Credit, GateState, Job, Origin, Sample } from '../contract/target.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import { assert } from '../runtime/errors.ts'
import { BookedCredit, PodRow } from './credit.ts'
import { Demand, type GateCounters } from './demand.ts'
import { PodTable } from './pod-table.ts'
import { Rate } from './rate.ts'
import { WaitingRoom } from './waiting-room.ts'
import { waitingMost } from './window.ts'

export interface GateOptions {
  readonly clock: Clock
  /** Proxied requests that may wait; the next is refused as `full`. */
  readonly maxQueuedRequests: number
  /** For everybody who sends through this gate: credits in all and credits a second, 0 = no limit. */
  readonly limits?: LimitsPlan
  /** An abandoned credit comes back after this, though nobody said that the work ended; 0 = only with the pod. For URIs 60,000. */
  readonly abandonedReturnMs?: number
  /** What the scaler looks at has changed; called once, then not before `state()` was read. */
  readonly onChange?: () => void
}

/** The one place that gives out leave to send: a table of pods with their credits, and who waits for one. */
export interface Gate {
  /** `start` may be called before this returns. */
  acquire(job: Job): void
  /** A credit for what that pod does already, whatever its limit says; null = it is not here. */
  adopt(pod: PodId): Credit | null
  /** Takes a waiting job back; nothing when it has started. */
  cancel(job: Job): void
  state(): GateState
  /** Credits of the pods that take work, 0 = without limit or no pod. */
  readonly credits: number
  /** false: feeds stop reading. Set by a breaker or by whoever knows that nothing can be sent. */
  readonly open: boolean
  setOpen(open: boolean): void
  /** Calls `f` whenever the gate opens, gets a pod or more credits. */
  onRoom(f: () => void): void
  /** `limit` 0 = without limit. The order of adding is the order of age. */
  add(pod: PodId, origin: Origin, limit: number): void
  setLimit(pod: PodId, limit: number): void
  /** No new credit; what runs goes on. Nothing for a pod that is not here, as in the three below. */
  cordon(pod: PodId): void
  uncordon(pod: PodId): void
  /** Exited, deleted, connection lost: its credits come back and their holders are told. */
  gone(pod: PodId): void
  /** Credits booked, abandoned ones among them; 0 for a pod that is not here. */
  inFlightOf(pod: PodId): number
  /** Monotonic ms since when nothing is in flight, null = busy or not here. */
  idleSinceOf(pod: PodId): number | null
  /** Monotonic ms of its oldest abandoned credit, null = none: the pod may be stuck. */
  abandonedSinceOf(pod: PodId): number | null
  counters(): GateCounters
  /** Refuses as `expired` the requests that have waited longer than this; says how many. */
  expireRequests(waitedMs: number): number
  /** Takes everybody who waits, in the order they would have been served: another gate takes over. */
  takeWaiting(): Job[]
  /** The service is gone: refuses everybody, now and later. What runs goes on. */
  close(): void
}

export function createGate(o: GateOptions): Gate {
  return new PodGate(o)
}

/** What a refused sender should wait at least and at most, ms. */
const RETRY_AFTER_LEAST_MS = 1_000
const RETRY_AFTER_MOST_MS = 30_000

class PodGate implements Gate {
  readonly #clock: Clock
  readonly #maxQueuedRequests: number
  readonly #mostInFlight: number
  readonly #rate: Rate | null
  readonly #abandonedReturnMs: number
  readonly #onChange: (() => void) | undefined
  readonly #pods = new PodTable()
  readonly #room = new WaitingRoom()
  readonly #demand: Demand
  readonly #listeners: (() => void)[] = []
  #inFlight = 0
  #abandoned = 0
  #open = true
  #closed = false
  /** A job is being started further up the stack: who comes now waits for the loop there. */
  #granting = false
  #rateTimer: Timer | null = null
  /** Pods that the demand fills, at the last look: crossing a whole pod is what a scaler wants to know. */
  #podsWanted = 0
  #told = false

  constructor(o: GateOptions) {
    const nowMs = o.clock.now()
    this.#clock = o.clock
    this.#maxQueuedRequests = o.maxQueuedRequests
    this.#mostInFlight = o.limits?.maxConcurrency || Infinity
    this.#rate = o.limits !== undefined && o.limits.ratePerS > 0 ? new Rate(o.limits.ratePerS, nowMs) : null
    this.#abandonedReturnMs = o.abandonedReturnMs ?? 0
    this.#onChange = o.onChange
    this.#demand = new Demand(nowMs)
  }

  get open(): boolean {
    return this.#open && !this.#closed
  }

  get credits(): number {
    const credits = this.#pods.credits
    if (this.#mostInFlight === Infinity) return credits
    return credits === 0 ? this.#mostInFlight : Math.min(credits, this.#mostInFlight)
  }

  acquire(job: Job): void {
    this.#demand.arrived()
    if (this.#closed) return job.refused('gone', RETRY_AFTER_LEAST_MS)
    if (!this.#granting && this.#room.size === 0) {
      const nowMs = this.#clock.now()
      const row = this.#choose(nowMs)
      if (row !== null) {
        this.#grant(job, row, nowMs)
        if (this.#room.size > 0) this.#serve()
        return
      }
    }
    if (this.#isFullFor(job)) return job.refused('full', this.#retryAfterMs())
    const nowMs = this.#clock.now()
    this.#room.push(job, nowMs)
    this.#changed(nowMs)
  }

  adopt(pod: PodId): Credit | null {
    const row = this.#pods.get(pod)
    if (row === undefined) return null
    this.#book(row, this.#clock.now())
    return new BookedCredit(this, row)
  }

  cancel(job: Job): void {
    if (this.#room.remove(job)) this.#changed(this.#clock.now())
  }

  state(): GateState {
    this.#told = false
    this.#podsWanted = this.#podsInDemand()
    const pods = []
    for (const row of this.#pods.rows()) pods.push(row.state())
    return {
      inFlight: this.#inFlight,
      abandoned: this.#abandoned,
      queuedRequests: this.#room.requests,
      queuedEvents: this.#room.events,
      limit: this.credits,
      pods,
    }
  }

  setOpen(open: boolean): void {
    if (this.#open === open) return
    this.#open = open
    if (open) this.#tellRoom()
  }

  onRoom(f: () => void): void {
    this.#listeners.push(f)
  }

  add(pod: PodId, origin: Origin, limit: number): void {
    this.#pods.add(new PodRow(pod, origin, limit, this.#clock.now()))
    this.#podsChanged()
  }

  setLimit(pod: PodId, limit: number): void {
    const row = this.#pods.get(pod)
    if (row === undefined || row.limit === limit) return
    this.#pods.setLimit(row, limit)
    this.#podsChanged()
  }

  cordon(pod: PodId): void {
    const row = this.#pods.get(pod)
    if (row === undefined || row.cordoned) return
    this.#pods.cordon(row, true)
    this.#tell()
  }

  uncordon(pod: PodId): void {
    const row = this.#pods.get(pod)
    if (row === undefined || !row.cordoned) return
    this.#pods.cordon(row, false)
    this.#podsChanged()
  }

  gone(pod: PodId): void {
    const row = this.#pods.get(pod)
    if (row === undefined) return
    this.#pods.remove(row)
    const lost: BookedCredit[] = []
    for (let c = row.credits; c !== null; c = row.credits) {
      this.#takeBack(c)
      c.phase = 'returned'
      lost.push(c)
    }
    this.#changed(this.#clock.now())
    this.#tell()
    for (const c of lost) c.podGone()
    this.#serve()
  }

  inFlightOf(pod: PodId): number {
    return this.#pods.get(pod)?.inFlight ?? 0
  }

  idleSinceOf(pod: PodId): number | null {
    const row = this.#pods.get(pod)
    return row === undefined || row.inFlight > 0 ? null : row.idleSinceMs
  }

  abandonedSinceOf(pod: PodId): number | null {
    const row = this.#pods.get(pod)
    if (row === undefined || row.abandoned === 0) return null
    let sinceMs = Infinity
    for (let c = row.credits; c !== null; c = c.older) if (c.phase === 'abandoned') sinceMs = Math.min(sinceMs, c.abandonedMs)
    return sinceMs
  }

  counters(): GateCounters {
    return this.#demand.copy(this.#clock.now())
  }

  expireRequests(waitedMs: number): number {
    const nowMs = this.#clock.now()
    const expired = this.#room.requestsSince(nowMs - waitedMs)
    if (expired.length > 0) this.#changed(nowMs)
    for (const job of expired) job.refused('expired', this.#retryAfterMs())
    return expired.length
  }

  takeWaiting(): Job[] {
    const jobs: Job[] = []
    for (let job = this.#room.next(); job !== null; job = this.#room.next()) jobs.push(job)
    this.#changed(this.#clock.now())
    return jobs
  }

  close(): void {
    this.#closed = true
    this.#rateTimer?.cancel()
    for (let job = this.#room.next(); job !== null; job = this.#room.next()) job.refused('gone', RETRY_AFTER_LEAST_MS)
    this.#changed(this.#clock.now())
  }

  /** Called by a credit. */
  released(c: BookedCredit, s: Sample): void {
    this.#takeBack(c)
    c.phase = 'released'
    this.#demand.completed(s.ms, s.ok)
    this.#changed(this.#clock.now())
    if (!this.#granting && this.#room.size > 0) this.#serve()
  }

  /** Called by a credit: the outcome is decided, the pod still works. */
  abandoned(c: BookedCredit): void {
    c.phase = 'abandoned'
    c.abandonedMs = this.#clock.now()
    c.row.abandoned++
    this.#abandoned++
    this.#tell()
    if (this.#abandonedReturnMs === 0) return
    c.returning = this.#clock.after(this.#abandonedReturnMs, () => {
      this.#takeBack(c)
      c.phase = 'returned'
      this.#changed(this.#clock.now())
      this.#serve()
    })
  }

  /** The pod for the next credit, null = nobody has room or the limits of the whole do not let one go now. */
  #choose(nowMs: number): PodRow | null {
    if (this.#inFlight >= this.#mostInFlight) return null
    if (this.#rate !== null) {
      const waitMs = this.#rate.waitMs(nowMs)
      if (waitMs > 0) {
        this.#rateTimer ??= this.#clock.after(waitMs, () => {
          this.#rateTimer = null
          this.#serve()
        })
        return null
      }
    }
    return this.#pods.choose()
  }

  #grant(job: Job, row: PodRow, nowMs: number): void {
    assert(row.limit === 0 || row.inFlight < row.limit, `pod ${row.pod} stays within its limit of ${row.limit}`)
    this.#rate?.take(nowMs)
    this.#book(row, nowMs)
    this.#granting = true
    try {
      job.start(new BookedCredit(this, row))
    } finally {
      this.#granting = false
    }
  }

  #book(row: PodRow, nowMs: number): void {
    row.inFlight++
    this.#inFlight++
    this.#pods.place(row)
    if (row.inFlight === 1) this.#tell()
    this.#changed(nowMs)
  }

  /** Starts whoever waits while there is room. */
  #serve(): void {
    if (this.#granting || this.#closed) return
    while (this.#room.size > 0) {
      const nowMs = this.#clock.now()
      const row = this.#choose(nowMs)
      if (row === null) return
      this.#grant(this.#room.next()!, row, nowMs)
    }
  }

  /** The credit is free again, whatever the reason. The pod may have left the table already. */
  #takeBack(c: BookedCredit): void {
    const row = c.row
    c.unhook()
    row.inFlight--
    this.#inFlight--
    assert(row.inFlight >= 0 && this.#inFlight >= 0, 'no credit comes back twice')
    if (c.phase === 'abandoned') {
      row.abandoned--
      this.#abandoned--
    }
    if (row.inFlight === 0) {
      row.idleSinceMs = this.#clock.now()
      this.#tell()
    }
    if (this.#pods.get(row.pod) === row) this.#pods.place(row)
  }

  #isFullFor(job: Job): boolean {
    if (job.kind === 'request') return this.#room.requests >= this.#maxQueuedRequests
    return this.#room.ofSubscription(job.sub) >= waitingMost(this.credits)
  }

  /** About when the queue will have moved: what waits, at the pace of the credits there are. */
  #retryAfterMs(): number {
    const ms = ((this.#demand.serviceMs ?? 0) * this.#room.size) / Math.max(1, this.credits)
    return Math.ceil(Math.min(Math.max(ms, RETRY_AFTER_LEAST_MS), RETRY_AFTER_MOST_MS))
  }

  #podsChanged(): void {
    this.#tell()
    this.#serve()
    this.#tellRoom()
  }

  #tellRoom(): void {
    for (const f of this.#listeners) f()
  }

  #changed(nowMs: number): void {
    this.#demand.level(this.#inFlight, this.#room.size, nowMs)
    if (this.#told || this.#onChange === undefined) return
    if (this.#podsInDemand() !== this.#podsWanted) this.#tell()
  }

  #podsInDemand(): number {
    const perPod = this.#pods.size === 0 ? 0 : this.#pods.credits / this.#pods.size
    return Math.ceil((this.#inFlight + this.#room.size) / Math.max(1, perPod))
  }

  #tell(): void {
    if (this.#told || this.#onChange === undefined) return
    this.#told = true
    this.#onChange()
  }
}

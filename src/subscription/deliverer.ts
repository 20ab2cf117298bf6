import type { Delivery } from '../contract/delivery.ts'
import type { SubId } from '../contract/ids.ts'
import type { Outcome, Rejected } from '../contract/outcome.ts'
import type { Credit } from '../contract/target.ts'
import { Adopted } from './adopted.ts'
import { endedInOrder, gatherBatch, outcomeOfMember } from './batch.ts'
import { memberOf, type OpenCall } from './callbacks.ts'
import { Counts } from './counts.ts'
import { Fate, type Surroundings } from './fate.ts'
import { LaneTable } from './lane-table.ts'
import { Reader } from './reader.ts'
import { deadLetterOf } from './replies.ts'
import { type RunningSpec, Route } from './route.ts'
import { type AttemptParts, type Home, type Lane, type LegName, RunningAttempt, Walk, type WalkHost } from './walk.ts'

/**
 * Walks the deliveries of one subscription. Every way a delivery can go:
 * ```
 *             offer
 *               │
 *               ▼  lane, order       ask                credit
 *            waiting ─────────────────────► queued ─────────────► attempting
 *             ▲   ▲                           │ refused               │
 *             │   └───────────────────────────┘                       │
 *             │ due                                                   ├─ accepted ──────────────► settled: delivered,
 *             │                                                       │                           dead-lettered
 *          resting ◄──────────── wait ≤ 5 s, ordered ── retryable ────┤
 *             │ late 2xx                        │                     ├─ accepted with a reply ─► waiting, on the reply leg
 *             ▼                                 └ longer ─► storing ──│──────────────────────────► settled: detached
 *          settled                                                    │
 *                                                                     └─ rejected, exhausted, loop, bad reply:
 *                                                                        waiting, on the dead-letter leg; without one, or
 *                                                                        given up there too: storing ─► settled: parked
 *   lane taken away, subscription removed, gateway stopping:
 *   waiting, queued, resting ─► settled: handed back          attempting ─► as above, what needs a retry is handed back
 * ```
 * Each leg counts its own attempts. What runs when its lane is lost, or at the deadline of a revoke, ends at once; its
 * credit is used up by the sender all the same.
 */
export class Deliverer implements WalkHost {
  readonly id: SubId
  readonly counts = new Counts()
  readonly table: LaneTable
  readonly route: Route
  readonly reader: Reader
  readonly #s: Surroundings
  readonly #fate: Fate
  readonly #adopted: Adopted

  constructor(id: SubId, spec: RunningSpec, s: Surroundings) {
    this.id = id
    this.#s = s
    this.table = new LaneTable(spec.plan.order, s.bounds)
    this.route = new Route(spec, s.clock)
    this.reader = new Reader(id, this.table, this.route, s, (w) => this.#ask(w))
    this.#fate = new Fate(s, this.counts, this.table, this.route, this.reader)
    this.#adopted = new Adopted(
      s,
      this.route,
      (w, a, o) => this.#decide(w, a, outcomeOfMember(w, a, o), s.clock.now()),
      () => this.reader.pump(),
    )
    this.#adopted.adopt()
  }

  // -- offer ------------------------------------------------------------------------------------------------------

  /** false = the lane is full now: nothing more before the feed is told to go on. */
  offer(d: Delivery, home: Home, replayed: boolean): boolean {
    const { reader, table } = this
    const lane = table.lane(d.lane)
    const cameBack = d.story.length > 0
    if (replayed) this.counts.replayed++
    else if (cameBack) {
      this.counts.cameBack()
      this.#s.observer.restored(d)
    } else {
      this.counts.matched++
      this.#s.observer.matched(d)
    }
    if (reader.leaving || lane.leaving) {
      this.#settleAtOnce(d, home, 'handed-back')
      return false
    }
    if (this.route.isOwnDeadLetter(d.event)) {
      this.#settleAtOnce(d, home, 'filtered')
      return !lane.full
    }
    const nowMs = this.#s.clock.now()
    const w = new Walk(this, home, d, lane, table.keyOf(d.event), nowMs)
    this.#s.budget.take(d.bytes)
    const held = d.phase === 'subscriber' && this.route.subscriber.target !== null ? this.#adopted.of(d) : undefined
    table.put(w, d.phase === 'subscriber' && held === undefined)
    if (cameBack) this.#pickUp(w)
    if (held !== undefined) {
      table.begin(w)
      w.attempts = held.attempt
      w.state = 'attempting'
      lane.attempting++
      this.#adopted.take(w, held)
    }
    if (!reader.pumping) reader.pump()
    return reader.mayReadOn(lane)
  }

  /** A detached delivery goes on where it stood. */
  #pickUp(w: Walk): void {
    const last = w.d.story.at(-1)!
    w.attempts = last.attempt
    if (w.d.phase !== 'dead-letter') return
    w.leg = 'dead-letter'
    const failed = w.d.story.findLast((s) => s.to !== this.route.nameOf('dead-letter')) ?? last
    const failure = { reason: 'exhausted', to: failed.to, status: failed.status, why: failed.error, body: undefined }
    w.inTrouble().failure = failure
    w.inTrouble().deadLetter = deadLetterOf(w.d.event, failure)
    if (this.route.deadLetter.target === null) this.#fate.park(w, failure.reason)
    else this.route.deadLetter.ready.push(w)
  }

  #settleAtOnce(d: Delivery, home: Home, how: 'handed-back' | 'filtered'): void {
    if (how === 'filtered') this.counts.filtered++
    else this.counts.handedBack++
    home.settle(d, how)
    this.#s.observer.settled(d, how, 0)
  }

  // -- ask, credit, attempt ---------------------------------------------------------------------------------------

  #ask(w: Walk): void {
    const leg = this.route.leg(w.leg)
    const target = leg.target!
    w.state = 'queued'
    leg.asked++
    this.#s.observer.waiting(w.d, target.id)
    target.acquire(w)
  }

  refused(w: Walk, _why: 'full' | 'expired' | 'gone', retryAfterMs: number): void {
    this.#fate.unqueue(w)
    const leg = this.route.leg(w.leg)
    leg.ready.unshift(w)
    this.reader.refusedBy(leg, retryAfterMs)
  }

  started(w: Walk, c: Credit): void {
    const { route } = this
    const leg = route.leg(w.leg)
    leg.asked--
    leg.attempting++
    const members = w.leg === 'subscriber' && route.plan.batchMax > 1 ? gatherBatch(w, this.table, leg, route.plan) : null
    this.#begin(w)
    if (members !== null) for (let i = 1; i < members.length; i++) this.#begin(members[i]!)
    const parts = route.attemptParts(w, c, members, this.#s.clock.now())
    const later = w.leg === 'subscriber' && route.plan.ack === 'callback'
    const a = later ? this.#answerableLater(w, c, parts) : new RunningAttempt(w, parts)
    w.last = a
    if (members !== null) for (const m of members) m.last = a
    leg.target!.send(a, a.call === null ? c : a.call.credit)
    this.reader.topUp(leg)
  }

  #answerableLater(w: Walk, c: Credit, parts: AttemptParts): RunningAttempt {
    const { callbacks } = this.#s
    const members = (parts.members ?? [w]).map((m) => memberOf(m.d, m.attempts))
    const call = callbacks.open(c, this.route.plan.key, members)
    const a = new RunningAttempt(w, { ...parts, call, headers: [...parts.headers, ...callbacks.headerOf(call)] })
    call.answer = (o) => this.answered(a, o)
    return a
  }

  #begin(w: Walk): void {
    this.table.attempt(w)
    w.attempts++
    this.counts.attempts++
  }

  answered(a: RunningAttempt, o: Outcome): void {
    const counts = a.call === null ? o : this.#s.callbacks.answered(a.call, o, this.route.plan.delivery.timeoutMs)
    if (counts === null) return
    const outcome: Outcome = counts.kind === 'pending' ? UNEXPECTED_PENDING : counts
    this.route.leg(a.leg).attempting--
    if (a.leg === 'subscriber') this.route.limiter.give()
    const nowMs = this.#s.clock.now()
    if (a.members === null) this.#decide(a.walk, a, outcome, nowMs)
    else this.#decideBatch(a, a.members, outcome, nowMs)
    this.reader.pump()
  }

  #decideBatch(a: RunningAttempt, members: readonly Walk[], o: Outcome, nowMs: number): void {
    const ended = this.table.order === 'ordered' ? endedInOrder(members, o) : members.length
    // From the last to the first, so that each goes back in front of those behind it.
    for (let i = members.length - 1; i >= ended; i--) this.#backInLine(members[i]!)
    for (let i = 0; i < ended; i++) this.#decide(members[i]!, a, outcomeOfMember(members[i]!, a, o), nowMs)
  }

  /** It went with an ordered batch of which an earlier event failed: that was no attempt of it. */
  #backInLine(w: Walk): void {
    if (w.state === 'ended') return
    w.lane.attempting--
    w.attempts--
    this.counts.attempts--
    w.state = 'waiting'
    if (this.reader.leaving || w.lane.leaving) this.#fate.handBack(w)
    else this.table.putBack(w)
  }

  #decide(w: Walk, a: RunningAttempt, o: Outcome, nowMs: number): void {
    this.#s.observer.attempted(w.d, w.attempts, a.pod, o, a.startedMs - w.readyMs, nowMs - a.startedMs, a.target.id)
    if (w.state === 'ended') return
    this.table.attempted(w)
    if (o.kind === 'accepted') return this.#fate.accepted(w, o, nowMs)
    if (o.kind === 'retryable') return this.#fate.retryable(w, a, o, nowMs)
    if (o.kind === 'rejected') this.#fate.rejected(w, a, o, nowMs)
  }

  /** A 2xx after the time-out: it settles the delivery as long as nothing newer has been sent. */
  cameLate(a: RunningAttempt, o: Outcome): void {
    const w = a.walk
    if (o.kind !== 'accepted' || w.last !== a || a.members !== null) return
    if (w.state === 'queued') {
      this.route.leg(w.leg).target?.cancel(w)
      this.#fate.unqueue(w)
    } else if (w.state !== 'waiting' && w.state !== 'resting') return
    if (a.leg === 'subscriber' && w.leg === 'reply') return
    w.trouble?.timer?.cancel()
    w.state = 'waiting'
    w.leg = a.leg
    this.#fate.accepted(w, o, this.#s.clock.now())
    this.reader.pump()
  }

  /** Bytes that were no event have been parked. */
  parkedRaw(): void {
    this.#fate.parkedOne('rejected')
  }

  // -- from outside -----------------------------------------------------------------------------------------------

  pause(): void {
    this.reader.paused = true
    this.#withdraw('subscriber')
  }

  resume(): void {
    this.reader.paused = false
    this.#fate.forgive()
    this.reader.releaseAll()
    this.reader.readOnAll()
  }

  update(spec: RunningSpec): void {
    for (const leg of ['subscriber', 'reply', 'dead-letter'] as const) this.#withdraw(leg)
    this.route.update(spec)
    this.table.setOrder(spec.plan.order)
    this.#fate.forgive()
    this.reader.releaseAll()
    this.reader.readOnAll()
  }

  /** Nothing new is begun; what only waits for the subscriber is handed back. */
  leave(): void {
    this.reader.leaving = true
    this.reader.stop()
    this.#suspendCalls()
    for (const lane of this.table.lanes()) this.handBackWaiting(lane)
  }

  /** Subscribers that will call back are not waited for: their leases are kept, their events are known again. */
  #suspendCalls(): void {
    for (const lane of this.table.lanes()) {
      for (let w = lane.first; w !== null;) {
        const next: Walk | null = w.after
        const call = w.state === 'attempting' ? (w.last?.call ?? null) : null
        if (call !== null && (call.state === 'pending' || call.state === 'suspended')) {
          this.#suspend(call)
          this.#fate.handBack(w)
        }
        w = next
      }
    }
    for (const call of this.#adopted.calls()) this.#suspend(call)
  }

  #suspend(call: OpenCall): void {
    if (call.state !== 'pending') return
    this.#s.callbacks.suspend(call)
    this.#adopted.forget(call)
    this.route.subscriber.attempting--
    this.route.limiter.give()
  }

  /** Replies and dead letters go on: their event has been attempted, handing it back would repeat that. */
  handBackWaiting(lane: Lane): void {
    for (let w = lane.first; w !== null;) {
      const next: Walk | null = w.after
      const idle = w.state === 'waiting' || w.state === 'queued' || w.state === 'resting'
      if (idle && (w.leg === 'subscriber' || w.state === 'resting')) this.#fate.handBack(w)
      w = next
    }
  }

  /** `tellFeed` false = the lane is somebody else's already. */
  handBackLane(lane: Lane, tellFeed: boolean): void {
    for (let w = lane.first; w !== null;) {
      const next: Walk | null = w.after
      this.#fate.handBack(w, tellFeed)
      w = next
    }
  }

  handBackAll(): void {
    for (const lane of this.table.lanes()) this.handBackLane(lane, true)
  }

  /** Takes back what stands in the gate's queue. */
  #withdraw(name: LegName): void {
    const leg = this.route.leg(name)
    for (const lane of this.table.lanes()) {
      for (let w = lane.last; w !== null; w = w.before) {
        if (w.state !== 'queued' || w.leg !== name) continue
        leg.target!.cancel(w)
        this.#fate.unqueue(w)
        leg.ready.unshift(w)
      }
    }
  }
}

const UNEXPECTED_PENDING: Rejected = Object.freeze({
  kind: 'rejected',
  status: 202,
  why: 'the subscriber wants to answer later, but the subscription is not one with acknowledgement by callback',
})

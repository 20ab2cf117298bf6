import type { Budget } from '../contract/budget.ts'
import type { Delivery, Position, Undecodable } from '../contract/delivery.ts'
import type { Feed, Intake } from '../contract/feed.ts'
import type { TriggerIndex } from '../contract/filter.ts'
import type { LaneId, SubId } from '../contract/ids.ts'
import { type LeaseStore, NO_LEASES } from '../contract/leases.ts'
import type { Observer } from '../contract/observer.ts'
import type { Outcome } from '../contract/outcome.ts'
import type { Target } from '../contract/target.ts'
import type { CloudEvent } from '../event/event.ts'
import { createTriggerIndex } from '../filter/trigger-index.ts'
import type { Clock } from '../runtime/clock.ts'
import { assert } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import { type Random, randomId } from '../runtime/random.ts'
import { Callbacks } from './callbacks.ts'
import { Deliverer } from './deliverer.ts'
import type { Surroundings } from './fate.ts'
import { LANE_BOUNDS, type LaneBounds } from './lane-table.ts'
import { Departures } from './leaving.ts'
import { parkRaw } from './raw.ts'
import type { RunningSpec } from './route.ts'
import { ownSlices, SLICE_KEPT_MS } from './slices.ts'
import { type SubscriptionState, stateOf } from './state.ts'
import { REPLAY_LANE, type Home, type Lane } from './walk.ts'

export interface MachineOptions {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly observer: Observer
  /** Of the shard, shared with whoever else keeps events in memory. */
  readonly budget: Budget
  /** How much of one lane of one subscription may wait in memory; `LANE_BOUNDS` unless said. */
  readonly bounds?: LaneBounds
  /** The URL a subscriber with `ack: callback` answers to; the bare token unless said. */
  readonly callbackUrl?: (token: string) => string
  /** Unguessable tokens; random ones unless said. */
  readonly newToken?: () => string
  /** Keeps leases over a restart; nobody does unless said. */
  readonly leases?: LeaseStore
}

/** The place of one stream or source: its intake, and the feed that goes with it. */
export interface Seat {
  readonly name: string
  readonly intake: Intake
  /** Once, right after the feed was opened with the intake. Nothing is offered before. */
  bind(feed: Feed): void
}

/**
 * Delivers what feeds offer: one per shard. Attaching subscriptions to feeds and detaching them is the engine's; the
 * machine takes what is offered from `add` to the end of `remove`.
 */
export interface DeliveryMachine {
  seat(name: string): Seat
  /** Throws a Fault for a filter that does not parse. */
  add(sub: SubId, seat: Seat, spec: RunningSpec): void
  /** From now on; attempts under way end under the old spec. A stop for rejections is forgiven. */
  update(sub: SubId, spec: RunningSpec): void
  /** Starts nothing more, hands back what waits; resolves when the attempts under way have ended. Then detach it. */
  remove(sub: SubId, forget?: boolean): Promise<void>
  /** Nothing more is attempted and soon nothing read; what runs goes on. */
  pause(sub: SubId): void
  /** Goes on, also after it stopped by itself (`held`). */
  resume(sub: SubId): void
  /** A copy of one instant. Zeros for a subscription that is not here. */
  state(sub: SubId): SubscriptionState
  /**
   * Delivers a parked event once more. `home` hears how it ended instead of a feed; it stays in memory all the time.
   * false = enough wait already, ask again when one has ended.
   */
  replay(sub: SubId, d: Delivery, home: Home): boolean
  /** A subscriber with `ack: callback` says how it ended; false = nobody waits for this token (any more). */
  complete(token: string, o: Outcome): boolean
  /** It needs longer: the lease begins anew, `leaseMs` long (24 h at most); 0 = as long as before. */
  extendLease(token: string, leaseMs?: number): boolean
  /** Takes nothing more; resolves when all that runs has ended, or was handed back because the signal aborted. */
  drain(signal: AbortSignal): Promise<void>
}

export function createDeliveryMachine(o: MachineOptions): DeliveryMachine {
  return new Machine(o)
}

class Machine implements DeliveryMachine {
  readonly #s: Surroundings
  readonly #subs = new Map<SubId, Deliverer>()
  readonly #seats = new Map<SubId, MachineSeat>()
  readonly #departures: Departures
  readonly #stopTimers: () => void
  /** Whom to tell when a target has room. Targets have no way to stop telling, so each is asked once. */
  readonly #byTarget = new WeakMap<Target, Set<Deliverer>>()

  constructor(o: MachineOptions) {
    const { clock, random, log, observer, budget } = o
    this.#departures = new Departures(clock)
    const callbacks = new Callbacks(clock, o.newToken ?? randomId, o.callbackUrl ?? ((token) => token), o.leases ?? NO_LEASES)
    this.#s = { clock, random, log, observer, budget, bounds: o.bounds ?? LANE_BOUNDS, callbacks, departures: this.#departures }
    const slices = clock.every(SLICE_KEPT_MS, () =>
      this.#subs.forEach((sub) => ownSlices(sub.table, clock.now() - SLICE_KEPT_MS)),
    )
    this.#stopTimers = () => slices.cancel()
    budget.onRoom(() => clock.soon(() => this.#subs.forEach((sub) => sub.reader.readOnAll())))
  }

  seat(name: string): Seat {
    return new MachineSeat(name, this.#subs, this.#s)
  }

  add(id: SubId, seat: Seat, spec: RunningSpec): void {
    assert(seat instanceof MachineSeat, 'the seat was made by this machine')
    assert(!this.#subs.has(id), `subscription ${id} is added once`)
    seat.index.set(id, spec.plan.filter)
    const sub = new Deliverer(id, spec, this.#s)
    sub.reader.feed = seat.feed
    this.#subs.set(id, sub)
    this.#seats.set(id, seat)
    seat.subs.add(sub)
    this.#listen(sub, spec)
  }

  update(id: SubId, spec: RunningSpec): void {
    const sub = this.#the(id)
    this.#seats.get(id)!.index.set(id, spec.plan.filter)
    sub.update(spec)
    this.#listen(sub, spec)
  }

  async remove(id: SubId): Promise<void> {
    const sub = this.#subs.get(id)
    const seat = this.#seats.get(id)
    if (sub === undefined || seat === undefined) return
    sub.leave()
    await this.#departures.empty([...sub.table.lanes()], Infinity, () => [])
    this.#subs.delete(id)
    this.#seats.delete(id)
    seat.subs.delete(sub)
    seat.index.delete(id)
    for (const target of targetsOf(sub)) this.#byTarget.get(target)?.delete(sub)
  }

  pause(id: SubId): void {
    this.#the(id).pause()
  }

  resume(id: SubId): void {
    this.#the(id).resume()
  }

  state(id: SubId): SubscriptionState {
    return stateOf(this.#subs.get(id), this.#s.clock)
  }

  replay(id: SubId, d: Delivery, home: Home): boolean {
    assert(d.lane === REPLAY_LANE, 'a replayed event is in the lane of replays')
    return this.#the(id).offer(d, home, true)
  }

  complete(token: string, o: Outcome): boolean {
    return this.#s.callbacks.complete(token, o)
  }

  extendLease(token: string, leaseMs = 0): boolean {
    return this.#s.callbacks.extend(token, leaseMs)
  }

  async drain(signal: AbortSignal): Promise<void> {
    const subs = [...this.#subs.values()]
    for (const sub of subs) sub.leave()
    const lanes = subs.flatMap((sub) => [...sub.table.lanes()])
    const handBackRest = (): void => subs.forEach((sub) => sub.handBackAll())
    signal.addEventListener('abort', handBackRest, { once: true })
    if (signal.aborted) handBackRest()
    await this.#departures.empty(lanes, Infinity, () => [])
    signal.removeEventListener('abort', handBackRest)
    this.#stopTimers()
  }

  #the(id: SubId): Deliverer {
    const sub = this.#subs.get(id)
    assert(sub !== undefined, `subscription ${id} was added`)
    return sub
  }

  #listen(sub: Deliverer, spec: RunningSpec): void {
    for (const target of [spec.target, spec.reply, spec.deadLetter]) {
      if (target === null) continue
      let subs = this.#byTarget.get(target)
      if (subs === undefined) {
        const all = new Set<Deliverer>()
        subs = all
        this.#byTarget.set(target, all)
        target.onRoom(() => all.forEach((one) => one.reader.roomAgain()))
      }
      subs.add(sub)
    }
  }
}

function targetsOf(sub: Deliverer): Target[] {
  const { subscriber, reply, deadLetter } = sub.route
  return [subscriber.target, reply.target, deadLetter.target].filter((t) => t !== null)
}

class MachineSeat implements Seat, Intake {
  readonly name: string
  readonly index: TriggerIndex
  readonly subs = new Set<Deliverer>()
  feed: Feed | null = null
  readonly #all: ReadonlyMap<SubId, Deliverer>
  readonly #s: Surroundings

  constructor(name: string, all: ReadonlyMap<SubId, Deliverer>, s: Surroundings) {
    this.name = name
    this.#all = all
    this.#s = s
    this.index = createTriggerIndex((sub, event, why) => s.observer.filterFailed(sub, event, why))
  }

  get intake(): Intake {
    return this
  }

  bind(feed: Feed): void {
    this.feed = feed
    for (const sub of this.subs) sub.reader.feed = feed
  }

  route(event: CloudEvent, out: SubId[]): number {
    return this.index.route(event, out)
  }

  matches(sub: SubId, event: CloudEvent): boolean {
    return this.index.matches(sub, event)
  }

  offer(d: Delivery): boolean {
    const sub = this.#all.get(d.sub)
    assert(sub !== undefined && this.feed !== null, `what is offered belongs to a subscription (${d.sub}) of ${this.name}`)
    return sub.offer(d, this.feed, false)
  }

  undecodable(id: SubId, lane: LaneId, at: Position, bad: Undecodable): void {
    const sub = this.#all.get(id)
    assert(sub !== undefined && this.feed !== null, `what is offered belongs to a subscription (${id}) of ${this.name}`)
    this.#s.observer.undecodable(id, bad.why)
    parkRaw(sub, this.feed, lane, at, bad, this.#s.clock)
  }

  assigned(lanes: readonly LaneId[]): void {
    for (const sub of this.subs) {
      for (const id of lanes) {
        const lane = sub.table.lane(id)
        lane.leaving = lane.full = false
      }
    }
  }

  async revoking(ids: readonly LaneId[], deadlineMs: number): Promise<void> {
    const lanes = this.#lanes(ids)
    for (const [sub, lane] of lanes) {
      lane.leaving = true
      sub.handBackWaiting(lane)
      sub.reader.pump()
    }
    const rest = (): void => lanes.forEach(([sub, lane]) => sub.handBackLane(lane, true))
    await this.#s.departures.empty(
      lanes.map(([, lane]) => lane),
      deadlineMs,
      rest,
    )
  }

  lost(ids: readonly LaneId[]): void {
    for (const [sub, lane] of this.#lanes(ids)) {
      lane.leaving = true
      sub.handBackLane(lane, false)
      sub.reader.pump()
    }
  }

  #lanes(ids: readonly LaneId[]): (readonly [Deliverer, Lane])[] {
    return [...this.subs].flatMap((sub) => ids.map((id) => [sub, sub.table.lane(id)] as const))
  }
}

import type { Budget } from '../../contract/budget.ts'
import type { Delivery, DetachedState, Settlement } from '../../contract/delivery.ts'
import { type Backlog, type Feed, type Intake, NOTHING_PARKED, type Order, type Start } from '../../contract/feed.ts'
import type { Key, SubId } from '../../contract/ids.ts'
import type { Clock } from '../../runtime/clock.ts'
import { aborted, endingWithin } from '../../runtime/ending.ts'
import { assert, Fault } from '../../runtime/errors.ts'
import { Consumption, QUEUE_LIMITS, type QueueLimits } from './consumption.ts'
import type { QueueMessage, QueueSubscription } from './consumer.ts'
import type { Places } from './holds.ts'
import { LANE } from './offering.ts'

const NOTHING_UNREAD: Backlog = Object.freeze({ events: 0, exact: false, oldestMs: 0 })

/** A subscription that leaves has so long to acknowledge what it settled. */
const LEAVING_MS = 10_000
/** Places are counted from the wall clock on, so that a restart gives none again: 1,024 events a ms. */
const PLACES_A_MS = 1_024

export interface QueueFeedParts<M extends QueueMessage> {
  readonly intake: Intake
  readonly clock: Clock
  /** Called when a subscription attaches; each has its own. */
  readonly subscribe: (key: string, from: Start, order: Order) => QueueSubscription<M>
  /** Deletes what a subscription left in the system; false = there was nothing. */
  readonly forget: (key: string) => boolean
  /** A subscription has attached: resolves when what is published from then on comes to it. Never rejects. */
  readonly starting?: (ready: Promise<void>) => void
  readonly limits?: Partial<QueueLimits>
  /** Of the shard. */
  readonly budget?: Budget | undefined
  readonly can?: Partial<Feed['can']>
  /** What is said of a seek where the system has none. */
  readonly noSeek?: string
  /** The first position given; counted on from the wall clock unless said. */
  readonly firstPosition?: number
}

/** The feed of a queue, with what its owner needs besides. */
export interface QueueFeed extends Feed {
  /** Nothing more is offered and read; what runs goes on. */
  stop(): void
  /** What is settled is acknowledged, the rest given back, consumers closed; within the signal. */
  close(signal: AbortSignal): Promise<void>
  /** Messages of a subscription in memory. */
  held(sub: SubId): number
  /** The key it attached with, also when it has left; '' = it never was here. */
  keyOf(sub: SubId): Key
}

/** One subscription, from its attach to its detach. */
interface Seat<M extends QueueMessage> {
  readonly key: string
  readonly stop: AbortController
  /** null = one of the same name that left is not gone yet. */
  consumption: Consumption<M> | null
  /** It has its consumption, or was detached before. */
  readonly started: Promise<void>
}

/** Feeds subscriptions from queues, each from its own. Positions are counted here; there is one lane. */
export function queueFeed<M extends QueueMessage>(parts: QueueFeedParts<M>): QueueFeed {
  return new FeedOfQueues(parts)
}

class FeedOfQueues<M extends QueueMessage> implements QueueFeed {
  readonly parked = NOTHING_PARKED
  readonly can: Feed['can']
  readonly #p: QueueFeedParts<M>
  readonly #limits: QueueLimits
  readonly #seats: (Seat<M> | undefined)[] = []
  readonly #keys: Key[] = []
  /** By key: subscriptions that have left and still acknowledge. */
  readonly #leaving = new Map<string, Promise<void>>()
  readonly #places: Places
  #stopped = false
  #assigned = false

  constructor(parts: QueueFeedParts<M>) {
    this.#p = parts
    this.#limits = { ...QUEUE_LIMITS, ...parts.limits }
    this.#places = { next: parts.firstPosition ?? parts.clock.wall() * PLACES_A_MS }
    parts.budget?.onRoom(() => parts.clock.soon(() => this.#pumpAll()))
    this.can = { seek: false, release: true, lease: true, ordered: true, exactBacklog: false, ...parts.can }
  }

  attach(sub: SubId, key: string, from: Start, order: Order = 'unordered'): void {
    assert(this.#seats[sub] === undefined, `subscription ${key} is attached once`)
    if (!this.#assigned) this.#p.intake.assigned([LANE])
    this.#assigned = true
    let begun = (): void => {}
    const started = new Promise<void>((resolve) => (begun = resolve))
    const seat: Seat<M> = { key, stop: new AbortController(), consumption: null, started }
    this.#seats[sub] = seat
    this.#keys[sub] = key
    const begin = (): Promise<void> => {
      const ready = this.#begin(sub, seat, from, order)
      begun()
      return ready
    }
    const before = this.#leaving.get(key)
    const ready = before === undefined ? begin() : before.then(begin)
    this.#p.starting?.(ready)
  }

  #begin(sub: SubId, seat: Seat<M>, from: Start, order: Order): Promise<void> {
    const { signal } = seat.stop
    if (signal.aborted) return Promise.resolve()
    const { intake, clock, budget = null } = this.#p
    const subscription = this.#p.subscribe(seat.key, from, order)
    const mine = { sub, ordered: order === 'ordered', limits: this.#limits, places: this.#places }
    seat.consumption = new Consumption({ ...mine, intake, subscription, clock, budget })
    if (this.#stopped) seat.consumption.stop()
    seat.consumption.start()
    return subscription.ready(signal)
  }

  detach(sub: SubId, forget: boolean): void {
    const seat = this.#seats[sub]
    if (seat === undefined) return
    this.#seats[sub] = undefined
    seat.stop.abort()
    const { key, consumption } = seat
    const before = this.#leaving.get(key)
    const closed = consumption === null ? (before ?? Promise.resolve()) : this.#closeSoon(consumption)
    this.#leaves(
      key,
      closed.then(() => {
        if (forget) this.#p.forget(key)
      }),
    )
  }

  forget(key: string): boolean {
    if (this.#seats.some((seat) => seat?.key === key)) return false
    const leaving = this.#leaving.get(key)
    if (leaving === undefined) return this.#p.forget(key)
    this.#leaves(
      key,
      leaving.then(() => void this.#p.forget(key)),
    )
    return true
  }

  resume(sub: SubId): void {
    this.#of(sub)?.resume()
  }

  // Told by its place: whoever keeps deliveries for us has no other.
  settle(d: Delivery, how: Settlement): void {
    this.#of(d.sub)?.settle(d.position, how)
  }

  detachDelivery(d: Delivery, state: DetachedState, done: (ok: boolean) => void): void {
    const consumption = this.#of(d.sub)
    // It was given back when its subscription left.
    if (consumption === undefined) done(true)
    else consumption.detachDelivery(d, state, done)
  }

  park(_d: Delivery, _state: DetachedState, done: (ok: boolean) => void): void {
    done(false)
  }

  parkRaw(...[, , , , done]: Parameters<Feed['parkRaw']>): void {
    done(false)
  }

  // Everything held is renewed until it is settled, whether it waits or is attempted.
  extend(): void {}

  async seek(sub: SubId, to: Start): Promise<void> {
    await this.#seats[sub]?.started
    const consumption = this.#of(sub)
    if (consumption === undefined) return
    if (!consumption.canSeek) throw new Fault('admin.refused', this.#p.noSeek ?? 'this message system cannot be read anew')
    await consumption.seek(to)
  }

  backlog(sub: SubId): Backlog {
    return this.#of(sub)?.backlog() ?? NOTHING_UNREAD
  }

  passed(sub: SubId): number {
    return this.#of(sub)?.offering.passed ?? 0
  }

  held(sub: SubId): number {
    return this.#of(sub)?.held ?? 0
  }

  keyOf(sub: SubId): Key {
    return this.#keys[sub] ?? ''
  }

  async flush(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#consumptions().map((c) => c.flush(signal)))
  }

  stop(): void {
    this.#stopped = true
    for (const consumption of this.#consumptions()) consumption.stop()
  }

  async close(signal: AbortSignal): Promise<void> {
    this.stop()
    const consumptions = this.#consumptions()
    for (const seat of this.#seats) seat?.stop.abort()
    this.#seats.length = 0
    await endingWithin(this.#p.clock, LEAVING_MS, signal, async (over) => {
      const closing = consumptions.map((c) => c.close(over))
      await Promise.race([Promise.all([...closing, ...this.#leaving.values()]), aborted(over)])
    })
  }

  #pumpAll(): void {
    for (const consumption of this.#consumptions()) consumption.pump()
  }

  #of(sub: SubId): Consumption<M> | undefined {
    return this.#seats[sub]?.consumption ?? undefined
  }

  #consumptions(): readonly Consumption<M>[] {
    return this.#seats.map((seat) => seat?.consumption ?? null).filter((c) => c !== null)
  }

  #closeSoon(consumption: Consumption<M>): Promise<void> {
    return endingWithin(this.#p.clock, LEAVING_MS, null, (over) => consumption.close(over))
  }

  #leaves(key: string, gone: Promise<void>): void {
    const all = gone.finally(() => {
      if (this.#leaving.get(key) === all) this.#leaving.delete(key)
    })
    this.#leaving.set(key, all)
  }
}

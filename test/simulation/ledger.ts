import type { Delivery, DetachedState, Settlement } from '../../src/contract/delivery.ts'
import type { Feed } from '../../src/contract/feed.ts'
import type { CloudEvent } from '../../src/event/event.ts'

/** A broken promise of the gateway, with the seed that shows it. */
export class Violation extends Error {}

/** How a position ended, as its feed was told. */
export type End = Exclude<Settlement, 'detached' | 'handed-back'>

/** The truth beside the gateway: what was taken, what sinks accepted, how every position ended. */
export class Ledger {
  /** Every event of the stream, in order; positions count from 1. */
  readonly events: CloudEvent[] = []
  readonly #ends = new Map<string, { readonly how: End; readonly d: Delivery }>()
  readonly #detached = new Set<string>()
  readonly #counts = new Map<string, number>()
  readonly #acceptedBy = new Set<string>()
  /** Offered and neither ended nor stored elsewhere, by subscription. */
  readonly #open = new Map<string, Set<number>>()

  offered(key: string, d: Delivery): void {
    if (d.story.length > 0 || this.#ends.has(at(key, d))) return
    this.#openOf(key).add(d.position)
  }

  accepted(key: string, leg: string, d: Delivery): void {
    this.#acceptedBy.add(`${leg} ${at(key, d)}`)
  }

  ended(key: string, d: Delivery, how: End): void {
    const before = this.#ends.get(at(key, d))
    if (before !== undefined && before.d !== d) {
      throw new Violation(`${at(key, d)} (${d.event.id}) ended as ${before.how} and again as ${how}`)
    }
    if (how === 'delivered' && !this.#acceptedBy.has(`subscriber ${at(key, d)}`)) {
      throw new Violation(`${at(key, d)} (${d.event.id}) counts as delivered, but no sink accepted it`)
    }
    if (how === 'dead-lettered' && !this.#acceptedBy.has(`dead-letter ${at(key, d)}`)) {
      throw new Violation(`${at(key, d)} (${d.event.id}) counts as dead-lettered, but the sink has not accepted it`)
    }
    if (before === undefined) this.#counts.set(`${key} ${how}`, this.count(key, how) + 1)
    this.#ends.set(at(key, d), { how, d })
    this.#detached.delete(at(key, d))
    this.#openOf(key).delete(d.position)
  }

  /** Its feed keeps it until it is due: the position is settled. */
  detached(key: string, d: Delivery): void {
    if (!this.#ends.has(at(key, d))) this.#detached.add(at(key, d))
    this.#openOf(key).delete(d.position)
  }

  /** How many are kept until they are due, those of earlier lives included. */
  get waitingForTheirTime(): number {
    return this.#detached.size
  }

  /** No position may stand past an unsettled event. */
  checkPosition(key: string, position: number): void {
    for (const open of this.#openOf(key)) {
      if (open < position) throw new Violation(`${key} stands at ${position}, past ${open}, which is unsettled`)
    }
  }

  /** Everything that matched has ended, once. */
  checkNothingLost(key: string, matches: (e: CloudEvent) => boolean): void {
    this.events.forEach((event, i) => {
      const end = this.#ends.get(`${key} ${i + 1}`)
      if (matches(event) && end === undefined) throw new Violation(`${key} has lost ${event.id} at ${i + 1}`)
      if (!matches(event) && end !== undefined) throw new Violation(`${key} got ${event.id} at ${i + 1}, which it does not want`)
    })
  }

  count(key: string, how: End): number {
    return this.#counts.get(`${key} ${how}`) ?? 0
  }

  #openOf(key: string): Set<number> {
    let open = this.#open.get(key)
    if (open === undefined) this.#open.set(key, (open = new Set()))
    return open
  }
}

const at = (key: string, d: Delivery): string => `${key} ${d.position}`

/** What one life of the machine has to do with the feed: written into the ledger, failing now and then, silent once it is dead. */
export class WatchedFeed implements Feed {
  alive = true
  readonly #inner: Feed
  readonly #ledger: Ledger
  readonly #keyOf: (sub: number) => string
  readonly #fails: () => boolean

  constructor(inner: Feed, ledger: Ledger, keyOf: (sub: number) => string, fails: () => boolean) {
    this.#inner = inner
    this.#ledger = ledger
    this.#keyOf = keyOf
    this.#fails = fails
  }

  settle(d: Delivery, how: Settlement): void {
    if (!this.alive) return
    if (how !== 'handed-back' && how !== 'detached') this.#ledger.ended(this.#keyOf(d.sub), d, how)
    this.#inner.settle(d, how)
  }
  detachDelivery(d: Delivery, state: DetachedState, done: (ok: boolean) => void): void {
    if (!this.alive) return
    if (this.#fails()) return done(false)
    this.#inner.detachDelivery(d, state, (ok) => {
      if (ok) this.#ledger.detached(this.#keyOf(d.sub), d)
      if (this.alive) done(ok)
    })
  }
  park(d: Delivery, state: DetachedState, done: (ok: boolean) => void): void {
    if (!this.alive) return
    if (this.#fails()) return done(false)
    this.#inner.park(d, state, (ok) => {
      if (ok) this.#ledger.ended(this.#keyOf(d.sub), d, 'parked')
      if (this.alive) done(ok)
    })
  }
  resume(sub: number, lane: number): void {
    if (this.alive) this.#inner.resume(sub, lane)
  }
  attach: Feed['attach'] = (sub, key, from) => this.#inner.attach(sub, key, from)
  detach: Feed['detach'] = (sub, forget) => this.#inner.detach(sub, forget)
  forget: Feed['forget'] = (key) => this.#inner.forget(key)
  parkRaw: Feed['parkRaw'] = (sub, lane, position, bad, done) => this.#inner.parkRaw(sub, lane, position, bad, done)
  extend: Feed['extend'] = (d, leaseMs) => this.#inner.extend(d, leaseMs)
  seek: Feed['seek'] = (sub, to) => this.#inner.seek(sub, to)
  backlog: Feed['backlog'] = (sub) => this.#inner.backlog(sub)
  passed: Feed['passed'] = (sub) => this.#inner.passed(sub)
  flush: Feed['flush'] = (signal) => this.#inner.flush(signal)
  get parked(): Feed['parked'] {
    return this.#inner.parked
  }
  get can(): Feed['can'] {
    return this.#inner.can
  }
}

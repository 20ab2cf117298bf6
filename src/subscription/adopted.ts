import type { Delivery, Position } from '../contract/delivery.ts'
import type { PodId } from '../contract/ids.ts'
import type { Outcome } from '../contract/outcome.ts'
import type { Credit } from '../contract/target.ts'
import type { OpenCall } from './callbacks.ts'
import type { Surroundings } from './fate.ts'
import type { Route } from './route.ts'
import { RunningAttempt, type Walk } from './walk.ts'

interface Held {
  readonly call: OpenCall
  readonly attempt: number
  /** The subscriber has called before the event was offered again. */
  outcome: Outcome | null
}

/**
 * Work that subscribers do since before this process (or since before the subscription was taken away and came back): its
 * credits are taken at once, before anything is attempted; its events are offered by the feed, as they were never settled,
 * and wait for the callback instead of being sent again.
 */
export class Adopted {
  readonly #s: Surroundings
  readonly #route: Route
  readonly #decide: (w: Walk, a: RunningAttempt, o: Outcome) => void
  readonly #pump: () => void
  readonly #held = new Map<string, Held>()
  readonly #claimed = new Map<OpenCall, RunningAttempt[]>()

  constructor(s: Surroundings, route: Route, decide: (w: Walk, a: RunningAttempt, o: Outcome) => void, pump: () => void) {
    this.#s = s
    this.#route = route
    this.#decide = decide
    this.#pump = pump
  }

  /** Takes over what the store remembers of this subscription. */
  adopt(): void {
    const { callbacks } = this.#s
    const { subscriber, limiter, plan } = this.#route
    for (const lease of callbacks.leasesOf(plan.key)) {
      const creditOf = (pod: PodId): Credit | null => subscriber.target?.adopt?.(pod) ?? null
      const call: OpenCall | null = callbacks.adopt(lease, creditOf, (o) => this.#answered(call!, o))
      if (call === null) continue
      limiter.take()
      subscriber.attempting++
      this.#claimed.set(call, [])
      for (const m of lease.members)
        this.#held.set(nameOf(m.position, m.source, m.id), { call, attempt: m.attempt, outcome: null })
    }
  }

  /** Whether this delivery is under way already; undefined = no. To be followed by `take`. */
  of(d: Delivery): Held | undefined {
    if (this.#held.size === 0) return undefined
    const { source, id } = d.event
    let name = nameOf(d.position, source, id)
    if (!this.#held.has(name) && d.leaseUntilMs > 0) name = this.#ofEvent(source, id) ?? name
    const held = this.#held.get(name)
    if (held !== undefined) this.#held.delete(name)
    return held
  }

  /** A system that leases single messages has no positions that outlive the process: the event alone tells. */
  #ofEvent(source: string, id: string): string | undefined {
    const end = nameOf('', source, id)
    for (const name of this.#held.keys()) if (name.endsWith(end)) return name
    return undefined
  }

  /** The delivery waits for the callback, or ends with the one that has come. */
  take(w: Walk, held: Held): void {
    const { call, outcome } = held
    const nowMs = this.#s.clock.now()
    const a = new RunningAttempt(w, { ...this.#route.attemptParts(w, call.credit, null, nowMs), call })
    w.last = a
    if (outcome === null) this.#claimed.get(call)?.push(a)
    else this.#decide(w, a, outcome)
  }

  /** Those whose events have not been offered yet. */
  calls(): readonly OpenCall[] {
    return [...this.#claimed.keys()]
  }

  forget(call: OpenCall): void {
    this.#claimed.delete(call)
    for (const [name, held] of this.#held) if (held.call === call) this.#held.delete(name)
  }

  #answered(call: OpenCall, o: Outcome): void {
    this.#route.subscriber.attempting--
    this.#route.limiter.give()
    const attempts = this.#claimed.get(call) ?? []
    this.#claimed.delete(call)
    for (const [name, held] of this.#held) {
      if (held.call !== call) continue
      // Nothing came of it: whoever is offered it sends it again.
      if (o.kind === 'retryable') this.#held.delete(name)
      else held.outcome = o
    }
    for (const a of attempts) this.#decide(a.walk, a, o)
    this.#pump()
  }
}

function nameOf(position: Position | '', source: string, id: string): string {
  return `${position} ${source} ${id}`
}

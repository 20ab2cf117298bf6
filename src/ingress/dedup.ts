import type { CloudEvent } from '../event/event.ts'
import type { Appended } from '../contract/stream.ts'
import type { Clock } from '../runtime/clock.ts'

/** Pairs that are remembered at most, per address; the oldest go first. About 150 bytes each. */
const MOST_REMEMBERED = 100_000

/** Called with the fate of the first one of the same name. */
export type Waiter = (r: Appended) => void

/**
 * The (source, id) pairs that one address has stored within its window. Only what is durable is remembered; who comes while
 * the first is still on its way waits for that one's fate, so that no repeat is acknowledged that could still be lost.
 *
 * ```
 *   begin → 'new'    → end(durable) → remembered → 'repeat' until the window is over
 *         ↘ 'waits'  → called by that end        ↘ end(anything else) → forgotten
 * ```
 */
export class Dedup {
  readonly #clock: Clock
  #windowMs: number
  /** Name → monotonic ms when it is forgotten, in the order of storing. */
  readonly #stored = new Map<string, number>()
  readonly #running = new Map<string, Waiter[] | null>()
  readonly #most: number

  constructor(clock: Clock, windowMs: number, most: number = MOST_REMEMBERED) {
    this.#clock = clock
    this.#windowMs = windowMs
    this.#most = most
  }

  /** A reload may change the window; what is remembered keeps the old one. */
  set windowMs(ms: number) {
    this.#windowMs = ms
  }

  get remembered(): number {
    return this.#stored.size
  }

  get empty(): boolean {
    return this.#stored.size === 0 && this.#running.size === 0
  }

  begin(name: string, waiter: Waiter): 'new' | 'repeat' | 'waits' {
    const waiting = this.#running.get(name)
    if (waiting !== undefined) {
      if (waiting === null) this.#running.set(name, [waiter])
      else waiting.push(waiter)
      return 'waits'
    }
    const untilMs = this.#stored.get(name)
    if (untilMs !== undefined && untilMs > this.#clock.now()) return 'repeat'
    this.#running.set(name, null)
    return 'new'
  }

  /** The fate of what `begin` called new. */
  end(name: string, r: Appended): void {
    const waiting = this.#running.get(name)
    this.#running.delete(name)
    if (r.kind === 'durable') {
      // Deleted first, so that the order of the map stays the order of storing.
      this.#stored.delete(name)
      this.#stored.set(name, this.#clock.now() + this.#windowMs)
      this.forget()
    }
    if (waiting !== undefined && waiting !== null) for (const waiter of waiting) waiter(r)
  }

  /** Drops what is over its window or over the bound. */
  forget(): void {
    const nowMs = this.#clock.now()
    for (const [name, untilMs] of this.#stored) {
      if (untilMs > nowMs && this.#stored.size <= this.#most) return
      this.#stored.delete(name)
    }
  }
}

/** A CloudEvent is identified by source and id together; no attribute holds a NUL. CloudEvents 1.0.2 §3.1 */
export function nameOf(e: CloudEvent): string {
  return `${e.source}\0${e.id}`
}

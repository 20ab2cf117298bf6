import type { Log } from '../../runtime/log.ts'

export interface Complaint {
  /** CamelCase, for conditions: `KafkaUnreachable`, `TopicMissing`, … */
  readonly reason: string
  readonly message: string
}

/**
 * What is wrong at the moment, by part of the source. A reason is logged once, when the first part has it, and once more
 * when the last part is rid of it: an outage is one line, not one of every part that meets it.
 */
export class Health {
  readonly #log: Log
  readonly #what: string
  readonly #bad = new Map<string, Complaint>()

  /** `what` it is about, for the log. */
  constructor(log: Log, what = 'Kafka source') {
    this.#log = log
    this.#what = what
  }

  bad(part: string, reason: string, message: string): void {
    const known = this.#has(reason)
    const before = this.#bad.get(part)
    this.#bad.set(part, { reason, message })
    if (before !== undefined && before.reason !== reason) this.#ended(before.reason)
    if (!known) this.#log.warn(`the ${this.#what} is degraded; it goes on trying`, { part, reason, error: message })
  }

  good(part: string): void {
    const before = this.#bad.get(part)
    if (before === undefined) return
    this.#bad.delete(part)
    this.#ended(before.reason)
  }

  #has(reason: string): boolean {
    for (const c of this.#bad.values()) if (c.reason === reason) return true
    return false
  }

  #ended(reason: string): void {
    if (!this.#has(reason)) this.#log.info(`the ${this.#what} is rid of a trouble`, { reason })
  }

  /** The first complaint that still holds. */
  get complaint(): Complaint | undefined {
    for (const c of this.#bad.values()) return c
    return undefined
  }
}

/** Waits that double from `leastMs` to `mostMs`, ±20 % so that members do not call in step. */
export class Backoff {
  readonly #leastMs: number
  readonly #mostMs: number
  readonly #next: () => number
  #ms = 0

  constructor(leastMs: number, mostMs: number, random: { next(): number }) {
    this.#leastMs = leastMs
    this.#mostMs = mostMs
    this.#next = () => random.next()
  }

  nextMs(): number {
    this.#ms = this.#ms === 0 ? this.#leastMs : Math.min(this.#mostMs, this.#ms * 2)
    return this.#ms * (0.8 + 0.4 * this.#next())
  }

  reset(): void {
    this.#ms = 0
  }
}

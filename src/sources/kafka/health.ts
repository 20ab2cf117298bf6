import type { Log } from '../../runtime/log.ts'

export interface Complaint {
  /** CamelCase, for conditions: `KafkaUnreachable`, `TopicMissing`, … */
  readonly reason: string
  readonly message: string
}

/** What is wrong at the moment, by part of the source. Each trouble is logged once when it begins and once when it ends. */
export class Health {
  readonly #log: Log
  readonly #bad = new Map<string, Complaint>()

  constructor(log: Log) {
    this.#log = log
  }

  bad(part: string, reason: string, message: string): void {
    const before = this.#bad.get(part)
    this.#bad.set(part, { reason, message })
    if (before?.reason !== reason)
      this.#log.warn('the Kafka source is degraded; it goes on trying', { part, reason, error: message })
  }

  good(part: string): void {
    if (this.#bad.delete(part)) this.#log.info('the Kafka source has recovered', { part })
  }

  /** Parts whose name begins so are no concern any more. */
  forget(prefix: string): void {
    for (const part of this.#bad.keys()) if (part.startsWith(prefix)) this.#bad.delete(part)
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

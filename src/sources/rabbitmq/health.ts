import type { Log } from '../../runtime/log.ts'
import { rabbitMqError } from '../../vendor/rabbitmq/errors.ts'

export interface Complaint {
  /** CamelCase, for conditions: `QueueMissing`, `Unauthorized`, `RabbitMQUnreachable`, … */
  readonly reason: string
  readonly message: string
}

/** What is wrong at the moment, by the part that complains. A reason is logged once when it begins, and once when it is over. */
export class Health {
  readonly #log: Log
  readonly #what: string
  readonly #complaints = new Map<string, Complaint>()

  /** `what`: the RabbitMQ source, the RabbitMQ stream. */
  constructor(log: Log, what: string) {
    this.#log = log
    this.#what = what
  }

  /** The first that complained: the others often follow from it. */
  get complaint(): Complaint | undefined {
    for (const complaint of this.#complaints.values()) return complaint
    return undefined
  }

  bad(part: string, e: unknown): void {
    const { reason, message } = rabbitMqError(e)
    const before = this.#complaints.get(part)?.reason
    this.#complaints.set(part, { reason, message })
    if (before !== reason) this.#log.warn(`the ${this.#what} is degraded; it goes on trying`, { reason, error: message })
  }

  good(part: string): void {
    const before = this.#complaints.get(part)
    if (before === undefined) return
    this.#complaints.delete(part)
    this.#log.info(`the ${this.#what} is rid of a trouble`, { reason: before.reason })
  }
}

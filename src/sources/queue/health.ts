import type { Log } from '../../runtime/log.ts'

export interface Complaint {
  /** CamelCase, for conditions: `QueueMissing`, `Unauthorized`, `Unreachable`, … */
  readonly reason: string
  readonly message: string
}

/** What is wrong at the moment. A reason is logged once when it begins, and once when it is over. */
export class Health {
  readonly #log: Log
  readonly #what: string
  #complaint: Complaint | undefined = undefined

  /** `what`: for the log, as in `the RocketMQ source is degraded`. */
  constructor(log: Log, what: string) {
    this.#log = log
    this.#what = what
  }

  get complaint(): Complaint | undefined {
    return this.#complaint
  }

  bad(reason: string, message: string): void {
    const before = this.#complaint?.reason
    this.#complaint = { reason, message }
    if (before !== reason) this.#log.warn(`the ${this.#what} is degraded; it goes on trying`, { reason, error: message })
  }

  good(): void {
    if (this.#complaint === undefined) return
    this.#log.info(`the ${this.#what} is rid of a trouble`, { reason: this.#complaint.reason })
    this.#complaint = undefined
  }
}

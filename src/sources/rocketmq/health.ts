import type { Log } from '../../runtime/log.ts'

export interface Complaint {
  /** CamelCase, for conditions: `TopicMissing`, `GroupMissing`, `Unauthorized`, `RocketMQUnreachable`, … */
  readonly reason: string
  readonly message: string
}

/** What is wrong at the moment. A reason is logged once when it begins, and once when it is over. */
export class Health {
  readonly #log: Log
  #complaint: Complaint | undefined = undefined

  constructor(log: Log) {
    this.#log = log
  }

  get complaint(): Complaint | undefined {
    return this.#complaint
  }

  bad(reason: string, message: string): void {
    const before = this.#complaint?.reason
    this.#complaint = { reason, message }
    if (before !== reason) this.#log.warn('the RocketMQ source is degraded; it goes on trying', { reason, error: message })
  }

  good(): void {
    if (this.#complaint === undefined) return
    this.#log.info('the RocketMQ source is rid of a trouble', { reason: this.#complaint.reason })
    this.#complaint = undefined
  }
}

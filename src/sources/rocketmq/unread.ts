import type { Backlog } from '../../contract/feed.ts'
import type { Clock, Timer } from '../../runtime/clock.ts'
import { type RocketMqAdmin, retryTopicsOf } from '../../vendor/rocketmq/admin.ts'

/** Without an administrator's help nothing is known but what has come. */
export const NOT_KNOWN: Backlog = Object.freeze({ events: 0, exact: false, oldestMs: 0 })

export interface UnreadParts {
  readonly admin: RocketMqAdmin
  readonly group: string
  readonly topic: string
  /** The group reads everything: with a filter what is unread is more than what will come. */
  readonly all: boolean
  readonly everyMs: number
  readonly clock: Clock
}

/** How much a group has not read, asked for every few seconds: new messages, and those that were given back. */
export class Unread {
  readonly #p: UnreadParts
  #timer: Timer | null = null
  #looking = false
  #backlog = NOT_KNOWN
  /** When what is behind was first seen, for queues of which nothing has been read. */
  #sinceMs = 0

  constructor(p: UnreadParts) {
    this.#p = p
  }

  get backlog(): Backlog {
    return this.#backlog
  }

  start(): void {
    this.#timer ??= this.#p.clock.every(this.#p.everyMs, () => void this.look())
    void this.look()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
  }

  /** A broker that does not answer leaves the last figure, no longer exact. */
  async look(): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    try {
      this.#backlog = await this.#count()
    } catch {
      this.#backlog = { ...this.#backlog, exact: false }
    } finally {
      this.#looking = false
    }
  }

  async #count(): Promise<Backlog> {
    const { admin, group, topic, all, clock } = this.#p
    const nowMs = clock.wall()
    let events = 0
    let oldestMs = 0
    for (const one of [topic, ...retryTopicsOf(group, topic)]) {
      for (const { end, next, readMs } of await admin.progress(group, one)) {
        if (end <= next) continue
        events += end - next
        if (this.#sinceMs === 0) this.#sinceMs = nowMs
        const sinceMs = readMs === 0 ? this.#sinceMs : readMs
        oldestMs = oldestMs === 0 ? sinceMs : Math.min(oldestMs, sinceMs)
      }
    }
    if (events === 0) this.#sinceMs = 0
    return { events, exact: all, oldestMs }
  }
}

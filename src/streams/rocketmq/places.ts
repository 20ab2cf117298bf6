import type { Start } from '../../contract/feed.ts'
import { type Clock, sleep } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Health } from '../../sources/queue/health.ts'
import { seekTo } from '../../sources/rocketmq/seek.ts'
import type { RocketMqAdmin, TopicType } from '../../vendor/rocketmq/admin.ts'
import { RocketMqError } from '../../vendor/rocketmq/errors.ts'
import { retryTopicOf } from './names.ts'
import type { RocketMqStreamSettings } from './settings.ts'

/**
 * How often RocketMQ may deliver a message again before it moves it to a dead letter queue nobody reads. A crash, a stop and
 * a lapsed lease count; retries are the gateway's own and do not.
 */
export const RETRY_MAX_TIMES = 1_000_000
/** Queues of the topic of what waits long: a timer hands it out, never much at once. */
const RETRY_QUEUES = 4
const AGAIN_LEAST_MS = 200
const AGAIN_MOST_MS = 5_000

export interface PlacesParts {
  readonly admin: RocketMqAdmin
  readonly settings: RocketMqStreamSettings
  readonly clock: Clock
  readonly log: Log
  readonly health: Health
}

/** What a stream needs in RocketMQ, made where it is missing: its topics, and a group with a place in them a subscription. */
export class Places {
  readonly #p: PlacesParts
  #topics: Promise<void> | null = null

  constructor(p: PlacesParts) {
    this.#p = p
  }

  /** The topic and the one of what waits long; asked once, again after a failure. */
  topics(): Promise<void> {
    if (this.#topics === null) {
      this.#topics = this.#makeTopics()
      this.#topics.catch(() => (this.#topics = null))
    }
    return this.#topics
  }

  /** Tries until all of a subscription's place is there, or the signal. Resolves false where the signal came first. */
  async until(what: () => Promise<void>, signal: AbortSignal): Promise<boolean> {
    const { clock, health } = this.#p
    for (let againMs = AGAIN_LEAST_MS; !signal.aborted; againMs = Math.min(AGAIN_MOST_MS, againMs * 2)) {
      try {
        await what()
        health.good()
        return true
      } catch (e) {
        if (signal.aborted) return false
        health.bad(e instanceof RocketMqError ? e.reason : 'RocketMQFailed', messageOf(e))
        await sleep(clock, againMs, signal).catch(() => {})
      }
    }
    return false
  }

  /**
   * A group that is not there, or has no place in any queue, begins at `from`; one that has goes on. The broker's own choice
   * for a new group is the last message or the first, as it has them in memory: so it is never left to it.
   */
  async group(name: string, topic: string, o: { readonly fifo: boolean; readonly from: Start }): Promise<void> {
    const { admin, log } = this.#p
    await this.topics()
    const seen = await admin.group(name)
    if (seen === null) {
      await admin.makeGroup(name, { retryMaxTimes: RETRY_MAX_TIMES, fifo: o.fifo })
      log.info('the consumer group was made', { group: name })
    } else if (seen.retryMaxTimes < RETRY_MAX_TIMES || seen.fifo !== o.fifo) {
      await admin.makeGroup(name, { retryMaxTimes: Math.max(seen.retryMaxTimes, RETRY_MAX_TIMES), fifo: o.fifo })
      log.info('the consumer group was changed', { group: name, retryMaxTimesBefore: seen.retryMaxTimes, fifo: o.fifo })
    }
    const placed = await admin.placed(name, topic)
    if (placed === 'all') return
    // Queues that came later are new to the group: what is in them came after it.
    await admin.place(name, topic, placed === 'none' ? seekTo(o.from) : 'earliest', true)
  }

  async #makeTopics(): Promise<void> {
    const { topic, type, queues } = this.#p.settings
    await this.#makeTopic(topic, type, queues)
    await this.#makeTopic(retryTopicOf(topic), 'DELAY', RETRY_QUEUES)
  }

  async #makeTopic(name: string, type: TopicType, queues: number): Promise<void> {
    const { admin, log } = this.#p
    if ((await admin.topic(name)) !== null) return
    await admin.makeTopic(name, { type, queues })
    log.info('the topic was made', { topic: name, type, queues })
  }
}

import type { DetachedState } from '../../contract/delivery.ts'
import type { Backlog } from '../../contract/feed.ts'
import type { CloudEvent } from '../../event/event.ts'
import type { Clock, Timer } from '../../runtime/clock.ts'
import type { RabbitMqLink } from '../../vendor/rabbitmq/link.ts'
import type { QueueSubscription } from '../queue/consumer.ts'
import { RabbitMqConsumer, type ConsumerParts } from './consumer.ts'
import type { Delays } from './delays.ts'
import type { RabbitMqMessage } from './messages.ts'
import { deliveryLimit } from './queues.ts'
import type { RabbitMqCluster } from './settings.ts'

const BACKLOG_MS = 2_000

export interface SubscriptionParts extends Omit<ConsumerParts, 'prepare' | 'left' | 'gone'> {
  readonly clock: Clock
  readonly cluster: RabbitMqCluster
  /** Makes sure that the queue is there and bound; true = it was made just now, as we make queues. */
  readonly prepare: (link: RabbitMqLink) => Promise<boolean>
  readonly delays: Delays
  /** Messages of a queue that are ready; may reject. */
  readonly readyIn: (queue: string) => Promise<number>
  /** `decided` may have changed. */
  readonly decided: () => void
  /** Its queue was deleted: what is published before it is there again would not come to it. */
  readonly gone: (s: RabbitMqSubscription) => void
  /** It is left: nobody tells it of connections any more. */
  readonly left: (s: RabbitMqSubscription) => void
}

/** What one subscription reads: a queue, and the queues beside it in which what waits long comes back to it. */
export class RabbitMqSubscription implements QueueSubscription<RabbitMqMessage> {
  readonly consumers: readonly [RabbitMqConsumer]
  readonly limit: NonNullable<QueueSubscription<RabbitMqMessage>['limit']>
  readonly #p: SubscriptionParts
  #link: RabbitMqLink | null = null
  #limit = 0
  #unread = 0
  #asking = false
  readonly #timer: Timer
  #prepared = false
  #refused = false
  #waiting: (() => void)[] = []

  constructor(p: SubscriptionParts) {
    this.#p = p
    const { queue, clock } = p
    const left = (): void => {
      this.#timer.cancel()
      p.left(this)
    }
    const gone = (): void => {
      this.#prepared = false
      this.#refused = false
      p.gone(this)
    }
    this.consumers = [new RabbitMqConsumer({ ...p, prepare: (link) => this.#prepare(link), gone, left })]
    this.limit = {
      to: `the queue ${queue}`,
      why: (deliveries) =>
        `RabbitMQ delivered it ${deliveries} times and it was never settled; it would soon be dropped or dead-lettered there (x-delivery-limit ${this.#limit})`,
    }
    this.#timer = clock.every(BACKLOG_MS, () => void this.#ask())
  }

  /** One delivery is left for the case that we end in the middle of its last one. */
  get maxDeliveries(): number {
    return this.#limit === 0 ? 0 : Math.max(2, this.#limit)
  }

  up(link: RabbitMqLink): void {
    this.#link = link
    this.consumers[0].up(link)
  }

  down(): void {
    this.#link = null
    this.consumers[0].down()
  }

  ready(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (this.#prepared || signal.aborted) return resolve()
      this.#waiting.push(resolve)
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  backlog(): Backlog {
    return { events: this.#unread, exact: false, oldestMs: 0 }
  }

  delay(event: CloudEvent, state: DetachedState, done: (ok: boolean) => void): void {
    this.#p.delays.store(event, state, done)
  }

  /** What is published now comes to it, or the server has refused to make its queue. */
  get decided(): boolean {
    return this.#prepared || this.#refused
  }

  async #prepare(link: RabbitMqLink): Promise<void> {
    try {
      const made = await this.#p.prepare(link)
      // A queue that somebody else has made may have a limit.
      this.#limit = made ? 0 : await deliveryLimit(link, this.#p.cluster, this.#p.queue)
      this.#prepared = true
    } catch (e) {
      this.#refused = link.connection !== null
      throw e
    } finally {
      this.#p.decided()
    }
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  async #ask(): Promise<void> {
    if (this.#link === null || this.#asking || !this.#prepared) return
    this.#asking = true
    try {
      this.#unread = await this.#p.readyIn(this.#p.queue)
    } catch {
      // The consumer finds out as well, and tells.
    } finally {
      this.#asking = false
    }
  }
}

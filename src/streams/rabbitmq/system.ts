import type { Start } from '../../contract/feed.ts'
import type { Key } from '../../contract/ids.ts'
import { type Appended, DURABLE } from '../../contract/stream.ts'
import { fromAmqpMessage, toAmqpMessage, wrapAmqpMessage } from '../../event/amqp.ts'
import type { CloudEvent } from '../../event/event.ts'
import type { Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import { randomId, type Random } from '../../runtime/random.ts'
import { Delays } from '../../sources/rabbitmq/delays.ts'
import { Health } from '../../sources/rabbitmq/health.ts'
import { Links, loginOf } from '../../sources/rabbitmq/links.ts'
import type { RabbitMqMessage } from '../../sources/rabbitmq/messages.ts'
import { Publisher, type Sent } from '../../sources/rabbitmq/publisher.ts'
import { ensureQueue, ownQueue } from '../../sources/rabbitmq/queues.ts'
import { LEASE_MS, MOST_HELD } from '../../sources/rabbitmq/settings.ts'
import { RabbitMqSubscription } from '../../sources/rabbitmq/subscription.ts'
import type { ReceivedMessage } from '../../vendor/rabbitmq/channel.ts'
import type { RabbitMqLink } from '../../vendor/rabbitmq/link.ts'
import type { Complaint } from '../../sources/queue/health.ts'
import type { QueueOrder, QueueSystem } from '../queue/system.ts'
import { queueOf, type RabbitMqStreamSettings } from './settings.ts'

export interface RabbitMqSystemParts {
  readonly settings: RabbitMqStreamSettings
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** UID of the resource a subscription was made from, '' = it is not known. */
  readonly uidOf: (key: Key) => string
}

const RETRY_MS = 1_000
/** The type of eventing-rabbitmq's exchanges: each of its queues says by arguments what it wants. */
const EXCHANGE_TYPE = 'headers'

/** An exchange that everything is published to, and a queue a subscription that is bound to it without conditions. */
export class RabbitMqSystem implements QueueSystem<RabbitMqMessage> {
  readonly #p: RabbitMqSystemParts
  readonly #health: Health
  readonly #links: Links
  readonly #publisher: Publisher
  /** By key: where those that were here stand, and what deletes what is beside it. */
  readonly #places = new Map<Key, { readonly queue: string; readonly delays: Delays }>()
  /** Queues that are being deleted: whoever makes one of the name waits. */
  readonly #deleting = new Map<string, Promise<void>>()

  constructor(p: RabbitMqSystemParts) {
    this.#p = p
    const { settings, clock, random, log } = p
    this.#health = new Health(log, 'RabbitMQ stream')
    const login = loginOf(settings, `sluice ${settings.namespace}/${settings.name}`)
    this.#links = new Links({ login, clock, random, health: this.#health }, () => this.#publisher)
    this.#publisher = new Publisher({
      clock,
      health: this.#health,
      prepare: (link) => this.#declareExchange(link),
      mayGo: () => this.#links.allDecided,
    })
    this.#links.publishing.start()
  }

  get complaint(): Complaint | undefined {
    return this.#health.complaint
  }

  /** As long as there never was a connection; one that is lost is back soon, mostly. */
  get away(): Complaint | undefined {
    return this.#links.publishing.unreached ?? undefined
  }

  publish(events: readonly CloudEvent[], done: (r: Appended) => void): void {
    const { exchange } = this.#p.settings
    let left = events.length
    let worst: Appended = DURABLE
    const sent = (r: Sent): void => {
      const a = this.#appended(r)
      if (a !== DURABLE) worst = a
      if (--left === 0) done(worst)
    }
    for (const e of events) this.#publisher.send(exchange, '', toAmqpMessage(e), sent)
  }

  /** What no queue took is nobody's while nobody has subscribed; else a queue or its binding is gone and is made again. */
  #appended(r: Sent): Appended {
    if (r === 'durable') return DURABLE
    if (r === 'unroutable') return this.#links.subscribed === 0 ? DURABLE : UNBOUND
    return { kind: 'unavailable', retryAfterMs: RETRY_MS, why: r.why }
  }

  subscribe(key: Key, _from: Start, order: QueueOrder): RabbitMqSubscription {
    const { settings, clock, uidOf } = this.#p
    const queue = queueOf(key, uidOf(key), settings)
    const delays =
      this.#places.get(key)?.delays ??
      new Delays({
        queue,
        type: settings.queueType,
        clock,
        publisher: this.#publisher,
        link: () => this.#links.publishing,
      })
    this.#places.set(key, { queue, delays })
    const source = `/apis/v1/namespaces/${settings.namespace}/${settings.role}s/${settings.name}`
    const subscription = new RabbitMqSubscription({
      queue,
      clock,
      cluster: settings,
      health: this.#health,
      part: key,
      prepare: (link) => this.#declareQueue(link, queue, order),
      eventOf: (m) => eventOf(m, source, clock.wall()),
      mostPrefetch: order === 'ordered' ? 1 : (settings.mostHeld ?? MOST_HELD),
      leaseMs: settings.leaseMs ?? LEASE_MS,
      delays,
      readyIn: (of) => this.#links.readyIn(of),
      decided: () => this.#publisher.go(),
      gone: (s) => this.#links.undecided(s),
      left: (s) => {
        this.#links.remove(s)
        this.#publisher.go()
        this.#health.good(key)
      },
    })
    this.#links.add(subscription)
    return subscription
  }

  /** The queue of a subscription that was not here since the process began is deleted as well, if there is one. */
  forget(key: Key): boolean {
    const place = this.#places.get(key)
    this.#places.delete(key)
    const { settings, uidOf } = this.#p
    const queue = place?.queue ?? queueOf(key, uidOf(key), settings)
    const all = [queue, ...(place?.delays.queues ?? [])]
    const deleted = Promise.all(all.map((name) => this.#links.publishing.withChannel((channel) => channel.deleteQueue(name))))
    const over = deleted.then(
      () => undefined,
      (e: unknown) => this.#p.log.warn('a queue could not be deleted', { queue, error: messageOf(e) }),
    )
    this.#deleting.set(queue, over)
    void over.then(() => this.#deleting.get(queue) === over && this.#deleting.delete(queue))
    return place !== undefined
  }

  async close(signal: AbortSignal): Promise<void> {
    await this.#publisher.close(signal)
    await this.#links.close(signal)
  }

  // -- declaring ----------------------------------------------------------------------------------------------------

  #declareExchange(link: RabbitMqLink): Promise<void> {
    const { exchange } = this.#p.settings
    return link.withChannel((channel) => channel.declareExchange(exchange, EXCHANGE_TYPE, { durable: true }))
  }

  async #declareQueue(link: RabbitMqLink, queue: string, order: QueueOrder): Promise<boolean> {
    const { settings } = this.#p
    await this.#deleting.get(queue)
    await this.#declareExchange(link)
    // Order across gateways takes one that reads while the others stand by.
    const made = await ensureQueue(link, queue, () => ownQueue(link, settings.queueType, order !== 'unordered'))
    await link.withChannel((channel) => channel.bind(queue, settings.exchange, ''))
    return made
  }
}

const UNBOUND: Appended = Object.freeze({
  kind: 'unavailable',
  retryAfterMs: RETRY_MS,
  why: 'no queue is bound to the exchange, though there are subscriptions; they are made again',
})

/** Whatever stands in a queue of ours is an event: what is none was published by somebody else, and is wrapped. */
function eventOf(m: ReceivedMessage, source: string, nowMs: number): CloudEvent {
  return fromAmqpMessage(m, nowMs) ?? wrapAmqpMessage(m, { source, newId: randomId }, nowMs)
}

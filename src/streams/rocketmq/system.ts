import type { Start } from '../../contract/feed.ts'
import type { Key } from '../../contract/ids.ts'
import type { Appended } from '../../contract/stream.ts'
import type { CloudEvent } from '../../event/event.ts'
import type { Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import { aborted, within } from '../../runtime/ending.ts'
import { type Complaint, Health } from '../../sources/queue/health.ts'
import type { HeldMessage } from '../../sources/rocketmq/member.ts'
import { type AdminSettings, openAdmin, type RocketMqAdmin } from '../../vendor/rocketmq/admin.ts'
import type { ConsumerSettings, RocketMqConsumer } from '../../vendor/rocketmq/consumer.ts'
import { RocketMqError } from '../../vendor/rocketmq/errors.ts'
import { openConsumer } from '../../vendor/rocketmq/open.ts'
import { openProducer, type ProducerSettings, type RocketMqProducer } from '../../vendor/rocketmq/producer.ts'
import type { QueueOrder, QueueSystem } from '../queue/system.ts'
import { groupOf, retryGroupOf, retryTopicOf } from './names.ts'
import { Places } from './places.ts'
import { Publishing } from './publishing.ts'
import type { RocketMqStreamSettings } from './settings.ts'
import { RocketMqSubscription } from './subscription.ts'

/** Topics that cannot be looked for hold up nobody for longer. */
const TOPICS_WITHIN_MS = 10_000

export interface RocketMqSystemParts {
  readonly settings: RocketMqStreamSettings
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** For tests: another RocketMQ. */
  readonly vendor?: Partial<RocketMqVendor>
}

export interface RocketMqVendor {
  producer(settings: ProducerSettings): RocketMqProducer
  consumer(settings: ConsumerSettings): RocketMqConsumer
  admin(settings: AdminSettings): RocketMqAdmin
}

const VENDOR: RocketMqVendor = { producer: openProducer, consumer: openConsumer, admin: openAdmin }

/**
 * RocketMQ as a stream: one topic that all events are published to, a consumer group a subscription, and a topic of delayed
 * messages for what waits long. It begins at once, connects when it can and never gives up. docs/message-systems.md
 */
export class RocketMqSystem implements QueueSystem<HeldMessage> {
  readonly #p: RocketMqSystemParts
  readonly #vendor: RocketMqVendor
  readonly #producer: RocketMqProducer
  readonly #admin: RocketMqAdmin | null
  readonly #places: Places | null
  readonly #publishing: Publishing
  readonly #sending: Health
  readonly #making: Health
  readonly #subscriptions = new Set<RocketMqSubscription>()
  /** Groups that are known to be there, of subscriptions that are gone as well. */
  readonly #groups = new Set<string>()
  /** Groups on their way out: one of the same name begins after that. */
  readonly #leaving = new Map<string, Promise<void>>()
  readonly #over = new AbortController()
  /** The topics are looked for: a proxy that is asked for one that is missing believes so for half a minute. */
  #beginning: Promise<void> | null

  constructor(p: RocketMqSystemParts) {
    this.#p = p
    this.#vendor = { ...VENDOR, ...p.vendor }
    const { settings, clock, log } = p
    const { endpoints, nameServers, credentials, tls, cluster, topic, type, queues } = settings
    this.#sending = new Health(log, 'RocketMQ stream (sending)')
    this.#making = new Health(log, 'RocketMQ stream')
    this.#producer = this.#vendor.producer({ endpoints, credentials, tls, namespace: settings.instanceNamespace })
    const adminTls = settings.nameServersTls ? (tls ?? { ca: '', cert: '', key: null }) : null
    this.#admin = nameServers.length === 0 ? null : this.#vendor.admin({ nameServers, credentials, tls: adminTls, cluster })
    this.#places = this.#admin === null ? null : new Places({ admin: this.#admin, settings, clock, log, health: this.#making })
    this.#publishing = new Publishing({
      producer: this.#producer,
      topic,
      fifo: type === 'FIFO',
      inTurn: queues === 1,
      clock,
      health: this.#sending,
      missing: (why) => this.#missing(new RocketMqError('TopicMissing', why), ''),
    })
    this.#beginning = within(clock, TOPICS_WITHIN_MS, this.#begin()).then(() => {
      this.#beginning = null
    })
  }

  publish(events: readonly CloudEvent[], done: (r: Appended) => void): void {
    if (this.#beginning === null) this.#publishing.publish(events, done)
    else void this.#beginning.then(() => this.#publishing.publish(events, done))
  }

  subscribe(key: Key, from: Start, order: QueueOrder): RocketMqSubscription {
    const { settings, clock, random, log } = this.#p
    const group = groupOf(settings.topic, key)
    this.#groups.add(group)
    const subscription: RocketMqSubscription = new RocketMqSubscription({
      settings,
      group,
      from,
      fifo: settings.type === 'FIFO' && order !== 'unordered',
      inTurn: settings.queues === 1,
      clock,
      random,
      log: log.with({ subscription: key }),
      producer: this.#producer,
      admin: this.#admin,
      places: this.#places,
      after: this.#leaving.get(group) ?? Promise.resolve(),
      open: (of) => this.#vendor.consumer(of),
      missing: (e, name) => this.#missing(e, name),
      ended: () => this.#subscriptions.delete(subscription),
    })
    this.#subscriptions.add(subscription)
    return subscription
  }

  forget(key: Key): boolean {
    const admin = this.#admin
    const { settings, log } = this.#p
    const group = groupOf(settings.topic, key)
    if (!this.#groups.delete(group)) return false
    if (admin === null) {
      log.warn('a consumer group stays in RocketMQ: nobody told where its name servers are (namesrvAddr)', { group })
      return true
    }
    const retryGroup = retryGroupOf(group)
    const deleted = Promise.all([
      admin.deleteGroup(group, [settings.topic]),
      admin.deleteGroup(retryGroup, [retryTopicOf(settings.topic)]),
    ])
    const gone = deleted
      .then(
        () => {},
        (e: unknown) => log.warn('a consumer group could not be deleted', { group, error: messageOf(e) }),
      )
      .finally(() => this.#leaving.delete(group))
    this.#leaving.set(group, gone)
    return true
  }

  get complaint(): Complaint | undefined {
    const own = this.#making.complaint ?? this.#sending.complaint
    if (own !== undefined) return own
    for (const { complaint } of this.#subscriptions) if (complaint !== undefined) return complaint
    return undefined
  }

  /** While the topics are looked for in vain; where that takes long, the proxy is tried without them. */
  get away(): Complaint | undefined {
    return this.#beginning === null ? undefined : this.#making.complaint
  }

  async close(signal: AbortSignal): Promise<void> {
    this.#over.abort()
    await Promise.race([Promise.all([this.#publishing.flush(signal), ...this.#leaving.values()]), aborted(signal)])
    this.#producer.close()
    this.#admin?.close()
  }

  /** Its topics are there before anybody publishes or reads. */
  async #begin(): Promise<void> {
    const places = this.#places
    const admin = this.#admin
    if (places === null || admin === null) return
    const { topic } = this.#p.settings
    await places.until(async () => {
      await places.topics()
      const all = await admin.groups()
      for (const name of all) if (name.startsWith(`${topic}-`)) this.#groups.add(name)
    }, this.#over.signal)
  }

  #missing(e: RocketMqError, group: string): string {
    const { topic } = this.#p.settings
    const remedy =
      this.#admin === null
        ? 'make it first, or say where the name servers are (namesrvAddr), to have it made'
        : 'it is being made'
    if (e.reason === 'TopicMissing') return `the topic ${topic} or ${retryTopicOf(topic)} is missing, ${remedy}: ${e.message}`
    if (e.reason === 'GroupMissing') return `the consumer group ${group} is missing, ${remedy}: ${e.message}`
    return e.message
  }
}

import type { Backlog, Start } from '../../contract/feed.ts'
import type { DetachedState } from '../../contract/delivery.ts'
import type { CloudEvent } from '../../event/event.ts'
import type { Clock } from '../../runtime/clock.ts'
import { messageOf as textOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import { aborted } from '../../runtime/ending.ts'
import type { QueueConsumer, QueueSubscription } from '../../sources/queue/consumer.ts'
import { Health } from '../../sources/queue/health.ts'
import { unreadable } from '../../sources/rocketmq/decode.ts'
import { type HeldMessage, Member } from '../../sources/rocketmq/member.ts'
import { seekTo } from '../../sources/rocketmq/seek.ts'
import { NOT_KNOWN, Unread } from '../../sources/rocketmq/unread.ts'
import type { RocketMqAdmin } from '../../vendor/rocketmq/admin.ts'
import type { ConsumerSettings, Joined, RocketMqConsumer } from '../../vendor/rocketmq/consumer.ts'
import { RocketMqError } from '../../vendor/rocketmq/errors.ts'
import type { ReceivedMessage } from '../../vendor/rocketmq/messages.ts'
import type { RocketMqProducer } from '../../vendor/rocketmq/producer.ts'
import { deliverAtMs, dueConsumer } from './due.ts'
import { eventOf, messageOf } from './message.ts'
import { BACKLOG_MS } from '../../sources/rocketmq/settings.ts'
import { retryGroupOf, retryTopicOf } from './names.ts'
import type { Places } from './places.ts'
import type { RocketMqStreamSettings } from './settings.ts'

/** A message we hold is nobody else's for so long: what a crash costs the others. */
const INVISIBLE_MS = 20_000
const MEMBER = { invisibleMs: INVISIBLE_MS, batch: 32, receives: 8, heartbeatMs: 10_000, routeMs: 30_000 }
const WAIT_MS = 15_000
const DEFAULT_RETRIES = 16

export interface SubscriptionParts {
  readonly settings: RocketMqStreamSettings
  readonly group: string
  readonly from: Start
  /** The group reads each queue in its order. */
  readonly fifo: boolean
  /** One receive at a time: the topic has one queue, and the order of one queue is kept. */
  readonly inTurn: boolean
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly producer: RocketMqProducer
  /** null = nobody told where the name servers are. */
  readonly admin: RocketMqAdmin | null
  readonly places: Places | null
  /** A group of this name that is being deleted is gone. */
  readonly after: Promise<void>
  readonly open: (settings: ConsumerSettings) => RocketMqConsumer
  /** Why something is missing, and what is to be done. */
  readonly missing: (e: RocketMqError, group: string) => string
  /** It is being closed, and complains no more. */
  readonly ended: () => void
}

/** One consumer group on the stream's topic, and one on what waits long of it. */
export class RocketMqSubscription implements QueueSubscription<HeldMessage> {
  readonly consumers: readonly QueueConsumer<HeldMessage>[]
  readonly limit: NonNullable<QueueSubscription<HeldMessage>['limit']>
  readonly seek?: (to: Start) => Promise<void>
  readonly #p: SubscriptionParts
  readonly #healths: readonly Health[]
  readonly #unread: Unread | null
  readonly #over = new AbortController()
  /** Its place is there: nothing may be received before, or the broker would choose where it begins. */
  readonly #placed: Promise<boolean>
  readonly #joined: Promise<void>
  #onJoined: () => void = () => {}
  #maxAttempts = DEFAULT_RETRIES

  constructor(p: SubscriptionParts) {
    this.#p = p
    const { admin, group, settings, clock, log } = p
    this.#joined = new Promise((resolve) => (this.#onJoined = resolve))
    this.#healths = [new Health(log, 'RocketMQ subscription'), new Health(log, 'RocketMQ subscription (what waits long)')]
    this.#placed = this.#place()
    const main = this.#member(settings.topic, group, 0)
    const due = this.#member(retryTopicOf(settings.topic), retryGroupOf(group), 1)
    this.consumers = [main, due]
    this.limit = {
      to: `the group ${group}`,
      why: (n) =>
        `RocketMQ delivered it ${n} times and it was never settled; the next time it would go to %DLQ%${group} (retryMaxTimes)`,
    }
    const everyMs = settings.backlogMs ?? BACKLOG_MS
    this.#unread = admin === null ? null : new Unread({ admin, group, topic: settings.topic, all: true, everyMs, clock })
    if (admin !== null) this.seek = (to) => this.#seek(admin, main, to)
  }

  get complaint(): Health['complaint'] {
    return this.#healths.find((h) => h.complaint !== undefined)?.complaint
  }

  get maxDeliveries(): number {
    return this.#maxAttempts
  }

  backlog(): Backlog {
    return this.#unread?.backlog ?? NOT_KNOWN
  }

  /** With an administrator its place is enough; else the broker knows of it when it has joined. */
  async ready(signal: AbortSignal): Promise<void> {
    const placed = this.#p.admin === null ? this.#joined : this.#placed
    await Promise.race([placed, aborted(signal)])
  }

  delay(event: CloudEvent, state: DetachedState, done: (ok: boolean) => void): void {
    const { settings, group, producer, clock, log } = this.#p
    const message = messageOf(event, {
      topic: retryTopicOf(settings.topic),
      tag: group,
      deliverAtMs: deliverAtMs(state.dueMs, clock.wall()),
      state,
    })
    producer.send([message]).then(
      () => done(true),
      (e: unknown) => {
        log.warn('a delivery that waits long could not be stored in RocketMQ', { error: textOf(e) })
        done(false)
      },
    )
  }

  async #seek(admin: RocketMqAdmin, main: Member, to: Start): Promise<void> {
    const place = seekTo(to)
    await this.#placed
    await main.moved(() => admin.place(this.#p.group, this.#p.settings.topic, place, false))
    await this.#unread?.look()
  }

  async #place(): Promise<boolean> {
    const { places, group, settings, fifo, from } = this.#p
    if (places === null) return true
    await this.#p.after
    const { topic } = settings
    const placed = await places.until(async () => {
      await places.group(group, topic, { fifo, from })
      await places.group(retryGroupOf(group), retryTopicOf(topic), { fifo: false, from: { at: 'latest' } })
    }, this.#over.signal)
    if (placed) this.#unread?.start()
    return placed
  }

  #end(): void {
    this.#over.abort()
    this.#unread?.stop()
    this.#p.ended()
  }

  #member(topic: string, group: string, index: 0 | 1): Member {
    const { settings, clock, random, inTurn, missing } = this.#p
    const opened = this.#p.open({
      endpoints: settings.endpoints,
      credentials: settings.credentials,
      tls: settings.tls,
      namespace: settings.instanceNamespace,
      topic,
      group,
      filter: { kind: 'tag', expression: index === 0 ? '*' : this.#p.group },
      waitMs: WAIT_MS,
    })
    return new Member({
      consumer: index === 0 ? opened : this.#due(opened),
      options: inTurn && index === 0 ? { ...MEMBER, receives: 1 } : MEMBER,
      clock,
      random,
      health: this.#healths[index] as Health,
      decode: (m, nowMs) => {
        if (m.unreadable !== '') return unreadable(m)
        return { ...eventOf(m, settings.instance, nowMs), undecodable: null }
      },
      sentence: (e) => (e instanceof RocketMqError ? missing(e, group) : textOf(e)),
      joined: (as) => this.#hasJoined(as, index),
      first: this.#placed,
      closing: () => this.#end(),
    })
  }

  #due(consumer: RocketMqConsumer): RocketMqConsumer {
    const { settings, group, clock, producer } = this.#p
    const { instance, topic } = settings
    return dueConsumer({
      consumer,
      tag: group,
      clock,
      dueMs: (m: ReceivedMessage) => (m.unreadable === '' ? (eventOf(m, instance, 0).state?.dueMs ?? 0) : 0),
      again: async (m) => {
        const { event, state } = eventOf(m, instance, clock.wall())
        if (state === null) return
        const atMs = deliverAtMs(state.dueMs, clock.wall())
        await producer.send([messageOf(event, { topic: retryTopicOf(topic), tag: group, deliverAtMs: atMs, state })])
      },
    })
  }

  #hasJoined({ maxAttempts, fifo }: Joined, index: 0 | 1): void {
    if (index === 1) return
    const { log, group } = this.#p
    this.#maxAttempts = maxAttempts
    log.info('a RocketMQ subscription has joined its group', { group, fifo, maxAttempts })
    if (maxAttempts > 0 && maxAttempts < 4)
      log.warn('RocketMQ moves messages to its dead letter queue after few deliveries; raise retryMaxTimes', {
        group,
        maxAttempts,
      })
    this.#onJoined()
  }
}

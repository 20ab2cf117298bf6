import type { Source } from '../../contract/feed.ts'
import type { SourcePlan } from '../../contract/plan.ts'
import { fromAmqpMessage, wrapAmqpMessage } from '../../event/amqp.ts'
import type { CloudEvent, Extension } from '../../event/event.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Log } from '../../runtime/log.ts'
import { randomId, type Random } from '../../runtime/random.ts'
import type { ReceivedMessage } from '../../vendor/rabbitmq/channel.ts'
import { RabbitMqError } from '../../vendor/rabbitmq/errors.ts'
import type { RabbitMqLink } from '../../vendor/rabbitmq/link.ts'
import { queueSource } from '../queue/source.ts'
import { Delays } from './delays.ts'
import { Health } from './health.ts'
import { Links, loginOf } from './links.ts'
import { Publisher } from './publisher.ts'
import { ensureQueue, ownQueue } from './queues.ts'
import { LEASE_MS, MOST_HELD, type RabbitMqDeclaration, type RabbitMqSettings } from './settings.ts'
import { RabbitMqSubscription } from './subscription.ts'

export interface RabbitMqSourceParts {
  readonly plan: SourcePlan
  readonly settings: RabbitMqSettings
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

/** A RabbitmqSource: the consumer of one queue. It begins with `feed.attach`, connects when it can and never gives up. */
export function createRabbitMqSource(o: RabbitMqSourceParts): Source {
  const { settings, clock, random, plan } = o
  const { queue, ordered } = settings
  const health = new Health(o.log.with({ source: plan.key }), 'RabbitMQ source')
  const publisher = new Publisher({ clock, health, prepare: () => Promise.resolve() })
  const login = loginOf(settings, `sluice ${plan.namespace}/${plan.name}`)
  const links = new Links({ login, clock, random, health }, () => publisher)
  const overrides = Object.entries(settings.extensions ?? {})

  const subscribe = (): RabbitMqSubscription => {
    // Only what waits long is published; the connection is there when it is needed.
    links.publishing.start()
    const type = settings.declare?.queueType ?? 'quorum'
    const subscription = new RabbitMqSubscription({
      queue,
      clock,
      cluster: settings,
      health,
      part: queue,
      prepare: (link) => prepare(link, settings),
      eventOf: (m) => eventOf(m, settings.source, overrides, clock.wall()),
      mostPrefetch: ordered ? 1 : (settings.mostHeld ?? MOST_HELD),
      leaseMs: settings.leaseMs ?? LEASE_MS,
      delays: new Delays({ queue, type, clock, publisher, link: () => links.publishing }),
      readyIn: (of) => links.readyIn(of),
      decided: () => undefined,
      gone: (s) => links.undecided(s),
      left: (s) => links.remove(s),
    })
    links.add(subscription)
    return subscription
  }
  const source = queueSource({
    clock,
    subscribe,
    complaint: () => health.complaint,
    noSeek: 'a queue of RabbitMQ holds what is not settled yet and nothing else: it cannot be read anew',
  })
  return {
    ...source,
    async close(signal) {
      await source.close(signal)
      await publisher.close(signal)
      await links.close(signal)
    },
  }
}

/** true = the queue was made just now. */
async function prepare(link: RabbitMqLink, { queue, declare, ordered }: RabbitMqSettings): Promise<boolean> {
  if (declare === null) {
    await link.withChannel((channel) => channel.queue(queue)).catch((e: unknown) => missing(e, queue))
    return false
  }
  const { exchange } = declare
  if (exchange !== '')
    await link.withChannel((channel) => channel.declareExchange(exchange, declare.exchangeType, exchangeOf(declare)))
  const made = await ensureQueue(link, queue, () => {
    const own = ownQueue(link, declare.queueType, ordered)
    const { durable, autoDelete, exclusive } = declare
    return { ...own, durable, autoDelete, exclusive }
  })
  if (exchange !== '')
    await link.withChannel(async (channel) => {
      for (const key of declare.routingKeys) await channel.bind(queue, exchange, key)
    })
  return made
}

function exchangeOf(d: RabbitMqDeclaration): { durable: boolean; autoDelete: boolean; internal: boolean } {
  return { durable: d.exchangeDurable, autoDelete: d.exchangeAutoDelete, internal: d.exchangeInternal }
}

function missing(e: unknown, queue: string): never {
  if (e instanceof RabbitMqError && e.reason === 'QueueMissing')
    throw new RabbitMqError(
      'QueueMissing',
      `the queue ${queue} is missing; it is said to be there already (predeclared), so it has to be made first: ${e.message}`,
    )
  throw e
}

function eventOf(m: ReceivedMessage, source: string, overrides: readonly Extension[], nowMs: number): CloudEvent {
  const event = fromAmqpMessage(m, nowMs) ?? wrapAmqpMessage(m, { source, newId: randomId }, nowMs)
  if (overrides.length === 0) return event
  const kept = event.extensions.filter(([name]) => !overrides.some(([over]) => over === name))
  return event.with({ extensions: [...kept, ...overrides] })
}

import { type QueueOptions, type RabbitMqChannel } from '../../vendor/rabbitmq/channel.ts'
import { RabbitMqError } from '../../vendor/rabbitmq/errors.ts'
import type { RabbitMqLink } from '../../vendor/rabbitmq/link.ts'
import { factsOfQueue } from '../../vendor/rabbitmq/management.ts'
import type { QueueType, RabbitMqCluster } from './settings.ts'

/** What quorum queues have where nothing is written. */
const DEFAULT_DELIVERY_LIMIT_SINCE_4 = 20

/** A queue of ours: durable, and never the one who gives up a message. */
export function ownQueue(link: RabbitMqLink, type: QueueType, singleConsumer: boolean): QueueOptions {
  return {
    durable: true,
    autoDelete: false,
    exclusive: false,
    arguments: {
      'x-queue-type': type,
      ...(singleConsumer ? { 'x-single-active-consumer': true } : {}),
      // Version 4 has a limit unless told otherwise, version 3 does not know the word.
      ...(type === 'quorum' && versionOf(link)[0] >= 4 ? { 'x-delivery-limit': -1 } : {}),
    },
  }
}

/** Makes a queue where none of the name is there; one that is there stays as somebody made it. true = it was made. */
export async function ensureQueue(link: RabbitMqLink, name: string, options: () => QueueOptions): Promise<boolean> {
  const there = await link.withChannel((channel) => exists(channel, name))
  if (there) return false
  await link.withChannel((channel) => channel.declareQueue(name, options()))
  return true
}

async function exists(channel: RabbitMqChannel, name: string): Promise<boolean> {
  try {
    await channel.queue(name)
    return true
  } catch (e) {
    if (e instanceof RabbitMqError && e.reason === 'QueueMissing') return false
    throw e
  }
}

/**
 * How often a queue that somebody else has made hands a message out before RabbitMQ drops or moves it; 0 = as often as it
 * takes. AMQP has no question for that: the management is asked, where it is known. Else it is what the version has for all.
 */
export async function deliveryLimit(link: RabbitMqLink, c: RabbitMqCluster, queue: string): Promise<number> {
  const byVersion = versionOf(link)[0] >= 4 ? DEFAULT_DELIVERY_LIMIT_SINCE_4 : 0
  if (c.management === '') return byVersion
  const login = { url: c.management, user: c.user, password: c.password, ca: c.tls?.ca ?? '' }
  try {
    const { type, deliveryLimit: limit } = await factsOfQueue(login, c.vhost, queue)
    return type === 'quorum' ? Math.max(0, limit ?? byVersion) : 0
  } catch {
    return byVersion
  }
}

export function versionOf(link: RabbitMqLink): readonly [number, number] {
  return link.connection?.version ?? [0, 0]
}

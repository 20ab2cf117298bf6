import { type QueueOptions, type RabbitMqChannel } from '../../vendor/rabbitmq/channel.ts'
import { RabbitMqError } from '../../vendor/rabbitmq/errors.ts'
import type { RabbitMqLink } from '../../vendor/rabbitmq/link.ts'

export type QueueType = 'quorum' | 'classic'

/** What RabbitMQ would do by itself with a message that comes back often; 0 = nothing. */
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

/** Arguments a queue can be asked for, one after the other. */
const MOST_PROBES = 16
const PROBE_LIMIT = 2_000_000_011
const INEQUIVALENT = /inequivalent arg '([^']+)' .*current is (?:none|the value '?(.*?)'? of type '?(\w+)'?)\s*"?$/

/**
 * How often a queue that is there hands a message out before RabbitMQ drops or moves it; 0 = as often as it takes. AMQP has
 * no question for that, but a declaration with another limit is refused with the one there is. A limit that a policy sets
 * stays unknown.
 */
export async function deliveryLimit(link: RabbitMqLink, queue: string): Promise<number> {
  const given: Record<string, unknown> = { 'x-queue-type': 'quorum', 'x-delivery-limit': PROBE_LIMIT }
  for (let i = 0; i < MOST_PROBES; i++) {
    const refusal = await probe(link, queue, given)
    const found = refusal === null ? null : INEQUIVALENT.exec(refusal)
    // Declared as it stands, or refused for something else: a classic queue, which has no limit.
    if (found === null) return 0
    const [, name = '', value, type] = found
    if (name === 'x-queue-type' || !name.startsWith('x-')) return 0
    if (name === 'x-delivery-limit') {
      if (value !== undefined) return Math.max(0, Number(value) || 0)
      return versionOf(link)[0] >= 4 ? DEFAULT_DELIVERY_LIMIT_SINCE_4 : 0
    }
    if (value === undefined) return 0
    given[name] = /int|long(?!str)|short|byte/.test(type ?? '') ? Number(value) : type === 'bool' ? value === 'true' : value
  }
  return 0
}

async function probe(link: RabbitMqLink, queue: string, args: Readonly<Record<string, unknown>>): Promise<string | null> {
  try {
    await link.withChannel((channel) =>
      channel.declareQueue(queue, { durable: true, autoDelete: false, exclusive: false, arguments: args }),
    )
    return null
  } catch (e) {
    if (e instanceof RabbitMqError && e.reason === 'PreconditionFailed') return e.message
    // Who may not declare may still read.
    if (e instanceof RabbitMqError && e.reason === 'Unauthorized') return ''
    throw e
  }
}

export function versionOf(link: RabbitMqLink): readonly [number, number] {
  return link.connection?.version ?? [0, 0]
}

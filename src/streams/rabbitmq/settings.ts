import type { Key } from '../../contract/ids.ts'
import type { QueueType, RabbitMqCluster } from '../../sources/rabbitmq/settings.ts'

/** `StreamPlan.settings` of a stream whose system is rabbitmq. */
export interface RabbitMqStreamSettings extends RabbitMqCluster {
  /** Durable, of type headers, as Knative's. */
  readonly exchange: string
  readonly queueType: QueueType
  readonly role: 'broker' | 'channel'
  readonly namespace: string
  readonly name: string
  /** Of the Broker or channel: part of the names of its queues. */
  readonly uid: string
  readonly mostHeld?: number
  readonly leaseMs?: number
}

/** RabbitMQ's limit for names. */
const LONGEST = 255
/** Below it, so that what stands beside a queue has room for a name of its own. */
const LONGEST_QUEUE = LONGEST - 20

/** The queue of a subscription, as eventing-rabbitmq calls it; what Knative has none for is named after its key. */
export function queueOf(
  key: Key,
  subUid: string,
  s: Pick<RabbitMqStreamSettings, 'role' | 'namespace' | 'name' | 'uid' | 'exchange'>,
): string {
  const [kind = '', namespace = '', name = ''] = key.split('/')
  if (kind === 'trigger' && s.role === 'broker') return `${namespace}.${name}.${s.uid}`
  if (kind === 'subscription' && s.role === 'channel' && subUid !== '') return `s.${s.namespace}.${s.name}.${subUid}`
  return `${s.exchange}.${key.replaceAll(/[^A-Za-z0-9._-]/g, '.')}`.slice(0, LONGEST_QUEUE)
}

import { broker } from './broker.ts'
import { channel, inMemoryChannel } from './channel.ts'
import { configMap } from './config-map.ts'
import { eventTransform } from './event-transform.ts'
import { eventType } from './event-type.ts'
import { kafkaChannel } from './kafka-channel.ts'
import { kafkaSink } from './kafka-sink.ts'
import { kafkaSource } from './kafka-source.ts'
import type { Kind } from './kind.ts'
import { natsJetStreamChannel } from './nats-channel.ts'
import { parallel } from './parallel.ts'
import { rabbitMqChannel } from './rabbitmq-channel.ts'
import { rabbitMqBrokerConfig } from './rabbitmq-config.ts'
import { rabbitMqSource } from './rabbitmq-source.ts'
import { rocketMqChannel } from './rocketmq-channel.ts'
import { rocketMqSource } from './rocketmq-source.ts'
import { secret } from './secret.ts'
import { sequence } from './sequence.ts'
import { service } from './service.ts'
import { subscription } from './subscription.ts'
import { trigger } from './trigger.ts'

/**
 * Every kind that is served. The order is that of the paths: where two resources have one name, the first here has
 * `/ns/name` (Broker, else Channel, Sequence, Parallel; DESIGN §4). ConfigMaps and Secrets come first, as the others read them.
 */
export const KINDS: readonly Kind[] = [
  configMap,
  secret,
  rabbitMqBrokerConfig,
  broker,
  channel,
  inMemoryChannel,
  kafkaChannel,
  natsJetStreamChannel,
  rabbitMqChannel,
  rocketMqChannel,
  sequence,
  parallel,
  eventTransform,
  service,
  trigger,
  subscription,
  kafkaSink,
  kafkaSource,
  rocketMqSource,
  rabbitMqSource,
  eventType,
]

const BY_API_VERSION = new Map(KINDS.flatMap((k) => k.apiVersions.map((v) => [`${v} ${k.kind}`, k] as const)))

export function kindOf(apiVersion: string, kind: string): Kind | undefined {
  return BY_API_VERSION.get(`${apiVersion} ${kind}`)
}

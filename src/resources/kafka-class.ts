import { z } from 'zod'
import type { StreamPlan } from '../contract/plan.ts'
import type { Draft } from './draft.ts'
import { parseIsoDuration } from './durations.ts'
import { anything, isoDuration, whole } from './fields.ts'
import { clusterOf, type KafkaCluster, kafkaStreamPlan, type KafkaTopic, topicNumber } from './kafka-stream.ts'
import type { Resource } from './resource.ts'
import { readSpec, type StreamClass, type StreamWish } from './stream-class.ts'

/** Where Knative's Kafka broker and channel look when nobody says where. */
const BROKER_CONFIG = { namespace: 'knative-eventing', name: 'kafka-broker-config' }
const CHANNEL_CONFIG = { namespace: 'knative-eventing', name: 'kafka-channel-config' }
const EXTERNAL_TOPIC = 'kafka.eventing.knative.dev/external.topic'

/** Fields of a KafkaChannel's spec that say how its topic is made. */
export const KAFKA_CHANNEL_SHAPE = {
  numPartitions: whole(1, 2 ** 31 - 1).optional(),
  replicationFactor: whole(1, 32_767).optional(),
  retentionDuration: isoDuration.optional(),
}
/** Knative's: one partition, one replica, a week. */
export const KAFKA_CHANNEL_DEFAULTS = { numPartitions: 1, replicationFactor: 1, retentionDuration: 'PT168H' }

const CHANNEL_SPEC = z.strictObject({
  ...KAFKA_CHANNEL_SHAPE,
  delivery: anything.optional(),
  subscribers: anything.optional(),
  subscribable: anything.optional(),
})

/** Kafka: topics, partitions and replication as Knative's Kafka broker and channel have them. */
export const KAFKA: StreamClass = {
  brokerClasses: ['Kafka', 'KafkaNamespaced'],
  channelKind: 'KafkaChannel',
  brokerAnnotations: [EXTERNAL_TOPIC],
  plan: (owner, draft, wish) => (wish.role === 'broker' ? brokerPlan(owner, draft, wish) : channelPlan(owner, draft, wish)),
  can: {
    order: ['unordered', 'ordered', 'key'],
    startEarliest: true,
    startTime: true,
    keeps: false,
    replay: 'beside',
  },
}

function brokerPlan(owner: Resource, draft: Draft, wish: StreamWish): StreamPlan | null {
  const { namespace, name } = wish.config ?? BROKER_CONFIG
  const cluster = clusterOf(owner, draft, 'ConfigParsed', namespace, name)
  if (cluster === null) return null
  const data = draft.configMap(namespace, name)
  const external = owner.annotations[EXTERNAL_TOPIC]
  const create = {
    partitions: topicNumber(owner, draft, data, 'default.topic.partitions', 10),
    replication: topicNumber(owner, draft, data, 'default.topic.replication.factor', 3),
    retentionMs: 0,
  }
  const topic = {
    topic: external ?? `knative-broker-${owner.namespace}-${wish.name}`,
    create: external === undefined ? create : null,
    channel: '',
    structured: false,
  }
  return planOn(owner, draft, cluster, topic, wish)
}

function channelPlan(owner: Resource, draft: Draft, wish: StreamWish): StreamPlan | null {
  const read = readSpec(CHANNEL_SPEC, wish)
  const cluster = clusterOf(owner, draft, 'ConfigReady', CHANNEL_CONFIG.namespace, CHANNEL_CONFIG.name)
  if (read === null || cluster === null) return null
  const retention = read.retentionDuration ?? KAFKA_CHANNEL_DEFAULTS.retentionDuration
  const topic = {
    topic: `knative-messaging-kafka.${owner.namespace}.${wish.name}`,
    create: {
      partitions: read.numPartitions ?? KAFKA_CHANNEL_DEFAULTS.numPartitions,
      replication: read.replicationFactor ?? KAFKA_CHANNEL_DEFAULTS.replicationFactor,
      retentionMs: parseIsoDuration(retention) ?? 0,
    },
    channel: `${owner.namespace}.${wish.name}`,
    structured: false,
  }
  return planOn(owner, draft, cluster, topic, wish)
}

/** Two streams on one topic would share its partitions out among themselves, and each would see some of the events. */
function planOn(owner: Resource, draft: Draft, cluster: KafkaCluster, topic: KafkaTopic, wish: StreamWish): StreamPlan | null {
  const place = `kafka ${cluster.bootstrapServers.toSorted().join()} ${topic.topic}`
  const before = draft.takePlace(owner, place)
  if (before === undefined) return kafkaStreamPlan(owner, draft, cluster, topic, wish)
  const who = `${before.kind} ${before.namespace}/${before.name}`
  const why = `would stand on the topic ${topic.topic}, where ${who} stands already; leave one of them out, or give it a topic of its own`
  owner.complain(['metadata', 'name'], why)
  return null
}

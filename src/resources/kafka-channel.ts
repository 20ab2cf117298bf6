import { z } from 'zod'
import { defineChannelKind } from './channel-kind.ts'
import type { ChannelSpec } from './channel-template.ts'
import { anything, DELIVERY, OLD_DELIVERY } from './fields.ts'
import { KAFKA, KAFKA_CHANNEL_DEFAULTS, KAFKA_CHANNEL_SHAPE } from './kafka-class.ts'
import { version } from './kind.ts'

export interface KafkaChannelSpec extends ChannelSpec {
  readonly numPartitions: number
  readonly replicationFactor: number
  readonly retentionDuration: string
}

const shape = { ...KAFKA_CHANNEL_SHAPE, subscribers: anything.optional() }

interface Written {
  readonly numPartitions?: number | undefined
  readonly replicationFactor?: number | undefined
  readonly retentionDuration?: string | undefined
  readonly delivery?: ChannelSpec['delivery']
}

function specOf(spec: Written | null | undefined): KafkaChannelSpec {
  const { numPartitions, replicationFactor, retentionDuration } = KAFKA_CHANNEL_DEFAULTS
  return {
    delivery: spec?.delivery,
    numPartitions: spec?.numPartitions ?? numPartitions,
    replicationFactor: spec?.replicationFactor ?? replicationFactor,
    retentionDuration: spec?.retentionDuration ?? retentionDuration,
  }
}

/** KafkaChannel: a stream on the topic `knative-messaging-kafka.<namespace>.<name>` that Subscriptions read from. */
export const kafkaChannel = defineChannelKind<KafkaChannelSpec>(KAFKA, {
  plural: 'kafkachannels',
  versions: {
    'messaging.knative.dev/v1': version({ spec: z.strictObject({ ...shape, delivery: DELIVERY.optional() }).nullish() }, (o) =>
      specOf(o.spec),
    ),
    'messaging.knative.dev/v1beta1': version(
      { spec: z.strictObject({ ...shape, delivery: OLD_DELIVERY.optional(), subscribable: anything.optional() }).nullish() },
      (o) => specOf(o.spec),
    ),
  },
  immutable: ({ spec }) => [
    [['spec', 'numPartitions'], spec.numPartitions],
    [['spec', 'replicationFactor'], spec.replicationFactor],
  ],
})

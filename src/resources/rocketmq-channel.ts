import { z } from 'zod'
import { defineChannelKind } from './channel-kind.ts'
import type { ChannelSpec } from './channel-template.ts'
import { anything, DELIVERY } from './fields.ts'
import { version } from './kind.ts'
import { ROCKETMQ, ROCKETMQ_CHANNEL_SHAPE } from './rocketmq-class.ts'

export interface RocketMqChannelSpec extends ChannelSpec {
  readonly queues?: number | undefined
  readonly ordered?: boolean | undefined
}

const shape = { ...ROCKETMQ_CHANNEL_SHAPE, subscribers: anything.optional(), delivery: DELIVERY.optional() }

/** RocketMQChannel: a stream on the topic `knative-messaging-rocketmq-<namespace>_<name>` that Subscriptions read from. */
export const rocketMqChannel = defineChannelKind<RocketMqChannelSpec>(ROCKETMQ, {
  plural: 'rocketmqchannels',
  versions: {
    'messaging.knative.dev/v1alpha1': version({ spec: z.strictObject(shape).nullish() }, (o): RocketMqChannelSpec => ({
      delivery: o.spec?.delivery,
      queues: o.spec?.queues,
      ordered: o.spec?.ordered,
    })),
  },
  immutable: ({ spec }) => [
    [['spec', 'queues'], spec.queues],
    [['spec', 'ordered'], spec.ordered],
  ],
})

import { z } from 'zod'
import { defineChannelKind } from './channel-kind.ts'
import type { ChannelSpec } from './channel-template.ts'
import { anything, DELIVERY } from './fields.ts'
import { version } from './kind.ts'
import { RABBITMQ, RABBITMQ_CHANNEL_SHAPE } from './rabbitmq-class.ts'

export interface RabbitMqChannelSpec extends ChannelSpec {
  readonly config?: { readonly kind: string; readonly name: string; readonly namespace?: string | undefined } | undefined
}

const shape = {
  ...RABBITMQ_CHANNEL_SHAPE,
  subscribers: anything.optional(),
  subscribable: anything.optional(),
  delivery: DELIVERY.optional(),
}
const current = version({ spec: z.strictObject(shape).nullish() }, (o): RabbitMqChannelSpec => ({
  delivery: o.spec?.delivery,
  config: o.spec?.config,
}))

/** RabbitmqChannel: a stream on the exchange `c.<namespace>.<name>.<uid>` that Subscriptions read from. */
export const rabbitMqChannel = defineChannelKind<RabbitMqChannelSpec>(RABBITMQ, {
  plural: 'rabbitmqchannels',
  versions: {
    'messaging.knative.dev/v1': current,
    'messaging.knative.dev/v1beta1': current,
    'messaging.knative.dev/v1alpha1': current,
  },
  immutable: ({ spec }) => [[['spec', 'config'], spec.config]],
})

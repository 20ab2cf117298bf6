import { z } from 'zod'
import { defineChannelKind } from './channel-kind.ts'
import type { ChannelSpec } from './channel-template.ts'
import { anything, DELIVERY } from './fields.ts'
import { version } from './kind.ts'
import { NATS } from './nats-class.ts'
import { NATS_CHANNEL_SHAPE } from './nats-spec.ts'

const shape = { ...NATS_CHANNEL_SHAPE, subscribers: anything.optional(), delivery: DELIVERY.optional() }

export interface NatsJetStreamChannelSpec extends ChannelSpec {
  readonly stream?: z.infer<typeof NATS_CHANNEL_SHAPE.stream>
  readonly consumerConfigTemplate?: z.infer<typeof NATS_CHANNEL_SHAPE.consumerConfigTemplate>
}

/** NatsJetStreamChannel: a JetStream stream on the subject `<namespace>.<name>._knative` that Subscriptions read from. */
export const natsJetStreamChannel = defineChannelKind<NatsJetStreamChannelSpec>(NATS, {
  plural: 'natsjetstreamchannels',
  versions: {
    'messaging.knative.dev/v1alpha1': version({ spec: z.strictObject(shape).nullish() }, (o): NatsJetStreamChannelSpec => ({
      delivery: o.spec?.delivery,
      stream: o.spec?.stream,
      consumerConfigTemplate: o.spec?.consumerConfigTemplate,
    })),
  },
  // A stream that is made is left as it is: another one would leave its events behind.
  immutable: ({ spec }) => [[['spec', 'stream'], spec.stream]],
})

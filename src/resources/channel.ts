import { z } from 'zod'
import { anything, CHANNEL_TEMPLATE, DELIVERY, type DeliverySpec, OLD_DELIVERY } from './fields.ts'
import { defineKind, version } from './kind.ts'
import { keyOf } from './resource.ts'
import { addChannel, addPaths, noteTemplate, shortestAddress } from './streams.ts'

export interface ChannelSpec {
  readonly delivery: DeliverySpec | undefined
  readonly channelTemplate?: z.infer<typeof CHANNEL_TEMPLATE> | undefined
}

const current = version(
  {
    spec: z
      .strictObject({
        channelTemplate: CHANNEL_TEMPLATE.optional(),
        delivery: DELIVERY.optional(),
        subscribers: anything.optional(),
      })
      .nullish(),
  },
  ({ spec }): ChannelSpec => ({ delivery: spec?.delivery, channelTemplate: spec?.channelTemplate }),
)
const old = version(
  {
    spec: z
      .strictObject({
        channelTemplate: CHANNEL_TEMPLATE.optional(),
        delivery: OLD_DELIVERY.optional(),
        subscribers: anything.optional(),
        subscribable: anything.optional(),
        provisioner: anything.optional(),
        arguments: anything.optional(),
        generation: anything.optional(),
      })
      .nullish(),
  },
  ({ spec }): ChannelSpec => ({ delivery: spec?.delivery, channelTemplate: spec?.channelTemplate }),
)

/** Channel: a durable stream that Subscriptions read from. */
export const channel = defineKind<ChannelSpec>({
  kind: 'Channel',
  plural: 'channels',
  versions: {
    'messaging.knative.dev/v1': current,
    'messaging.knative.dev/v1beta1': old,
    'messaging.knative.dev/v1alpha1': old,
    'eventing.knative.dev/v1alpha1': old,
  },
  address(r, draft) {
    noteTemplate(r, r.spec.channelTemplate, draft)
    const clusterUrl = addChannel(draft, r, r.key, r.name)
    if (clusterUrl === '') return
    addPaths(draft, r, r.key)
    draft.addressable(r.key, shortestAddress(draft, r), clusterUrl)
  },
  immutable: ({ spec }) => [[['spec', 'channelTemplate'], spec.channelTemplate]],
})

/**
 * InMemoryChannel: the same. Here it is durable as well, unless `sluice.dev/stream: memory` says otherwise.
 * Where a Channel of its name stands beside it, as in every dump of a cluster, it is that Channel's backing and no stream of its own.
 */
export const inMemoryChannel = defineKind<ChannelSpec>({
  kind: 'InMemoryChannel',
  plural: 'inmemorychannels',
  versions: {
    'messaging.knative.dev/v1': current,
    'messaging.knative.dev/v1beta1': old,
    'messaging.knative.dev/v1alpha1': old,
  },
  address(r, draft) {
    const front = draft.resource(keyOf('Channel', r.namespace, r.name))
    if (front !== undefined) {
      draft.addressable(r.key, '', draft.clusterUrl(front.key))
      draft.notice(
        `${r.place}: InMemoryChannel ${r.namespace}/${r.name} is the Channel of that name and has no stream of its own`,
      )
      return
    }
    const clusterUrl = addChannel(draft, r, r.key, r.name)
    if (clusterUrl === '') return
    addPaths(draft, r, r.key)
    draft.addressable(r.key, shortestAddress(draft, r), clusterUrl)
  },
})

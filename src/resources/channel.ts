import { z } from 'zod'
import { anything, CHANNEL_TEMPLATE, DELIVERY, OLD_DELIVERY } from './fields.ts'
import { OWN } from './draft.ts'
import { isBacking } from './channel-kind.ts'
import type { ChannelSpec } from './channel-template.ts'
import { defineKind, version } from './kind.ts'
import { addChannel, addPaths, shortestAddress, stand, streamPlan } from './streams.ts'
import { channelStream, channelWanted } from './templates.ts'

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
    const stream = channelStream(draft, r, channelWanted(draft, r, r.spec.channelTemplate), r)
    const clusterUrl = stream === null ? '' : addChannel(draft, r, stream, r.name)
    if (clusterUrl === '') return
    addPaths(draft, r, r.key)
    draft.addressable(r.key, shortestAddress(draft, r), clusterUrl)
  },
  immutable: ({ spec }) => [[['spec', 'channelTemplate'], spec.channelTemplate]],
})

/** InMemoryChannel: the same. Here it is durable as well, unless `sluice.dev/stream: memory` says otherwise. */
export const inMemoryChannel = defineKind<ChannelSpec>({
  kind: 'InMemoryChannel',
  plural: 'inmemorychannels',
  versions: {
    'messaging.knative.dev/v1': current,
    'messaging.knative.dev/v1beta1': old,
    'messaging.knative.dev/v1alpha1': old,
  },
  address(r, draft) {
    if (isBacking(r, draft)) return
    stand(draft, r, r.key, OWN)
    const clusterUrl = addChannel(draft, r, streamPlan(r.key, r.annotations, draft), r.name)
    if (clusterUrl === '') return
    addPaths(draft, r, r.key)
    draft.addressable(r.key, shortestAddress(draft, r), clusterUrl)
  },
})

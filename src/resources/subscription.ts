import { z } from 'zod'
import type { Key } from '../contract/ids.ts'
import type { ChannelSpec } from './channel-template.ts'
import { lowerReply, lowerSubscription, NO_DELIVERY, NO_REPLY } from './delivery.ts'
import type { Draft } from './draft.ts'
import { DELIVERY, type DeliverySpec, OLD_DELIVERY, OLD_REF, OLD_SINK, OLD_SINK_SHAPE, REF, SINK } from './fields.ts'
import { defineKind, version } from './kind.ts'
import { keyOf, type Resource } from './resource.ts'
import { STREAM_CLASSES } from './stream-classes.ts'
import { findReferred, type Ref, refOf, type Sink, sinkOf } from './sinks.ts'

export interface SubscriptionSpec {
  readonly channel: Ref
  /** null = events go to `reply` as they are. */
  readonly subscriber: Sink | null
  readonly reply: Sink | null
  readonly delivery: DeliverySpec | undefined
}

const NEITHER = 'must have a subscriber, a reply or both'

const current = version(
  {
    spec: z
      .strictObject({ channel: REF, subscriber: SINK.nullish(), reply: SINK.nullish(), delivery: DELIVERY.optional() })
      .refine((s) => (s.subscriber ?? s.reply ?? null) !== null, NEITHER),
  },
  ({ spec }): SubscriptionSpec => ({
    channel: refOf(spec.channel),
    subscriber: sinkOf(spec.subscriber ?? undefined),
    reply: sinkOf(spec.reply ?? undefined),
    delivery: spec.delivery,
  }),
)

/** The first spelling answered to a channel only: `reply: {channel: …}`. */
const OLD_REPLY = z.strictObject({ ...OLD_SINK_SHAPE, channel: OLD_REF.optional() })
const old = version(
  {
    spec: z
      .strictObject({
        channel: OLD_REF,
        subscriber: OLD_SINK.nullish(),
        reply: OLD_REPLY.nullish(),
        delivery: OLD_DELIVERY.optional(),
        generation: z.unknown().optional(),
      })
      .refine((s) => (s.subscriber ?? s.reply ?? null) !== null, NEITHER),
  },
  ({ spec }): SubscriptionSpec => ({
    channel: refOf(spec.channel),
    subscriber: sinkOf(spec.subscriber ?? undefined),
    reply: spec.reply?.channel === undefined ? sinkOf(spec.reply ?? undefined) : sinkOf({ ref: spec.reply.channel }),
    delivery: spec.delivery,
  }),
)

/** Subscription: what reads a Channel; replies go on to `reply`. */
export const subscription = defineKind<SubscriptionSpec>({
  kind: 'Subscription',
  plural: 'subscriptions',
  versions: {
    'messaging.knative.dev/v1': current,
    'messaging.knative.dev/v1beta1': old,
    'messaging.knative.dev/v1alpha1': old,
    'eventing.knative.dev/v1alpha1': old,
  },
  connect(r, draft) {
    const from = channelOf(r, draft)
    if (from === undefined) return
    const { subscriber, reply } = r.spec
    lowerSubscription(draft, {
      owner: r,
      key: r.key,
      from: { stream: from.stream },
      filter: null,
      annotations: r.annotations,
      order: 'unordered',
      start: 'latest',
      delivery: r.spec.delivery ?? from.delivery,
      deliveryNamespace: r.namespace,
      subscriber: subscriber ?? (reply as Sink),
      subscriberRole: subscriber === null ? 'reply' : 'subscriber',
      at: subscriber === null ? 'spec.reply' : 'spec.subscriber',
      deadLetterAt: 'spec.delivery.deadLetterSink',
      reply: subscriber === null ? NO_REPLY : lowerReply(draft, r, r.key, reply, 'spec.reply'),
    })
  },
  immutable: ({ spec }) => [[['spec', 'channel'], spec.channel]],
})

const CHANNELS = new Set(['Channel', 'InMemoryChannel', ...STREAM_CLASSES.map((c) => c.channelKind)])

function channelOf(
  r: Resource<SubscriptionSpec>,
  draft: Draft,
): { readonly stream: Key; readonly delivery: DeliverySpec } | undefined {
  const { kind, name } = r.spec.channel
  const found = findReferred(draft, kind, r.namespace, name)
  if (found === undefined || !CHANNELS.has(found.kind)) {
    const what = found === undefined ? `there is no ${kind} ${r.namespace}/${name}` : `a ${kind} is no channel`
    draft.unresolved(r.key, 'ReferencesResolved', 'ChannelNotFound', `spec.channel: ${what}`)
    return undefined
  }
  // The Channel of the same name carries the stream of its backing.
  const front = draft.resource(keyOf('Channel', r.namespace, name)) ?? found
  return { stream: front.key, delivery: (front.spec as ChannelSpec).delivery ?? NO_DELIVERY }
}

import { z } from 'zod'
import type { Key } from '../contract/ids.ts'
import { lowerSubscription, NO_DELIVERY, type Reply } from './delivery.ts'
import type { Draft } from './draft.ts'
import {
  ALWAYS,
  checkOldSink,
  checkSink,
  DELIVERY,
  type DeliverySpec,
  OLD_DELIVERY,
  OLD_SINK_SHAPE,
  SINK_SHAPE,
} from './fields.ts'
import { keyOf, type Resource } from './resource.ts'
import type { ChannelTemplate } from './channel-template.ts'
import type { Role, Sink } from './sinks.ts'
import { addChannel } from './streams.ts'
import { channelStream, channelWanted } from './templates.ts'

/** A step: a sink with a delivery of its own. */
export const STEP = z.strictObject({ ...SINK_SHAPE, delivery: DELIVERY.optional() }).superRefine(checkSink, ALWAYS)
export const OLD_STEP = z.strictObject({ ...OLD_SINK_SHAPE, delivery: OLD_DELIVERY.optional() }).superRefine(checkOldSink, ALWAYS)

/** What makes channels for itself. */
export type Flow = Resource<{ readonly channelTemplate: ChannelTemplate | undefined }>

/** A channel that a flow makes for itself, under Knative's name for it. '' = it cannot be made, and the faults or the status say why. */
export function flowChannel(draft: Draft, owner: Flow, name: string): string {
  const wanted = channelWanted(draft, owner, owner.spec.channelTemplate)
  const stream = channelStream(draft, owner, wanted, { key: channelKey(draft, owner, name), name })
  return stream === null ? '' : addChannel(draft, owner, stream, name)
}

export function channelKey(draft: Draft, owner: Flow, name: string): Key {
  return keyOf(channelWanted(draft, owner, owner.spec.channelTemplate).kind, owner.namespace, name)
}

export interface Hop {
  /** Name of the Subscription as Knative calls it. */
  readonly name: string
  readonly from: Key
  readonly to: Sink | { readonly stream: Key }
  readonly role: Role
  readonly at: string
  readonly delivery: DeliverySpec | undefined
  readonly reply: Reply
  /**
   * Where a subscription that is new begins. A channel inside a flow holds nothing but what the flow put there for it, so
   * it begins at the earliest: the step before may have answered already. A new branch of an old Parallel begins at the end.
   */
  readonly start: 'earliest' | 'latest'
}

/** One subscription of a flow: what a Sequence and a Parallel are made of. */
export function addHop(draft: Draft, owner: Resource, hop: Hop): void {
  lowerSubscription(draft, {
    owner,
    key: hopKey(owner, hop.name),
    from: { stream: hop.from },
    filter: null,
    annotations: owner.annotations,
    order: 'unordered',
    start: hop.start,
    delivery: hop.delivery ?? NO_DELIVERY,
    deliveryNamespace: owner.namespace,
    subscriber: hop.to,
    subscriberRole: hop.role,
    at: hop.at,
    deadLetterAt: `${hop.at.replace(/\.(subscriber|filter)$/, '')}.delivery.deadLetterSink`,
    reply: hop.reply,
  })
}

export function hopKey(owner: Resource, name: string): Key {
  return keyOf('Subscription', owner.namespace, name)
}

/** The target of a reply that stays within the flow. */
export function replyInto(draft: Draft, owner: Resource, name: string, stream: Key): Reply {
  return { to: draft.target(owner, { kind: 'stream', key: `${hopKey(owner, name)}#reply`, stream }), resolved: true }
}

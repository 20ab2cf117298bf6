import { z } from 'zod'
import type { FilterExpression } from '../contract/filter.ts'
import { annotation } from './annotations.ts'
import { type BrokerSpec, brokerDelivery } from './broker.ts'
import { lowerSubscription } from './delivery.ts'
import type { Draft } from './draft.ts'
import { ALWAYS, DELIVERY, type DeliverySpec, OLD_DELIVERY, OLD_SINK, REF, SINK } from './fields.ts'
import { ATTRIBUTES, attributesExpression, FILTER, filtersExpression, type FilterSpec } from './filters.ts'
import { defineKind, version } from './kind.ts'
import { keyOf, type Resource } from './resource.ts'
import { type Ref, refOf, type Sink, sinkOf } from './sinks.ts'

export interface TriggerSpec {
  /** '' = `brokerRef` says it. */
  readonly broker: string
  readonly brokerRef: Ref | null
  readonly filter: FilterExpression | null
  readonly subscriber: Sink
  readonly delivery: DeliverySpec | undefined
}

const filters = z.array(FILTER).nullish()
const broker = z.string().min(1)

const v1 = version(
  {
    spec: z
      .strictObject({
        broker: broker.optional(),
        brokerRef: REF.optional(),
        filter: z.strictObject({ attributes: ATTRIBUTES.nullish() }).nullish(),
        filters,
        subscriber: SINK,
        delivery: DELIVERY.optional(),
      })
      .superRefine((s, refine) => {
        if (s.broker === undefined && s.brokerRef === undefined) {
          refine.addIssue({ code: 'custom', path: ['broker'], message: 'is missing, must be the name of a Broker', input: s })
        } else if (s.broker !== undefined && s.brokerRef !== undefined) {
          refine.addIssue({
            code: 'custom',
            path: ['brokerRef'],
            message: 'stands beside broker; one of the two is allowed',
            input: s,
          })
        }
      }, ALWAYS),
  },
  ({ spec }): TriggerSpec => ({
    broker: spec.broker ?? '',
    brokerRef: spec.brokerRef === undefined ? null : refOf(spec.brokerRef),
    filter: filterOf(spec.filters, spec.filter?.attributes),
    subscriber: sinkOf(spec.subscriber) as Sink,
    delivery: spec.delivery,
  }),
)

const old = version(
  {
    spec: z.strictObject({
      broker: broker.optional(),
      filter: z
        .strictObject({
          attributes: ATTRIBUTES.nullish(),
          sourceAndType: z.strictObject({ source: z.string().optional(), type: z.string().optional() }).nullish(),
        })
        .nullish(),
      filters,
      subscriber: OLD_SINK,
      delivery: OLD_DELIVERY.optional(),
    }),
  },
  ({ spec }): TriggerSpec => ({
    broker: spec.broker ?? 'default',
    brokerRef: null,
    filter: filterOf(spec.filters, spec.filter?.attributes ?? sourceAndType(spec.filter?.sourceAndType)),
    subscriber: sinkOf(spec.subscriber) as Sink,
    delivery: spec.delivery,
  }),
)

/** Trigger: a subscription of a Broker; replies go back to it. */
export const trigger = defineKind<TriggerSpec>({
  kind: 'Trigger',
  plural: 'triggers',
  versions: { 'eventing.knative.dev/v1': v1, 'eventing.knative.dev/v1beta1': old, 'eventing.knative.dev/v1alpha1': old },
  connect(r, draft) {
    const from = brokerOf(r, draft)
    if (from === undefined) return
    const own = r.spec.delivery
    const reply = draft.target(r, { kind: 'stream', key: `${r.key}#reply`, stream: from.key })
    lowerSubscription(draft, {
      owner: r,
      key: r.key,
      from: { stream: from.key },
      filter: r.spec.filter,
      annotations: r.annotations,
      order: annotation(r.annotations, 'kafka.eventing.knative.dev/delivery.order') ?? 'unordered',
      start: 'latest',
      delivery: own ?? brokerDelivery(from, draft),
      deliveryNamespace: own === undefined ? from.namespace : r.namespace,
      subscriber: r.spec.subscriber,
      subscriberRole: 'subscriber',
      at: 'spec.subscriber',
      deadLetterAt: own === undefined ? 'spec.delivery.deadLetterSink of the Broker' : 'spec.delivery.deadLetterSink',
      reply: { to: reply, resolved: true },
    })
  },
  immutable: ({ spec }) => [
    [['spec', 'broker'], spec.broker],
    [['spec', 'brokerRef'], spec.brokerRef],
  ],
})

/** `filters` wins over `filter` where both say something. */
function filterOf(
  list: readonly FilterSpec[] | null | undefined,
  attributes: Readonly<Record<string, string>> | null | undefined,
): FilterExpression | null {
  if (list !== null && list !== undefined && list.length > 0) return filtersExpression(list)
  return attributesExpression(attributes ?? {})
}

/** The first spelling: '' and `Any` = any. */
function sourceAndType(s: { source?: string | undefined; type?: string | undefined } | null | undefined): Record<string, string> {
  const said = Object.entries(s ?? {}).filter((e): e is [string, string] => e[1] !== undefined && e[1] !== '' && e[1] !== 'Any')
  return Object.fromEntries(said)
}

function brokerOf(r: Resource<TriggerSpec>, draft: Draft): Resource<BrokerSpec> | undefined {
  const ref = r.spec.brokerRef
  const name = ref === null ? r.spec.broker : ref.name
  const namespace = ref === null || ref.namespace === '' ? r.namespace : ref.namespace
  const found = draft.resource(keyOf('Broker', namespace, name))
  if (found === undefined) {
    draft.unresolved(r.key, 'BrokerReady', 'BrokerDoesNotExist', `spec.broker: there is no Broker ${namespace}/${name}`)
    return undefined
  }
  return found as Resource<BrokerSpec>
}

import { z } from 'zod'
import type { Draft } from './draft.ts'
import { anything, CHANNEL_TEMPLATE, DELIVERY, type DeliverySpec, OLD_DELIVERY, REF } from './fields.ts'
import { BROKER_DELIVERY } from './delivery.ts'
import { defineKind, version } from './kind.ts'
import type { Resource } from './resource.ts'
import { addPaths, shortestAddress, streamPlan } from './streams.ts'

export interface BrokerSpec {
  readonly delivery?: DeliverySpec | undefined
  readonly config?: unknown
}

const INGRESS_HOSTS = [
  'broker-ingress.knative-eventing.svc.cluster.local',
  'kafka-broker-ingress.knative-eventing.svc.cluster.local',
]
const OWN_CLASSES = new Set(['', 'none', 'MTChannelBasedBroker', 'ChannelBasedBroker'])
const CLASS = 'eventing.knative.dev/broker.class'
const EXTERNAL_TOPIC = 'kafka.eventing.knative.dev/external.topic'

const old = version(
  {
    spec: z
      .strictObject({
        config: REF.optional(),
        delivery: OLD_DELIVERY.optional(),
        channelTemplateSpec: CHANNEL_TEMPLATE.optional(),
      })
      .nullish(),
  },
  ({ spec }): BrokerSpec => ({ config: spec?.config, delivery: spec?.delivery }),
)

/** Broker: a durable stream that Triggers read from. */
export const broker = defineKind<BrokerSpec>({
  kind: 'Broker',
  plural: 'brokers',
  versions: {
    'eventing.knative.dev/v1': version(
      {
        spec: z
          .strictObject({ config: REF.extend({ address: anything.optional() }).optional(), delivery: DELIVERY.optional() })
          .nullish(),
      },
      ({ spec }): BrokerSpec => spec ?? {},
    ),
    'eventing.knative.dev/v1beta1': old,
    'eventing.knative.dev/v1alpha1': old,
  },
  address(r, draft) {
    noteClass(r, draft)
    if (!draft.stream(r, streamPlan(r.key, r.annotations, draft))) return
    addPaths(draft, r, r.key)
    const path = `/${r.namespace}/${r.name}`
    for (const host of INGRESS_HOSTS) draft.route({ host, path, to: { kind: 'stream', stream: r.key, owner: r.key } })
    draft.addressable(r.key, shortestAddress(draft, r), `http://${INGRESS_HOSTS[0] as string}${path}`)
  },
  immutable: (r) => [
    [['metadata', 'annotations', CLASS], r.annotations[CLASS]],
    [['spec', 'config'], r.spec.config],
  ],
})

/** Triggers of this Broker without a delivery of their own have this one. */
export function brokerDelivery(spec: BrokerSpec, namespace: string, draft: Draft): DeliverySpec {
  const { cluster, namespaces } = draft.config.brokers
  return spec.delivery ?? namespaces.get(namespace)?.delivery ?? cluster.delivery ?? BROKER_DELIVERY
}

function noteClass(r: Resource<BrokerSpec>, draft: Draft): void {
  const { cluster, namespaces } = draft.config.brokers
  const given = r.annotations[CLASS]
  const brokerClass = given ?? namespaces.get(r.namespace)?.brokerClass ?? cluster.brokerClass
  if (r.annotations[EXTERNAL_TOPIC] !== undefined) {
    const message = 'a Broker on a topic of Kafka is not served; read the topic with a KafkaSource whose sink is a Broker'
    r.complain(['metadata', 'annotations', EXTERNAL_TOPIC], message)
  } else if (!OWN_CLASSES.has(brokerClass)) {
    draft.notice(
      `${r.place}: Broker ${r.namespace}/${r.name}: the class ${brokerClass} is not served, its events stand in the embedded stream`,
    )
  }
}

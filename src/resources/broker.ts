import { z } from 'zod'
import type { StreamPlan } from '../contract/plan.ts'
import type { Draft } from './draft.ts'
import { anything, CHANNEL_TEMPLATE, DELIVERY, type DeliverySpec, OLD_DELIVERY, REF } from './fields.ts'
import { BROKER_DELIVERY } from './delivery.ts'
import { clusterOf, kafkaStreamPlan, topicNumber } from './kafka-stream.ts'
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
const KAFKA = 'Kafka'
/** Where Knative's Kafka broker looks when nobody says where. */
const DEFAULT_CONFIG = { namespace: 'knative-eventing', name: 'kafka-broker-config' }
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
    const plan = streamOf(r, draft)
    if (plan === null || !draft.stream(r, plan)) return
    addPaths(draft, r, r.key)
    const path = `/${r.namespace}/${r.name}`
    for (const host of INGRESS_HOSTS) draft.route({ host, path, to: { kind: 'stream', stream: r.key, owner: r.key } })
    draft.addressable(r.key, shortestAddress(draft, r), `http://${INGRESS_HOSTS[0] as string}${path}`)
  },
  immutable: (r) => [
    [['metadata', 'annotations', CLASS], r.annotations[CLASS]],
    [['metadata', 'annotations', EXTERNAL_TOPIC], r.annotations[EXTERNAL_TOPIC]],
    [['spec', 'config'], r.spec.config],
  ],
})

/** Triggers of this Broker without a delivery of their own have this one. */
export function brokerDelivery(spec: BrokerSpec, namespace: string, draft: Draft): DeliverySpec {
  const { cluster, namespaces } = draft.config.brokers
  return spec.delivery ?? namespaces.get(namespace)?.delivery ?? cluster.delivery ?? BROKER_DELIVERY
}

/** The class as it is written, else of the namespace, else of the cluster; '' = Knative's own default. */
function classOf(r: Resource<BrokerSpec>, draft: Draft): string {
  const { cluster, namespaces } = draft.config.brokers
  return r.annotations[CLASS] ?? namespaces.get(r.namespace)?.brokerClass ?? cluster.brokerClass
}

/** null = something about its Kafka is missing, and the resource's status says what. */
function streamOf(r: Resource<BrokerSpec>, draft: Draft): StreamPlan | null {
  const brokerClass = classOf(r, draft)
  if (brokerClass === KAFKA || brokerClass === 'KafkaNamespaced') return kafkaStream(r, draft)
  if (r.annotations[EXTERNAL_TOPIC] !== undefined) {
    const message = `stands on a Broker whose class is not ${KAFKA}; write ${CLASS}: ${KAFKA} beside it, or take it away`
    r.complain(['metadata', 'annotations', EXTERNAL_TOPIC], message)
  } else if (!OWN_CLASSES.has(brokerClass)) {
    draft.notice(
      `${r.place}: Broker ${r.namespace}/${r.name}: the class ${brokerClass} is not served, its events stand in the embedded stream`,
    )
  }
  return streamPlan(r.key, r.annotations, draft)
}

/** Names, partitions and replication as Knative's Kafka broker has them; the ConfigMap is that of `spec.config`. */
function kafkaStream(r: Resource<BrokerSpec>, draft: Draft): StreamPlan | null {
  const { cluster: all, namespaces } = draft.config.brokers
  const given = (r.spec.config ?? namespaces.get(r.namespace)?.config ?? all.config ?? DEFAULT_CONFIG) as {
    readonly namespace?: string
    readonly name: string
  }
  const namespace = given.namespace ?? r.namespace
  const cluster = clusterOf(r, draft, 'ConfigParsed', namespace, given.name)
  if (cluster === null) return null
  const data = draft.configMap(namespace, given.name)
  const external = r.annotations[EXTERNAL_TOPIC]
  const create = {
    partitions: topicNumber(r, draft, data, 'default.topic.partitions', 10),
    replication: topicNumber(r, draft, data, 'default.topic.replication.factor', 3),
    retentionMs: 0,
  }
  return kafkaStreamPlan(r, draft, cluster, {
    topic: external ?? `knative-broker-${r.namespace}-${r.name}`,
    create: external === undefined ? create : null,
    channel: '',
    structured: false,
  })
}

import { z } from 'zod'
import type { ChannelTemplate, ChannelWanted } from './channel-template.ts'
import type { BrokerDefault } from './config.ts'
import { type Draft, OWN } from './draft.ts'
import { anything, CHANNEL_TEMPLATE, DELIVERY, type DeliverySpec, OLD_DELIVERY, REF, type RefSpec } from './fields.ts'
import { BROKER_DELIVERY } from './delivery.ts'
import type { Path } from './faults.ts'
import { defineKind, version } from './kind.ts'
import type { Complain, Resource } from './resource.ts'
import type { StreamClass, StreamWish } from './stream-class.ts'
import { classOfBroker, STREAM_CLASSES, standingOf } from './stream-classes.ts'
import { addPaths, shortestAddress, stand, streamPlan } from './streams.ts'
import { brokerChannelWanted, channelStream } from './templates.ts'

export interface BrokerSpec {
  readonly delivery?: DeliverySpec | undefined
  readonly config?: RefSpec | undefined
  /** The first spelling named its channel itself. */
  readonly channelTemplate?: ChannelTemplate | undefined
}

const INGRESS_HOSTS = [
  'broker-ingress.knative-eventing.svc.cluster.local',
  'kafka-broker-ingress.knative-eventing.svc.cluster.local',
]
/** Knative's way to name a message system: the Broker stands on a channel, and its config says of which kind. */
const ON_CHANNELS = new Set(['', 'MTChannelBasedBroker', 'ChannelBasedBroker'])
const CLASS = 'eventing.knative.dev/broker.class'
const OF_CLASSES = STREAM_CLASSES.flatMap((c) => c.brokerAnnotations ?? [])

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
  ({ spec }): BrokerSpec => ({ config: spec?.config, delivery: spec?.delivery, channelTemplate: spec?.channelTemplateSpec }),
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
      ({ spec }): BrokerSpec => (spec ?? {}) as BrokerSpec,
    ),
    'eventing.knative.dev/v1beta1': old,
    'eventing.knative.dev/v1alpha1': old,
  },
  address(r, draft) {
    if (!standsOn(r, draft)) return
    addPaths(draft, r, r.key)
    const path = `/${r.namespace}/${r.name}`
    for (const host of INGRESS_HOSTS) draft.route({ host, path, to: { kind: 'stream', stream: r.key, owner: r.key } })
    draft.addressable(r.key, shortestAddress(draft, r), `http://${INGRESS_HOSTS[0] as string}${path}`)
  },
  immutable: (r) => [
    ...[CLASS, ...OF_CLASSES].map((name): [Path, unknown] => [['metadata', 'annotations', name], r.annotations[name]]),
    [['spec', 'config'], r.spec.config],
  ],
})

/** Triggers of this Broker without a delivery of their own have this one. */
export function brokerDelivery(r: Resource<BrokerSpec>, draft: Draft): DeliverySpec {
  const { cluster, namespaces } = draft.config.brokers
  const brokerClass = classOf(r, draft)
  for (const d of [namespaces.get(r.namespace), cluster]) {
    const delivery = d?.classes.get(brokerClass)?.delivery ?? d?.delivery
    if (r.spec.delivery === undefined && delivery !== undefined) return delivery
  }
  return r.spec.delivery ?? BROKER_DELIVERY
}

/** The class as it is written, else of the namespace, else of the cluster; '' = Knative's own default. */
function classOf(r: Resource<BrokerSpec>, draft: Draft): string {
  const { cluster, namespaces } = draft.config.brokers
  return r.annotations[CLASS] ?? (namespaces.get(r.namespace)?.brokerClass || cluster.brokerClass)
}

/** false = something is missing or wrong, and the resource's status or faults say what. */
function standsOn(r: Resource<BrokerSpec>, draft: Draft): boolean {
  const brokerClass = classOf(r, draft)
  const found = classOfBroker(brokerClass)
  refuseOthers(r, found)
  if (found !== undefined) {
    stand(draft, r, r.key, standingOf(found))
    const plan = found.plan(r, draft, wishOf(r, draft, found))
    return plan !== null && draft.stream(r, plan)
  }
  if (ON_CHANNELS.has(brokerClass)) {
    const wanted = templateOf(r, draft)
    // Knative's name for the channel, so that what stands on it in a cluster is found again.
    const channel = { key: r.key, name: `${r.name}-kne-trigger` }
    const stream = wanted === null ? null : channelStream(draft, r, wanted, channel)
    return stream !== null && draft.stream(r, stream)
  }
  if (brokerClass !== 'none') {
    const what = `the class ${brokerClass} is not served, its events stand in the embedded stream`
    draft.notice(`${r.place}: Broker ${r.namespace}/${r.name}: ${what}`)
  }
  stand(draft, r, r.key, OWN)
  return draft.stream(r, streamPlan(r.key, r.annotations, draft))
}

function templateOf(r: Resource<BrokerSpec>, draft: Draft): ChannelWanted | null {
  const { channelTemplate } = r.spec
  if (channelTemplate === undefined) return brokerChannelWanted(draft, r, configOf(r, draft, undefined))
  const complain: Complain = (path, message) => r.complain(['spec', 'channelTemplateSpec', ...path], message)
  return { kind: channelTemplate.kind, spec: channelTemplate.spec, complain }
}

/** Annotations of a class other than that of the Broker. */
function refuseOthers(r: Resource<BrokerSpec>, own: StreamClass | undefined): void {
  for (const other of STREAM_CLASSES) {
    const [name = ''] = other.brokerClasses
    for (const annotation of other === own ? [] : (other.brokerAnnotations ?? [])) {
      if (r.annotations[annotation] === undefined) continue
      const message = `stands on a Broker whose class is not ${name}; write ${CLASS}: ${name} beside it, or take it away`
      r.complain(['metadata', 'annotations', annotation], message)
    }
  }
}

function wishOf(r: Resource<BrokerSpec>, draft: Draft, found: StreamClass): StreamWish {
  const given = configOf(r, draft, found)
  const { apiVersion = 'v1', kind = '', namespace = r.namespace, name = '' } = given ?? {}
  return {
    key: r.key,
    role: 'broker',
    name: r.name,
    spec: undefined,
    complain: (path, message) => r.complain(['spec', ...path], message),
    config: given === undefined ? null : { apiVersion, kind, namespace, name },
  }
}

/** What the Broker names itself, else what config-br-defaults has for Brokers of its class. */
function configOf(r: Resource<BrokerSpec>, draft: Draft, of: StreamClass | undefined): RefSpec | undefined {
  const { cluster, namespaces } = draft.config.brokers
  const brokerClass = classOf(r, draft)
  const from = (d: BrokerDefault | undefined): RefSpec | undefined => {
    const own = d?.classes.get(brokerClass)?.config
    const fits = d?.brokerClass === '' || classOfBroker(d?.brokerClass ?? '') === of
    return own ?? (fits ? d?.config : undefined)
  }
  return r.spec.config ?? from(namespaces.get(r.namespace)) ?? from(cluster)
}

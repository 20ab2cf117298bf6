import { parse } from 'yaml'
import type { StreamPlan } from '../contract/plan.ts'
import { messageOf } from '../runtime/errors.ts'
import type { Draft } from './draft.ts'
import type { Path } from './faults.ts'
import { faultsOf, mustBe } from './issues.ts'
import { isObject } from './load.ts'
import { natsAccess } from './nats-access.ts'
import { NATS_BROKER_CONFIG, NATS_CHANNEL_SPEC, type NatsBrokerConfig, natsConsumer, natsStream } from './nats-spec.ts'
import type { Resource } from './resource.ts'
import { readSpec, type StreamClass, type StreamWish } from './stream-class.ts'
import { streamPlan } from './streams.ts'

/** JSON with `stream` and `consumer`, as Knative's broker on JetStream reads it. */
const CONFIG_ANNOTATION = 'natsjetstream.eventing.knative.dev/config'
/** In the Broker's namespace; `config` is YAML with `clusterDefault` and `namespaceDefaults`. */
const BROKER_CONFIG = 'natsjetstream-broker-config'

/** NATS JetStream: streams, subjects and consumers named as Knative's channel and broker on it name them. */
export const NATS: StreamClass = {
  brokerClasses: ['NatsJetStream', 'NatsJetStreamBroker'],
  channelKind: 'NatsJetStreamChannel',
  brokerAnnotations: [CONFIG_ANNOTATION],
  plan: (owner, draft, wish) => (wish.role === 'broker' ? brokerPlan(owner, draft, wish) : channelPlan(owner, draft, wish)),
  can: { order: ['unordered', 'ordered'], startEarliest: true, startTime: true, keeps: false, replay: 'rewind' },
}

function channelPlan(owner: Resource, draft: Draft, wish: StreamWish): StreamPlan | null {
  const read = readSpec(NATS_CHANNEL_SPEC, wish)
  const subject = `${owner.namespace}.${wish.name}._knative`
  const name = read?.stream?.overrideName || streamName('KN', owner.namespace, wish.name)
  if (!isStreamName(name)) {
    wish.complain(['stream', 'overrideName'], `is "${name}", must be a name without spaces, dots, * and >`)
    return null
  }
  if (read === null) return null
  const stream = natsStream(name, subject, read.stream?.config)
  return planWith(owner, draft, wish, { stream, subject, consumer: natsConsumer(read.consumerConfigTemplate) })
}

function brokerPlan(owner: Resource, draft: Draft, wish: StreamWish): StreamPlan | null {
  const config = brokerConfig(owner, draft, wish)
  if (config === null) return null
  const subject = `${owner.namespace}.${wish.name}._knative_broker`
  const stream = natsStream(streamName('KN_BROKER', owner.namespace, wish.name), `${subject}.>`, config.stream)
  return planWith(owner, draft, wish, {
    stream,
    subject: `${subject}.events`,
    // Knative's broker begins at the end unless it is told otherwise, as every Broker does here.
    consumer: natsConsumer(config.consumer),
  })
}

function planWith(
  owner: Resource,
  draft: Draft,
  wish: StreamWish,
  names: {
    readonly stream: Readonly<Record<string, unknown>>
    readonly subject: string
    readonly consumer: Readonly<Record<string, unknown>>
  },
): StreamPlan | null {
  const access = natsAccess(owner, draft, wish.config)
  if (access === null) return null
  const plan = streamPlan(wish.key, owner.annotations, draft)
  const settings = { ...plan.settings, ...access, ...names, namespace: owner.namespace, name: wish.name }
  return { ...plan, system: 'nats', settings }
}

/** Knative's way, except for dots, which JetStream does not allow and Knative does not change. */
function streamName(prefix: string, namespace: string, name: string): string {
  return `${prefix}_${namespace}__${name}`.replaceAll(/[-.]/g, '_').toUpperCase()
}

function isStreamName(name: string): boolean {
  return /^[^\s.*>/\\]{1,200}$/.test(name)
}

/** Of the Broker's annotation, else of the ConfigMaps, as a whole; null and a fault where it is none. */
function brokerConfig(owner: Resource, draft: Draft, wish: StreamWish): NatsBrokerConfig | null {
  const text = owner.annotations[CONFIG_ANNOTATION]
  if (text !== undefined)
    return checked(text, (why, path) => owner.complain(['metadata', 'annotations', CONFIG_ANNOTATION, ...path], why))
  const { config } = wish
  const places = [...(config === null ? [] : [config]), { namespace: owner.namespace, name: BROKER_CONFIG }]
  for (const { namespace, name } of places) {
    const defaults = draft.configMap(namespace, name)?.['config']
    if (defaults === undefined) continue
    const unready = (why: string, path: Path): void =>
      draft.unresolved(
        owner.key,
        'ConfigReady',
        'ConfigInvalid',
        `ConfigMap ${namespace}/${name}: config.${path.join('.')} ${why}`,
      )
    return ofNamespace(defaults, owner.namespace, unready)
  }
  return {}
}

type Unfit = (why: string, path: Path) => void

function checked(text: string, unfit: Unfit): NatsBrokerConfig | null {
  const value = yamlOf(text, unfit)
  return value === undefined ? null : shaped(value, [], unfit)
}

function ofNamespace(text: string, namespace: string, unfit: Unfit): NatsBrokerConfig | null {
  const value = yamlOf(text, unfit)
  if (value === undefined) return null
  const all = isObject(value) ? value : {}
  const own = isObject(all['namespaceDefaults']) ? all['namespaceDefaults'][namespace] : undefined
  return own === undefined
    ? shaped(all['clusterDefault'] ?? {}, ['clusterDefault'], unfit)
    : shaped(own, ['namespaceDefaults', namespace], unfit)
}

/** undefined = it is none; JSON is YAML. */
function yamlOf(text: string, unfit: Unfit): unknown {
  try {
    return parse(text) ?? {}
  } catch (e) {
    unfit(`is no JSON and no YAML: ${messageOf(e)}`, [])
    return undefined
  }
}

function shaped(value: unknown, at: Path, unfit: Unfit): NatsBrokerConfig | null {
  const read = NATS_BROKER_CONFIG.safeParse(value, { error: mustBe })
  if (read.success) return read.data
  for (const f of faultsOf(read.error.issues, value, NATS_BROKER_CONFIG, false)) unfit(f.message, [...at, ...f.path])
  return null
}

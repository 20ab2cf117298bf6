import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { StreamPlan } from '../contract/plan.ts'
import type { Draft } from './draft.ts'
import { anything } from './fields.ts'
import { accessOf, DEFAULT_VHOST, type RabbitMqAccess, secretAccess } from './rabbitmq-cluster.ts'
import type { RabbitMqBrokerConfigSpec } from './rabbitmq-config.ts'
import { keyOf, type Resource } from './resource.ts'
import { readSpec, type StreamClass, type StreamWish } from './stream-class.ts'
import { streamPlan } from './streams.ts'

/** Where it is looked for when nobody says where: a Secret or a ConfigMap that names one. */
const CONFIG = { namespace: 'knative-eventing', name: 'config-rabbitmq' }
const CONDITION = 'ConnectionEstablished'

/** Where the connection of a RabbitmqChannel is: a RabbitmqBrokerConfig, a Secret, a cluster of RabbitMQ's operator. */
export const RABBITMQ_CHANNEL_SHAPE = {
  config: z
    .strictObject({
      apiVersion: z.string().optional(),
      kind: z.string().min(1),
      name: z.string().min(1),
      namespace: z.string().min(1).optional(),
    })
    .optional(),
}

const CHANNEL_SPEC = z.strictObject({
  ...RABBITMQ_CHANNEL_SHAPE,
  delivery: anything.optional(),
  subscribers: anything.optional(),
  subscribable: anything.optional(),
})

/** RabbitMQ: an exchange a Broker or channel and a queue a subscription, called as eventing-rabbitmq calls them. */
export const RABBITMQ: StreamClass = {
  brokerClasses: ['RabbitMQBroker', 'RabbitMQ'],
  channelKind: 'RabbitmqChannel',
  plan: rabbitMqPlan,
  can: { order: ['unordered', 'ordered', 'key'], startEarliest: false, startTime: false, keeps: false, replay: 'none' },
}

interface Found {
  readonly access: RabbitMqAccess
  readonly queueType: 'quorum' | 'classic'
}

function rabbitMqPlan(owner: Resource, draft: Draft, wish: StreamWish): StreamPlan | null {
  const read = wish.role === 'channel' ? readSpec(CHANNEL_SPEC, wish) : {}
  if (read === null) return null
  const found = configured(owner, draft, read.config ?? wish.config)
  if (found === null) return null
  const plan = streamPlan(wish.key, owner.annotations, draft)
  const letter = wish.role === 'broker' ? 'b' : 'c'
  // What a flow makes for itself shares the uid of the flow: its name tells it apart.
  const settings = {
    ...plan.settings,
    ...found.access,
    queueType: found.queueType,
    exchange: childName(`${letter}.${owner.namespace}.${wish.name}.`, owner.uid),
    role: wish.role,
    namespace: owner.namespace,
    name: wish.name,
    uid: owner.uid,
  }
  return { ...plan, system: 'rabbitmq', settings }
}

interface ConfigRef {
  readonly kind: string
  readonly name: string
  readonly namespace?: string | undefined
}

/** null = something is missing, and the resource's status says what. */
function configured(owner: Resource, draft: Draft, ref: ConfigRef | null): Found | null {
  const name = ref?.name ?? CONFIG.name
  const namespace = ref === null ? CONFIG.namespace : (ref.namespace ?? owner.namespace)
  const kind = ref?.kind ?? ''
  const config = draft.resource(keyOf('RabbitmqBrokerConfig', namespace, name)) as Resource<RabbitMqBrokerConfigSpec> | undefined
  if (kind === 'RabbitmqBrokerConfig' && config !== undefined) {
    const { cluster, queueType, vhost } = config.spec
    const access = accessOf(owner, draft, { ...cluster, namespace: cluster.namespace ?? namespace }, vhost || DEFAULT_VHOST)
    return access === null ? null : { access, queueType }
  }
  // Knative's oldest way: the cluster itself.
  if (kind === 'RabbitmqCluster') return quorum(accessOf(owner, draft, { name, namespace }, DEFAULT_VHOST))
  if (kind === 'Secret') return quorum(secretAccess(owner, draft, namespace, name, '', DEFAULT_VHOST))
  if (kind === 'ConfigMap' || kind === '') return fromConfigMap(owner, draft, namespace, name)
  const why = `there is no ${kind} ${namespace}/${name} that says where RabbitMQ is; a RabbitmqBrokerConfig, a Secret or a ConfigMap is wanted`
  draft.unresolved(owner.key, CONDITION, 'ConfigMissing', why)
  return null
}

/** A ConfigMap: `auth.secret.ref.name` (in its own namespace unless `auth.secret.ref.namespace` says otherwise), `uri`, `vhost`, `queueType`. */
function fromConfigMap(owner: Resource, draft: Draft, namespace: string, name: string): Found | null {
  const data = draft.configMap(namespace, name)
  const complain = (why: string): null => {
    draft.unresolved(owner.key, CONDITION, 'ConfigMissing', why)
    return null
  }
  if (data === undefined) return complain(`there is no ConfigMap ${namespace}/${name} that says where RabbitMQ is`)
  const secret = data['auth.secret.ref.name'] ?? ''
  if (secret === '') return complain(`ConfigMap ${namespace}/${name}: auth.secret.ref.name is missing`)
  const of = data['auth.secret.ref.namespace'] ?? namespace
  const access = secretAccess(owner, draft, of, secret, data['uri'] ?? '', data['vhost'] ?? DEFAULT_VHOST)
  const queueType = data['queueType'] === 'classic' ? 'classic' : 'quorum'
  return access === null ? null : { access, queueType }
}

function quorum(access: RabbitMqAccess | null): Found | null {
  return access === null ? null : { access, queueType: 'quorum' }
}

const LONGEST = 63
const HASH = 32

/** `kmeta.ChildName` of Knative: what is longer than 63 characters ends in a hash. */
export function childName(parent: string, suffix: string): string {
  if (parent.length <= LONGEST - suffix.length) return parent + suffix
  const hash = (text: string): string => createHash('md5').update(text).digest('hex')
  const head = LONGEST - HASH
  if (head <= suffix.length) {
    const short = parent.slice(0, head) + hash(parent + suffix)
    return short + suffix.slice(0, LONGEST - short.length)
  }
  return parent.slice(0, head - suffix.length) + hash(parent) + suffix
}

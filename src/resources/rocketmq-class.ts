import { z } from 'zod'
import type { StreamPlan } from '../contract/plan.ts'
import type { Secret } from '../runtime/secret.ts'
import type { Draft } from './draft.ts'
import { anything, whole } from './fields.ts'
import { topicNumber } from './kafka-stream.ts'
import type { Resource } from './resource.ts'
import {
  areEndpoints,
  hostsOf,
  MUST_BE_ENDPOINTS,
  nameServersOf,
  NO_ACCESS,
  readToken,
  type RocketMqAccess,
} from './rocketmq-access.ts'
import { rocketMqTopic } from './rocketmq-names.ts'
import { readSpec, type StreamClass, type StreamWish } from './stream-class.ts'
import { streamPlan } from './streams.ts'

const CONFIG = { namespace: 'knative-eventing', name: 'config-rocketmq' }
const NAME = 'RocketMQ'
const QUEUES = 8
const MOST_QUEUES = 1_024
const TYPES = ['NORMAL', 'FIFO'] as const

/** Fields of a RocketMQChannel's spec that say how its topic is made. */
export const ROCKETMQ_CHANNEL_SHAPE = {
  /** Queues of the topic on each broker. */
  queues: whole(1, MOST_QUEUES).optional(),
  /** The order of every key is kept: a FIFO topic. */
  ordered: z.boolean().optional(),
}

const CHANNEL_SPEC = z.strictObject({
  ...ROCKETMQ_CHANNEL_SHAPE,
  delivery: anything.optional(),
  subscribers: anything.optional(),
  subscribable: anything.optional(),
})

/**
 * RocketMQ: a topic a Broker or channel, a consumer group a subscription. What its name servers are needed for (beginning at
 * an event that is there already, reading anew) is had only where the ConfigMap says where they are.
 */
export const ROCKETMQ: StreamClass = {
  brokerClasses: [NAME, 'RocketMQBroker'],
  channelKind: 'RocketMQChannel',
  plan: rocketMqPlan,
  can: { order: ['unordered', 'key'], startEarliest: true, startTime: true, keeps: false, replay: 'rewind' },
}

function rocketMqPlan(owner: Resource, draft: Draft, wish: StreamWish): StreamPlan | null {
  const read = wish.role === 'channel' ? readSpec(CHANNEL_SPEC, wish) : {}
  const { namespace, name } = wish.config ?? CONFIG
  const instance = instanceOf(owner, draft, namespace, name)
  if (read === null || instance === null) return null
  const data = draft.configMap(namespace, name) ?? {}
  const type = read.ordered === undefined ? typeOf(owner, draft, data) : read.ordered ? 'FIFO' : 'NORMAL'
  const made = instance.nameServers.length > 0
  // What this one stream can, by what is known of its instance.
  draft.stand(owner, wish.key, {
    name: NAME,
    can: {
      order: type === 'FIFO' ? ROCKETMQ.can.order : ['unordered'],
      startEarliest: made,
      startTime: made,
      keeps: false,
    },
  })
  const plan = streamPlan(wish.key, owner.annotations, draft)
  const settings = {
    ...plan.settings,
    ...instance,
    topic: rocketMqTopic(wish.role, owner.namespace, wish.name),
    type,
    queues: read.queues ?? topicNumber(owner, draft, data, 'default.topic.queues', QUEUES),
    instance: `/apis/v1/namespaces/${owner.namespace}/${owner.plural}/${wish.name}`,
  }
  return { ...plan, system: 'rocketmq', settings }
}

interface Instance {
  readonly endpoints: readonly string[]
  readonly nameServers: readonly string[]
  readonly nameServersTls: boolean
  readonly cluster: string
  readonly instanceNamespace: string
  readonly credentials: RocketMqAccess['credentials']
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: Secret | null } | null
}

/**
 * What a ConfigMap says: `endpoints`, `namesrvAddr`, `cluster`, `namespace`, `auth.secret.ref.name` (in its own namespace
 * unless `auth.secret.ref.namespace` says otherwise). null = something is missing, and the resource's status says what.
 */
function instanceOf(r: Resource, draft: Draft, namespace: string, name: string): Instance | null {
  const data = draft.configMap(namespace, name)
  const complain = (why: string): null => {
    draft.unresolved(r.key, 'ConfigReady', 'ConfigMissing', why)
    return null
  }
  if (data === undefined) return complain(`there is no ConfigMap ${namespace}/${name} that says where RocketMQ is`)
  const access = accessOf(r, draft, data, namespace)
  if (access === null) return null
  const endpoints = (data['endpoints'] ?? '').trim() || access.url
  if (!areEndpoints(endpoints)) return complain(`ConfigMap ${namespace}/${name}: endpoints ${MUST_BE_ENDPOINTS}`)
  const names = (data['namesrvAddr'] ?? '').trim()
  if (names !== '' && !areEndpoints(names))
    return complain(`ConfigMap ${namespace}/${name}: namesrvAddr must be host:port of name servers, several separated by ;`)
  const { hosts, https } = hostsOf(endpoints)
  return {
    endpoints: hosts,
    nameServers: nameServersOf(names),
    nameServersTls: hostsOf(names).https,
    cluster: data['cluster'] ?? '',
    instanceNamespace: data['namespace'] ?? '',
    credentials: access.credentials,
    tls: access.tls ?? (https ? { ca: '', cert: '', key: null } : null),
  }
}

interface SecretAccess extends RocketMqAccess {
  readonly tls: Instance['tls']
}

/** The Secret: `token` as a RocketMQSource has it, or `accessKeyId` and `accessKeySecret`; `ca.crt`, `user.crt`, `user.key`. */
function accessOf(
  r: Resource,
  draft: Draft,
  data: Readonly<Record<string, string>>,
  configNamespace: string,
): SecretAccess | null {
  const name = data['auth.secret.ref.name'] ?? ''
  if (name === '') return { ...NO_ACCESS, tls: null }
  const namespace = data['auth.secret.ref.namespace'] ?? configNamespace
  const complain = (why: string): null => {
    draft.unresolved(r.key, 'ConfigReady', 'SecretMissing', `Secret ${namespace}/${name}: ${why}`)
    return null
  }
  const secret = draft.secret(namespace, name)
  if (secret === undefined) return complain('it is missing')
  const ca = secret['ca.crt']?.reveal() ?? ''
  const cert = secret['user.crt']?.reveal() ?? ''
  const key = secret['user.key'] ?? null
  const tls = ca === '' && cert === '' ? null : { ca, cert, key }
  const { accessKeyId, accessKeySecret, token } = secret
  if (accessKeyId !== undefined && accessKeySecret !== undefined)
    return { url: '', credentials: { accessKey: accessKeyId.reveal(), accessSecret: accessKeySecret }, tls }
  if (token !== undefined) {
    const read = readToken(token)
    return read === null ? complain('token must be JSON in base64 with accessKeyId and accessKeySecret') : { ...read, tls }
  }
  return tls === null ? complain('it has neither token nor accessKeyId and accessKeySecret') : { ...NO_ACCESS, tls }
}

/** What a ConfigMap's `default.topic.type` says; a fault is said, and NORMAL used. */
function typeOf(r: Resource, draft: Draft, data: Readonly<Record<string, string>>): (typeof TYPES)[number] {
  const text = data['default.topic.type'] ?? 'NORMAL'
  const type = TYPES.find((t) => t === text)
  if (type === undefined)
    draft.notice(
      `${r.place}: ${r.kind} ${r.namespace}/${r.name}: default.topic.type is "${text}", must be NORMAL or FIFO; NORMAL is used`,
    )
  return type ?? 'NORMAL'
}

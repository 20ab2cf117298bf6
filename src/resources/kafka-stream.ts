import type { Key } from '../contract/ids.ts'
import type { StreamPlan } from '../contract/plan.ts'
import type { Secret } from '../runtime/secret.ts'
import type { Draft } from './draft.ts'
import type { KafkaCredentials } from './kafka-net.ts'
import { parseWhole } from './quantities.ts'
import type { Resource } from './resource.ts'
import { streamPlan } from './streams.ts'

/** Where a cluster is and how to be let in; what a topic is made with. */
export interface KafkaCluster extends KafkaCredentials {
  readonly bootstrapServers: readonly string[]
}

export interface KafkaTopic {
  readonly topic: string
  /** null = it is somebody else's: never made here. `retentionMs` 0 = what the broker has for all. */
  readonly create: { readonly partitions: number; readonly replication: number; readonly retentionMs: number } | null
  /** `<namespace>.<name>` of the channel, '' = no channel: it decides how consumer groups are called. */
  readonly channel: string
  readonly structured: boolean
}

const PROTOCOLS = ['PLAINTEXT', 'SASL_PLAINTEXT', 'SSL', 'SASL_SSL']
const MECHANISMS = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512']

/** The stream of a resource on Kafka: `KafkaStreamSettings` of streams/kafka. */
export function kafkaStreamPlan(
  r: Resource,
  draft: Draft,
  cluster: KafkaCluster,
  topic: KafkaTopic,
  stream: { readonly key: Key; readonly name: string } = r,
): StreamPlan {
  const plan = streamPlan(stream.key, r.annotations, draft)
  const settings = { ...plan.settings, ...cluster, ...topic, namespace: r.namespace, name: stream.name }
  return { ...plan, system: 'kafka', settings }
}

/**
 * What a ConfigMap says about the cluster: `bootstrap.servers`, `auth.secret.ref.name` (in the ConfigMap's namespace unless
 * `auth.secret.ref.namespace` says otherwise). null = something is missing, and the resource's status says what.
 */
export function clusterOf(r: Resource, draft: Draft, condition: string, namespace: string, name: string): KafkaCluster | null {
  const data = draft.configMap(namespace, name)
  const complain = (why: string): null => {
    draft.unresolved(r.key, condition, 'ConfigMissing', why)
    return null
  }
  if (data === undefined) return complain(`there is no ConfigMap ${namespace}/${name} that says where Kafka is`)
  const bootstrapServers = serversOf(data['bootstrap.servers'] ?? '')
  if (bootstrapServers.length === 0) return complain(`ConfigMap ${namespace}/${name}: bootstrap.servers is missing`)
  const secret = data['auth.secret.ref.name'] ?? ''
  if (secret === '') return { bootstrapServers, sasl: null, tls: null }
  const credentials = secretCredentials(r, draft, condition, data['auth.secret.ref.namespace'] ?? namespace, secret)
  return credentials === null ? null : { bootstrapServers, ...credentials }
}

/** A Secret as Knative's Kafka components read it: `protocol`, `sasl.mechanism`, `user`, `password`, `ca.crt`, `user.crt`, `user.key`. */
export function secretCredentials(
  r: Resource,
  draft: Draft,
  condition: string,
  namespace: string,
  name: string,
): KafkaCredentials | null {
  const data = draft.secret(namespace, name)
  const at = `Secret ${namespace}/${name}`
  const complain = (why: string): null => {
    draft.unresolved(r.key, condition, 'SecretMissing', why)
    return null
  }
  if (data === undefined) return complain(`there is no ${at}`)
  const text = (...keys: readonly string[]): string => secretOf(data, keys)?.reveal() ?? ''
  const protocol = text('protocol') || legacyProtocol(data)
  if (!PROTOCOLS.includes(protocol)) return complain(`${at}: protocol must be one of ${PROTOCOLS.join(', ')}`)
  const mechanism = text('sasl.mechanism', 'saslType') || 'PLAIN'
  const user = text('user', 'username')
  const password = secretOf(data, ['password'])
  const withSasl = protocol.startsWith('SASL_')
  if (withSasl && !MECHANISMS.includes(mechanism))
    return complain(`${at}: sasl.mechanism must be one of ${MECHANISMS.join(', ')}`)
  if (withSasl && (user === '' || password === undefined)) return complain(`${at}: user or password is missing`)
  return {
    sasl: withSasl && password !== undefined ? { mechanism, user, password } : null,
    tls: protocol.endsWith('SSL')
      ? { ca: text('ca.crt'), cert: text('user.crt'), key: secretOf(data, ['user.key']) ?? null }
      : null,
  }
}

/** A number of a ConfigMap, `otherwise` where it is not given; a fault is said in the resource's status. */
export function topicNumber(
  r: Resource,
  draft: Draft,
  data: Readonly<Record<string, string>> | undefined,
  key: string,
  otherwise: number,
): number {
  const text = data?.[key]
  if (text === undefined) return otherwise
  const n = parseWhole(text)
  if (n !== undefined && n >= 1 && n <= 32_767) return n
  draft.notice(
    `${r.place}: ${r.kind} ${r.namespace}/${r.name}: ${key} is "${text}", must be a whole number from 1; ${otherwise} is used`,
  )
  return otherwise
}

export function serversOf(text: string): string[] {
  return text
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '')
}

function secretOf(data: Readonly<Record<string, Secret>>, keys: readonly string[]): Secret | undefined {
  for (const key of keys) if (data[key] !== undefined) return data[key]
  return undefined
}

/** Secrets of the first Kafka channel say it by what is in them. */
function legacyProtocol(data: Readonly<Record<string, Secret>>): string {
  const tls = secretOf(data, ['tls.enabled'])?.reveal() === 'true' || data['ca.crt'] !== undefined
  const sasl = data['user'] !== undefined || data['username'] !== undefined
  return sasl ? (tls ? 'SASL_SSL' : 'SASL_PLAINTEXT') : tls ? 'SSL' : 'PLAINTEXT'
}

import { z } from 'zod'
import { Secret } from '../runtime/secret.ts'
import type { Draft } from './draft.ts'
import type { Resource } from './resource.ts'

/** Where a RabbitMQ is and how to be let in, as `sources/rabbitmq` takes it. */
export interface RabbitMqAccess {
  readonly hosts: readonly string[]
  readonly vhost: string
  readonly user: string
  readonly password: Secret
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: Secret | null } | null
  /** '' = not known. */
  readonly management: string
}

/** `rabbitmqClusterReference` of eventing-rabbitmq: a cluster of RabbitMQ's operator, or a Secret. */
export const CLUSTER_REFERENCE = z.strictObject({
  name: z.string().min(1).optional(),
  namespace: z.string().min(1).optional(),
  connectionSecret: z.strictObject({ name: z.string().min(1) }).nullish(),
})
export type ClusterReference = z.infer<typeof CLUSTER_REFERENCE>

export const DEFAULT_VHOST = '/'
const PLAIN_PORT = '5672'
const TLS_PORT = '5671'
const CONDITION = 'ConnectionEstablished'

/** null = something is missing, and the resource's status says what. */
export function accessOf(r: Resource, draft: Draft, ref: ClusterReference, vhost: string): RabbitMqAccess | null {
  const namespace = ref.namespace ?? r.namespace
  // The operator keeps what it made for a cluster in a Secret of this name.
  const secret = ref.connectionSecret?.name ?? (ref.name === undefined ? '' : `${ref.name}-default-user`)
  if (secret === '') {
    const why = 'rabbitmqClusterReference has neither name nor connectionSecret'
    draft.unresolved(r.key, CONDITION, 'SecretMissing', why)
    return null
  }
  const host = ref.name === undefined ? '' : `${ref.name}.${namespace}.svc`
  return secretAccess(r, draft, namespace, secret, host, vhost)
}

/**
 * A Secret as eventing-rabbitmq and RabbitMQ's operator have it: `uri` (of AMQP or of the management), or `host`; `port`;
 * `username`, `password`; `ssl`, `ca.crt`, `tls.crt`, `tls.key`; `management` where `uri` is not that of it.
 */
export function secretAccess(
  r: Resource,
  draft: Draft,
  namespace: string,
  name: string,
  otherwiseHost: string,
  vhost: string,
): RabbitMqAccess | null {
  const data = draft.secret(namespace, name)
  const complain = (why: string): null => {
    draft.unresolved(r.key, CONDITION, 'SecretMissing', `Secret ${namespace}/${name}: ${why}`)
    return null
  }
  if (data === undefined) return complain('it is missing')
  const text = (key: string): string => (data[key]?.reveal() ?? '').trim()
  const written = text('uri') || text('connection_string') || text('host') || otherwiseHost
  const uri = uriOf(written)
  if (uri === null) return complain('neither uri nor host says where RabbitMQ is')
  const tls = uri.tls || /^(?:true|1)$/i.test(text('ssl')) || data['ca.crt'] !== undefined
  const port = uri.port || text('port') || (tls ? TLS_PORT : PLAIN_PORT)
  const user = text('username') || uri.user
  const password = data['password'] ?? (uri.password === '' ? undefined : new Secret(uri.password))
  if (user === '' || password === undefined) return complain('username or password is missing')
  return {
    hosts: uri.hosts.map((host) => (/:\d+$/.test(host) ? host : `${host}:${port}`)),
    vhost: vhost !== DEFAULT_VHOST ? vhost : uri.vhost || vhost,
    user,
    password,
    tls: tls ? { ca: text('ca.crt'), cert: text('tls.crt'), key: data['tls.key'] ?? null } : null,
    management: managementOf(text('management') || written),
  }
}

/** eventing-rabbitmq's `uri` is that of the management, with or without its scheme; '' = this is none. */
export function managementOf(text: string): string {
  if (/^https?:\/\//i.test(text)) return URL.canParse(text) ? new URL(text).origin : ''
  const [, host, port] = /^([A-Za-z0-9._-]+|\[[0-9a-fA-F:]+\]):(1567[12])\/?$/.exec(text) ?? []
  return host === undefined ? '' : `${port === '15671' ? 'https' : 'http'}://${host}:${port}`
}

interface Uri {
  readonly hosts: readonly string[]
  /** '' = not said, or that of the management, which is none of ours. */
  readonly port: string
  readonly tls: boolean
  readonly user: string
  readonly password: string
  /** '' = not said. */
  readonly vhost: string
}

const HOST = /^(?:[A-Za-z0-9._-]+|\[[0-9a-fA-F:]+\])(?::\d{1,5})?$/

/** `amqp://user:password@host:port/vhost`, `https://host:15671`, or one or several `host:port`. null = nothing of that. */
export function uriOf(text: string): Uri | null {
  if (!/^[a-z]+:\/\//i.test(text)) {
    const hosts = text
      .split(',')
      .map((one) => one.trim().replace(/\/$/, ''))
      .filter((one) => one !== '')
    if (hosts.length === 0 || !hosts.every((one) => HOST.test(one))) return null
    return { hosts: hosts.map(withoutManagement), port: '', tls: false, user: '', password: '', vhost: '' }
  }
  if (!URL.canParse(text)) return null
  const url = new URL(text)
  if (url.hostname === '') return null
  const amqp = /^amqps?:$/.test(url.protocol)
  return {
    hosts: [url.hostname],
    port: amqp ? url.port : '',
    tls: url.protocol === 'amqps:',
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    vhost: amqp && url.pathname.length > 1 ? decodeURIComponent(url.pathname.slice(1)) : '',
  }
}

/** eventing-rabbitmq writes the address of the management, without a scheme. */
function withoutManagement(host: string): string {
  return host.replace(/:1567[12]$/, '')
}

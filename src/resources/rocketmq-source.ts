import { z } from 'zod'
import { KAFKA_SOURCE_DELIVERY, lowerSubscription, NO_REPLY } from './delivery.ts'
import type { Draft } from './draft.ts'
import { ALWAYS, anything, DELIVERY, type DeliverySpec, OLD_DELIVERY, OLD_SINK, SINK } from './fields.ts'
import { KAFKA_NET, kafkaCredentials, type KafkaNet } from './kafka-net.ts'
import { defineKind, version } from './kind.ts'
import type { Resource } from './resource.ts'
import {
  areEndpoints,
  areNameServers,
  hostsOf,
  MUST_BE_ENDPOINTS,
  NO_ACCESS,
  nameServersOf,
  proxiesBeside,
  readToken,
  type RocketMqAccess,
} from './rocketmq-access.ts'
import { type Sink, sinkOf } from './sinks.ts'

export interface RocketMqSourceSpec {
  readonly topic: string
  readonly groupName: string
  /** As written, several separated by `;` or `,`; '' = the secret's `url`. */
  readonly endpoints: string
  /** Name servers, as written; '' = what an administrator alone can do is not done. */
  readonly nameServers: string
  readonly filter: { readonly kind: 'tag' | 'sql'; readonly expression: string }
  /** null = no access key. */
  readonly accessToken: { readonly name: string; readonly key: string } | null
  readonly tls: KafkaNet['tls']
  readonly delivery: DeliverySpec | undefined
  readonly extensions: Readonly<Record<string, string>>
  readonly sink: Sink
}

const NAME = /^[A-Za-z0-9_%|-]{1,255}$/
const MUST_BE_NAME = 'must be at most 255 letters, digits, _, -, % and |'
const name = z.string().regex(NAME, MUST_BE_NAME)
const endpoints = z.string().refine(areEndpoints, MUST_BE_ENDPOINTS)

const COMMON = {
  topic: name,
  groupName: name,
  endpoints: endpoints.optional(),
  namesrvAddr: endpoints.optional(),
  tag: z.string().min(1).optional(),
  sql: z.string().min(1).optional(),
  accessToken: z
    .strictObject({
      secretKeyRef: z.strictObject({ name: z.string().min(1), key: z.string().min(1), optional: z.boolean().optional() }),
    })
    .optional(),
  net: z.strictObject({ tls: KAFKA_NET.shape.tls }).optional(),
  ceOverrides: z
    .strictObject({
      extensions: z.record(z.string().regex(/^[a-z0-9]+$/, 'must be lower-case letters and digits'), z.string()).nullish(),
    })
    .nullish(),
  resources: anything.optional(),
  serviceAccountName: anything.optional(),
}

const current = version(
  { spec: z.strictObject({ ...COMMON, delivery: DELIVERY.optional(), sink: SINK }).superRefine(oneFilter, ALWAYS) },
  ({ spec }): RocketMqSourceSpec => ({ ...common(spec), delivery: spec.delivery, sink: sinkOf(spec.sink) as Sink }),
)
/** The first shape, whose sink stands without `ref`. */
const old = version(
  { spec: z.strictObject({ ...COMMON, delivery: OLD_DELIVERY.optional(), sink: OLD_SINK }).superRefine(oneFilter, ALWAYS) },
  ({ spec }): RocketMqSourceSpec => ({ ...common(spec), delivery: spec.delivery, sink: sinkOf(spec.sink) as Sink }),
)

/** RocketMQSource: a source and the one subscription that is its sink. */
export const rocketMqSource = defineKind<RocketMqSourceSpec>({
  kind: 'RocketMQSource',
  plural: 'rocketmqsources',
  versions: { 'sources.knative.dev/v1alpha1': current, 'sources.eventing.knative.dev/v1alpha1': old },
  connect(r, draft) {
    const access = accessOf(r, draft)
    const net = kafkaCredentials(r, { sasl: null, tls: r.spec.tls }, draft)
    if (access === null || net === null) return
    const written = r.spec.endpoints || access.url || proxiesBeside(r.spec.nameServers)
    if (!areEndpoints(written)) {
      const why =
        written === ''
          ? 'neither spec.endpoints nor the url of the access token says where RocketMQ is'
          : `the url of the access token ${MUST_BE_ENDPOINTS}`
      return draft.unresolved(r.key, 'ConnectionEstablished', 'EndpointMissing', why)
    }
    // A written https is TLS by the system's authorities.
    const { hosts, https } = hostsOf(written)
    const byScheme = https ? { ca: '', cert: '', key: null } : null
    const names = r.spec.nameServers
    draft.source(r, {
      key: r.key,
      system: 'rocketmq',
      namespace: r.namespace,
      name: r.name,
      settings: {
        endpoints: hosts,
        topic: r.spec.topic,
        group: r.spec.groupName,
        filter: r.spec.filter,
        credentials: access.credentials,
        tls: net.tls ?? byScheme,
        instance: `/apis/v1/namespaces/${r.namespace}/rocketmqsources/${r.name}`,
        ...(names === '' ? {} : { nameServers: nameServersOf(names), nameServersTls: hostsOf(names).https }),
        ...(Object.keys(r.spec.extensions).length === 0 ? {} : { extensions: r.spec.extensions }),
      },
    })
    subscribe(r, draft)
  },
  immutable: ({ spec }) => [[['spec', 'groupName'], spec.groupName]],
  view: ({ accessToken, tls, ...spec }) => ({ ...spec, accessToken: accessToken !== null, tls: tls !== null }),
})

/** By message group (`key`) where there is one: the topic says which of its messages are ordered, not the resource. */
function subscribe(r: Resource<RocketMqSourceSpec>, draft: Draft): void {
  lowerSubscription(draft, {
    owner: r,
    key: r.key,
    from: { source: r.key },
    filter: null,
    annotations: r.annotations,
    order: 'key',
    start: 'earliest',
    delivery: r.spec.delivery ?? KAFKA_SOURCE_DELIVERY,
    deliveryNamespace: r.namespace,
    subscriber: r.spec.sink,
    subscriberRole: 'sink',
    at: 'spec.sink',
    deadLetterAt: 'spec.delivery.deadLetterSink',
    reply: NO_REPLY,
  })
}

/** The Secret's value is base64 of `{"url", "accessKeyId", "accessKeySecret"}`; the JSON itself is taken as well. null = not usable, as the status says. */
function accessOf(r: Resource<RocketMqSourceSpec>, draft: Draft): RocketMqAccess | null {
  const ref = r.spec.accessToken
  if (ref === null) return NO_ACCESS
  const bad = (why: string): null => {
    const where = `spec.accessToken.secretKeyRef: key ${ref.key} of the Secret ${r.namespace}/${ref.name}`
    draft.unresolved(r.key, 'ConnectionEstablished', 'SecretMissing', `${where} ${why}`)
    return null
  }
  const value = draft.secret(r.namespace, ref.name)?.[ref.key]
  if (value === undefined) return bad('is missing')
  return (
    readToken(value) ?? bad('must be JSON in base64 with accessKeyId and accessKeySecret, and url where it says the endpoints')
  )
}

interface CommonSpec {
  readonly topic: string
  readonly groupName: string
  readonly endpoints?: string | undefined
  readonly namesrvAddr?: string | undefined
  readonly tag?: string | undefined
  readonly sql?: string | undefined
  readonly accessToken?: { readonly secretKeyRef: { readonly name: string; readonly key: string } } | undefined
  readonly net?: { readonly tls?: z.infer<typeof KAFKA_NET>['tls'] } | undefined
  readonly ceOverrides?: { readonly extensions?: Readonly<Record<string, string>> | null | undefined } | null | undefined
}

function common(s: CommonSpec): Omit<RocketMqSourceSpec, 'delivery' | 'sink'> {
  const names = s.namesrvAddr ?? ''
  // It was the proxy's address before there was anything to ask a name server for: without a proxy the port decides.
  const both = s.endpoints !== undefined || areNameServers(names)
  return {
    topic: s.topic,
    groupName: s.groupName,
    endpoints: s.endpoints ?? (both ? '' : names),
    nameServers: both ? names : '',
    filter: s.sql === undefined ? { kind: 'tag', expression: s.tag ?? '*' } : { kind: 'sql', expression: s.sql },
    accessToken:
      s.accessToken === undefined ? null : { name: s.accessToken.secretKeyRef.name, key: s.accessToken.secretKeyRef.key },
    tls: s.net?.tls?.enable === true ? s.net.tls : null,
    extensions: s.ceOverrides?.extensions ?? {},
  }
}

function oneFilter(
  spec: { readonly tag?: string | undefined; readonly sql?: string | undefined },
  refine: z.RefinementCtx,
): void {
  if (spec.tag !== undefined && spec.sql !== undefined)
    refine.addIssue({
      code: 'custom',
      path: ['sql'],
      message: 'cannot stand beside tag: a group has one filter',
      input: spec.sql,
    })
}

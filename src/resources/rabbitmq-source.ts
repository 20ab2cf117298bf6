import { z } from 'zod'
import { Secret } from '../runtime/secret.ts'
import { annotation } from './annotations.ts'
import { KAFKA_SOURCE_DELIVERY, lowerSubscription, NO_REPLY } from './delivery.ts'
import type { Draft } from './draft.ts'
import { anything, DELIVERY, type DeliverySpec, OLD_DELIVERY, OLD_SINK, SINK, whole } from './fields.ts'
import { defineKind, type Version, version } from './kind.ts'
import { isObject } from './load.ts'
import {
  accessOf,
  CLUSTER_REFERENCE,
  type ClusterReference,
  DEFAULT_VHOST,
  type RabbitMqAccess,
  uriOf,
} from './rabbitmq-cluster.ts'
import type { Resource } from './resource.ts'
import { type Sink, sinkOf } from './sinks.ts'

export interface RabbitMqSourceSpec {
  readonly access:
    | { readonly cluster: ClusterReference }
    | { readonly brokers: string; readonly user: KeyRef; readonly password: KeyRef }
  readonly vhost: string
  readonly queue: string
  readonly predeclared: boolean
  readonly queueType: 'quorum' | 'classic'
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly exclusive: boolean
  readonly exchange: {
    readonly name: string
    readonly type: string
    readonly durable: boolean
    readonly autoDelete: boolean
    readonly internal: boolean
  }
  readonly routingKeys: readonly string[]
  /** 1 = one after the other, in order. */
  readonly parallelism: number
  readonly delivery: DeliverySpec | undefined
  readonly extensions: Readonly<Record<string, string>>
  readonly sink: Sink
}

const MOST_PARALLEL = 1_000
const name = z.string().refine((t) => t !== '' && Buffer.byteLength(t) <= 255, 'must be a name of 1 to 255 bytes')
const optionalName = z.string().refine((t) => Buffer.byteLength(t) <= 255, 'must be a name of at most 255 bytes')
const TYPES = ['direct', 'fanout', 'headers', 'topic'] as const

const COMMON = {
  serviceAccountName: anything.optional(),
  resourceRequirements: anything.optional(),
  resources: anything.optional(),
  ceOverrides: z
    .strictObject({
      extensions: z.record(z.string().regex(/^[a-z0-9]+$/, 'must be lower-case letters and digits'), z.string()).nullish(),
    })
    .nullish(),
}

const RESOURCES = z.strictObject({
  vhost: z.string().optional(),
  queueName: name,
  queueType: z.enum(['quorum', 'classic']).optional(),
  exchangeName: optionalName.optional(),
  parallelism: whole(1, MOST_PARALLEL).optional(),
  predeclared: z.boolean().optional(),
})

/** As the CRD has it: an exchange of type headers, made where it is missing, a durable queue bound to it. */
const current = version(
  {
    spec: z.strictObject({
      ...COMMON,
      rabbitmqClusterReference: CLUSTER_REFERENCE,
      rabbitmqResourcesConfig: RESOURCES,
      delivery: DELIVERY.optional(),
      sink: SINK,
    }),
  },
  ({ spec }): RabbitMqSourceSpec => {
    const c = spec.rabbitmqResourcesConfig
    return {
      access: { cluster: spec.rabbitmqClusterReference },
      vhost: c.vhost ?? DEFAULT_VHOST,
      queue: c.queueName,
      predeclared: c.predeclared ?? false,
      queueType: c.queueType ?? 'quorum',
      durable: true,
      autoDelete: false,
      exclusive: false,
      exchange: { name: c.exchangeName ?? '', type: 'headers', durable: true, autoDelete: false, internal: false },
      routingKeys: [''],
      parallelism: c.parallelism ?? 1,
      delivery: spec.delivery,
      extensions: spec.ceOverrides?.extensions ?? {},
      sink: sinkOf(spec.sink) as Sink,
    }
  },
)

const keyRef = z
  .strictObject({
    secretKeyRef: z.strictObject({ name: z.string().min(1), key: z.string().min(1), optional: anything.optional() }),
  })
  .nullish()
type KeyRef = z.infer<typeof keyRef>

const MUST_BE_BROKERS = 'must be host:port of RabbitMQ, several separated by commas'

const EXCHANGE = {
  name: optionalName.optional(),
  type: z.enum(TYPES).optional(),
  durable: z.boolean().optional(),
  internal: z.boolean().optional(),
  nowait: anything.optional(),
}
const QUEUE = {
  name: optionalName.optional(),
  durable: z.boolean().optional(),
  exclusive: z.boolean().optional(),
  nowait: anything.optional(),
}
const FLAT = z.strictObject({
  ...COMMON,
  brokers: z.string().refine((t) => uriOf(t) !== null, MUST_BE_BROKERS),
  topic: optionalName.optional(),
  user: keyRef,
  password: keyRef,
  vhost: z.string().optional(),
  predeclared: z.boolean().optional(),
  channelConfig: z
    .strictObject({
      prefetchCount: whole(1, MOST_PARALLEL).optional(),
      parallelism: whole(1, MOST_PARALLEL).optional(),
      globalQos: anything.optional(),
    })
    .optional(),
  channel_config: z
    .strictObject({ prefetch_count: whole(1, MOST_PARALLEL).optional(), global_qos: anything.optional() })
    .optional(),
  exchangeConfig: z.strictObject({ ...EXCHANGE, autoDelete: z.boolean().optional() }).optional(),
  exchange_config: z.strictObject({ ...EXCHANGE, auto_deleted: z.boolean().optional() }).optional(),
  queueConfig: z.strictObject({ ...QUEUE, autoDelete: z.boolean().optional(), routingKey: z.string().optional() }).optional(),
  queue_config: z
    .strictObject({ ...QUEUE, delete_when_unused: z.boolean().optional(), routing_key: z.string().optional() })
    .optional(),
  delivery: OLD_DELIVERY.optional(),
  sink: OLD_SINK,
})

/** The first shapes, with the server's own words in camel case or with underscores. */
function fromFlat(spec: z.infer<typeof FLAT>): RabbitMqSourceSpec {
  const exchange = spec.exchangeConfig ?? {}
  const older = spec.exchange_config ?? {}
  const queue = spec.queueConfig ?? {}
  const olderQueue = spec.queue_config ?? {}
  const type = exchange.type ?? older.type ?? 'fanout'
  const keys = queue.routingKey ?? olderQueue.routing_key ?? ''
  return {
    access: { brokers: spec.brokers, user: spec.user, password: spec.password },
    vhost: spec.vhost || DEFAULT_VHOST,
    queue: queue.name ?? olderQueue.name ?? '',
    predeclared: spec.predeclared ?? false,
    queueType: 'classic',
    durable: queue.durable ?? olderQueue.durable ?? false,
    autoDelete: queue.autoDelete ?? olderQueue.delete_when_unused ?? false,
    exclusive: queue.exclusive ?? olderQueue.exclusive ?? false,
    exchange: {
      name: type === 'topic' ? (spec.topic ?? '') : (exchange.name ?? older.name ?? 'logs'),
      type,
      durable: exchange.durable ?? older.durable ?? false,
      autoDelete: exchange.autoDelete ?? older.auto_deleted ?? false,
      internal: exchange.internal ?? older.internal ?? false,
    },
    routingKeys: type === 'fanout' ? [''] : keys.split(','),
    parallelism: spec.channelConfig?.parallelism ?? spec.channelConfig?.prefetchCount ?? spec.channel_config?.prefetch_count ?? 1,
    delivery: spec.delivery,
    extensions: spec.ceOverrides?.extensions ?? {},
    sink: sinkOf(spec.sink) as Sink,
  }
}

const flat = version({ spec: FLAT }, ({ spec }) => fromFlat(spec))
/** v1alpha1 has had all shapes: the one that is written counts. */
const alpha: Version<RabbitMqSourceSpec> = {
  schema: current.schema,
  read: (object) => (isObject(object) && isObject(object['spec']) && 'brokers' in object['spec'] ? flat : current).read(object),
}

/** RabbitmqSource: a source and the one subscription that is its sink. */
export const rabbitMqSource = defineKind<RabbitMqSourceSpec>({
  kind: 'RabbitmqSource',
  plural: 'rabbitmqsources',
  versions: {
    'sources.knative.dev/v1': current,
    'sources.knative.dev/v1beta1': current,
    'sources.knative.dev/v1alpha1': alpha,
    'sources.eventing.knative.dev/v1alpha1': flat,
  },
  connect(r, draft) {
    const access = sourceAccess(r, draft)
    if (access === null) return
    const { spec } = r
    const { exchange } = spec
    draft.source(r, {
      key: r.key,
      system: 'rabbitmq',
      namespace: r.namespace,
      name: r.name,
      settings: {
        ...access,
        queue: spec.queue,
        ordered: orderOf(r) === 'ordered',
        declare: spec.predeclared
          ? null
          : {
              queueType: spec.queueType,
              durable: spec.durable,
              autoDelete: spec.autoDelete,
              exclusive: spec.exclusive,
              exchange: exchange.name,
              exchangeType: exchange.type,
              exchangeDurable: exchange.durable,
              exchangeAutoDelete: exchange.autoDelete,
              exchangeInternal: exchange.internal,
              routingKeys: spec.routingKeys,
            },
        source: `/apis/v1/namespaces/${r.namespace}/rabbitmqsources/${r.name}#${spec.queue}`,
        ...(Object.keys(spec.extensions).length === 0 ? {} : { extensions: spec.extensions }),
      },
    })
    subscribe(r, draft)
  },
  immutable: ({ spec }) => [[['spec', 'rabbitmqResourcesConfig', 'queueName'], spec.queue]],
  view: ({ access, ...spec }) => ({
    ...spec,
    ...('cluster' in access ? { rabbitmqClusterReference: access.cluster } : { brokers: access.brokers }),
  }),
})

function sourceAccess(r: Resource<RabbitMqSourceSpec>, draft: Draft): RabbitMqAccess | null {
  const { access, vhost } = r.spec
  if ('cluster' in access) return accessOf(r, draft, access.cluster, vhost)
  const uri = uriOf(access.brokers)
  const user = secretText(r, draft, access.user, 'user', uri?.user ?? '')
  const password = secretText(r, draft, access.password, 'password', uri?.password ?? '')
  // A key that is missing has been said.
  if (uri === null || user === null || password === null) return null
  const port = uri.port || (uri.tls ? '5671' : '5672')
  return {
    hosts: uri.hosts.map((host) => (/:\d+$/.test(host) ? host : `${host}:${port}`)),
    vhost: vhost !== DEFAULT_VHOST ? vhost : uri.vhost || vhost,
    user: user || 'guest',
    password: new Secret(password || 'guest'),
    tls: uri.tls ? { ca: '', cert: '', key: null } : null,
    management: '',
  }
}

/** null = it is not there, as the status says. */
function secretText(r: Resource, draft: Draft, ref: KeyRef, at: string, otherwise: string): string | null {
  if (ref === null || ref === undefined) return otherwise
  const { name: of, key } = ref.secretKeyRef
  const value = draft.secret(r.namespace, of)?.[key]
  if (value !== undefined) return value.reveal()
  const why = `spec.${at}: there is no key ${key} in a Secret ${r.namespace}/${of}`
  draft.unresolved(r.key, 'ConnectionEstablished', 'SecretMissing', why)
  return null
}

/** As it is written, else one after the other where there is one worker. */
function orderOf(r: Resource<RabbitMqSourceSpec>): 'ordered' | 'unordered' | 'key' {
  return annotation(r.annotations, 'sluice.dev/delivery-order') ?? (r.spec.parallelism === 1 ? 'ordered' : 'unordered')
}

/** One after the other where Knative has one worker, its default; else as many at once as it has workers. */
function subscribe(r: Resource<RabbitMqSourceSpec>, draft: Draft): void {
  const { parallelism } = r.spec
  const most = parallelism > 1 ? { 'sluice.dev/max-concurrency': String(parallelism) } : {}
  lowerSubscription(draft, {
    owner: r,
    key: r.key,
    from: { source: r.key },
    filter: null,
    annotations: { ...most, ...r.annotations },
    order: orderOf(r),
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

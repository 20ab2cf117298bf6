import { z } from 'zod'
import type { DeliveryPlan } from '../contract/plan.ts'
import { annotation } from './annotations.ts'
import { KAFKA_SOURCE_DELIVERY, lowerSubscription, NO_REPLY } from './delivery.ts'
import type { Draft } from './draft.ts'
import { anything, DELIVERY, type DeliverySpec, OLD_DELIVERY, OLD_SINK, SINK, whole } from './fields.ts'
import { KAFKA_NET, kafkaCredentials, type KafkaNet } from './kafka-net.ts'
import { sentence, valueAt } from './issues.ts'
import { defineKind, version } from './kind.ts'
import type { Resource } from './resource.ts'
import { type Sink, sinkOf } from './sinks.ts'

export interface KafkaSourceSpec {
  readonly bootstrapServers: readonly string[]
  readonly topics: readonly string[]
  /** '' = `knative-kafka-source-<uid>`. */
  readonly consumerGroup: string
  readonly initialOffset: 'earliest' | 'latest'
  readonly consumers: number
  readonly ordering: 'ordered' | 'unordered'
  readonly delivery: DeliverySpec | undefined
  readonly extensions: Readonly<Record<string, string>>
  readonly net: KafkaNet
  readonly sink: Sink
}

const KEY_TYPES = ['string', 'int', 'float', 'byte-array'] as const
const KEY_TYPE_LABEL = 'kafkasources.sources.knative.dev/key-type'

const MUST_BE_SERVER = 'must be host:port'
const SERVER = /^(?:[A-Za-z0-9._-]+|\[[0-9a-fA-F:]+\]):\d{1,5}$/
const TOPIC = /^[A-Za-z0-9._-]{1,249}$/
const MUST_BE_TOPIC = 'must be a topic: at most 249 letters, digits, ., _ and -'
const server = z.string().regex(SERVER, MUST_BE_SERVER)
const topic = z.string().regex(TOPIC, MUST_BE_TOPIC)
const someOf = (one: z.ZodString, what: string): z.ZodArray<z.ZodString> => z.array(one).min(1, `must name at least one ${what}`)
/** The first spelling: one text, separated by commas; a list as well. */
const listOrText = (pattern: RegExp, must: string): z.ZodType<string[] | string> =>
  z
    .union([z.array(z.string()), z.string()], 'must be a text separated by commas, or a list')
    .refine((v) => split(v).length > 0 && split(v).every((one) => pattern.test(one)), `${must}, or several separated by commas`)

const CE_OVERRIDES = z
  .strictObject({
    extensions: z.record(z.string().regex(/^[a-z0-9]+$/, 'must be lower-case letters and digits'), z.string()).nullish(),
  })
  .nullish()
const COMMON = {
  consumerGroup: z.string().min(1).optional(),
  consumers: whole(0, 10_000).optional(),
  initialOffset: z.enum(['earliest', 'latest']).optional(),
  ceOverrides: CE_OVERRIDES,
  net: KAFKA_NET.optional(),
}
/** KEDA's and the scheduler's, which mean nothing here. */
const SCHEDULING = { resources: anything.optional(), serviceAccountName: anything.optional(), autoscaling: anything.optional() }

const current = version(
  {
    spec: z.strictObject({
      ...COMMON,
      ...SCHEDULING,
      bootstrapServers: someOf(server, 'server'),
      topics: someOf(topic, 'topic'),
      ordering: z.enum(['ordered', 'unordered']).optional(),
      delivery: DELIVERY.optional(),
      sink: SINK,
    }),
  },
  ({ spec }): KafkaSourceSpec => ({
    bootstrapServers: spec.bootstrapServers,
    topics: spec.topics,
    ...common(spec),
    ordering: spec.ordering ?? 'ordered',
    delivery: spec.delivery,
    sink: sinkOf(spec.sink) as Sink,
  }),
)

/** Flat, as Alibaba's console writes it: servers and topics may be one text; unordered. DESIGN §11 */
const flat = version(
  {
    spec: z.strictObject({
      ...COMMON,
      ...SCHEDULING,
      bootstrapServers: listOrText(SERVER, MUST_BE_SERVER),
      topics: listOrText(TOPIC, MUST_BE_TOPIC),
      ordering: z.enum(['ordered', 'unordered']).optional(),
      delivery: OLD_DELIVERY.optional(),
      sink: OLD_SINK,
    }),
  },
  ({ spec }): KafkaSourceSpec => ({
    bootstrapServers: split(spec.bootstrapServers),
    topics: split(spec.topics),
    ...common(spec),
    ordering: spec.ordering ?? 'unordered',
    delivery: spec.delivery,
    sink: sinkOf(spec.sink) as Sink,
  }),
)

/** KafkaSource: a source and the one subscription that is its sink. */
export const kafkaSource = defineKind<KafkaSourceSpec>({
  kind: 'KafkaSource',
  plural: 'kafkasources',
  versions: {
    'sources.knative.dev/v1': current,
    'sources.knative.dev/v1beta1': current,
    'sources.knative.dev/v1alpha1': flat,
    'sources.eventing.knative.dev/v1alpha1': flat,
  },
  inspect(object, complain) {
    const label = valueAt(object, ['metadata', 'labels', KEY_TYPE_LABEL])
    if (typeof label === 'string' && !(KEY_TYPES as readonly string[]).includes(label)) {
      complain(['metadata', 'labels', KEY_TYPE_LABEL], sentence(`must be one of ${KEY_TYPES.join(', ')}`, label))
    }
  },
  connect(r, draft) {
    const credentials = kafkaCredentials(r, r.spec.net, draft)
    if (credentials === null) return
    draft.source(r, {
      key: r.key,
      system: 'kafka',
      namespace: r.namespace,
      name: r.name,
      settings: { ...kafkaSettings(r), ...credentials },
    })
    subscribe(r, draft)
  },
  immutable: ({ spec }) => [[['spec', 'consumerGroup'], spec.consumerGroup]],
  view: ({ net, ...spec }) => ({ ...spec, net: { sasl: net.sasl !== null, tls: net.tls !== null } }),
})

/** `KafkaSettings` of sources/kafka; what is left out has its default there. */
function kafkaSettings(r: Resource<KafkaSourceSpec>): Readonly<Record<string, unknown>> {
  const s = r.spec
  return {
    bootstrapServers: s.bootstrapServers,
    topics: s.topics,
    consumerGroup: s.consumerGroup === '' ? `knative-kafka-source-${r.uid}` : s.consumerGroup,
    initialOffset: s.initialOffset,
    consumers: s.consumers,
    keyType: r.labels[KEY_TYPE_LABEL] ?? 'string',
    namespace: r.namespace,
    name: r.name,
    ...(Object.keys(s.extensions).length === 0 ? {} : { extensions: s.extensions }),
  }
}

function subscribe(r: Resource<KafkaSourceSpec>, draft: Draft): void {
  lowerSubscription(draft, {
    owner: r,
    key: r.key,
    from: { source: r.key },
    filter: null,
    annotations: r.annotations,
    order: r.spec.ordering,
    start: r.spec.initialOffset,
    delivery: r.spec.delivery ?? KAFKA_SOURCE_DELIVERY,
    deliveryNamespace: r.namespace,
    subscriber: r.spec.sink,
    subscriberRole: 'sink',
    at: 'spec.sink',
    deadLetterAt: 'spec.delivery.deadLetterSink',
    reply: NO_REPLY,
    host: annotation(r.annotations, 'k8s.aliyun.com/domain') ?? '',
    override: alibabaDelivery(r),
  })
}

/** `k8s.aliyun.com/retry-…`: what `spec.delivery` says in its own words wins. The interval is the same between all retries. */
function alibabaDelivery(r: Resource<KafkaSourceSpec>): Partial<DeliveryPlan> {
  const d = r.spec.delivery ?? {}
  const retry = annotation(r.annotations, 'k8s.aliyun.com/retry-count')
  const intervalMs = annotation(r.annotations, 'k8s.aliyun.com/retry-interval')
  const timeoutMs = annotation(r.annotations, 'k8s.aliyun.com/req-timeout')
  return {
    ...(retry !== undefined && d.retry === undefined ? { retry } : {}),
    ...(intervalMs !== undefined && d.backoffDelay === undefined
      ? { backoffPolicy: 'linear' as const, backoffDelayMs: intervalMs, backoffMaxMs: intervalMs }
      : {}),
    ...(timeoutMs !== undefined && d.timeout === undefined ? { timeoutMs } : {}),
  }
}

interface CommonSpec {
  readonly consumerGroup?: string | undefined
  readonly consumers?: number | undefined
  readonly initialOffset?: 'earliest' | 'latest' | undefined
  readonly ceOverrides?: { readonly extensions?: Readonly<Record<string, string>> | null | undefined } | null | undefined
  readonly net?: z.infer<typeof KAFKA_NET> | undefined
}

function common(s: CommonSpec): Pick<KafkaSourceSpec, 'consumerGroup' | 'initialOffset' | 'consumers' | 'extensions' | 'net'> {
  return {
    consumerGroup: s.consumerGroup ?? '',
    initialOffset: s.initialOffset ?? 'latest',
    consumers: s.consumers ?? 1,
    extensions: s.ceOverrides?.extensions ?? {},
    net: { sasl: s.net?.sasl?.enable === true ? s.net.sasl : null, tls: s.net?.tls?.enable === true ? s.net.tls : null },
  }
}

function split(v: readonly string[] | string): string[] {
  const list = typeof v === 'string' ? v.split(',') : v.flatMap((one) => one.split(','))
  return list.map((one) => one.trim()).filter((one) => one !== '')
}

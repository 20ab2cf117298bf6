import { z } from 'zod'
import { parseGoDuration } from './durations.ts'
import { anything, whole } from './fields.ts'

/** Go's spelling, as Kubernetes writes a Duration. */
const goDuration = z
  .string()
  .refine((text) => parseGoDuration(text) !== undefined, 'must be a duration such as 30s, 10m or 168h')
  .meta({ format: 'duration' })
const moment = z.string().refine((text) => !Number.isNaN(Date.parse(text)), 'must be a time such as 2026-11-01T00:00:00Z')
const subject = z
  .string()
  .regex(/^[^\s.]+(?:\.[^\s.]+)*$/, 'must be a subject of NATS: words without spaces, separated by single dots')
const BIG = Number.MAX_SAFE_INTEGER

const NOT_OURS =
  'is not served; make the stream yourself and name it in spec.stream.overrideName: one that is there is taken as it is'
const never = z.unknown().refine((value) => value === undefined, NOT_OURS)

/** StreamConfig of eventing-natss. */
const STREAM_CONFIG = z.strictObject({
  additionalSubjects: z.array(subject).optional(),
  retention: z.enum(['Limits', 'Interest', 'Work']).optional(),
  maxConsumers: whole(-1, 2 ** 31 - 1).optional(),
  maxMsgs: whole(-1, BIG).optional(),
  maxBytes: whole(-1, BIG).optional(),
  discard: z.enum(['Old', 'New']).optional(),
  maxAge: goDuration.optional(),
  maxMsgSize: whole(-1, 2 ** 31 - 1).optional(),
  storage: z.enum(['File', 'Memory']).optional(),
  replicas: whole(0, 5).optional(),
  // Nothing would be known to be stored.
  noAck: z.literal(false).optional(),
  duplicateWindow: goDuration.optional(),
  placement: z.strictObject({ cluster: z.string().optional(), tags: z.array(z.string()).optional() }).optional(),
  mirror: never.optional(),
  sources: never.optional(),
})

/** ConsumerConfigTemplate of eventing-natss. What it says of maxDeliver is not looked at there either. */
const CONSUMER_TEMPLATE = z.strictObject({
  deliverPolicy: z.enum(['All', 'Last', 'New', 'ByStartSequence', 'ByStartTime']).optional(),
  optStartSeq: whole(0, BIG).optional(),
  optStartTime: moment.optional(),
  ackWait: goDuration.optional(),
  maxDeliver: anything.optional(),
  filterSubject: z.union([z.literal(''), subject]).optional(),
  replayPolicy: z.enum(['', 'Instant', 'Original']).optional(),
  rateLimitBPS: whole(0, BIG).optional(),
  sampleFrequency: z.string().optional(),
  maxAckPending: whole(0, 2 ** 31 - 1).optional(),
  consumerType: z.enum(['', 'Push', 'Pull']).optional(),
  fetchBatchSize: anything.optional(),
  fetchMaxWait: anything.optional(),
})

/** Fields of a NatsJetStreamChannel's spec that say how its stream and its consumers are made. */
export const NATS_CHANNEL_SHAPE = {
  stream: z.strictObject({ overrideName: z.string().optional(), config: STREAM_CONFIG.optional() }).optional(),
  consumerConfigTemplate: CONSUMER_TEMPLATE.optional(),
  deploymentSpecTemplate: anything.optional(),
}

export const NATS_CHANNEL_SPEC = z.strictObject({
  ...NATS_CHANNEL_SHAPE,
  delivery: anything.optional(),
  subscribers: anything.optional(),
  subscribable: anything.optional(),
})

/** NatsJetStreamBrokerConfig of eventing-natss. */
export const NATS_BROKER_CONFIG = z.strictObject({
  stream: STREAM_CONFIG.optional(),
  consumer: CONSUMER_TEMPLATE.optional(),
  ingress: anything.optional(),
  filter: anything.optional(),
})
export type NatsBrokerConfig = z.infer<typeof NATS_BROKER_CONFIG>

type StreamConfig = z.infer<typeof STREAM_CONFIG>
type ConsumerTemplate = z.infer<typeof CONSUMER_TEMPLATE>

const ms = (text: string | undefined): number => (text === undefined ? 0 : (parseGoDuration(text) ?? 0))
const RETENTION = { Limits: 'limits', Interest: 'interest', Work: 'workqueue' } as const

/** `StreamCreate` of the NATS client: 0 = what the server has. */
export function natsStream(name: string, subject: string, c: StreamConfig | undefined): Readonly<Record<string, unknown>> {
  return {
    name,
    subjects: [subject, ...(c?.additionalSubjects ?? [])],
    retention: RETENTION[c?.retention ?? 'Limits'],
    discard: c?.discard === 'New' ? 'new' : 'old',
    storage: c?.storage === 'Memory' ? 'memory' : 'file',
    replicas: c?.replicas ?? 0,
    maxConsumers: c?.maxConsumers ?? 0,
    maxMsgs: c?.maxMsgs ?? 0,
    maxBytes: c?.maxBytes ?? 0,
    maxAgeMs: ms(c?.maxAge),
    maxMsgSize: c?.maxMsgSize ?? 0,
    duplicateWindowMs: ms(c?.duplicateWindow),
    placement: c?.placement === undefined ? null : { cluster: c.placement.cluster ?? '', tags: c.placement.tags ?? [] },
  }
}

/** `ConsumerTemplate` of streams/nats. */
export function natsConsumer(t: ConsumerTemplate | undefined): Readonly<Record<string, unknown>> {
  return {
    ackWaitMs: ms(t?.ackWait),
    maxAckPending: t?.maxAckPending ?? 0,
    filterSubject: t?.filterSubject ?? '',
    replay: t?.replayPolicy === 'Original' ? 'original' : 'instant',
    rateLimitBps: t?.rateLimitBPS ?? 0,
    sampleFrequency: t?.sampleFrequency ?? '',
    start: startOf(t),
  }
}

/** null = a new subscription begins where it does on every stream. */
function startOf(t: ConsumerTemplate | undefined): Readonly<Record<string, unknown>> | null {
  switch (t?.deliverPolicy) {
    case 'All':
      return { at: 'all' }
    case 'Last':
      return { at: 'last' }
    case 'ByStartSequence':
      return { at: 'sequence', sequence: t.optStartSeq ?? 1 }
    case 'ByStartTime':
      return { at: 'time', timeMs: Date.parse(t.optStartTime ?? '1970-01-01T00:00:00Z') }
    default:
      return null
  }
}

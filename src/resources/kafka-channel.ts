import { z } from 'zod'
import type { ChannelSpec } from './channel.ts'
import { parseIsoDuration } from './durations.ts'
import type { Draft } from './draft.ts'
import { anything, DELIVERY, isoDuration, OLD_DELIVERY, whole } from './fields.ts'
import { clusterOf, kafkaStreamPlan } from './kafka-stream.ts'
import { defineKind, version } from './kind.ts'
import { keyOf, type Resource } from './resource.ts'
import { addPaths, shortestAddress } from './streams.ts'

export interface KafkaChannelSpec extends ChannelSpec {
  readonly numPartitions: number
  readonly replicationFactor: number
  readonly retentionMs: number
}

/** Knative's: a week. */
const RETENTION = 'PT168H'
const CONFIG = { namespace: 'knative-eventing', name: 'kafka-channel-config' }

const shape = {
  numPartitions: whole(1, 2 ** 31 - 1).optional(),
  replicationFactor: whole(1, 32_767).optional(),
  retentionDuration: isoDuration.optional(),
  subscribers: anything.optional(),
}

function specOf(
  spec:
    | {
        numPartitions?: number | undefined
        replicationFactor?: number | undefined
        retentionDuration?: string | undefined
        delivery?: ChannelSpec['delivery']
      }
    | null
    | undefined,
): KafkaChannelSpec {
  return {
    delivery: spec?.delivery,
    numPartitions: spec?.numPartitions ?? 1,
    replicationFactor: spec?.replicationFactor ?? 1,
    retentionMs: parseIsoDuration(spec?.retentionDuration ?? RETENTION) ?? 0,
  }
}

/** KafkaChannel: a stream on the topic `knative-messaging-kafka.<namespace>.<name>` that Subscriptions read from. */
export const kafkaChannel = defineKind<KafkaChannelSpec>({
  kind: 'KafkaChannel',
  plural: 'kafkachannels',
  versions: {
    'messaging.knative.dev/v1': version({ spec: z.strictObject({ ...shape, delivery: DELIVERY.optional() }).nullish() }, (o) =>
      specOf(o.spec),
    ),
    'messaging.knative.dev/v1beta1': version(
      { spec: z.strictObject({ ...shape, delivery: OLD_DELIVERY.optional(), subscribable: anything.optional() }).nullish() },
      (o) => specOf(o.spec),
    ),
  },
  address(r, draft) {
    const front = draft.resource(keyOf('Channel', r.namespace, r.name))
    if (front !== undefined) {
      const why = `stands beside the Channel ${r.namespace}/${r.name}, which has a stream of its own here; leave one of the two out`
      r.complain(['metadata', 'name'], why)
      return
    }
    addStream(r, draft)
  },
  immutable: ({ spec }) => [
    [['spec', 'numPartitions'], spec.numPartitions],
    [['spec', 'replicationFactor'], spec.replicationFactor],
  ],
})

function addStream(r: Resource<KafkaChannelSpec>, draft: Draft): void {
  const cluster = clusterOf(r, draft, 'ConfigReady', CONFIG.namespace, CONFIG.name)
  if (cluster === null) return
  const { numPartitions, replicationFactor, retentionMs } = r.spec
  const plan = kafkaStreamPlan(r, draft, cluster, {
    topic: `knative-messaging-kafka.${r.namespace}.${r.name}`,
    create: { partitions: numPartitions, replication: replicationFactor, retentionMs },
    channel: `${r.namespace}.${r.name}`,
    structured: false,
  })
  if (!draft.stream(r, plan)) return
  const host = `${r.name}-kn-channel.${r.namespace}.svc.cluster.local`
  draft.route({ host, path: '', to: { kind: 'stream', stream: r.key, owner: r.key } })
  addPaths(draft, r, r.key)
  draft.addressable(r.key, shortestAddress(draft, r), `http://${host}`)
}

import { z } from 'zod'
import type { Draft } from './draft.ts'
import { whole } from './fields.ts'
import { kafkaStreamPlan, secretCredentials, serversOf } from './kafka-stream.ts'
import { KAFKA } from './kafka-class.ts'
import { standingOf } from './stream-classes.ts'
import { defineKind, version } from './kind.ts'
import type { Resource } from './resource.ts'
import { addPaths, shortestAddress, stand } from './streams.ts'

export interface KafkaSinkSpec {
  readonly topic: string
  readonly bootstrapServers: readonly string[]
  /** 0 = the topic is somebody else's and never made here. */
  readonly numPartitions: number
  readonly replicationFactor: number
  readonly contentMode: 'structured' | 'binary'
  /** '' = without credentials. */
  readonly secret: string
}

const HOST = 'kafka-sink-ingress.knative-eventing.svc.cluster.local'

/** KafkaSink: an address whose events are produced to a topic. Nobody reads it here. */
export const kafkaSink = defineKind<KafkaSinkSpec>({
  kind: 'KafkaSink',
  plural: 'kafkasinks',
  versions: {
    'eventing.knative.dev/v1alpha1': version(
      {
        spec: z.strictObject({
          topic: z.string().min(1),
          bootstrapServers: z.array(z.string().min(1)).min(1),
          numPartitions: whole(1, 2 ** 31 - 1).nullish(),
          replicationFactor: whole(1, 32_767).nullish(),
          contentMode: z.enum(['structured', 'binary']).nullish(),
          auth: z
            .strictObject({ secret: z.strictObject({ ref: z.strictObject({ name: z.string().min(1) }).nullish() }).nullish() })
            .nullish(),
        }),
      },
      ({ spec }): KafkaSinkSpec => ({
        topic: spec.topic,
        bootstrapServers: spec.bootstrapServers.flatMap(serversOf),
        numPartitions: spec.numPartitions ?? 0,
        replicationFactor: spec.replicationFactor ?? 1,
        contentMode: spec.contentMode ?? 'structured',
        secret: spec.auth?.secret?.ref?.name ?? '',
      }),
    ),
  },
  address(r, draft) {
    lower(r, draft)
  },
  immutable: ({ spec }) => [[['spec', 'topic'], spec.topic]],
})

function lower(r: Resource<KafkaSinkSpec>, draft: Draft): void {
  stand(draft, r, r.key, standingOf(KAFKA))
  const s = r.spec
  const none = { sasl: null, tls: null }
  const credentials = s.secret === '' ? none : secretCredentials(r, draft, 'TopicReady', r.namespace, s.secret)
  if (credentials === null) return
  const cluster = { bootstrapServers: s.bootstrapServers, ...credentials }
  const plan = kafkaStreamPlan(r, draft, cluster, {
    topic: s.topic,
    create: s.numPartitions === 0 ? null : { partitions: s.numPartitions, replication: s.replicationFactor, retentionMs: 0 },
    channel: '',
    structured: s.contentMode === 'structured',
  })
  if (!draft.stream(r, plan)) return
  addPaths(draft, r, r.key)
  const path = `/${r.namespace}/${r.name}`
  draft.route({ host: HOST, path, to: { kind: 'stream', stream: r.key, owner: r.key } })
  draft.addressable(r.key, shortestAddress(draft, r), `http://${HOST}${path}`)
}

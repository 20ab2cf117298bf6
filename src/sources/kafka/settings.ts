import type { KafkaKeyType } from '../../event/kafka.ts'
import type { KafkaSasl, KafkaTls } from '../../vendor/kafka/link.ts'

/** `SourcePlan.settings` of a source whose system is kafka. Sizes are bytes, times ms; what is optional has a default. */
export interface KafkaSettings {
  /** `host:port`, any of the cluster. */
  readonly bootstrapServers: readonly string[]
  readonly topics: readonly string[]
  readonly consumerGroup: string
  /** Where a group begins that has committed nothing for a topic yet. */
  readonly initialOffset: 'earliest' | 'latest'
  /** `spec.consumers`: told in the log only; one member reads all partitions (docs/decisions/kafka-consumers.md). */
  readonly consumers?: number
  readonly keyType?: KafkaKeyType
  readonly sasl?: KafkaSasl | null
  /** null = no TLS. */
  readonly tls?: KafkaTls | null
  readonly isolation?: 'read_committed' | 'read_uncommitted'
  /** Namespace and name of the KafkaSource, for the source attribute of records that are no CloudEvents. */
  readonly namespace: string
  readonly name: string
  /** `spec.ceOverrides.extensions`: set on every event, over what it came with. */
  readonly extensions?: Readonly<Record<string, string>>
  /** Most of one partition in one fetch; a larger record comes alone. */
  readonly partitionFetchBytes?: number
  /** Most of one fetch, all partitions of a broker together. */
  readonly fetchBytes?: number
  /** A member that is silent for so long is taken out of the group. */
  readonly sessionTimeoutMs?: number
  readonly rebalanceTimeoutMs?: number
  readonly heartbeatMs?: number
  readonly commitMs?: number
  /** How often the partitions of the topics are counted. */
  readonly metadataMs?: number
}

/** The same with every default in its place. */
export type KafkaOptions = Required<KafkaSettings>

/** Fetch sizes: 64 KB a partition keeps 100 partitions within 10 MB. Session 10 s is Knative's. */
const DEFAULTS = {
  consumers: 1,
  keyType: 'string',
  sasl: null,
  tls: null,
  isolation: 'read_committed',
  extensions: {},
  partitionFetchBytes: 65_536,
  fetchBytes: 4_194_304,
  sessionTimeoutMs: 10_000,
  rebalanceTimeoutMs: 60_000,
  heartbeatMs: 1_000,
  commitMs: 1_000,
  metadataMs: 5_000,
} as const

export function kafkaOptions(s: KafkaSettings): KafkaOptions {
  const given = Object.fromEntries(Object.entries(s).filter(([, value]) => value !== undefined)) as unknown as KafkaSettings
  return Object.freeze({ ...DEFAULTS, ...given })
}

/** A revoke waits this long for what runs. */
export function revokeWaitMs(o: KafkaOptions): number {
  return Math.min(10_000, o.rebalanceTimeoutMs / 2)
}

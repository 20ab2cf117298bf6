import type { Key } from '../../contract/ids.ts'
import type { KafkaLink, KafkaSasl, KafkaTls } from '../../vendor/kafka/link.ts'

/** `StreamPlan.settings` of a stream whose system is kafka. */
export interface KafkaStreamSettings {
  /** `host:port`, any of the cluster. */
  readonly bootstrapServers: readonly string[]
  readonly topic: string
  /** How the topic is made when it is missing (`retentionMs` 0 = as the broker has it for all); null = it is somebody else's and never made here. */
  readonly create: { readonly partitions: number; readonly replication: number; readonly retentionMs: number } | null
  /** `<namespace>.<name>` of the KafkaChannel, '' = a Broker of its own topic: it decides how the groups of subscriptions are called. */
  readonly channel: string
  readonly sasl: KafkaSasl | null
  readonly tls: KafkaTls | null
  /** Of the resource, for records that are no events. */
  readonly namespace: string
  readonly name: string
  /** Events are written as structured JSON. */
  readonly structured: boolean
}

/** For calls, for joins, for the head's fetches and for those of the laggards: what waits long holds up nobody else. */
export interface Links {
  readonly call: KafkaLink
  readonly join: KafkaLink
  readonly head: KafkaLink
  readonly laggards: KafkaLink
}

/** The group whose members share the partitions of a topic out among gateways; it commits nothing. */
export function sharedGroup(topic: string): string {
  return `sluice.${topic}`
}

/** The consumer group under which Knative's dispatcher commits the offsets of a Trigger or of a Subscription of a channel. */
export function groupOf(key: Key, uid: string, o: { readonly topic: string; readonly channel: string }): string {
  const [kind = '', namespace = '', name = ''] = key.split('/')
  // A Trigger of a Broker that stands on a channel has a Subscription of that channel in Knative.
  if (kind === 'trigger' && o.channel === '') return `knative-trigger-${namespace}-${name}`
  if (o.channel !== '' && uid !== '') return `kafka.${o.channel}.${uid}`
  // What Knative has no group for: a branch of a flow, a subscription of a Broker that is no Trigger.
  return `${sharedGroup(o.topic)}.${key.replaceAll(/[^A-Za-z0-9._-]/g, '.')}`
}

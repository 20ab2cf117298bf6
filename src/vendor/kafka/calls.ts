import type { Connection } from '@platformatic/kafka'
import { CODE } from './codes.ts'
import { kafkaLibrary } from './library.ts'
import type { BrokerAddress, KafkaLink } from './link.ts'

/**
 * The calls of the Kafka protocol we use, in versions that every broker since 3.1 knows. A protocol error is a code in
 * the answer, never an exception; an exception means that there was no answer (`troubleOf`).
 */
export interface PartitionView {
  /** Node id, -1 = nobody at the moment. */
  readonly leader: number
  readonly code: number
  /** Copies it is to have; absent = not told. */
  readonly replicas?: number
}

export interface TopicView {
  readonly name: string
  /** UUID as text; another one under the same name is another topic. */
  readonly id: string
  readonly code: number
  readonly partitions: readonly PartitionView[]
}

export interface ClusterView {
  readonly brokers: ReadonlyMap<number, BrokerAddress>
  readonly topics: ReadonlyMap<string, TopicView>
}

export interface TopicPartitions {
  readonly topic: string
  readonly partitions: readonly number[]
}

/** One call; an answer that holds errors is an answer. */
export async function answer<T>(link: KafkaLink, broker: BrokerAddress, call: (c: Connection) => Promise<T>): Promise<T> {
  try {
    return await call(await link.connection(broker))
  } catch (e) {
    // The library throws protocol errors with the whole answer attached; the codes in it say more than the exception.
    const response = (e as { response?: unknown }).response
    if (response !== undefined && response !== null) return response as T
    throw e
  }
}

export async function readMetadata(link: KafkaLink, broker: BrokerAddress, topics: readonly string[]): Promise<ClusterView> {
  const r = await answer(link, broker, (c) => kafkaLibrary().metadataV12.api.async(c, [...topics], false, false))
  const brokers = new Map<number, BrokerAddress>(r.brokers.map((b) => [b.nodeId, { host: b.host, port: b.port }]))
  const views = new Map<string, TopicView>()
  for (const t of r.topics) {
    const partitions: PartitionView[] = []
    for (const p of t.partitions)
      partitions[p.partitionIndex] = { leader: p.leaderId, code: p.errorCode, replicas: p.replicaNodes.length }
    if (t.name) views.set(t.name, { name: t.name, id: t.topicId, code: t.errorCode, partitions })
  }
  return { brokers, topics: views }
}

export async function findCoordinator(
  link: KafkaLink,
  broker: BrokerAddress,
  group: string,
): Promise<{ code: number; at: BrokerAddress }> {
  const r = await answer(link, broker, (c) => kafkaLibrary().findCoordinatorV4.api.async(c, 0, [group]))
  const found = r.coordinators[0]
  if (found === undefined) return { code: CODE.coordinatorNotAvailable, at: broker }
  return { code: found.errorCode, at: { host: found.host, port: found.port } }
}

export interface JoinRequest {
  readonly group: string
  readonly memberId: string
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  readonly protocol: string
  readonly subscription: Buffer
}

export interface JoinAnswer {
  readonly code: number
  readonly generation: number
  readonly memberId: string
  readonly leader: boolean
  readonly protocol: string
  readonly members: readonly { readonly memberId: string; readonly subscription: Buffer }[]
}

export async function joinGroup(link: KafkaLink, broker: BrokerAddress, q: JoinRequest): Promise<JoinAnswer> {
  const protocols = [{ name: q.protocol, metadata: q.subscription }]
  const r = await answer(link, broker, (c) =>
    kafkaLibrary().joinGroupV7.api.async(
      c,
      q.group,
      q.sessionTimeoutMs,
      q.rebalanceTimeoutMs,
      q.memberId,
      null,
      'consumer',
      protocols,
      null,
    ),
  )
  return {
    code: r.errorCode,
    generation: r.generationId,
    memberId: r.memberId,
    leader: r.leader === r.memberId,
    protocol: r.protocolName ?? '',
    members: r.members.map((m) => ({ memberId: m.memberId, subscription: m.metadata ?? Buffer.alloc(0) })),
  }
}

/** Who speaks for a group, fenced by its generation. */
export interface Membership {
  readonly group: string
  readonly memberId: string
  readonly generation: number
}

export async function syncGroup(
  link: KafkaLink,
  broker: BrokerAddress,
  m: Membership,
  protocol: string,
  assignments: readonly { readonly memberId: string; readonly assignment: Buffer }[],
): Promise<{ code: number; assignment: Buffer }> {
  const r = await answer(link, broker, (c) =>
    kafkaLibrary().syncGroupV5.api.async(c, m.group, m.generation, m.memberId, null, 'consumer', protocol, [...assignments]),
  )
  return { code: r.errorCode, assignment: r.assignment }
}

export async function heartbeat(link: KafkaLink, broker: BrokerAddress, m: Membership): Promise<number> {
  return (await answer(link, broker, (c) => kafkaLibrary().heartbeatV4.api.async(c, m.group, m.generation, m.memberId, null)))
    .errorCode
}

export async function leaveGroup(link: KafkaLink, broker: BrokerAddress, m: Membership): Promise<number> {
  return (await answer(link, broker, (c) => kafkaLibrary().leaveGroupV4.api.async(c, m.group, [{ memberId: m.memberId }])))
    .errorCode
}

export async function deleteGroup(link: KafkaLink, broker: BrokerAddress, group: string): Promise<number> {
  const r = await answer(link, broker, (c) => kafkaLibrary().deleteGroupsV2.api.async(c, [group]))
  return r.results[0]?.errorCode ?? CODE.none
}

export interface CommitEntry {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly metadata: string
}

/** One request for all partitions. Answers the code of each entry, in order. */
export async function commitOffsets(
  link: KafkaLink,
  broker: BrokerAddress,
  m: Membership,
  entries: readonly CommitEntry[],
): Promise<readonly number[]> {
  const topics = new Map<string, CommitEntry[]>()
  for (const e of entries) {
    const list = topics.get(e.topic)
    if (list === undefined) topics.set(e.topic, [e])
    else list.push(e)
  }
  const request = [...topics].map(([name, list]) => ({
    name,
    partitions: list.map((e) => ({
      partitionIndex: e.partition,
      committedOffset: BigInt(e.offset),
      committedLeaderEpoch: -1,
      committedMetadata: e.metadata,
    })),
  }))
  const r = await answer(link, broker, (c) =>
    kafkaLibrary().offsetCommitV8.api.async(c, m.group, m.generation, m.memberId, null, request),
  )
  const codes = new Map<string, number>()
  for (const t of r.topics) for (const p of t.partitions) codes.set(`${p.partitionIndex} ${t.name}`, p.errorCode)
  return entries.map((e) => codes.get(`${e.partition} ${e.topic}`) ?? CODE.unknownTopicOrPartition)
}

export interface CommittedOffset {
  readonly topic: string
  readonly partition: number
  /** -1 = the group has none. */
  readonly offset: number
  readonly metadata: string
  readonly code: number
}

export async function readCommitted(
  link: KafkaLink,
  broker: BrokerAddress,
  group: string,
  topics: readonly TopicPartitions[],
): Promise<{ code: number; offsets: readonly CommittedOffset[] }> {
  const wanted = topics.map((t) => ({ name: t.topic, partitionIndexes: [...t.partitions] }))
  const r = await answer(link, broker, (c) =>
    // `require stable`: an offset that a transaction is about to change is not answered until it is decided.
    kafkaLibrary().offsetFetchV8.api.async(c, [{ groupId: group, memberId: null, memberEpoch: -1, topics: wanted }], true),
  )
  const offsets: CommittedOffset[] = []
  for (const t of r.groups[0]?.topics ?? [])
    for (const p of t.partitions)
      offsets.push({
        topic: t.name,
        partition: p.partitionIndex,
        offset: Number(p.committedOffset),
        metadata: p.metadata ?? '',
        code: p.errorCode,
      })
  return { code: r.groups[0]?.errorCode ?? CODE.none, offsets }
}

export const EARLIEST = -2
export const LATEST = -1

export interface ListedOffset {
  readonly topic: string
  readonly partition: number
  /** -1 = nothing at or after that time. */
  readonly offset: number
  readonly code: number
}

/** `at`: wall-clock ms, EARLIEST or LATEST. All partitions must be led by `broker`. */
export async function listOffsets(
  link: KafkaLink,
  broker: BrokerAddress,
  topics: readonly TopicPartitions[],
  at: number,
  committedOnly: boolean,
): Promise<readonly ListedOffset[]> {
  const timestamp = BigInt(at)
  const wanted = topics.map((t) => ({
    name: t.topic,
    partitions: t.partitions.map((partitionIndex) => ({ partitionIndex, currentLeaderEpoch: -1, timestamp })),
  }))
  const r = await answer(link, broker, (c) => kafkaLibrary().listOffsetsV7.api.async(c, -1, committedOnly ? 1 : 0, wanted))
  return r.topics.flatMap((t) =>
    t.partitions.map((p) => ({ topic: t.name, partition: p.partitionIndex, offset: Number(p.offset), code: p.errorCode })),
  )
}

/** Makes a topic; `maxBatchBytes` and `retentionMs` 0 = what the broker has for all. Answers the code and what the broker says to it. */
export async function createTopic(
  link: KafkaLink,
  broker: BrokerAddress,
  topic: {
    readonly name: string
    readonly partitions: number
    readonly replication: number
    readonly maxBatchBytes: number
    readonly retentionMs: number
  },
): Promise<{ readonly code: number; readonly message: string }> {
  const configs = [
    { name: 'max.message.bytes', value: topic.maxBatchBytes },
    { name: 'retention.ms', value: topic.retentionMs },
  ]
  const wanted = {
    name: topic.name,
    numPartitions: topic.partitions,
    replicationFactor: topic.replication,
    assignments: [],
    configs: configs.filter((c) => c.value > 0).map((c) => ({ name: c.name, value: String(c.value) })),
  }
  const r = await answer(link, broker, (c) => kafkaLibrary().createTopicsV7.api.async(c, [wanted], 5_000, false))
  const made = r.topics[0]
  return { code: made?.errorCode ?? CODE.none, message: made?.errorMessage ?? '' }
}

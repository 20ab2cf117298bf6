import { answer, type TopicPartitions } from './calls.ts'
import { CODE } from './codes.ts'
import { kafkaLibrary } from './library.ts'
import type { BrokerAddress, KafkaLink } from './link.ts'

/** What administers topics and groups; answers codes, and throws only where there is no answer, as the calls of `calls.ts` do. */
export interface NewTopic {
  readonly name: string
  readonly partitions: number
  /** -1 = as the broker has it for all. */
  readonly replication: number
  readonly configs: Readonly<Record<string, string>>
}

const TIMEOUT_MS = 5_000

export async function makeTopic(
  link: KafkaLink,
  broker: BrokerAddress,
  t: NewTopic,
): Promise<{ readonly code: number; readonly message: string }> {
  const wanted = {
    name: t.name,
    numPartitions: t.partitions,
    replicationFactor: t.replication,
    assignments: [],
    configs: Object.entries(t.configs).map(([name, value]) => ({ name, value })),
  }
  const r = await answer(link, broker, (c) => kafkaLibrary().createTopicsV7.api.async(c, [wanted], TIMEOUT_MS, false))
  const made = r.topics[0]
  return { code: made?.errorCode ?? CODE.none, message: made?.errorMessage ?? '' }
}

/** The code of each, in order. */
export async function deleteTopics(link: KafkaLink, broker: BrokerAddress, names: readonly string[]): Promise<readonly number[]> {
  const wanted = names.map((name) => ({ name, topicId: NO_ID }))
  const r = await answer(link, broker, (c) => kafkaLibrary().deleteTopicsV6.api.async(c, wanted, TIMEOUT_MS))
  return names.map((name) => r.responses.find((t) => t.name === name)?.errorCode ?? CODE.none)
}

const NO_ID = '00000000-0000-0000-0000-000000000000'

/** Everything below `offset` goes from the log. All partitions must be led by `broker`. The first code that is an error, else none. */
export async function deleteRecords(
  link: KafkaLink,
  broker: BrokerAddress,
  topics: readonly (TopicPartitions & { readonly offsets: readonly number[] })[],
): Promise<number> {
  const wanted = topics.map((t) => ({
    name: t.topic,
    partitions: t.partitions.map((partitionIndex, i) => ({ partitionIndex, offset: BigInt(t.offsets[i] ?? 0) })),
  }))
  const r = await answer(link, broker, (c) => kafkaLibrary().deleteRecordsV2.api.async(c, wanted, TIMEOUT_MS))
  for (const t of r.topics) for (const p of t.partitions) if (p.errorCode !== CODE.none) return p.errorCode
  return CODE.none
}

/** The groups this broker coordinates, of which we may know. */
export async function listGroups(
  link: KafkaLink,
  broker: BrokerAddress,
): Promise<{ readonly code: number; readonly groups: readonly string[] }> {
  const r = await answer(link, broker, (c) => kafkaLibrary().listGroupsV4.api.async(c, [], []))
  return { code: r.errorCode, groups: r.groups.map((g) => g.groupId) }
}

/** Those of the groups, all coordinated by `broker`, that have committed an offset of the topic. */
export async function groupsIn(
  link: KafkaLink,
  broker: BrokerAddress,
  groups: readonly string[],
  topic: TopicPartitions,
): Promise<readonly string[]> {
  const topics = [{ name: topic.topic, partitionIndexes: [...topic.partitions] }]
  const wanted = groups.map((groupId) => ({ groupId, memberId: null, memberEpoch: -1, topics }))
  const r = await answer(link, broker, (c) => kafkaLibrary().offsetFetchV8.api.async(c, wanted, false))
  const stands = r.groups.filter((g) => g.topics.some((t) => t.partitions.some((p) => p.committedOffset >= 0n)))
  return stands.map((g) => g.groupId)
}

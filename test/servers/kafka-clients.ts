import { randomUUID } from 'node:crypto'
import { Admin, Producer, ProduceAcks, type CompressionAlgorithmValue } from '@platformatic/kafka'

/** One record to produce; Buffers as they go on the wire. */
export interface TestRecord {
  readonly key?: Buffer
  readonly value?: Buffer
  readonly headers?: readonly (readonly [string, string | Buffer])[]
  readonly partition?: number
}

/** What tests do to a Kafka beside reading it: topics, records, groups. */
export interface KafkaTestClient {
  /** Under that very name. */
  createTopicNamed(topic: string, partitions: number): Promise<void>
  createTopic(
    name: string,
    partitions: number,
    o?: { replicas?: number; configs?: Readonly<Record<string, string>> },
  ): Promise<string>
  addPartitions(topic: string, count: number): Promise<void>
  deleteTopic(topic: string): Promise<void>
  deleteRecordsBefore(topic: string, partition: number, offset: number): Promise<void>
  produce(topic: string, records: readonly TestRecord[], compression?: CompressionAlgorithmValue): Promise<void>
  /** A producer of transactions of its own. */
  transactions(id: string): TestTransactions
  /** Committed offset and metadata by partition; -1 = none. */
  committed(group: string, topic: string): Promise<Map<number, { offset: number; metadata: string }>>
  /** Commits for a group without members, by partition, as if its consumers had stood there when they left. */
  commit(group: string, topic: string, offsets: readonly number[]): Promise<void>
  members(group: string): Promise<number>
  /** Takes that member out of its group, as the group does when the member's session is over. */
  expel(group: string, memberId: string): Promise<void>
  /** Names of all topics and groups. */
  topics(): Promise<readonly string[]>
  groups(): Promise<readonly string[]>
  /** The user may make no topics, and do nothing with these. The cluster needs an authorizer. */
  forbid(user: string, topics: readonly string[]): Promise<void>
  close(): Promise<void>
}

/** Transactions one after the other, of one producer. */
export interface TestTransactions {
  begin(): Promise<void>
  send(topic: string, texts: readonly string[]): Promise<void>
  end(commit: boolean): Promise<void>
  close(): Promise<void>
}

export function kafkaTestClient(bootstrap: string): KafkaTestClient {
  const base = { clientId: `test-${randomUUID()}`, bootstrapBrokers: bootstrap.split(','), retries: 20, retryDelay: 250 }
  const admin = new Admin(base)
  const producer = new Producer({ ...base, acks: ProduceAcks.ALL, autocreateTopics: false, idempotent: true })
  return {
    async createTopic(name, partitions, o = {}) {
      const topic = `${name}-${randomUUID().slice(0, 8)}`
      const configs = Object.entries(o.configs ?? {}).map(([key, value]) => ({ name: key, value }))
      await admin.createTopics({ topics: [topic], partitions, replicas: o.replicas ?? 1, configs })
      return topic
    },
    async createTopicNamed(topic, partitions) {
      await admin.createTopics({ topics: [topic], partitions, replicas: 1 })
    },
    addPartitions: (topic, count) => admin.createPartitions({ topics: [{ name: topic, count, assignments: null }] }),
    deleteTopic: (topic) => admin.deleteTopics({ topics: [topic] }),
    async deleteRecordsBefore(topic, partition, offset) {
      await admin.deleteRecords({ topics: [{ name: topic, partitions: [{ partition, offset: BigInt(offset) }] }] })
    },
    async produce(topic, records, compression = 'none') {
      const messages = records.map((r) => ({
        topic,
        ...(r.key === undefined ? {} : { key: r.key }),
        ...(r.value === undefined ? {} : { value: r.value }),
        ...(r.partition === undefined ? {} : { partition: r.partition }),
        ...(r.headers === undefined ? {} : { headers: new Map(r.headers.map(([k, v]) => [Buffer.from(k), Buffer.from(v)])) }),
      }))
      for (let tries = 1; ; tries++) {
        try {
          await producer.send({ messages, compression, acks: ProduceAcks.ALL })
          return
        } catch (e) {
          // A broker may not know yet what was just created; nothing has been sent then.
          if (tries === 50 || !(e instanceof Error && e.message.startsWith('Unknown topic'))) throw e
          await new Promise((resolve) => setTimeout(resolve, 100))
        }
      }
    },
    transactions: (id) => testTransactions(base, id),
    async committed(group, topic) {
      const groups = await admin.listConsumerGroupOffsets({ groups: [{ groupId: group }] })
      const found = new Map<number, { offset: number; metadata: string }>()
      for (const g of groups)
        for (const t of g.topics)
          if (t.name === topic)
            for (const p of t.partitions)
              found.set(p.partitionIndex, { offset: Number(p.committedOffset), metadata: p.metadata ?? '' })
      return found
    },
    async commit(group, topic, offsets) {
      const partitionOffsets = offsets.map((offset, partition) => ({ partition, offset: BigInt(offset) }))
      await admin.alterConsumerGroupOffsets({ groupId: group, topics: [{ name: topic, partitionOffsets }] })
    },
    async members(group) {
      const groups = await admin.describeGroups({ groups: [group] })
      return groups.get(group)?.members.size ?? 0
    },
    expel: (group, memberId) =>
      admin.removeMembersFromConsumerGroup({ groupId: group, members: [{ memberId, reason: 'its process is gone' }] }),
    topics: () => admin.listTopics({}),
    groups: async () => [...(await admin.listGroups()).keys()],
    forbid: (user, topics) => {
      const deny = (resourceType: 2 | 4, resourceName: string, operation: 2 | 5) =>
        ({
          resourceType,
          resourceName,
          operation,
          resourcePatternType: 3,
          principal: `User:${user}`,
          host: '*',
          permissionType: 2,
        }) as const
      const creations = [deny(4, 'kafka-cluster', 5), ...topics.map((t) => deny(2, t, 2))]
      return admin.createAcls({ creations })
    },
    async close() {
      await producer.close(true).catch(() => {})
      await admin.close().catch(() => {})
    },
  }
}

type BaseOptions = ConstructorParameters<typeof Admin>[0]

function testTransactions(base: BaseOptions, id: string): TestTransactions {
  const producer = new Producer({
    ...base,
    idempotent: true,
    transactionalId: id,
    acks: ProduceAcks.ALL,
    autocreateTopics: false,
  })
  let running: Awaited<ReturnType<typeof producer.beginTransaction>> | undefined
  return {
    async begin() {
      running = await producer.beginTransaction()
    },
    async send(topic, texts) {
      await running?.send({ messages: texts.map((t) => ({ topic, value: Buffer.from(t), partition: 0 })) })
    },
    async end(commit) {
      await (commit ? running?.commit() : running?.abort())
    },
    async close() {
      await producer.close(true).catch(() => {})
    },
  }
}

import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { broker, post, type RunningGateway, startGateway, trigger } from '../gateway.ts'
import { eventRecord } from '../kafka-flow.ts'
import { kafkaTestClient, type KafkaTestClient } from '../servers/kafka-clients.ts'
import { sharedKafka } from '../servers/provided.ts'
import { runSource } from '../sources/kafka-runner.ts'
import { type Sink, startSink } from '../sink.ts'
import { until } from '../until.ts'

const kafka = sharedKafka()
const KAFKA = { 'eventing.knative.dev/broker.class': 'Kafka' }

function config(name: string, data: Readonly<Record<string, string>>): unknown {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'knative-eventing' }, data }
}

/** A Broker of class Kafka with its ConfigMap, three partitions. */
function kafkaBroker(
  name: string,
  more: { readonly data?: Readonly<Record<string, string>>; readonly topic?: string } = {},
): unknown[] {
  const data = {
    'bootstrap.servers': kafka.bootstrap,
    'default.topic.partitions': '3',
    'default.topic.replication.factor': '1',
    ...more.data,
  }
  const ref = { apiVersion: 'v1', kind: 'ConfigMap', name: `config-${name}`, namespace: 'knative-eventing' }
  const external = more.topic === undefined ? {} : { 'kafka.eventing.knative.dev/external.topic': more.topic }
  return [config(`config-${name}`, data), broker(name, { annotations: { ...KAFKA, ...external }, spec: { config: ref } })]
}

describe.skipIf(kafka.skip)(`a Broker on Kafka${kafka.note}`, () => {
  let client: KafkaTestClient
  const gateways: RunningGateway[] = []
  const sinks: Sink[] = []
  beforeAll(() => {
    client = kafkaTestClient(kafka.bootstrap)
  })
  afterAll(() => client.close())
  afterEach(async () => {
    await Promise.all(gateways.splice(0).map((g) => g.stop()))
    await Promise.all(sinks.splice(0).map((s) => s.close()))
  })

  const name = (): string => `b-${randomUUID().slice(0, 8)}`
  const gateway = async (manifests: readonly unknown[], data?: string): Promise<RunningGateway> => {
    const g = await startGateway({ manifests, ...(data === undefined ? {} : { data }) })
    gateways.push(g)
    return g
  }
  const sink = async (...options: Parameters<typeof startSink>): Promise<Sink> => {
    const s = await startSink(...options)
    sinks.push(s)
    return s
  }
  /** Sum of the committed offsets of a group, -1 = it has none. */
  const committed = async (group: string, topic: string): Promise<number> => {
    const offsets = [...(await client.committed(group, topic)).values()]
    return offsets.length === 0 ? -1 : offsets.reduce((sum, o) => sum + Math.max(0, o.offset), 0)
  }

  test('makes its topic, stores with acks=all, delivers to the triggers that match and commits under their groups', async () => {
    const b = name()
    const all = await sink()
    const none = await sink()
    const g = await gateway([
      ...kafkaBroker(b),
      trigger(`${b}-all`, all.url, { broker: b }),
      trigger(`${b}-none`, none.url, { broker: b, spec: { filter: { attributes: { type: 'other' } } } }),
    ])
    const sent = Array.from({ length: 30 }, (_, i) => `e${i}`)
    const statuses = await Promise.all(sent.map((id) => post(`${g.listen}/default/${b}`, id, { 'ce-partitionkey': id })))
    expect(new Set(statuses)).toEqual(new Set([202]))
    await until('all are delivered', () => all.counts().size === 30)
    expect([...all.counts().values()].every((n) => n === 1)).toBe(true)
    expect(none.seen).toHaveLength(0)
    const topic = `knative-broker-default-${b}`
    for (const t of ['all', 'none'])
      await until(
        `the group of ${t} stands at the end`,
        async () => (await committed(`knative-trigger-default-${b}-${t}`, topic)) === 30,
      )
    const offsets = await client.committed(`knative-trigger-default-${b}-all`, topic)
    expect(offsets.size).toBe(3)
    // Keys spread over the partitions as murmur2 has it, and nobody is a member of the group.
    expect([...offsets.values()].filter((o) => o.offset > 0).length).toBe(3)
    expect(await client.members(`knative-trigger-default-${b}-all`)).toBe(0)
    expect(await client.members(`sluice.${topic}`)).toBe(1)
    const big = await post(`${g.listen}/default/${b}`, 'big', {}, 'x'.repeat(2 ** 20 + 1))
    expect(big).toBe(413)
  })

  test("goes on where Knative's dispatcher stopped, and leaves what it goes on from in turn", async () => {
    const b = name()
    const topic = `knative-broker-default-${b}`
    const group = `knative-trigger-default-${b}-t`
    await client.createTopicNamed(topic, 3)
    for (let p = 0; p < 3; p++)
      await client.produce(
        topic,
        Array.from({ length: 20 }, (_, i) => eventRecord(`p${p}-${i}`, p, `k${i}`)),
      )
    await client.commit(group, topic, [5, 20, 0])
    const s = await sink()
    const g = await gateway([...kafkaBroker(b), trigger(`${b}-t`, s.url, { broker: b })])
    await until('the rest is delivered', () => s.counts().size === 35)
    const want = [...Array.from({ length: 15 }, (_, i) => `p0-${i + 5}`), ...Array.from({ length: 20 }, (_, i) => `p2-${i}`)]
    expect([...s.counts().keys()].toSorted()).toEqual(want.toSorted())
    gateways.splice(0)
    expect(await g.stop()).toBe(0)
    expect(s.seen).toHaveLength(35)
    expect([...(await client.committed(group, topic)).entries()].toSorted((x, y) => x[0] - y[0])).toEqual([
      [0, { offset: 20, metadata: '' }],
      [1, { offset: 20, metadata: '' }],
      [2, { offset: 20, metadata: '' }],
    ])
    expect(await client.members(group)).toBe(0)
  })

  test('of a hundred triggers only the one that matches is called, and every group follows the head', async () => {
    const b = name()
    const s = await sink()
    const triggers = Array.from({ length: 100 }, (_, i) =>
      trigger(`${b}-t${i}`, s.url, {
        broker: b,
        spec: { filter: { attributes: { type: i === 42 ? 'test.event' : `other.${i}` } } },
      }),
    )
    const g = await gateway([...kafkaBroker(b), ...triggers])
    for (let i = 0; i < 10; i++)
      await Promise.all(Array.from({ length: 50 }, (_, k) => post(`${g.listen}/default/${b}`, `e${i * 50 + k}`)))
    await until('all are delivered', () => s.seen.length === 500)
    expect(s.counts().size).toBe(500)
    const topic = `knative-broker-default-${b}`
    for (const i of [0, 42, 99])
      await until(
        'the group stands at the end',
        async () => (await committed(`knative-trigger-default-${b}-t${i}`, topic)) === 500,
      )
  })

  test('a group that has members is left to them until they are gone', async () => {
    const b = name()
    const topic = `knative-broker-default-${b}`
    const group = `knative-trigger-default-${b}-t`
    await client.createTopicNamed(topic, 1)
    const dispatcher = runSource({ bootstrapServers: [kafka.bootstrap], topics: [topic], consumerGroup: group }, (i) => {
      i.onOffer = () => {}
    })
    await until('the other dispatcher is a member', async () => (await client.members(group)) === 1)
    const s = await sink()
    const g = await gateway([...kafkaBroker(b), trigger(`${b}-t`, s.url, { broker: b })])
    await until('it is said', () => g.log.some((line) => line.includes('has members')))
    expect(await post(`${g.listen}/default/${b}`, 'one')).toBe(202)
    await until('the other dispatcher has it', () => dispatcher.intake.offered.length === 1)
    expect(s.seen).toHaveLength(0)
    // It goes without settling: what it had is ours now.
    await dispatcher.close()
    await until('it is delivered here', () => s.counts().has('one'))
  })

  test('a topic of somebody else is read and never made', async () => {
    const b = name()
    const topic = `orders-${randomUUID().slice(0, 8)}`
    const s = await sink()
    const g = await gateway([...kafkaBroker(b, { topic }), trigger(`${b}-t`, s.url, { broker: b })])
    await until('it is said that it is missing', () => g.log.some((line) => line.includes('TopicMissing')))
    await client.createTopicNamed(topic, 1)
    // The trigger was here before the topic: it gets what is in it from the beginning.
    await client.produce(topic, [eventRecord('first', 0)])
    await until('it takes events', async () => (await post(`${g.listen}/default/${b}`, 'one')) === 202, 60_000)
    await until('both are delivered', () => s.counts().has('one') && s.counts().has('first'))
    // What is no event is wrapped, and in nobody's way.
    await client.produce(topic, [{ value: Buffer.from('plain') }, eventRecord('after', 0)])
    await until('what comes after it is delivered', () => s.counts().has('after'))
    expect(s.seen.find((x) => x.body === 'plain')?.headers['ce-type']).toBe('dev.knative.kafka.event')
  })

  test('a KafkaChannel has its own names, and a KafkaSink only produces', async () => {
    const b = name()
    const s = await sink()
    const topic = await client.createTopic('sink', 1)
    const g = await gateway([
      config('kafka-channel-config', { 'bootstrap.servers': kafka.bootstrap }),
      {
        apiVersion: 'messaging.knative.dev/v1beta1',
        kind: 'KafkaChannel',
        metadata: { name: b },
        spec: { numPartitions: 2, replicationFactor: 1 },
      },
      {
        apiVersion: 'messaging.knative.dev/v1',
        kind: 'Subscription',
        metadata: { name: 'reads', uid: '11111111-2222-3333-4444-555555555555' },
        spec: {
          channel: { apiVersion: 'messaging.knative.dev/v1beta1', kind: 'KafkaChannel', name: b },
          subscriber: { uri: s.url },
        },
      },
      {
        apiVersion: 'eventing.knative.dev/v1alpha1',
        kind: 'KafkaSink',
        metadata: { name: `${b}-sink` },
        spec: { topic, bootstrapServers: [kafka.bootstrap] },
      },
    ])
    expect(await post(`${g.listen}/default/${b}`, 'one')).toBe(202)
    await until('it is delivered', () => s.counts().has('one'))
    const group = `kafka.default.${b}.11111111-2222-3333-4444-555555555555`
    await until('it is committed', async () => (await committed(group, `knative-messaging-kafka.default.${b}`)) === 1)
    expect(await post(`${g.listen}/default/${b}-sink`, 'two')).toBe(202)
    const reader = runSource({
      bootstrapServers: [kafka.bootstrap],
      topics: [topic],
      consumerGroup: b,
      initialOffset: 'earliest',
    })
    await until('it stands in the topic', () => reader.intake.offered.length === 1)
    expect(reader.intake.offered[0]?.event.id).toBe('two')
    await reader.close()
    expect(await client.members(`sluice.${topic}`)).toBe(0)
  })
})

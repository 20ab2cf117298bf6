import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { broker, post, type RunningGateway, startGateway, temporaryFolder, trigger } from '../gateway.ts'
import { eventRecord } from '../kafka-flow.ts'
import { kafkaTestClient, type KafkaTestClient } from '../servers/kafka-clients.ts'
import { type KafkaServer, PASSWORD, startKafka, USER } from '../servers/kafka.ts'
import { ownKafka, sharedKafka } from '../servers/provided.ts'
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

  test('nothing acknowledged is lost when the gateway is killed', async () => {
    const b = name()
    const s = await sink((_seen, response) => {
      setTimeout(() => response.writeHead(200).end(), 5)
    })
    const data = temporaryFolder()
    const manifests = [...kafkaBroker(b), trigger(`${b}-t`, s.url, { broker: b })]
    const g = await startGateway({ manifests, data })
    const sent = Array.from({ length: 400 }, (_, i) => `e${i}`)
    const accepted: string[] = []
    const killed = until('some are delivered', () => s.seen.length > 50).then(() => g.kill())
    await Promise.all(
      sent.map(async (id) => {
        if ((await post(`${g.listen}/default/${b}`, id).catch(() => 0)) === 202) accepted.push(id)
      }),
    )
    await killed
    expect(accepted.length).toBeGreaterThan(50)
    const before = s.seen.length
    await gateway(manifests, data)
    await until('everything acknowledged is delivered', () => accepted.every((id) => s.counts().has(id)), 60_000)
    expect(s.seen.length).toBeGreaterThanOrEqual(before)
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

  test('says 503 while its cluster cannot be reached, and holds up no other broker', async () => {
    const b = name()
    const s = await sink()
    const g = await gateway([
      ...kafkaBroker(b, { data: { 'bootstrap.servers': '127.0.0.1:1' } }),
      broker('here'),
      trigger('t', s.url, { broker: 'here' }),
    ])
    expect(await post(`${g.listen}/default/${b}`, 'one')).toBe(503)
    expect(await post(`${g.listen}/default/here`, 'two')).toBe(202)
    await until('it is delivered', () => s.counts().has('two'))
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

  test('two gateways share the partitions, hand them over, and between them nothing is lost', async () => {
    const b = name()
    const s = await sink()
    const manifests = [...kafkaBroker(b), trigger(`${b}-t`, s.url, { broker: b })]
    const topic = `knative-broker-default-${b}`
    const first = await gateway(manifests)
    const sent = new Set<string>()
    const over = new AbortController()
    const producing = (async () => {
      for (let n = 0; !over.signal.aborted; n++) {
        if ((await post(`${first.listen}/default/${b}`, `e${n}`, { 'ce-partitionkey': `k${n}` })) === 202) sent.add(`e${n}`)
      }
    })()
    await until('the first reads', () => s.seen.length > 50)
    const second = await startGateway({ manifests })
    await until('both are members', async () => (await client.members(`sluice.${topic}`)) === 2)
    const from = s.seen.length
    await until('both have gone on', () => s.seen.length > from + 300)
    await second.kill()
    await until('its partitions have come back', async () => (await client.members(`sluice.${topic}`)) === 1)
    over.abort()
    await producing
    await until('everything acknowledged is delivered', () => [...sent].every((id) => s.counts().has(id)), 60_000)
    // What the second had in flight or had not committed for a second; the rest came once.
    expect(s.seen.length - s.counts().size).toBeLessThan(sent.size / 2)
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

const own = ownKafka()

describe.skipIf(own.skip)(`a Broker on a Kafka that asks who is there${own.note}`, () => {
  let server: KafkaServer
  beforeAll(async () => {
    server = await startKafka({ security: true })
  })
  afterAll(() => server.stop())

  test('is let in with the credentials of its Secret; with wrong ones it says 503 and why', async () => {
    const secret = (name: string, password: string): unknown => ({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name, namespace: 'knative-eventing' },
      stringData: { protocol: 'SASL_PLAINTEXT', 'sasl.mechanism': 'SCRAM-SHA-512', user: USER, password },
    })
    const sasl = (name: string): unknown[] =>
      kafkaBroker(name, { data: { 'bootstrap.servers': server.secured.sasl, 'auth.secret.ref.name': name } })
    const s = await startSink()
    const manifests = [secret('right', PASSWORD), secret('wrong', 'no'), ...sasl('right'), ...sasl('wrong')]
    const g = await startGateway({ manifests: [...manifests, trigger('t', s.url, { broker: 'right' })] })
    expect(await post(`${g.listen}/default/wrong`, 'one')).toBe(503)
    await until('it says why', () =>
      g.log.some((line) => line.includes('KafkaLoginFailed') && line.includes('broker/default/wrong')),
    )
    expect(g.log.some((line) => line.includes(PASSWORD))).toBe(false)
    expect(await post(`${g.listen}/default/right`, 'two')).toBe(202)
    await until('it is delivered', () => s.counts().has('two'))
    expect(await g.stop()).toBe(0)
    await s.close()
  })

  test('refuses with 503 while Kafka is dead, and nothing it acknowledged is lost', async () => {
    const s = await startSink()
    const manifests = [...kafkaBroker('dies', { data: { 'bootstrap.servers': server.bootstrap } })]
    const g = await startGateway({ manifests: [...manifests, trigger('reads', s.url, { broker: 'dies' })] })
    const statuses = new Map<number, number>()
    const accepted = new Set<string>()
    const over = new AbortController()
    const producing = Promise.all(
      Array.from({ length: 4 }, async (_, lane) => {
        for (let n = 0; !over.signal.aborted; n++) {
          const status = await post(`${g.listen}/default/dies`, `e${lane}-${n}`)
          statuses.set(status, (statuses.get(status) ?? 0) + 1)
          if (status === 202) accepted.add(`e${lane}-${n}`)
        }
      }),
    )
    await until('it flows', () => s.seen.length > 200)
    await server.kill()
    await until('it refuses', () => (statuses.get(503) ?? 0) > 0)
    const before = accepted.size
    await server.restart()
    await until('it takes events again', () => accepted.size > before + 200, 90_000)
    over.abort()
    await producing
    expect(new Set(statuses.keys())).toEqual(new Set([202, 503]))
    await until('everything acknowledged is delivered', () => [...accepted].every((id) => s.counts().has(id)), 60_000)
    expect(await g.stop()).toBe(0)
    await s.close()
  })
})

import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { broker, post, type RunningGateway, startGateway, temporaryFolder, trigger } from '../gateway.ts'
import { eventRecord, kafkaSource } from '../kafka-flow.ts'
import { kafkaTestClient, type KafkaTestClient } from '../servers/kafka-clients.ts'
import { sharedKafka } from '../servers/provided.ts'
import { runSource } from '../sources/kafka-runner.ts'
import { type Sink, startSink } from '../sink.ts'
import { until } from '../until.ts'
import { cli, metricsOf } from './stream-rig.ts'

const kafka = sharedKafka()

interface SourceStatus {
  readonly sluice: {
    readonly backlog: { readonly events: number }
    readonly paused?: Readonly<Record<string, number>>
  }
}

describe.skipIf(kafka.skip)(`a hand on what reads from Kafka${kafka.note}`, () => {
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
  const gateway = async (manifests: readonly unknown[], data = temporaryFolder()): Promise<RunningGateway> => {
    const g = await startGateway({ manifests, data })
    gateways.push(g)
    return g
  }
  const sinkOf = async (): Promise<Sink> => {
    const s = await startSink()
    sinks.push(s)
    return s
  }
  const records = (from: number, to: number): Parameters<KafkaTestClient['produce']>[1] =>
    Array.from({ length: to - from }, (_, i) => eventRecord(`e${from + i}`, i % 2))

  test('a KafkaSource stays paused over a restart, tells what it holds, goes on with nothing lost, and is set back', async () => {
    const topic = await client.createTopic('rewind', 2)
    const sink = await sinkOf()
    const source = kafkaSource('k', { bootstrap: kafka.bootstrap, topic, group: topic, sink: { uri: sink.url } })
    const data = temporaryFolder()
    const first = await gateway([source], data)
    await client.produce(topic, records(0, 20))
    await until('all are delivered', () => sink.counts().size === 20)
    expect((await cli(first, 'pause', 'kafkasource/default/k')).out).toMatch(/^kafkasource\/default\/k is paused/)
    await first.stop()

    const g = await gateway([source], data)
    await client.produce(topic, records(20, 30))
    const status = (): Promise<SourceStatus> => g.api('/api/v1/resources/kafkasource/default/k')
    await until('it tells what it holds', async () => {
      const { paused } = (await status()).sluice
      return paused?.['kafkasource/default/k'] === 10
    })
    expect((await cli(g, 'get', 'kafkasource', 'k')).out).toContain('paused, 10 events wait')
    expect((await metricsOf(g)).sum('sluice_subscription_paused', { kind: 'kafkasource', name: 'k' })).toBe(1)
    const gauges = await metricsOf(g)
    const held = ['backlog_events', 'waiting'].map((m) =>
      gauges.sum(`sluice_subscription_${m}`, { kind: 'kafkasource', name: 'k' }),
    )
    // One of each partition had been read when it was seen that nothing is to be sent.
    expect(held).toEqual([8, 2])
    expect([...sink.counts().keys()].filter((id) => Number(id.slice(1)) >= 20)).toEqual([])
    expect((await cli(g, 'resume', 'kafkasource/k')).out).toBe('kafkasource/k goes on; 10 events wait for it\n')
    await until('all are delivered', () => sink.counts().size === 30)
    await until('nothing waits', async () => (await status()).sluice.backlog.events === 0)
    expect((await metricsOf(g)).sum('sluice_subscription_paused', { kind: 'kafkasource', name: 'k' })).toBe(0)

    const before = sink.seen.length
    const unasked = await cli(g, 'replay', 'kafkasource/default/k', '--from', 'earliest')
    expect([unasked.code, unasked.err]).toEqual([
      1,
      expect.stringMatching(/kafkasource\/default\/k has one reader: Kafka gives it one position\. --rewind sets that back/),
    ])
    expect(sink.seen.length).toBe(before)
    const asked = await cli(g, 'replay', 'kafkasource/default/k', '--from', 'earliest', '--rewind')
    expect(asked.out).toMatch(/^kafkasource\/default\/k was set back and goes on from there/)
    await until('all have come once more', () => sink.seen.length === before + 30)
    await until('that is committed', async () => {
      const offsets = [...(await client.committed(topic, topic)).values()]
      return offsets.reduce((sum, o) => sum + o.offset, 0) === 30
    })
    expect(g.log.filter((line) => line.includes('"a subscription was set back as told"'))).toHaveLength(1)
  })

  test('a Broker and a Sequence by channel template stand on the topics Knative has for them', async () => {
    const name = `t-${randomUUID().slice(0, 8)}`
    const sink = await sinkOf()
    const step = await startSink((_seen, response) =>
      response
        .writeHead(200, { 'ce-specversion': '1.0', 'ce-id': 'answer', 'ce-source': '/step', 'ce-type': 'test.answer' })
        .end(),
    )
    sinks.push(step)
    const config = (called: string, values: Readonly<Record<string, string>>): unknown => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: called, namespace: 'knative-eventing' },
      data: values,
    })
    const channelTemplate = { apiVersion: 'messaging.knative.dev/v1beta1', kind: 'KafkaChannel', spec: { numPartitions: 2 } }
    const ref = { apiVersion: 'v1', kind: 'ConfigMap', name: 'template', namespace: 'knative-eventing' }
    const g = await gateway([
      config('kafka-channel-config', { 'bootstrap.servers': kafka.bootstrap }),
      config('template', { 'channel-template-spec': JSON.stringify(channelTemplate) }),
      broker(name, { annotations: { 'eventing.knative.dev/broker.class': 'MTChannelBasedBroker' }, spec: { config: ref } }),
      trigger('t', sink.url, { broker: name }),
      {
        apiVersion: 'flows.knative.dev/v1',
        kind: 'Sequence',
        metadata: { name: `${name}-q` },
        spec: { channelTemplate, steps: [{ uri: step.url }, { uri: sink.url }] },
      },
    ])
    expect(await post(`${g.listen}/default/${name}`, 'one')).toBe(202)
    expect(await post(`${g.listen}/default/${name}-q`, 'two')).toBe(202)
    await until('both have come', () => sink.counts().has('one') && sink.counts().has('answer'))
    const topics = ['kne-trigger', 'q-kn-sequence-0', 'q-kn-sequence-1'].map(
      (of) => `knative-messaging-kafka.default.${name}-${of}`,
    )
    const reader = runSource({ bootstrapServers: [kafka.bootstrap], topics, consumerGroup: name, initialOffset: 'earliest' })
    await until('each holds its event', () => reader.intake.offered.length === 3)
    expect(reader.intake.offered.map((d) => d.event.id).toSorted()).toEqual(['answer', 'one', 'two'])
    await reader.close()
  })
})

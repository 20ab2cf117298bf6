import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { broker, post, type RunningGateway, startGateway, temporaryFolder, trigger } from '../gateway.ts'
import { kafkaTestClient, type KafkaTestClient } from '../servers/kafka-clients.ts'
import { sharedKafka } from '../servers/provided.ts'
import { type Answer, type Sink, startSink } from '../sink.ts'
import { until } from '../until.ts'

const kafka = sharedKafka()
const WITHIN_MS = 120_000

interface Shown {
  readonly sluice: { readonly replays?: readonly { readonly unread: number; readonly delivered: number }[] }
}

describe.skipIf(kafka.skip)(`a replay of a Broker on Kafka${kafka.note}`, () => {
  let client: KafkaTestClient
  const closing: (() => Promise<unknown>)[] = []
  beforeAll(() => {
    client = kafkaTestClient(kafka.bootstrap)
  })
  afterAll(() => client.close())
  afterEach(async () => {
    for (const close of closing.splice(0).toReversed()) await close()
  })

  /** A broker of three partitions with one trigger, `name`-t. */
  const manifestsOf = (name: string, sink: Sink, annotations: Readonly<Record<string, string>> = {}): unknown[] => {
    const config = { apiVersion: 'v1', kind: 'ConfigMap', name: `config-${name}`, namespace: 'knative-eventing' }
    const data = {
      'bootstrap.servers': kafka.bootstrap,
      'default.topic.partitions': '3',
      'default.topic.replication.factor': '1',
    }
    return [
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: config.name, namespace: config.namespace }, data },
      broker(name, { annotations: { 'eventing.knative.dev/broker.class': 'Kafka' }, spec: { config } }),
      trigger(`${name}-t`, sink.url, { broker: name, annotations }),
    ]
  }
  const nameOf = (): string => `r-${randomUUID().slice(0, 8)}`
  const groupOf = (name: string): string => `knative-trigger-default-${name}-t`
  const sinkOf = async (answer?: Answer): Promise<Sink> => {
    const sink = await startSink(answer)
    closing.push(() => sink.close())
    return sink
  }
  const gateway = async (manifests: readonly unknown[], data = temporaryFolder()): Promise<RunningGateway> => {
    const g = await startGateway({ manifests, data })
    closing.push(() => g.kill())
    return g
  }
  const send = async (g: RunningGateway, name: string, from: number, to: number): Promise<void> => {
    const ids = Array.from({ length: to - from }, (_, i) => `e${from + i}`)
    const codes = await Promise.all(ids.map((id) => post(`${g.listen}/default/${name}`, id, { 'ce-partitionkey': id })))
    expect(new Set(codes)).toEqual(new Set([202]))
  }
  const replay = (g: RunningGateway, name: string, from: string): Promise<{ events: number }> =>
    g.api(`/api/v1/subscriptions/trigger/default/${name}-t/replay`, { from })
  const running = async (g: RunningGateway, name: string): Promise<number> =>
    (await g.api<Shown>(`/api/v1/resources/trigger/default/${name}-t`)).sluice.replays?.length ?? 0
  const ended = (g: RunningGateway, name: string): Promise<unknown> =>
    until('the replay has ended', async () => (await running(g, name)) === 0, WITHIN_MS)
  const offsets = async (group: string, name: string): Promise<number[]> =>
    [...(await client.committed(group, `knative-broker-default-${name}`)).values()].map((o) => o.offset)
  const gone = (group: string, name: string): Promise<unknown> =>
    until('its group is gone', async () => (await offsets(group, name)).every((offset) => offset < 0), WITHIN_MS)
  const idsOf = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => `e${from + i}`)

  test('reads up to the head of now, from the earliest event or from a moment, beside the live one', async () => {
    const name = nameOf()
    let slow = false
    const sink = await sinkOf((_seen, response) => setTimeout(() => response.writeHead(200).end(), slow ? 40 : 0))
    const g = await gateway(manifestsOf(name, sink, { 'sluice.dev/max-concurrency': '4' }))
    await send(g, name, 0, 60)
    await until('the first are delivered', () => sink.counts().size === 60)
    const moment = new Date(Date.now() + 1).toISOString()
    await until('the moment is over', () => Date.now() > Date.parse(moment))
    await send(g, name, 60, 90)
    await until('all are delivered', () => sink.counts().size === 90)
    const before = await offsets(groupOf(name), name)
    slow = true
    expect(await replay(g, name, 'earliest')).toMatchObject({ events: 90 })
    expect(await running(g, name)).toBe(1)
    expect((await offsets(`${groupOf(name)}.replay-1`, name)).every((o) => o >= 0)).toBe(true)
    // Live ones meanwhile: once, and with the position of the live reader.
    await send(g, name, 90, 100)
    await ended(g, name)
    const counts = sink.counts()
    expect(idsOf(0, 100).map((id) => counts.get(id))).toEqual(idsOf(0, 100).map((_, i) => (i < 90 ? 2 : 1)))
    await until('the live one stands after the last', async () => {
      const now = await offsets(groupOf(name), name)
      return now.reduce((a, b) => a + b, 0) === 100 && now.every((o, i) => o >= (before[i] ?? 0))
    })
    await gone(`${groupOf(name)}.replay-1`, name)

    slow = false
    expect(await replay(g, name, moment)).toMatchObject({ events: 40 })
    await ended(g, name)
    const after = sink.counts()
    expect(idsOf(0, 100).map((id) => after.get(id))).toEqual(idsOf(0, 100).map((_, i) => (i < 60 ? 2 : i < 90 ? 3 : 2)))
    expect(await replay(g, name, new Date(Date.now() + 60_000).toISOString())).toMatchObject({ events: 0 })
    await ended(g, name)
    await gone(`sluice.knative-broker-default-${name}.replays`, name)
  })

  test('goes on after SIGKILL with the position it had, and what it gives up is parked for its trigger', async () => {
    const name = nameOf()
    let again = false
    const sink = await sinkOf((seen, response) => {
      const code = again && seen.id === 'e7' ? 400 : 200
      setTimeout(() => response.writeHead(code).end(), again ? 20 : 0)
    })
    const data = temporaryFolder()
    const manifests = manifestsOf(name, sink, { 'sluice.dev/max-concurrency': '2' })
    const first = await gateway(manifests, data)
    await send(first, name, 0, 300)
    await until('all are delivered', () => sink.counts().size === 300)
    // So that the live reader has nothing to deliver twice after the kill.
    await until('all is committed', async () => (await offsets(groupOf(name), name)).reduce((a, b) => a + b, 0) === 300)
    again = true
    await replay(first, name, 'earliest')
    const committed = await until('it is half way, and that is known', async () => {
      const stands = (await offsets(`${groupOf(name)}.replay-1`, name)).reduce((a, b) => a + b, 0)
      return sink.seen.length > 450 && stands > 100 ? stands : 0
    })
    await first.kill()
    const replayed = sink.seen.length - 300
    const second = await gateway(manifests, data)
    await send(second, name, 300, 310)
    await until('it goes on', async () => (await running(second, name)) === 1)
    await ended(second, name)
    const counts = sink.counts()
    for (const id of idsOf(0, 300)) expect(counts.get(id)).toBeGreaterThanOrEqual(2)
    for (const id of idsOf(300, 310)) expect(counts.get(id)).toBe(1)
    // Not from its beginning again: what was in flight, and what was settled since the last commit.
    expect([...counts.values()].filter((n) => n > 2).length).toBeLessThanOrEqual(replayed - committed)
    const { items } = await second.api<{ items: { event: { id: string } }[] }>(`/api/v1/dlq/trigger/default/${name}-t`)
    expect(items.map((i) => i.event.id)).toEqual(['e7'])
    await gone(`${groupOf(name)}.replay-1`, name)
  })

  test('of two gateways each reads what it owns; what one leaves the other reads on', async () => {
    const name = nameOf()
    let slow = false
    const sink = await sinkOf((_seen, response) => setTimeout(() => response.writeHead(200).end(), slow ? 25 : 0))
    const manifests = manifestsOf(name, sink, { 'sluice.dev/max-concurrency': '2' })
    const [first, second] = await Promise.all([gateway(manifests), gateway(manifests)])
    const shared = `sluice.knative-broker-default-${name}`
    await until('both are members', async () => (await client.members(shared)) === 2, WITHIN_MS)
    await send(first, name, 0, 300)
    await until('all are delivered', () => sink.counts().size === 300)
    await until('all is committed', async () => (await offsets(groupOf(name), name)).reduce((a, b) => a + b, 0) === 300)
    slow = true
    // A member gets its share when the other has given it up.
    const begun = await until('the first reads its share', () => replay(first, name, 'earliest'), WITHIN_MS)
    expect(begun).toMatchObject({ events: 300 })
    await until('the other has found it', async () => (await running(second, name)) === 1, WITHIN_MS)
    await until('it is under way', () => sink.seen.length > 400, WITHIN_MS)
    // It goes while the replay runs: the first takes its part over where it stood.
    expect(await second.stop()).toBe(0)
    await ended(first, name)
    const counts = sink.counts()
    expect(idsOf(0, 300).map((id) => counts.get(id))).toEqual(idsOf(0, 300).map(() => 2))
    await gone(`${groupOf(name)}.replay-1`, name)
  })
})

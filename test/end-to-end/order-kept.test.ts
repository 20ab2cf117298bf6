import { randomUUID } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { broker, post, startGateway, temporaryFolder, trigger, type RunningGateway } from '../gateway.ts'
import { eventRecord, kafkaSource } from '../kafka-flow.ts'
import { kafkaTestClient } from '../servers/kafka-clients.ts'
import { sharedKafka } from '../servers/provided.ts'
import { startSink, type Answer, type Sink } from '../sink.ts'
import { until } from '../until.ts'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})
async function sinkOf(answer: Answer): Promise<Sink> {
  const sink = await startSink(answer)
  closing.push(() => sink.close())
  return sink
}
async function run(manifests: readonly unknown[], data = temporaryFolder()): Promise<RunningGateway> {
  const g = await startGateway({ manifests, data })
  closing.push(() => g.kill())
  return g
}
const DELIVERY = { retry: 8, backoffPolicy: 'linear', backoffDelay: 'PT0.03S' }

/** Every fifth event fails twice before it is taken; each answer takes a few ms. */
const moody: Answer = (seen, response, nth) => {
  const n = Number(/\d+$/.exec(seen.id)?.[0])
  setTimeout(() => response.writeHead(n % 5 === 0 && nth < 3 ? 503 : 200).end(), 3)
}

/** Ids in the order of their first request, those of one key alone. */
function firstSeen(sink: Sink, key: string): string[] {
  return [...new Set(sink.seen.map((s) => s.id).filter((id) => id.startsWith(`${key}-`)))]
}

function expectOrder(sink: Sink, key: string, count: number): void {
  expect(firstSeen(sink, key)).toEqual(Array.from({ length: count }, (_, i) => `${key}-${i}`))
}

/** No event comes between the attempts of one. Only the restart goes back, once, to where the position was recorded. */
function expectTogether(sink: Sink, key: string): void {
  const numbers = sink.seen.filter((s) => s.id.startsWith(`${key}-`)).map((s) => Number(s.id.slice(key.length + 1)))
  const back = numbers.filter((n, i) => n < (numbers[i - 1] ?? 0))
  expect(back.length).toBeLessThanOrEqual(1)
}

describe('order through failures, retries and a restart', () => {
  test('ordered: a broker’s trigger sees events as they were stored, one at a time', async () => {
    const sink = await sinkOf(moody)
    const manifests = [
      broker(),
      trigger('in-order', sink.url, {
        annotations: { 'sluice.dev/delivery-order': 'ordered' },
        spec: { delivery: DELIVERY },
      }),
    ]
    const data = temporaryFolder()
    const first = await run(manifests, data)
    for (let i = 0; i < 100; i++) expect(await post(`${first.listen}/default/default`, `a-${i}`)).toBe(202)
    await until('it is half way', () => sink.seen.length > 40)
    await first.kill()
    const second = await run(manifests, data)
    for (let i = 100; i < 140; i++) expect(await post(`${second.listen}/default/default`, `a-${i}`)).toBe(202)
    await until('all have come', () => sink.counts().size === 140)
    expectOrder(sink, 'a', 140)
    expectTogether(sink, 'a')
    expect(sink.mostInFlight()).toBe(1)
  })

  test('by key: each key in order, different keys at the same time', async () => {
    const sink = await sinkOf(moody)
    const manifests = [
      broker(),
      trigger('by-key', sink.url, {
        annotations: { 'sluice.dev/delivery-order': 'key' },
        spec: { delivery: DELIVERY },
      }),
    ]
    const data = temporaryFolder()
    const keys = ['red', 'green', 'blue', 'black']
    const first = await run(manifests, data)
    const sendAll = async (g: RunningGateway, from: number, to: number): Promise<void> => {
      for (let i = from; i < to; i++)
        for (const key of keys)
          expect(await post(`${g.listen}/default/default`, `${key}-${i}`, { 'ce-partitionkey': key })).toBe(202)
    }
    await sendAll(first, 0, 40)
    await until('it is half way', () => sink.seen.length > 60)
    await first.kill()
    const second = await run(manifests, data)
    await sendAll(second, 40, 60)
    await until('all have come', () => sink.counts().size === 60 * keys.length)
    for (const key of keys) {
      expectOrder(sink, key, 60)
      expectTogether(sink, key)
    }
    expect(sink.mostInFlight()).toBeGreaterThan(1)
    expect(sink.mostInFlight()).toBeLessThanOrEqual(keys.length)
  })

  test('an ordered event that is given up is parked and the next goes on; with on-park: stop it stops', async () => {
    const sink = await sinkOf((seen, response) => response.writeHead(seen.id === 'a-1' ? 400 : 200).end())
    const g = await run([
      broker(),
      trigger('goes-on', `${sink.url}goes-on`, { annotations: { 'sluice.dev/delivery-order': 'ordered' } }),
      trigger('stops', `${sink.url}stops`, {
        annotations: { 'sluice.dev/delivery-order': 'ordered', 'sluice.dev/on-park': 'stop' },
      }),
    ])
    for (let i = 0; i < 4; i++) expect(await post(`${g.listen}/default/default`, `a-${i}`)).toBe(202)
    const cameTo = (path: string): string[] => sink.seen.filter((s) => s.path === path).map((s) => s.id)
    await until('the one that goes on has all', () => cameTo('/goes-on').length === 4)
    await until('the other is held', async () => {
      const { subscriptions } = await g.api<{ subscriptions: { key: string; held: string }[] }>('/api/v1/snapshot')
      return subscriptions.find((s) => s.key === 'trigger/default/stops')?.held === 'on-park'
    })
    expect(cameTo('/goes-on')).toEqual(['a-0', 'a-1', 'a-2', 'a-3'])
    expect(cameTo('/stops')).toEqual(['a-0', 'a-1'])
    await g.api('/api/v1/subscriptions/trigger/default/stops/resume', {})
    await until('it goes on', () => cameTo('/stops').length === 4)
    expect(cameTo('/stops')).toEqual(['a-0', 'a-1', 'a-2', 'a-3'])
  })
})

const kafka = sharedKafka()

describe.skipIf(kafka.skip)(`order from Kafka through failures, retries and a restart${kafka.note}`, () => {
  test('ordered: each partition in its order, one event at a time; by key: each key', async () => {
    const client = kafkaTestClient(kafka.bootstrap)
    closing.push(() => client.close())
    const topic = await client.createTopic('ordered', 3)
    const ordered = await sinkOf(moody)
    const byKey = await sinkOf(moody)
    const to = { bootstrap: kafka.bootstrap, topic, delivery: DELIVERY }
    const manifests = [
      kafkaSource('ordered', { ...to, group: `g-${randomUUID()}`, sink: { uri: ordered.url }, ordering: 'ordered' }),
      kafkaSource('by-key', {
        ...to,
        group: `g-${randomUUID()}`,
        sink: { uri: byKey.url },
        annotations: { 'sluice.dev/delivery-order': 'key' },
      }),
    ]
    const data = temporaryFolder()
    // Partition and key are one here, so that both sources are asked the same question.
    const records = (from: number, to: number): Parameters<typeof client.produce>[1] =>
      [0, 1, 2].flatMap((p) => Array.from({ length: to - from }, (_, i) => eventRecord(`p${p}-${from + i}`, p, `key-${p}`)))
    const first = await run(manifests, data)
    await client.produce(topic, records(0, 60))
    await until('it is half way', () => ordered.seen.length > 60 && byKey.seen.length > 60)
    await first.kill()
    await run(manifests, data)
    await client.produce(topic, records(60, 90))
    await until('all have come', () => ordered.counts().size === 270 && byKey.counts().size === 270)
    for (const sink of [ordered, byKey]) {
      for (const p of [0, 1, 2]) {
        expectOrder(sink, `p${p}`, 90)
        expectTogether(sink, `p${p}`)
      }
      expect(sink.mostInFlight()).toBeGreaterThan(1)
      expect(sink.mostInFlight()).toBeLessThanOrEqual(3)
    }
  })
})

import { randomUUID } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { startGateway, type RunningGateway } from '../gateway.ts'
import { duplicates, kafkaSource, missing, produceSteadily } from '../kafka-flow.ts'
import { startKafka } from '../servers/kafka.ts'
import { kafkaTestClient, type KafkaTestClient } from '../servers/kafka-clients.ts'
import { ownKafka, sharedKafka } from '../servers/provided.ts'
import { startSink, type Sink } from '../sink.ts'
import { until } from '../until.ts'

/** Most attempts under way at once. */
const IN_FLIGHT = 16
const LIMIT = { 'sluice.dev/max-concurrency': String(IN_FLIGHT) }

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})
async function run(manifests: readonly unknown[]): Promise<RunningGateway> {
  const g = await startGateway({ manifests })
  closing.push(() => g.kill())
  return g
}
async function slowSink(): Promise<Sink> {
  const sink = await startSink((_seen, response) => setTimeout(() => response.writeHead(200).end(), 10))
  closing.push(() => sink.close())
  return sink
}
async function topicAt(bootstrap: string): Promise<{ client: KafkaTestClient; topic: string }> {
  const client = kafkaTestClient(bootstrap)
  closing.push(() => client.close())
  return { client, topic: await client.createTopic('changing', 4) }
}

const shared = sharedKafka()
const own = ownKafka()

describe.skipIf(shared.skip)(`two gateways in one group${shared.note}`, () => {
  test('a second one joins and leaves: none lost, few twice', async () => {
    const { client, topic } = await topicAt(shared.bootstrap)
    const sink = await slowSink()
    const group = `g-${randomUUID()}`
    const to = { bootstrap: shared.bootstrap, topic, group, sink: { uri: sink.url }, annotations: LIMIT }
    const first = await run([kafkaSource('shared', to)])
    const flow = produceSteadily(client, topic)
    await until('events flow', () => sink.seen.length > 100)
    const second = await run([kafkaSource('shared', to)])
    await until('both are members', async () => (await client.members(group)) === 2)
    const delivered = async (): Promise<number> =>
      (await second.api<{ subscriptions: { delivered: number }[] }>('/api/v1/snapshot')).subscriptions[0]?.delivered ?? 0
    await until('the second one delivers', async () => (await delivered()) > 50)
    expect(await second.stop()).toBe(0)
    await until('one is left', async () => (await client.members(group)) === 1)
    const before = sink.seen.length
    await until('events go on', () => sink.seen.length > before + 200)
    await flow.stop()
    await until('every event has arrived', () => missing(flow.sent, sink).length === 0)
    // Both times what runs ends, and is committed, before the partitions change hands.
    expect(duplicates(sink)).toBeLessThanOrEqual(IN_FLIGHT)
    expect(await first.stop()).toBe(0)
  })
})

describe.skipIf(own.skip)(`SIGKILL of Kafka${own.note}`, () => {
  test('Kafka is killed in full flow and comes back: all that it acknowledged arrives', async () => {
    const kafka = await startKafka()
    closing.push(() => kafka.stop())
    const { client, topic } = await topicAt(kafka.bootstrap)
    const sink = await slowSink()
    const to = { bootstrap: kafka.bootstrap, topic, group: 'g', sink: { uri: sink.url }, annotations: LIMIT }
    const g = await run([kafkaSource('fragile', to)])
    const flow = produceSteadily(client, topic)
    await until('events flow', () => sink.seen.length > 300)
    await kafka.kill()
    const degraded = async (): Promise<string[]> => {
      const state = await g.api<{ degraded: { resource: string; reason: string }[] }>('/readyz')
      return state.degraded.map((d) => `${d.resource} ${d.reason}`)
    }
    await until('it is degraded', async () => (await degraded()).includes('kafkasource/default/fragile KafkaUnreachable'))
    await kafka.restart()
    const before = sink.seen.length
    await until('events flow again', () => sink.seen.length > before + 200, 60_000)
    await until('nothing is degraded', async () => (await degraded()).length === 0)
    await flow.stop()
    await until('all that was acknowledged has arrived', () => missing(flow.sent, sink).length === 0)
    expect(sink.mostInFlight()).toBeLessThanOrEqual(IN_FLIGHT)
    expect(await g.stop()).toBe(0)
    const committed = [...(await client.committed('g', topic)).values()].reduce((sum, c) => sum + c.offset, 0)
    expect(committed).toBeGreaterThanOrEqual(sink.counts().size)
  })
})

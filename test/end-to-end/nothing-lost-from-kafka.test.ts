import { randomUUID } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { broker, startGateway, temporaryFolder, trigger, type RunningGateway } from '../gateway.ts'
import { duplicates, kafkaSource, missing, produceSteadily, seenBetween } from '../kafka-flow.ts'
import { kafkaTestClient } from '../servers/kafka-clients.ts'
import { sharedKafka } from '../servers/provided.ts'
import { startSink, type Sink } from '../sink.ts'
import { until } from '../until.ts'

/** A kill in every run, many under `npm run test:soak`. */
const ROUNDS = process.env['SOAK'] === undefined ? 1 : 20
/** Most attempts under way at once. */
const IN_FLIGHT = 16
/** Positions are committed every second; so long it may take until what was settled is durable, on a busy machine too. */
const COMMITTED_MS = 2_500
/** So long events have flowed when the gateway is killed: longer than what may come again. */
const FLOW_MS = 4_000
/** A start, a session that must be over where the dead member is not taken out at once, and what has piled up meanwhile. */
const BACK_WITHIN_MS = 120_000

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})
async function run(options: Parameters<typeof startGateway>[0]): Promise<RunningGateway> {
  const g = await startGateway(options)
  closing.push(() => g.kill())
  return g
}
async function slowSink(): Promise<Sink> {
  const sink = await startSink((_seen, response) => setTimeout(() => response.writeHead(200).end(), 10))
  closing.push(() => sink.close())
  return sink
}

const kafka = sharedKafka()
const LIMIT = { 'sluice.dev/max-concurrency': String(IN_FLIGHT) }

describe.skipIf(kafka.skip)(`SIGKILL of the gateway in full flow from Kafka${kafka.note}`, () => {
  const rounds = Array.from({ length: ROUNDS }, (_, i) => i + 1)

  test.each(rounds)(
    'round %i: all arrive at a sink and behind a broker, duplicates stay within the bound',
    async () => {
      const client = kafkaTestClient(kafka.bootstrap)
      closing.push(() => client.close())
      const topic = await client.createTopic('lossless', 4)
      const direct = await slowSink()
      const behind = await slowSink()
      const at = (group: string): { bootstrap: string; topic: string; group: string } => ({
        bootstrap: kafka.bootstrap,
        topic,
        group: `${group}-${randomUUID()}`,
      })
      const manifests = [
        kafkaSource('direct', { ...at('direct'), sink: { uri: direct.url }, annotations: LIMIT }),
        kafkaSource('through', {
          ...at('through'),
          sink: { ref: { apiVersion: 'eventing.knative.dev/v1', kind: 'Broker', name: 'default' } },
        }),
        broker(),
        trigger('all', behind.url, { annotations: LIMIT }),
      ]
      const data = temporaryFolder()
      const first = await run({ manifests, data })
      const flow = produceSteadily(client, topic)
      const began = await until('events flow both ways', () => (direct.seen.length > 0 ? behind.seen[0]?.atMs : 0))
      await until('the flow is full', () => performance.now() - began > FLOW_MS)
      await first.kill()
      const killedMs = performance.now()
      const sentBefore = flow.sent.size
      const second = await run({ manifests, data })
      // What the broker had stored comes at once, what was sent since then when the dead member is out of its group.
      const later = (): string[] => [...flow.sent].slice(sentBefore)
      const flows = (s: Sink): boolean => later().length - missing(new Set(later()), s).length > 100
      await until('events flow again', () => flows(direct) && flows(behind), BACK_WITHIN_MS)
      await flow.stop()
      await until(
        'every event has arrived',
        () => [direct, behind].every((s) => missing(flow.sent, s).length === 0),
        BACK_WITHIN_MS,
      )
      expect(flow.sent.size).toBeGreaterThan(500)
      const lately = (s: Sink): number => seenBetween(s, killedMs - COMMITTED_MS, killedMs)
      expect(duplicates(direct)).toBeLessThanOrEqual(IN_FLIGHT + lately(direct))
      // The source may append again what it had not committed; the trigger, which is as fast, what it had not recorded.
      expect(duplicates(behind)).toBeLessThanOrEqual(IN_FLIGHT + 2 * lately(behind))
      for (const sink of [direct, behind]) expect(sink.mostInFlight()).toBeLessThanOrEqual(IN_FLIGHT)
      expect(await second.stop()).toBe(0)
    },
    360_000,
  )
})

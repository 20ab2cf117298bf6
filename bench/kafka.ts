import { join } from 'node:path'
import { startKafka, type KafkaServer } from '../test/servers/kafka.ts'
import { kafkaTestClient, type TestRecord } from '../test/servers/kafka-clients.ts'
import type { Figure, Scenario } from './figures.ts'
import { cpuMs, start } from './processes.ts'
import { kafkaSource, measureFlow, startGateway, startSink } from './system.ts'

export const PARTITIONS = 64
const IN_FLIGHT = 64
/** 300 bytes of JSON. */
const BODY = Buffer.from(JSON.stringify({ order: 4711, note: 'x'.repeat(272) }).slice(0, 300))

let shared: KafkaServer | null = null

export async function kafka(): Promise<string> {
  const given = process.env['KAFKA_BOOTSTRAP']
  if (given !== undefined) return given
  shared ??= await startKafka()
  return shared.bootstrap
}

export async function stopKafka(): Promise<void> {
  await shared?.stop()
}

/** A topic of 64 partitions with `count` events in the binary content mode. */
export async function filledTopic(bootstrap: string, count: number): Promise<string> {
  const client = kafkaTestClient(bootstrap)
  const topic = await client.createTopic('bench', PARTITIONS)
  const PER_REQUEST = 2_000
  for (let from = 0; from < count; from += PER_REQUEST) {
    await client.produce(
      topic,
      Array.from({ length: Math.min(PER_REQUEST, count - from) }, (_, i) => ({
        key: Buffer.from(`key-${(from + i) % 5_000}`),
        value: BODY,
        partition: (from + i) % PARTITIONS,
        headers: [
          ['ce_specversion', '1.0'],
          ['ce_id', `event-${from + i}`],
          ['ce_source', '/bench/kafka'],
          ['ce_type', 'bench.event'],
          ['ce_time', '2026-01-31T12:00:00Z'],
          ['content-type', 'application/json'],
        ],
      })),
    )
  }
  await client.close()
  return topic
}

function placeOf(address: string, name: string): string {
  return JSON.stringify({ address, name, partitions: PARTITIONS })
}

/** The bare pair of clients on the same topic and sink. */
export async function floor(
  bootstrap: string,
  topic: string,
  count: number,
  delayMs: number,
): Promise<{ eventsPerS: number; cpuUs: number }> {
  const sink = await startSink(delayMs)
  const pair = start(
    join(import.meta.dirname, 'floor-deliver.ts'),
    ['kafka', placeOf(bootstrap, topic), String(sink.port), String(IN_FLIGHT)],
    0,
  )
  const figures = await measureFlow(sink, pair.pid, count)
  await pair.stop()
  await sink.stop()
  return figures
}

/** The gateway from that topic to a sink. */
export async function throughGateway(
  bootstrap: string,
  topic: string,
  count: number,
  delayMs: number,
  more: Parameters<typeof kafkaSource>[3] = {},
): Promise<{ eventsPerS: number; cpuUs: number }> {
  const sink = await startSink(delayMs)
  const gateway = await startGateway([kafkaSource(bootstrap, topic, `http://127.0.0.1:${sink.port}/`, more)])
  const figures = await measureFlow(sink, gateway.pid, count)
  await gateway.stop()
  await sink.stop()
  return figures
}

export const kafkaToHttp: Scenario = {
  name: 'kafka-to-http',
  about: `Kafka (${PARTITIONS} partitions) → HTTP, ${IN_FLIGHT} in flight, 300 bytes; one core for the gateway`,
  async run(count) {
    const n = count || 150_000
    const bootstrap = await kafka()
    const topic = await filledTopic(bootstrap, n)
    const bare = await floor(bootstrap, topic, n, 0)
    const ours = await throughGateway(bootstrap, topic, n, 0)
    return [
      { name: 'bare pair: CPU an event', value: bare.cpuUs, unit: 'µs' },
      { name: 'bare pair: rate', value: bare.eventsPerS, unit: 'events/s' },
      { name: 'gateway: CPU an event', value: ours.cpuUs, unit: 'µs' },
      { name: 'gateway: rate', value: ours.eventsPerS, unit: 'events/s' },
      { name: 'CPU an event ÷ bare pair', value: ours.cpuUs / bare.cpuUs, unit: '×', target: { is: '<=', bound: 1.3 } },
    ] satisfies Figure[]
  },
}

const LIVE_PER_S = 1_000

/** A thousand records a second, those of two milliseconds in one request, each with the moment it left. */
async function produceLive(bootstrap: string, topic: string, count: number): Promise<void> {
  const client = kafkaTestClient(bootstrap)
  const startMs = performance.now()
  const open = new Set<Promise<void>>()
  for (let sent = 0; sent < count;) {
    const due = Math.min(count, Math.ceil(((performance.now() - startMs) / 1_000) * LIVE_PER_S))
    const records = Array.from({ length: due - sent }, (_, i) => liveRecord(sent + i))
    sent = due
    if (records.length > 0) {
      const one = client.produce(topic, records)
      open.add(one)
      void one.finally(() => open.delete(one))
    }
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  await Promise.all(open)
  await client.close()
}

function liveRecord(n: number): TestRecord {
  return {
    key: Buffer.from(`key-${n % 5_000}`),
    value: Buffer.from(`{"sentAt":${(performance.timeOrigin + performance.now()).toFixed(3)},"note":"${'x'.repeat(250)}"}`),
    partition: n % PARTITIONS,
    headers: [
      ['ce_specversion', '1.0'],
      ['ce_id', `live-${n}`],
      ['ce_source', '/bench/kafka'],
      ['ce_type', 'bench.event'],
      ['content-type', 'application/json'],
    ],
  }
}

interface Live {
  readonly cpuUs: number
  readonly p50: number
  readonly p99: number
  readonly max: number
}

async function liveThrough(
  bootstrap: string,
  count: number,
  startReader: (topic: string, port: number) => Promise<{ pid: number; stop(): Promise<void> }>,
): Promise<Live> {
  const topic = await filledTopic(bootstrap, PARTITIONS)
  const sink = await startSink()
  const reader = await startReader(topic, sink.port)
  await sink.ask('until', PARTITIONS)
  const warming = Math.min(LIVE_PER_S, count)
  await Promise.all([sink.ask('until', PARTITIONS + warming), produceLive(bootstrap, topic, warming)])
  await sink.ask('reset')
  const before = cpuMs(reader.pid)
  await Promise.all([sink.ask('until', count), produceLive(bootstrap, topic, count)])
  const cpuUs = ((cpuMs(reader.pid) - before) / count) * 1_000
  const latencies = await sink.ask<{ p50: number; p99: number; max: number }>('latencies')
  await reader.stop()
  await sink.stop()
  return { cpuUs, ...latencies }
}

export const live: Scenario = {
  name: 'kafka-live',
  about: `Kafka → HTTP, ${LIVE_PER_S} events/s as they come, commits every second`,
  async run(count) {
    const n = count || 8_000
    const bootstrap = await kafka()
    const bare = await liveThrough(bootstrap, n, (topic, port) =>
      Promise.resolve(
        start(
          join(import.meta.dirname, 'floor-deliver.ts'),
          ['kafka', placeOf(bootstrap, topic), String(port), String(IN_FLIGHT)],
          0,
        ),
      ),
    )
    const ours = await liveThrough(bootstrap, n, (topic, port) =>
      startGateway([kafkaSource(bootstrap, topic, `http://127.0.0.1:${port}/`)]),
    )
    return [
      { name: 'bare pair: CPU an event', value: bare.cpuUs, unit: 'µs' },
      { name: 'gateway: CPU an event', value: ours.cpuUs, unit: 'µs' },
      { name: 'CPU an event ÷ bare pair', value: ours.cpuUs / bare.cpuUs, unit: '×', target: { is: '<=', bound: 1.1 } },
      { name: 'bare pair: p50', value: bare.p50, unit: 'ms' },
      { name: 'bare pair: p99', value: bare.p99, unit: 'ms' },
      { name: 'gateway: p50', value: ours.p50, unit: 'ms' },
      { name: 'gateway: p99', value: ours.p99, unit: 'ms' },
      { name: 'gateway: most (a stall at commits would show)', value: ours.max, unit: 'ms' },
    ]
  },
}

export const slowService: Scenario = {
  name: 'slow-service',
  about: `Kafka → a service of 10 ms, ${IN_FLIGHT} in flight (6,400/s possible)`,
  async run(count) {
    const n = count || 30_000
    const bootstrap = await kafka()
    const topic = await filledTopic(bootstrap, n)
    const bare = await floor(bootstrap, topic, n, 10)
    const ours = await throughGateway(bootstrap, topic, n, 10)
    return [
      { name: 'bare pair: rate', value: bare.eventsPerS, unit: 'events/s' },
      { name: 'gateway: rate', value: ours.eventsPerS, unit: 'events/s' },
      { name: 'gateway: CPU an event', value: ours.cpuUs, unit: 'µs' },
      { name: 'rate ÷ bare pair', value: ours.eventsPerS / bare.eventsPerS, unit: '×', target: { is: '>=', bound: 0.97 } },
    ]
  },
}

export const ordered: Scenario = {
  name: 'ordered',
  about: 'Kafka → HTTP in order of the partition, and by key, against unordered',
  async run(count) {
    const n = count || 100_000
    const bootstrap = await kafka()
    const topic = await filledTopic(bootstrap, n)
    const unordered = await throughGateway(bootstrap, topic, n, 0)
    const inOrder = await throughGateway(bootstrap, topic, n, 0, { spec: { ordering: 'ordered' } })
    const byKey = await throughGateway(bootstrap, topic, n, 0, { annotations: { 'sluice.dev/delivery-order': 'key' } })
    return [
      { name: 'unordered', value: unordered.eventsPerS, unit: 'events/s' },
      { name: 'ordered', value: inOrder.eventsPerS, unit: 'events/s' },
      { name: 'by key', value: byKey.eventsPerS, unit: 'events/s' },
      {
        name: 'ordered ÷ unordered',
        value: inOrder.eventsPerS / unordered.eventsPerS,
        unit: '×',
        target: { is: '>=', bound: 0.5 },
      },
      { name: 'by key ÷ unordered', value: byKey.eventsPerS / unordered.eventsPerS, unit: '×', target: { is: '>=', bound: 0.8 } },
    ]
  },
}

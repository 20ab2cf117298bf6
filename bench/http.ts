import { join } from 'node:path'
import type { Figure, Scenario } from './figures.ts'
import { cpuMs, rssMb, start, type Measured } from './processes.ts'
import { broker, builtCopy, measureFlow, startGateway, startSink, trigger } from './system.ts'

const FLIGHT = 64
const MEMORY = { 'sluice.dev/stream': 'memory' }
const here = (file: string): string => join(import.meta.dirname, file)

export async function loader(url: string, perS: number, count: number, concurrency = FLIGHT): Promise<Measured> {
  const child = start(here('loader.ts'), [url, String(perS), String(count), String(concurrency)], 1)
  await child.message('ready')
  return child
}

interface Flow {
  readonly eventsPerS: number
  readonly cpuUs: number
  readonly rssMb: number
}

/** Closed loop: producers → broker → sink. */
async function throughBroker(
  count: number,
  annotations: Readonly<Record<string, string>>,
  triggers: (sink: string) => readonly unknown[],
): Promise<Flow> {
  const sink = await startSink()
  const gateway = await startGateway([broker(annotations), ...triggers(`http://127.0.0.1:${sink.port}/`)])
  const load = await loader(`${gateway.listen}/default/default`, 0, count)
  const [flow] = await Promise.all([measureFlow(sink, gateway.pid, count), load.ask('go')])
  const rss = rssMb(gateway.pid)
  await load.stop()
  await gateway.stop()
  await sink.stop()
  return { ...flow, rssMb: rss }
}

/** CPU a request of a bare server, and of a bare client. */
async function bareHttp(count: number): Promise<{ inUs: number; outUs: number }> {
  const server = start(here('floor-uws.ts'), [], 0)
  const port = await server.message<number>('ready')
  const load = await loader(`http://127.0.0.1:${port}/`, 0, count)
  const before = cpuMs(server.pid)
  const result = await load.ask<{ events: number }>('go')
  const inUs = ((cpuMs(server.pid) - before) / result.events) * 1_000
  await load.stop()
  await server.stop()
  const sink = await startSink()
  const client = start(here('floor-lane.ts'), [String(sink.port), String(FLIGHT)], 0)
  const { cpuUs: outUs } = await measureFlow(sink, client.pid, count)
  await client.stop()
  await sink.stop()
  return { inUs, outUs }
}

async function barePut(count: number): Promise<{ cpuUs: number; flushMs: number }> {
  const child = start(here('floor-put.ts'), [String(count), '32'], 0)
  const result = await child.message<{ cpuUs: number; flushMs: number }>('result')
  await child.stop()
  return result
}

const everything = (sink: string, more: Readonly<Record<string, unknown>> = {}, prefix = ''): readonly unknown[] => [
  trigger(`${prefix}all`, sink, { filter: { attributes: { type: 'bench.event' } }, ...more }),
]

export const ingress: Scenario = {
  name: 'ingress',
  about: `HTTP → broker → HTTP, ${FLIGHT} producers, 300 bytes; durable and in memory`,
  async run(count) {
    const n = count || 60_000
    const bare = await bareHttp(n)
    const put = await barePut(Math.min(n, 50_000))
    const durable = await throughBroker(n, {}, (sink) => everything(sink))
    const memory = await throughBroker(n, MEMORY, (sink) => everything(sink))
    const floor = bare.inUs + bare.outUs + put.cpuUs
    return [
      { name: 'bare uWebSockets.js server: CPU a request', value: bare.inUs, unit: 'µs' },
      { name: 'bare HTTP lane: CPU a request', value: bare.outUs, unit: 'µs' },
      { name: 'bare flushed put: CPU a put', value: put.cpuUs, unit: 'µs' },
      { name: 'embedded broker: CPU an event', value: durable.cpuUs, unit: 'µs' },
      { name: 'embedded broker: rate', value: durable.eventsPerS, unit: 'events/s' },
      { name: 'embedded broker: RSS', value: durable.rssMb, unit: 'MB' },
      { name: 'memory broker: CPU an event', value: memory.cpuUs, unit: 'µs' },
      { name: 'memory broker: rate', value: memory.eventsPerS, unit: 'events/s' },
      {
        name: 'embedded broker: CPU ÷ sum of the bare three',
        value: durable.cpuUs / floor,
        unit: '×',
        target: { is: '<=', bound: 1.6 },
      },
    ]
  },
}

/** `count` triggers of mixed dialects; only the first matches. */
export function manyTriggers(
  sink: string,
  count: number,
  more: Readonly<Record<string, unknown>> = {},
  prefix = '',
): readonly unknown[] {
  const others = Array.from({ length: count - 1 }, (_, i) => {
    const n = i % 5
    const spec =
      n === 0
        ? { filter: { attributes: { type: `other.event.${i}` } } }
        : n === 1
          ? { filters: [{ exact: { type: `other.event.${i}` } }, { not: { prefix: { source: '/no' } } }] }
          : n === 2
            ? { filters: [{ prefix: { source: `/other/${i}/` } }] }
            : n === 3
              ? { filters: [{ cesql: `type = 'other.event.${i}' AND subject LIKE 'a%'` }] }
              : { filters: [{ cel: `ce.type == 'other.event.${i}' && data.n > 3.0` }] }
    return trigger(`${prefix}other-${i}`, sink, { ...spec, ...more })
  })
  return [...everything(sink, more, prefix), ...others]
}

export const fanOut: Scenario = {
  name: 'fan-out',
  about: 'HTTP → broker with 1, 100 and 1,000 triggers of mixed dialects of which one matches',
  async run(count) {
    const n = count || 60_000
    const one = await throughBroker(n, MEMORY, (sink) => everything(sink))
    const hundred = await throughBroker(n, MEMORY, (sink) => manyTriggers(sink, 100))
    const thousand = await throughBroker(n, MEMORY, (sink) => manyTriggers(sink, 1_000))
    return [
      { name: '1 trigger: rate', value: one.eventsPerS, unit: 'events/s' },
      { name: '100 triggers: rate', value: hundred.eventsPerS, unit: 'events/s' },
      { name: '1,000 triggers: rate', value: thousand.eventsPerS, unit: 'events/s' },
      { name: '100 ÷ 1', value: hundred.eventsPerS / one.eventsPerS, unit: '×', target: { is: '>=', bound: 0.9 } },
      { name: '1,000 ÷ 1', value: thousand.eventsPerS / one.eventsPerS, unit: '×', target: { is: '>=', bound: 0.8 } },
      { name: '100 triggers: RSS', value: hundred.rssMb, unit: 'MB', target: { is: '<=', bound: 250 } },
      { name: '1,000 triggers: RSS', value: thousand.rssMb, unit: 'MB', target: { is: '<=', bound: 300 } },
    ]
  },
}

interface Latency {
  readonly p50: number
  readonly p99: number
}

const PER_S = 1_000

async function latencyOf(
  count: number,
  urlOf: (sinkPort: number) => Promise<{ url: string; stop: () => Promise<void> }>,
): Promise<Latency> {
  const sink = await startSink()
  const { url, stop } = await urlOf(sink.port)
  // As fast as they go: by then all code that is used is compiled.
  const warming = 3 * count
  const warm = await loader(url, 0, warming)
  await Promise.all([sink.ask('until', warming), warm.ask('go')])
  await warm.stop()
  await sink.ask('reset')
  const load = await loader(url, PER_S, count, 256)
  await Promise.all([sink.ask('until', count), load.ask('go')])
  const latency = await sink.ask<Latency>('latencies')
  await load.stop()
  await stop()
  await sink.stop()
  return latency
}

async function latencyThrough(count: number, annotations: Readonly<Record<string, string>>): Promise<Latency> {
  return latencyOf(count, async (port) => {
    const gateway = await startGateway([broker(annotations), ...everything(`http://127.0.0.1:${port}/`)])
    return { url: `${gateway.listen}/default/default`, stop: () => gateway.stop() }
  })
}

export const latency: Scenario = {
  name: 'latency',
  about: `added latency at ${PER_S} events/s, producer → subscriber, over the same without the gateway`,
  async run(count) {
    const n = count || 10_000
    const bare = await latencyOf(n, (port) =>
      Promise.resolve({ url: `http://127.0.0.1:${port}/`, stop: () => Promise.resolve() }),
    )
    const memory = await latencyThrough(n, MEMORY)
    const durable = await latencyThrough(n, {})
    const put = await barePut(500)
    return [
      { name: 'without the gateway: p50', value: bare.p50, unit: 'ms' },
      { name: 'without the gateway: p99', value: bare.p99, unit: 'ms' },
      { name: 'memory broker: added p50', value: memory.p50 - bare.p50, unit: 'ms', target: { is: '<=', bound: 1 } },
      { name: 'memory broker: added p99', value: memory.p99 - bare.p99, unit: 'ms', target: { is: '<=', bound: 3 } },
      { name: 'embedded broker: added p50', value: durable.p50 - bare.p50, unit: 'ms' },
      { name: 'embedded broker: added p99', value: durable.p99 - bare.p99, unit: 'ms' },
      { name: 'one flush of this disk', value: put.flushMs, unit: 'ms' },
    ]
  },
}

export const idle: Scenario = {
  name: 'idle',
  about: 'a gateway as installed, with a broker and ten triggers that nobody uses',
  async run(count) {
    const seconds = count > 0 ? Math.max(1, Math.min(10, count / 100)) : 10
    await builtCopy()
    const manifests = [broker(), ...Array.from({ length: 10 }, (_, i) => trigger(`t${i}`, 'http://127.0.0.1:9/'))]
    // The second start is the usual one: the first also fills the cache of compiled code.
    await (await startGateway(manifests)).stop()
    const startMs = performance.now()
    const gateway = await startGateway(manifests)
    const readyMs = performance.now() - startMs
    await new Promise((resolve) => setTimeout(resolve, 2_000))
    const before = cpuMs(gateway.pid)
    await new Promise((resolve) => setTimeout(resolve, seconds * 1_000))
    const used = cpuMs(gateway.pid) - before
    const rss = rssMb(gateway.pid)
    await gateway.stop()
    return [
      { name: 'ready after', value: readyMs / 1_000, unit: 's', target: { is: '<=', bound: 1 } },
      { name: 'CPU of one core', value: (used / (seconds * 1_000)) * 100, unit: '%', target: { is: '<=', bound: 1 } },
      { name: 'RSS', value: rss, unit: 'MB' },
    ] satisfies Figure[]
  },
}

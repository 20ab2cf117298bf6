import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Place } from './bare-clients/client.ts'
import type { Figure, Scenario } from './figures.ts'
import { manyTriggers, loader } from './http.ts'
import { cpuMs, rssMb, start } from './processes.ts'
import { freshName, onKafka, type StartedSystem, STREAM_SYSTEMS, type StreamSystem } from './stream-systems.ts'
import { type GatewayUnderTest, measureFlow, startGateway, startSink, temporaryFolder, trigger } from './system.ts'

const FLIGHT = 64
const EVENTS = 100_000
/** Fewer say nothing: CPU time is counted in ticks of 10 ms. */
const LEAST = 500
const RATIO = 1.3
/** Bare clients and gateway take turns so often, and the best of each counts; once where somebody says how many events. */
const ROUNDS = 3
const here = (file: string): string => join(import.meta.dirname, file)

interface Cost {
  readonly eventsPerS: number
  readonly cpuUs: number
}

interface Costs {
  readonly publish: Cost
  readonly deliver: Cost
}

/** CPU and rate of a process that takes `count` events over HTTP; a fifth more go before, to warm it. */
async function publishing(url: string, pid: number, count: number): Promise<Cost> {
  const warm = await loader(url, 0, Math.ceil(count / 5))
  await warm.ask('go')
  await warm.stop()
  const load = await loader(url, 0, count)
  const before = cpuMs(pid)
  const { events, seconds } = await load.ask<{ events: number; seconds: number }>('go')
  const cpuUs = ((cpuMs(pid) - before) / events) * 1_000
  await load.stop()
  return { eventsPerS: events / seconds, cpuUs }
}

/** Bare HTTP server → bare client, then bare client → bare HTTP lane on what was published. */
async function floorOf(system: StreamSystem, place: Place, count: number): Promise<Costs> {
  const server = start(here('floor-publish.ts'), [system.client, JSON.stringify(place)], 0)
  const port = await server.message<number>('ready')
  const publish = await publishing(`http://127.0.0.1:${port}/`, server.pid, count)
  await server.stop()
  const sink = await startSink()
  const reader = start(here('floor-deliver.ts'), [system.client, JSON.stringify(place), String(sink.port), String(FLIGHT)], 0)
  const deliver = await measureFlow(sink, reader.pid, count)
  await reader.stop()
  await sink.stop()
  return { publish, deliver }
}

/**
 * The same through a Broker: first its trigger is paused and all is published, then another process of the gateway delivers
 * what stands there. In between it is resumed: a pause is remembered.
 */
async function gatewayOf(system: StartedSystem, count: number): Promise<Costs> {
  const name = freshName()
  const sink = await startSink()
  const reads = trigger(
    `${name}-all`,
    `http://127.0.0.1:${sink.port}/`,
    { broker: name, filter: { attributes: { type: 'bench.event' } } },
    { 'sluice.dev/max-concurrency': String(FLIGHT) },
  )
  const manifests = [...system.broker(name), reads]
  const folder = temporaryFolder()
  const first = await startGateway(manifests, [], folder)
  await tell(first, folder, `trigger/default/${name}-all/pause`)
  const publish = await publishing(`${first.listen}/default/${name}`, first.pid, count)
  await tell(first, folder, `trigger/default/${name}-all/resume`)
  await first.stop()
  const second = await startGateway(manifests, [], folder)
  const deliver = await measureFlow(sink, second.pid, count)
  await second.stop()
  await sink.stop()
  return { publish, deliver }
}

async function tell(gateway: GatewayUnderTest, folder: string, what: string): Promise<void> {
  const token = readFileSync(join(folder, 'data', 'admin.token'), 'utf8').trim()
  const answer = await fetch(`${gateway.admin}/api/v1/subscriptions/${what}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: '{}',
  })
  if (!answer.ok) throw new Error(`${what}: ${answer.status} ${await answer.text()}`)
}

/** What disturbs a measurement only adds to it. */
function best(all: readonly Costs[]): Costs {
  const of = (way: 'publish' | 'deliver'): Cost => ({
    eventsPerS: Math.max(...all.map((c) => c[way].eventsPerS)),
    cpuUs: Math.min(...all.map((c) => c[way].cpuUs)),
  })
  return { publish: of('publish'), deliver: of('deliver') }
}

async function figuresOf(system: StreamSystem, events: number, rounds: number): Promise<Figure[]> {
  const count = Math.max(Math.ceil((events * system.percent) / 100), Math.min(events, LEAST))
  const started = await system.start()
  try {
    const [floors, gateways]: [Costs[], Costs[]] = [[], []]
    for (let round = 0; round < rounds; round++) {
      floors.push(await floorOf(system, await started.place(), count))
      gateways.push(await gatewayOf(started, count))
    }
    const [floor, ours] = [best(floors), best(gateways)]
    return (['publish', 'deliver'] as const).flatMap((way) => {
      const label = `${system.name}, ${way}`
      return [
        { name: `${label}: bare, rate`, value: floor[way].eventsPerS, unit: 'events/s' },
        { name: `${label}: bare, CPU an event`, value: floor[way].cpuUs, unit: 'µs' },
        { name: `${label}: gateway, rate`, value: ours[way].eventsPerS, unit: 'events/s' },
        { name: `${label}: gateway, CPU an event`, value: ours[way].cpuUs, unit: 'µs' },
        {
          name: `${label}: CPU ÷ bare`,
          // CPU time is told in ticks: of a handful of events it may be none.
          value: ours[way].cpuUs / Math.max(floor[way].cpuUs, 1),
          unit: '×',
          target: { is: '<=', bound: RATIO },
        },
      ]
    })
  } finally {
    await started.stop()
  }
}

/** HTTP → Broker on Kafka → HTTP with so many triggers, of which the first matches. */
async function withTriggers(system: StartedSystem, triggers: number, count: number): Promise<Cost & { readonly rssMb: number }> {
  const name = freshName()
  const sink = await startSink()
  const gateway = await startGateway([
    ...system.broker(name),
    ...manyTriggers(`http://127.0.0.1:${sink.port}/`, triggers, { broker: name }, `${name}-`),
  ])
  const load = await loader(`${gateway.listen}/default/${name}`, 0, count)
  const [flow] = await Promise.all([measureFlow(sink, gateway.pid, count), load.ask('go')])
  const rss = rssMb(gateway.pid)
  await load.stop()
  await gateway.stop()
  await sink.stop()
  return { ...flow, rssMb: rss }
}

function quicker<C extends Cost>(a: C, b: C): C {
  return a.eventsPerS > b.eventsPerS ? a : b
}

async function triggersOnKafka(count: number, rounds: number): Promise<Figure[]> {
  const started = await onKafka.start()
  let [one, hundred] = [await withTriggers(started, 1, count), await withTriggers(started, 100, count)]
  for (let round = 1; round < rounds; round++) {
    one = quicker(one, await withTriggers(started, 1, count))
    hundred = quicker(hundred, await withTriggers(started, 100, count))
  }
  return [
    { name: 'Kafka, 1 trigger: rate', value: one.eventsPerS, unit: 'events/s' },
    { name: 'Kafka, 100 triggers of which one matches: rate', value: hundred.eventsPerS, unit: 'events/s' },
    { name: 'Kafka, 100 triggers of which one matches: CPU an event', value: hundred.cpuUs, unit: 'µs' },
    { name: 'Kafka, 100 triggers of which one matches: RSS', value: hundred.rssMb, unit: 'MB' },
    {
      name: 'Kafka, 100 triggers ÷ 1',
      value: hundred.eventsPerS / one.eventsPerS,
      unit: '×',
      target: { is: '>=', bound: 0.9 },
    },
  ]
}

export const streams: Scenario = {
  name: 'streams',
  about: `Brokers on each message system: HTTP → stream, stream → HTTP, ${FLIGHT} in flight, 300 bytes; beside the bare clients`,
  async run(count, only) {
    const events = count || EVENTS
    const rounds = count === 0 ? ROUNDS : 1
    const figures: Figure[] = []
    for (const system of STREAM_SYSTEMS.filter((s) => only.length === 0 || only.includes(s.client))) {
      const found = await figuresOf(system, events, rounds).catch((e: unknown) => {
        console.log(`${system.name}: skipped: ${e instanceof Error ? (e.message.split('\n')[0] ?? '') : String(e)}`)
        return []
      })
      figures.push(...found)
    }
    if (figures.some((f) => f.name.startsWith(onKafka.name))) figures.push(...(await triggersOnKafka(events, rounds)))
    return figures
  },
}

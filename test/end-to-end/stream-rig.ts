import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { expect } from 'vitest'
import { runCli, startGateway, trigger, type GatewayOptions, type RunningGateway } from '../gateway.ts'
import { parseExposition, type Exposition } from '../observe/exposition-parser.ts'
import { startSink, type Answer, type Sink } from '../sink.ts'

/** A server of the system; `A` is what the manifests have to know of it. */
export interface RunningServer<A> {
  readonly address: A
  stop(): Promise<void>
}

/** One that a test may kill. */
export interface OwnServer<A> extends RunningServer<A> {
  /** What was made a moment ago outlives SIGKILL; absent where it does anyway. */
  settle?(): Promise<void>
  /** SIGKILL; the data stays. */
  kill(): Promise<void>
  /** On the same address and data; resolves when it listens again. */
  restart(): Promise<void>
}

/** One message system as the common suite sees it. */
export interface SystemUnderTest<A> {
  readonly name: string
  /** Behind the suite's name: '' when it runs, else why it is skipped. */
  readonly note: string
  readonly skip: boolean
  /** The server all rows share. */
  start(): Promise<RunningServer<A>>
  /** Where nobody listens; null = the system is in the gateway. */
  readonly nowhere: A | null
  /** A Broker of this name on the server at `address`, with everything it needs. */
  broker(address: A, name: string): unknown[]
  /** A channel of the system's own kind. */
  channel(address: A, name: string): { readonly manifests: unknown[]; readonly apiVersion: string; readonly kind: string }
  /** Kills of a gateway in one run, 2 unless said; one where the system takes its time to see that somebody is gone. */
  readonly rounds?: number
  /** What a killed gateway held comes again only after half a minute or so. */
  readonly longLease?: boolean
  /** Called when the rows that keep the machine busy are through: what takes long to start may do so. */
  readonly soon?: () => void
  /** How a server is had that may be killed; null = there is none that could die alone. */
  readonly own: { readonly skip: boolean; readonly note: string; start(): Promise<OwnServer<A>> } | null
  /** A Broker whose login the server refuses, where servers of this kind ask for one. */
  readonly refused?: { readonly skip: boolean; manifests(name: string): Promise<unknown[]> }
  /** Puts bytes that are no event where the Broker's events stand. */
  readonly raw?: (address: A, broker: string, bytes: Buffer) => Promise<void>
  /** `sluice.dev/delivery-order: ordered` can be had. */
  readonly ordered: boolean
  /** Gateways share what stands in it. */
  readonly shares: boolean
  /** So long it may take until what was settled is known to the system, on a busy machine too. */
  readonly durableWithinMs: number
  /** What the server itself had not made durable of the acknowledgements it took when it is killed; 0 unless said. */
  readonly serverForgetsMs?: number
  /** Events of the great account in a usual run. */
  readonly events: number
}

export const SOAK = process.env['SOAK'] !== undefined

/** What is open, closed in reverse order when its row is through. */
export class Opened {
  readonly #closing: (() => Promise<unknown>)[] = []

  also(close: () => Promise<unknown>): void {
    this.#closing.push(close)
  }

  async sink(answer?: Answer): Promise<Sink> {
    const sink = await startSink(answer)
    this.also(() => sink.close())
    return sink
  }

  async gateway(options: GatewayOptions): Promise<RunningGateway> {
    const g = await startGateway(options)
    this.also(() => g.kill())
    return g
  }

  async close(): Promise<void> {
    for (const close of this.#closing.splice(0).toReversed()) await close()
  }
}

/** A name nobody else in the run has: systems keep what stands under a name. */
export function newName(what: string): string {
  return `${what}-${randomUUID().slice(0, 8)}`
}

/** A Trigger with few attempts at once, quick retries and many of them, so that failures cost a test no time. */
export function eager(name: string, broker: string, url: string, more: Readonly<Record<string, string>> = {}): unknown {
  return trigger(name, url, {
    broker,
    annotations: { 'sluice.dev/max-concurrency': '32', ...more },
    spec: { delivery: { retry: 20, backoffPolicy: 'linear', backoffDelay: 'PT0.05S' } },
  })
}

const agent = new Agent({ keepAlive: true, maxSockets: 64 })

export interface Sent {
  readonly status: number
  readonly text: string
}

/** One request on a kept connection: a third of what `fetch` costs. Rejects where no answer came. */
export function send(url: string, headers: Readonly<Record<string, string>>, body: string | Buffer = ''): Promise<Sent> {
  return new Promise((resolve, reject) => {
    const length = { 'content-length': Buffer.byteLength(body) }
    const asked = request(url, { method: 'POST', agent, headers: { ...headers, ...length } }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }))
      response.on('error', reject)
    })
    asked.on('error', reject)
    asked.end(body)
  })
}

export function headersOf(id: string, more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return {
    'ce-specversion': '1.0',
    'ce-id': id,
    'ce-source': '/test',
    'ce-type': 'test.event',
    'content-type': 'application/json',
    ...more,
  }
}

export async function sendEvent(
  url: string,
  id: string,
  more: Readonly<Record<string, string>> = {},
  body: string | Buffer = '{"n":1}',
): Promise<number> {
  return (await send(url, headersOf(id, more), body)).status
}

/** `count` events, 64 at a time; every one is answered 202. Their ids are `<prefix><n>` from `from` on. */
export async function sendAll(
  url: string,
  prefix: string,
  count: number,
  o: {
    readonly from?: number
    readonly body?: string | Buffer
    readonly headers?: (n: number) => Readonly<Record<string, string>>
  } = {},
): Promise<string[]> {
  const from = o.from ?? 0
  const other = new Map<number, number>()
  let next = from
  const lane = async (): Promise<void> => {
    while (next < from + count) {
      const n = next++
      const status = await sendEvent(url, `${prefix}${n}`, o.headers?.(n), o.body)
      if (status !== 202) other.set(status, (other.get(status) ?? 0) + 1)
    }
  }
  await Promise.all(Array.from({ length: Math.min(64, count) }, lane))
  expect([...other], 'answers that are not 202').toEqual([])
  return Array.from({ length: count }, (_, i) => `${prefix}${from + i}`)
}

export interface Flow {
  /** What was answered with 202. */
  readonly acknowledged: ReadonlySet<string>
  /** How often each other status came; 0 = no answer at all. */
  readonly refused: ReadonlyMap<number, number>
  stop(): Promise<void>
}

/** Producers that go on whatever is answered, until they are stopped; a refused event is not sent again. */
export function flow(urls: readonly string[], prefix = 'e', lanes = 8): Flow {
  const acknowledged = new Set<string>()
  const refused = new Map<number, number>()
  const over = new AbortController()
  let serial = 0
  const lane = async (url: string): Promise<void> => {
    while (!over.signal.aborted) {
      const id = `${prefix}${serial++}`
      const status = await sendEvent(url, id).catch(() => 0)
      if (status === 202) {
        acknowledged.add(id)
        continue
      }
      refused.set(status, (refused.get(status) ?? 0) + 1)
      // Nobody listens, or nothing is taken: without a rest the test would be all that runs.
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  const done = Promise.all(Array.from({ length: lanes }, (_, i) => lane(urls[i % urls.length] ?? '')))
  return {
    acknowledged,
    refused,
    async stop() {
      over.abort()
      await done
    },
  }
}

export function missingFrom(sink: Sink, ids: Iterable<string>): string[] {
  const counts = sink.counts()
  return [...ids].filter((id) => !counts.has(id))
}

/** The counters of a trigger as `sluice get` has them, and its backlog. */
export interface TriggerNumbers {
  readonly offered: number
  readonly delivered: number
  readonly waiting: number
  readonly detached: number
  readonly parked: number
  readonly attempting: number
  readonly paused: boolean
}

export async function numbersOf(g: RunningGateway, name: string): Promise<TriggerNumbers & { readonly unread: number }> {
  const { sluice } = await g.api<{ sluice: { counters: TriggerNumbers; backlog: { events: number } } }>(
    `/api/v1/resources/trigger/default/${name}`,
  )
  return { ...sluice.counters, unread: sluice.backlog.events }
}

export async function metricsOf(g: RunningGateway): Promise<Exposition> {
  return parseExposition(await g.metrics())
}

const ENDS = ['filtered', 'delivered', 'dead_lettered', 'parked', 'handed_back']

/** One subscription's account in the metrics: what came in, and what became of it. Both are the same at every instant. */
export function accountOf(
  e: Exposition,
  name: string,
): { readonly came: number; readonly went: number; readonly ends: Record<string, number> } {
  const sum = (metric: string): number => e.sum(`sluice_subscription_${metric}`, { name })
  const came = ['restored', 'offered', 'replayed'].reduce((all, n) => all + sum(`${n}_total`), 0)
  const ends = Object.fromEntries(ENDS.map((n) => [n, sum(`${n}_total`)]))
  const went = Object.values(ends).reduce((all, n) => all + n, 0) + sum('waiting')
  return { came, went, ends }
}

/** Memory that is the process's own: files that are mapped (an embedded stream's) are the kernel's to keep or drop. */
export function anonymousBytes(pid: number): number {
  const kib = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  if (kib === undefined) throw new Error(`the memory of ${pid} is not known here`)
  return Number(kib) * 1024
}

export function cli(g: RunningGateway, ...args: readonly string[]): ReturnType<typeof runCli> {
  return runCli([...args, '--admin', g.admin, '--data', g.data])
}

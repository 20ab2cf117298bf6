import { readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, expect, test } from 'vitest'
import { INSTRUMENTS } from '../../src/observe/instruments.ts'
import { broker, post, startGateway, trigger, type RunningGateway } from '../gateway.ts'
import { parseExposition, type Exposition } from '../observe/exposition-parser.ts'
import { service, toService } from '../pods/service.ts'
import { startSink, type Sink } from '../sink.ts'
import { until } from '../until.ts'

/** What no gateway shows here, and where it is seen instead. */
const SEEN_ELSEWHERE: Readonly<Record<string, string>> = {
  sluice_subscription_undecodable: 'bytes that are no event come from a source only: test/observe/instruments.test.ts',
  sluice_log_lines_dropped: 'nobody reads standard error: test/observe/instruments.test.ts',
}

const sinks: Sink[] = []
const gateways: RunningGateway[] = []
afterAll(async () => {
  for (const g of gateways) await g.kill()
  for (const s of sinks) await s.close()
})
async function sink(...args: Parameters<typeof startSink>): Promise<Sink> {
  const s = await startSink(...args)
  sinks.push(s)
  return s
}

/** Scrapes without a pause in between and looks at each scrape; counters never shrink while one process lives. */
class Scraper {
  readonly seen = new Set<string>()
  readonly failures: string[] = []
  scrapes = 0
  latest: Exposition | null = null
  #running = true
  readonly #done: Promise<void>

  constructor(g: RunningGateway) {
    this.#done = this.#loop(g)
  }

  async #loop(g: RunningGateway): Promise<void> {
    const before = new Map<string, number>()
    while (this.#running) {
      let text: string
      try {
        text = await g.metrics()
      } catch {
        // The gateway has ended: what it said last is what counts.
        return
      }
      const e = parseExposition(text)
      this.scrapes++
      this.latest = e
      this.failures.push(...identityFaults(e), ...shrunk(e, before))
      for (const f of e.families.values()) if (f.samples.some((s) => s.value > 0)) this.seen.add(f.name)
      await pause(2)
    }
  }

  async stop(): Promise<void> {
    this.#running = false
    await this.#done
  }
}

const LEFT = ['restored', 'offered', 'replayed'].map((n) => `sluice_subscription_${n}_total`)
const RIGHT = [
  ...['filtered', 'delivered', 'dead_lettered', 'parked', 'handed_back'].map((n) => `sluice_subscription_${n}_total`),
  'sluice_subscription_waiting',
]

/** DESIGN §10, per subscription and per ingress. */
function identityFaults(e: Exposition): string[] {
  const subscriptions = e.all('sluice_subscription_offered_total').flatMap(({ labels }) => {
    const [left, right] = [LEFT, RIGHT].map((names) => names.map((n) => e.sum(n, labels)))
    const total = (list: number[] = []): number => list.reduce((a, b) => a + b)
    return total(left) === total(right) ? [] : [`${labels['name']}: ${left?.join(' + ')} is not ${right?.join(' + ')}`]
  })
  const ingresses = e.all('sluice_ingress_received_total').flatMap(({ labels, value }) => {
    const accepted = e.sum('sluice_ingress_accepted_total', labels)
    const refused = e.sum('sluice_ingress_refused_total', labels)
    return value === accepted + refused ? [] : [`${labels['name']}: ${value} is not ${accepted} + ${refused}`]
  })
  return [...subscriptions, ...ingresses]
}

function shrunk(e: Exposition, before: Map<string, number>): string[] {
  const now = [...e.families.values()].filter((f) => f.type !== 'gauge').flatMap((f) => f.samples)
  return now.flatMap((s) => {
    const series = `${s.name} ${JSON.stringify(s.labels)}`
    const was = before.get(series) ?? 0
    before.set(series, s.value)
    return s.value < was ? [`${series} went from ${was} to ${s.value}`] : []
  })
}

const linear = (retry: number, delay: string, more: object = {}): Record<string, unknown> => ({
  delivery: { retry, backoffPolicy: 'linear', backoffDelay: delay, ...more },
})
const type = (name: string): Record<string, unknown> => ({ filter: { attributes: { type: name } } })

test('every scrape balances while events fail, are retried, parked, replayed, reloaded and restarted; every instrument is seen', async () => {
  const good = await sink()
  const flaky = await sink((_s, response, nth) => response.writeHead(nth === 1 ? 503 : 200).end())
  let accepts = false
  const bad = await sink((_s, response) => response.writeHead(accepts ? 200 : 400).end())
  const down = await sink((_s, response) => response.writeHead(500).end())
  const hanging = await sink((_s, response) => void setTimeout(() => response.writeHead(200).end(), 2_500))
  let later = false
  const unavailable = await sink((_s, response) => response.writeHead(later ? 200 : 503).end())
  const answering = await sink((s, response) => {
    const headers = { 'ce-specversion': '1.0', 'ce-id': `${s.id}-re`, 'ce-source': '/answering' }
    response.writeHead(200, { ...headers, 'ce-type': s.type === 'round' ? 'round' : 'answer' }).end('well')
  })
  const manifests = [
    broker('default', { annotations: { 'sluice.dev/dedup-window': 'PT1M' } }),
    trigger('good', good.url),
    trigger('flaky', flaky.url, { spec: { ...type('test.event'), ...linear(3, 'PT0.01S') } }),
    trigger('bad', bad.url, { spec: { ...type('test.bad'), ...linear(0, 'PT0.01S') } }),
    trigger('down', down.url, { spec: { ...type('test.bad'), ...linear(1, 'PT0.01S', { deadLetterSink: { uri: good.url } }) } }),
    trigger('later', unavailable.url, { spec: { ...type('test.later'), ...linear(5, 'PT6S') } }),
    trigger('answering', answering.url, {
      spec: { filters: [{ any: [{ exact: { type: 'ask' } }, { exact: { type: 'round' } }] }] },
    }),
    trigger('hanging', hanging.url, {
      annotations: { 'sluice.dev/max-concurrency': '1' },
      spec: { ...type('test.hang'), ...linear(0, 'PT0.01S') },
    }),
    trigger('data', good.url, { spec: { filters: [{ cel: 'data.amount > 1' }] } }),
    trigger('paused', good.url, { spec: type('test.paused') }),
    trigger('work', toService('worker'), { spec: { ...type('test.work'), ...linear(0, 'PT0.01S', { timeout: 'PT0.3S' }) } }),
    broker('tiny', { annotations: { 'sluice.dev/max-unsettled': '64Ki' } }),
    trigger('tiny', hanging.url, { broker: 'tiny', annotations: { 'sluice.dev/max-concurrency': '1' } }),
    service('worker', {
      containerConcurrency: 1,
      env: { DELAY_MS: '1200' },
      annotations: { 'autoscaling.knative.dev/minScale': '1', 'autoscaling.knative.dev/maxScale': '1' },
    }),
  ]
  const first = await startGateway({ manifests, args: ['--grace', '20s'] })
  gateways.push(first)
  const scraper = new Scraper(first)
  const url = `${first.listen}/default/default`
  const send = (id: string, ceType: string, more: Record<string, string> = {}, data?: string): Promise<number> =>
    post(url, id, { 'ce-type': ceType, ...more }, data)
  const total = (name: string, of: string): number => scraper.latest?.sum(`sluice_subscription_${name}`, { name: of }) ?? 0

  await first.api('/api/v1/subscriptions/trigger/default/paused/pause', {})
  for (let i = 0; i < 60; i++) {
    expect(
      await send(
        `e${i}`,
        'test.event',
        i % 3 === 0 ? { 'content-type': 'text/plain' } : {},
        i % 3 === 0 ? 'no JSON' : '{"amount":2}',
      ),
    ).toBe(202)
    if (i % 10 === 0) {
      expect(await send(`bad${i}`, 'test.bad')).toBe(202)
      expect(await send(`paused${i}`, 'test.paused')).toBe(202)
    }
  }
  expect(await send('e0', 'test.event')).toBe(202)
  expect(await send('ask', 'ask')).toBe(202)
  expect(await send('round', 'round', { 'ce-knativebrokerttl': '3' })).toBe(202)
  expect(await post(url, 'nothing', { 'ce-specversion': '7' })).toBe(400)
  expect(await post(`${first.listen}/default/nobody`, 'nowhere')).toBe(404)
  for (let i = 0; i < 3; i++) expect(await send(`work${i}`, 'test.work')).toBe(202)
  expect(await send('later', 'test.later')).toBe(202)
  // Large events until none fits, then small ones until nothing at all does. Nobody takes any.
  await first.api('/api/v1/subscriptions/trigger/default/tiny/pause', {})
  for (const size of [8_000, 1]) {
    const statuses: number[] = []
    while (!statuses.includes(429)) {
      expect(statuses.length).toBeLessThan(1_000)
      statuses.push(await post(`${first.listen}/default/tiny`, `t${size}-${statuses.length}`, {}, 'x'.repeat(size)))
    }
  }
  const plain = new Promise<number>((resolve, reject) => {
    const { hostname, port } = new URL(first.listen)
    const headers = { host: 'worker.default.example.com' }
    request({ hostname, port, path: '/hi', headers }, (r) => void r.resume().on('end', () => resolve(r.statusCode ?? 0)))
      .on('error', reject)
      .end()
  })
  await until(
    'all ways were gone',
    () =>
      total('parked_total', 'bad') === 6 &&
      total('dead_lettered_total', 'down') === 6 &&
      total('delivered_total', 'flaky') === 60,
  )
  accepts = true
  await first.api('/api/v1/dlq/trigger/default/bad/replay', {})
  await until('the replay is counted', () => total('replayed_total', 'bad') === 6 && total('delivered_total', 'bad') === 6)
  expect(await plain).toBe(200)

  // A reload in the middle: one trigger comes, one goes, one changes; the others go on counting.
  const file = JSON.parse(readFileSync(first.file, 'utf8')) as {
    items: { metadata: { name: string }; spec: Record<string, unknown> }[]
  }
  const kept = file.items.filter((r) => r.metadata.name !== 'data')
  for (const r of kept)
    if (r.metadata.name === 'flaky') r.spec['delivery'] = { retry: 4, backoffPolicy: 'linear', backoffDelay: 'PT0.02S' }
  kept.push(trigger('new', good.url) as (typeof kept)[number])
  writeFileSync(first.file, JSON.stringify({ ...file, items: kept }))
  const flood = Array.from({ length: 100 }, (_, i) => send(`f${i}`, 'test.event'))
  expect(new Set(await Promise.all(flood))).toEqual(new Set([202]))
  await until('the reload is seen', () => scraper.latest?.all('sluice_subscription_offered_total', { name: 'new' }).length === 1)
  expect(scraper.latest?.all('sluice_subscription_offered_total', { name: 'data' })).toEqual([])
  for (let i = 0; i < 5; i++) expect(await send(`h${i}`, 'test.hang')).toBe(202)
  await until('all but the last went', () => total('delivered_total', 'flaky') === 160 && total('waiting', 'hanging') === 5)
  await until('the detached one is stored', () => total('retries_total', 'later') >= 1)

  // The end of the process: what waits is handed back, and says so while the rest is finished.
  const ended = first.stop()
  await until('what waits is handed back', () => total('handed_back_total', 'hanging') === 4)
  expect(await ended).toBe(0)
  await scraper.stop()

  later = true
  const second = await startGateway({ manifests: kept, data: first.data })
  gateways.push(second)
  const again = new Scraper(second)
  const sum = (name: string, of: string): number => again.latest?.sum(`sluice_subscription_${name}`, { name: of }) ?? 0
  await until(
    'what was handed back and detached is delivered',
    () => sum('delivered_total', 'hanging') === 4 && sum('delivered_total', 'later') === 1,
  )
  expect(sum('restored_total', 'later')).toBe(1)
  // A pause outlives its process.
  expect(sum('paused', 'paused')).toBe(1)
  expect(sum('delivered_total', 'paused')).toBe(0)
  await second.api('/api/v1/subscriptions/trigger/default/paused/resume', {})
  await until('what it held is delivered', () => sum('delivered_total', 'paused') === 6)
  expect(await second.stop()).toBe(0)
  await again.stop()

  for (const s of [scraper, again]) {
    expect(s.scrapes).toBeGreaterThan(20)
    expect(s.failures).toEqual([])
  }
  const never = INSTRUMENTS.filter((i) => {
    const family = i.type === 'counter' ? `${i.name}_total` : i.name
    return !scraper.seen.has(family) && !again.seen.has(family) && SEEN_ELSEWHERE[i.name] === undefined
  })
  expect(never.map((i) => i.name)).toEqual([])
})

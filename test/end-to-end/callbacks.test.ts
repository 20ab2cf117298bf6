import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { broker, freeAddress, post, startGateway, temporaryFolder, trigger, type RunningGateway } from '../gateway.ts'
import { startSink, type Sink } from '../sink.ts'
import { until } from '../until.ts'

const open: { gateways: RunningGateway[]; sinks: Sink[] } = { gateways: [], sinks: [] }
afterEach(async () => {
  for (const g of open.gateways.splice(0)) await g.kill()
  for (const s of open.sinks.splice(0)) await s.close()
})
async function gateway(...options: Parameters<typeof startGateway>): Promise<RunningGateway> {
  const g = await startGateway(...options)
  open.gateways.push(g)
  return g
}

/** A subscriber that takes its time: 202 at once, the URL to call later. */
async function worker(): Promise<{ sink: Sink; urlOf: (id: string, nth?: number) => URL }> {
  const sink = await startSink((_s, response) => response.writeHead(202).end())
  open.sinks.push(sink)
  const urlOf = (id: string, nth = 0): URL =>
    new URL(String(sink.seen.filter((s) => s.id === id)[nth]!.headers['sluice-callback']))
  return { sink, urlOf }
}

const long = (name: string, url: string, more: Readonly<Record<string, string>> = {}, timeout = 'PT60S'): unknown =>
  trigger(name, url, {
    annotations: { 'sluice.dev/ack': 'callback', ...more },
    spec: { delivery: { retry: 3, backoffPolicy: 'linear', backoffDelay: 'PT0.05S', timeout } },
  })

async function callBack(url: URL, body?: unknown): Promise<number> {
  const response = await fetch(url, {
    method: 'POST',
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  })
  await response.arrayBuffer()
  return response.status
}

interface Numbers {
  readonly key: string
  readonly delivered: number
  readonly parked: number
  readonly waiting: number
}
const numbersOf = async (g: RunningGateway, key: string): Promise<Numbers> =>
  (await g.api<{ subscriptions: Numbers[] }>('/api/v1/snapshot')).subscriptions.find((s) => s.key === key)!

test('success settles, failure is retried, a repeat is 200, a late one 410, a forged one 403', async () => {
  const { sink, urlOf } = await worker()
  const g = await gateway({ manifests: [broker(), long('work', sink.url, {}, 'PT1S')] })
  await post(`${g.listen}/default/default`, 'good')
  await until('it was sent', () => sink.seen.length === 1)
  const url = urlOf('good')
  expect(url.origin).toBe(g.listen)
  expect(await callBack(url)).toBe(200)
  expect(await callBack(url, { status: 'failure' })).toBe(200)
  await until('it is settled', async () => (await numbersOf(g, 'trigger/default/work')).delivered === 1)

  await post(`${g.listen}/default/default`, 'moody')
  await until('it was sent', () => sink.counts().get('moody') === 1)
  expect(await callBack(urlOf('moody'), { status: 'failure', message: 'out of paper' })).toBe(200)
  await until('it was sent again', () => sink.counts().get('moody') === 2)
  // The second lease runs out; whoever calls after that is late.
  await until('it was sent once more', () => sink.counts().get('moody') === 3)
  expect(await callBack(urlOf('moody', 1))).toBe(410)
  expect(await callBack(urlOf('moody', 2), { status: 'failure', retryable: false })).toBe(200)
  await until('it is parked', async () => (await numbersOf(g, 'trigger/default/work')).parked === 1)

  const forged = new URL(url)
  forged.searchParams.set('token', `${'0'.repeat(32)}.${'A'.repeat(22)}`)
  expect(await callBack(forged)).toBe(403)
  expect(await numbersOf(g, 'trigger/default/work')).toMatchObject({ delivered: 1, parked: 1, waiting: 0 })
})

test.each(['SIGTERM', 'SIGKILL'])(
  'after %s: pending work is not sent again, keeps its credit, and its callback still counts',
  async (how) => {
    const { sink, urlOf } = await worker()
    const data = join(temporaryFolder(), 'data')
    const manifests = [broker(), long('work', sink.url, { 'sluice.dev/max-concurrency': '2' })]
    const listen = await freeAddress()
    const g = await gateway({ manifests, data, listen })
    for (const id of ['a', 'b', 'c']) await post(`${g.listen}/default/default`, id)
    await until('two are under way', () => sink.seen.length === 2)
    const [first, second] = sink.seen.map((s) => s.id) as [string, string]
    expect(statSync(join(data, 'callback.key')).mode & 0o777).toBe(0o600)
    expect(existsSync(join(data, 'leases.log'))).toBe(true)
    const stopped = performance.now()
    if (how === 'SIGTERM') expect(await g.stop()).toBe(0)
    else await g.kill()
    // A stop does not wait for long work.
    expect(performance.now() - stopped).toBeLessThan(15_000)

    const again = await gateway({ manifests, data, listen })
    expect((await numbersOf(again, 'trigger/default/work')).delivered).toBe(0)
    expect(await callBack(urlOf(first))).toBe(200)
    await until('the third has the free credit', () => sink.seen.length === 3)
    expect(sink.seen[2]!.id).toBe('c')
    expect(await callBack(urlOf(first))).toBe(200)
    expect(await callBack(urlOf(second), { status: 'extend', lease: '5m' })).toBe(200)
    expect(await callBack(urlOf(second))).toBe(200)
    expect(await callBack(urlOf('c'))).toBe(200)
    await until('all are settled', async () => {
      const n = await numbersOf(again, 'trigger/default/work')
      return n.delivered === 3 && n.waiting === 0
    })
    expect([...sink.counts().values()]).toEqual([1, 1, 1])
  },
)

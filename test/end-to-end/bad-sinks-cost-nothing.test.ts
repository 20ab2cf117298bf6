import { afterAll, describe, expect, test } from 'vitest'
import { broker, post, startGateway, trigger, type RunningGateway } from '../gateway.ts'
import { startSink, type Answer, type Sink } from '../sink.ts'
import { until } from '../until.ts'

interface Parked {
  readonly event: { readonly id: string }
  readonly reason: string
  readonly attempts: readonly { readonly attempt: number; readonly status: number; readonly error: string; readonly at: string }[]
}
interface Numbers {
  readonly subscriptions: readonly {
    readonly delivered: number
    readonly waiting: number
    readonly attempts: number
    readonly retries: number
    readonly parkedNow: number
  }[]
}

/** Closed after the last row: most of them run together. */
const closing: (() => Promise<unknown>)[] = []
afterAll(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})
async function sinkOf(answer: Answer): Promise<Sink> {
  const sink = await startSink(answer)
  closing.push(() => sink.close())
  return sink
}
async function gatewayTo(
  url: string,
  delivery: Readonly<Record<string, unknown>>,
  annotations: Record<string, string> = {},
): Promise<RunningGateway> {
  const g = await startGateway({ manifests: [broker(), trigger('bad', url, { annotations, spec: { delivery } })] })
  closing.push(() => g.stop())
  return g
}
async function numbers(g: RunningGateway): Promise<Numbers['subscriptions'][number]> {
  const [only] = (await g.api<Numbers>('/api/v1/snapshot')).subscriptions
  if (only === undefined) throw new Error('there is no subscription')
  return only
}
const parked = async (g: RunningGateway): Promise<readonly Parked[]> =>
  (await g.api<{ items: Parked[] }>('/api/v1/dlq/trigger/default/bad')).items
async function send(g: RunningGateway, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, (_, i) => `e${i}`)
  for (const id of ids) expect(await post(`${g.listen}/default/default`, id)).toBe(202)
  return ids
}
const settled = (g: RunningGateway, delivered: number): Promise<unknown> =>
  until('all is delivered', async () => {
    const n = await numbers(g)
    return n.delivered === delivered && n.waiting === 0
  })

const QUICK = { backoffPolicy: 'linear', backoffDelay: 'PT0.05S' }

// Each has a gateway of its own, and waits more than it works.
describe.concurrent('sinks that misbehave', () => {
  test('one that hangs: an attempt ends at its time-out, its credit only with the answer, which settles when it is late', async () => {
    const sink = await sinkOf((_seen, response) => setTimeout(() => response.writeHead(200).end(), 1_000))
    const g = await gatewayTo(sink.url, { ...QUICK, retry: 5, timeout: 'PT0.3S' }, { 'sluice.dev/max-concurrency': '1' })
    const ids = await send(g, 3)
    await until('its credit is abandoned', async () => {
      const r = await g.api<{ sluice: { gate: { abandoned: number } } }>('/api/v1/resources/trigger/default/bad')
      return r.sluice.gate.abandoned === 1
    })
    await settled(g, ids.length)
    // No retry could start: the credit was with the one who hung, and the late answer came first.
    expect([...sink.counts().values()]).toEqual([1, 1, 1])
    expect(sink.mostInFlight()).toBe(1)
    expect((await numbers(g)).attempts).toBe(3)
  })

  test('one that hangs for a while: the limit holds though every attempt times out', async () => {
    // The first sixteen are answered late, and none before all credits are taken.
    let late = 16
    const sink = await sinkOf((_seen, response) => {
      const ms = late-- > 0 ? 900 : 0
      void until('every credit is taken', () => sink.mostInFlight() >= 4).then(() =>
        setTimeout(() => response.writeHead(200).end(), ms),
      )
    })
    const g = await gatewayTo(sink.url, { ...QUICK, retry: 50, timeout: 'PT0.3S' }, { 'sluice.dev/max-concurrency': '4' })
    const ids = await send(g, 40)
    await settled(g, ids.length)
    expect(sink.counts().size).toBe(ids.length)
    expect(sink.mostInFlight()).toBe(4)
  })

  test('one that hangs for ever: the event is tried again as far as there are credits, the limit holds', async () => {
    const sink = await sinkOf((_seen, response, nth) => {
      if (nth > 1) response.writeHead(200).end()
    })
    const g = await gatewayTo(sink.url, { ...QUICK, retry: 3, timeout: 'PT1S' }, { 'sluice.dev/max-concurrency': '5' })
    await send(g, 4)
    await settled(g, 4)
    expect([...sink.counts().values()]).toEqual([2, 2, 2, 2])
    // Four credits are still with the requests that hang; the retries went through the fifth.
    expect(sink.inFlight()).toBe(4)
    expect(sink.mostInFlight()).toBe(5)
  })

  test('one that resets connections: each attempt is one connection error, the third is taken', async () => {
    const sink = await sinkOf((_seen, response, nth) => {
      if (nth < 3) response.socket?.resetAndDestroy()
      else response.writeHead(200).end()
    })
    const g = await gatewayTo(sink.url, { ...QUICK, retry: 4 }, { 'sluice.dev/max-concurrency': '3' })
    const ids = await send(g, 10)
    await settled(g, ids.length)
    expect([...sink.counts().values()]).toEqual(ids.map(() => 3))
    expect(sink.mostInFlight()).toBeLessThanOrEqual(3)
    // A request on a used connection that is lost before any answer is sent once more: that is still the same attempt.
    const { attempts, retries } = await numbers(g)
    expect(attempts).toBeLessThanOrEqual(30)
    expect(retries).toBe(attempts - 10)
    expect(retries).toBeGreaterThan(10)
  })

  test('one that trickles: the time-out counts to the last byte of the answer', async () => {
    const sink = await sinkOf((_seen, response, nth) => {
      if (nth > 1) return void response.writeHead(200).end()
      response.writeHead(200, { 'content-type': 'text/plain' })
      let left = 25
      const drip = setInterval(() => {
        if (left-- > 0) return void response.write('.')
        clearInterval(drip)
        response.destroy()
      }, 50)
      return undefined
    })
    const g = await gatewayTo(sink.url, { ...QUICK, retry: 3, timeout: 'PT0.8S' }, { 'sluice.dev/max-concurrency': '2' })
    const ids = await send(g, 4)
    await settled(g, ids.length)
    expect([...sink.counts().values()]).toEqual(ids.map(() => 2))
    expect(sink.mostInFlight()).toBeLessThanOrEqual(2)
  })

  test('one that answers 503 for a while: retried with back-off until it takes, Retry-After is obeyed', async () => {
    const from = performance.now()
    const sink = await sinkOf((_seen, response) => {
      if (performance.now() - from < 3_000) response.writeHead(503, { 'retry-after': '1' }).end('later')
      else response.writeHead(200).end()
    })
    const g = await gatewayTo(sink.url, { ...QUICK, retry: 10, retryAfterMax: 'PT2S' }, { 'sluice.dev/max-concurrency': '8' })
    const ids = await send(g, 20)
    await settled(g, ids.length)
    // A second each, not the 50 ms of the back-off: so there were few.
    expect(Math.max(...sink.counts().values())).toBeLessThanOrEqual(5)
    const first = sink.seen.filter((s) => s.id === 'e0').map((s) => s.atMs)
    for (const [i, atMs] of first.slice(1).entries()) expect(atMs - (first[i] ?? 0)).toBeGreaterThan(990)
    expect(sink.mostInFlight()).toBeLessThanOrEqual(8)
  })

  test('one that never gets well: after its retries the event is parked, with the story of every attempt', async () => {
    const sink = await sinkOf((_seen, response) => response.writeHead(503).end('never'))
    const g = await gatewayTo(sink.url, { ...QUICK, retry: 2 })
    await send(g, 1)
    const [entry] = await until('it is parked', async () => {
      const items = await parked(g)
      return items.length === 1 ? items : null
    })
    expect(entry).toMatchObject({ event: { id: 'e0' }, reason: 'exhausted' })
    expect(entry?.attempts.map((a) => [a.attempt, a.status])).toEqual([
      [1, 503],
      [2, 503],
      [3, 503],
    ])
  })

  test('one that does not resolve: retried as a connection error, then parked saying so', async () => {
    const g = await gatewayTo('http://no-such-host.invalid/in', { ...QUICK, retry: 2 })
    await send(g, 1)
    const [entry] = await until('it is parked', async () => {
      const items = await parked(g)
      return items.length === 1 ? items : null
    })
    expect(entry?.attempts.map((a) => a.status)).toEqual([0, 0, 0])
    expect(entry?.attempts[0]?.error).toMatch(/no-such-host\.invalid/)
    expect((await g.api<{ ready: boolean }>('/readyz')).ready).toBe(true)
  })
})

// Alone: somebody beside it could be given the port that it left.
test('nobody listens: the event waits through the retries and arrives once somebody does', async () => {
  const port = await startSink().then(async (s) => {
    await s.close()
    return s.port
  })
  const g = await gatewayTo(`http://127.0.0.1:${port}/`, { backoffPolicy: 'linear', backoffDelay: 'PT0.3S', retry: 50 })
  await send(g, 3)
  await until('it was tried', async () => (await numbers(g)).attempts > 3)
  const sink = await startSink(undefined, port)
  closing.push(() => sink.close())
  await settled(g, 3)
  expect([...sink.counts().values()]).toEqual([1, 1, 1])
})

import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { to } from '../flows.ts'
import { broker, post, runCli, startGateway, temporaryFolder, trigger, type RunningGateway } from '../gateway.ts'
import { startSink, type Answer, type Seen, type Sink } from '../sink.ts'
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
async function sink(...options: Parameters<typeof startSink>): Promise<Sink> {
  const s = await startSink(...options)
  open.sinks.push(s)
  return s
}

let serial = 0
/** Answers with an event of that type, its own id and the event's data. */
const replying =
  (type: string): Answer =>
  (seen, response) => {
    response.writeHead(200, { 'ce-specversion': '1.0', 'ce-id': `r${serial++}`, 'ce-source': '/r', 'ce-type': type })
    response.end(seen.body)
  }

interface Numbers {
  readonly key: string
  readonly delivered: number
  readonly deadLettered: number
  readonly parked: number
  readonly waiting: number
  readonly attempts: number
}
const numbers = async (g: RunningGateway): Promise<Numbers[]> =>
  (await g.api<{ subscriptions: Numbers[] }>('/api/v1/snapshot')).subscriptions

const of = (type: string): unknown => ({ filter: { attributes: { type } } })
const loopLines = (g: RunningGateway): string[] => g.log.filter((line) => line.includes('goes round in a loop'))

describe('an event loop', () => {
  test('of two triggers that answer each other ends by the passes, is parked as a loop and named in the log', async () => {
    const [ping, pong] = [await sink(replying('pong')), await sink(replying('ping'))]
    const g = await gateway({
      manifests: [
        broker(),
        trigger('on-ping', ping.url, { spec: of('ping') as Record<string, unknown> }),
        trigger('on-pong', pong.url, { spec: of('pong') as Record<string, unknown> }),
      ],
    })
    // One pass is taken off where it comes in.
    expect(await post(`${g.listen}/default/default`, 'first', { 'ce-type': 'ping', 'ce-knativebrokerttl': '21' })).toBe(202)
    await until('it has ended', async () => (await numbers(g)).reduce((n, s) => n + s.parked, 0) === 1)
    expect(ping.seen.length + pong.seen.length).toBe(20)
    expect((await numbers(g)).every((s) => s.waiting === 0)).toBe(true)
    const key = (await numbers(g)).find((s) => s.parked === 1)!.key
    const { items } = await g.api<{ items: { reason: string }[] }>(`/api/v1/dlq/${key}`)
    expect(items.map((i) => i.reason)).toEqual(['loop'])
    expect(loopLines(g).join('\n')).toContain(key)
    const [, namespace, name] = key.split('/')
    const counted = new RegExp(`sluice_subscription_loops_total\\{kind="trigger",namespace="${namespace}",name="${name}"\\} 1\\n`)
    expect(await g.metrics()).toMatch(counted)
    expect(await post(`${g.listen}/default/default`, 'spent', { 'ce-type': 'ping', 'ce-knativebrokerttl': '0' })).toBe(400)
  })

  test('that branches ends after ten thousand descendants, and everything else goes on', async () => {
    const echoes = [await sink(replying('echo')), await sink(replying('echo')), await sink(replying('echo'))]
    const calm = await sink()
    const g = await gateway({
      manifests: [
        broker(),
        ...echoes.map((s, i) => trigger(`echo-${i}`, s.url, { spec: of('echo') as Record<string, unknown> })),
        trigger('calm', calm.url, { spec: of('calm') as Record<string, unknown> }),
      ],
    })
    expect(await post(`${g.listen}/default/default`, 'seed', { 'ce-type': 'echo' })).toBe(202)
    const seen = (): number => echoes.reduce((n, s) => n + s.seen.length, 0)
    await until('it is in full swing', () => seen() > 500)
    expect(await post(`${g.listen}/default/default`, 'calm', { 'ce-type': 'calm' })).toBe(202)
    await until('others are served meanwhile', () => calm.seen.length === 1)
    await until(
      'it has ended',
      async () => (await numbers(g)).every((s) => s.waiting === 0) && (await numbers(g)).some((s) => s.parked > 0),
      120_000,
    )
    // Each of at most 10,000 descendants and the first few is delivered to three.
    expect(seen()).toBeGreaterThan(10_000)
    expect(seen()).toBeLessThanOrEqual(3 * (10_000 + 4))
    expect(loopLines(g).length).toBeGreaterThan(0)
    expect(loopLines(g).length).toBeLessThan(60)
  })
})

describe('batches', () => {
  const idsOf = (s: Seen): string[] => (JSON.parse(s.body) as { id: string }[]).map((e) => e.id)

  test('are one JSON array with one credit; what failed goes again, the others are settled', async () => {
    const failedOnce = new Set<string>()
    const batches: string[][] = []
    const batcher = await sink((seen, response) => {
      const ids = idsOf(seen)
      batches.push(ids)
      const failed = ids.filter((id) => (id.endsWith('3') || id === 'never') && !(failedOnce.has(id) && id !== 'never'))
      for (const id of failed) failedOnce.add(id)
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ failed: failed.map((id) => ({ source: '/test', id, retryable: id !== 'never' })) }))
    })
    const g = await gateway({
      manifests: [
        broker(),
        trigger('batches', batcher.url, {
          annotations: { 'sluice.dev/batch-max': '10', 'sluice.dev/batch-wait': '200ms', 'sluice.dev/max-concurrency': '1' },
          spec: { delivery: { retry: 3, backoffPolicy: 'linear', backoffDelay: 'PT0.05S' } },
        }),
      ],
    })
    const ids = [...Array.from({ length: 30 }, (_, i) => `e${i}`), 'never']
    await Promise.all(ids.map((id) => post(`${g.listen}/default/default`, id)))
    await until('all have ended', async () => {
      const [n] = await numbers(g)
      return n!.delivered === 30 && n!.parked === 1 && n!.waiting === 0
    })
    expect(batcher.seen[0]!.headers['content-type']).toContain('application/cloudevents-batch+json')
    expect(batcher.mostInFlight()).toBe(1)
    expect(Math.max(...batches.map((b) => b.length))).toBe(10)
    const times = (id: string): number => batches.flat().filter((x) => x === id).length
    expect(ids.map(times)).toEqual(ids.map((id) => (id.endsWith('3') ? 2 : 1)))
  })

  test('ordered ones keep their order through failures', async () => {
    const taken: string[] = []
    const failures = new Set(['e4', 'e11', 'e12'])
    const batcher = await sink((seen, response) => {
      const ids = idsOf(seen)
      // Takes them one after another and stops at the first that fails.
      const at = ids.findIndex((id) => failures.delete(id))
      taken.push(...(at < 0 ? ids : ids.slice(0, at)))
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify(at < 0 ? {} : { failed: ids.slice(at).map((id) => ({ source: '/test', id })) }))
    })
    const g = await gateway({
      manifests: [
        broker(),
        trigger('ordered', batcher.url, {
          annotations: { 'sluice.dev/batch-max': '5', 'sluice.dev/batch-wait': '20ms', 'sluice.dev/delivery-order': 'ordered' },
          spec: { delivery: { retry: 2, backoffPolicy: 'linear', backoffDelay: 'PT0.05S' } },
        }),
      ],
    })
    const ids = Array.from({ length: 20 }, (_, i) => `e${i}`)
    for (const id of ids) await post(`${g.listen}/default/default`, id)
    await until('all have ended', async () => (await numbers(g))[0]!.delivered === 20)
    expect(taken).toEqual(ids)
  })
})

describe('EventTransform', () => {
  const transform = (name: string, spec: unknown): unknown => ({
    apiVersion: 'eventing.knative.dev/v1alpha1',
    kind: 'EventTransform',
    metadata: { name },
    spec,
  })
  const total =
    '{"specversion": "1.0", "id": id & "-sum", "source": source, "type": "order.total", "data": {"sum": $sum(data.prices)}}'

  test('stands between broker and broker, before a sink, and answers whoever posts to it', async () => {
    const [totals, forwarded] = [await sink(), await sink()]
    const g = await gateway({
      manifests: [
        broker(),
        transform('total', { jsonata: { expression: total } }),
        transform('before-sink', { jsonata: { expression: total }, sink: to(forwarded.url) }),
        transform('poison', { jsonata: { expression: '($f := function($n) { $f($n + 1) }; $f(0))' } }),
        trigger(
          'orders',
          { ref: { apiVersion: 'eventing.knative.dev/v1alpha1', kind: 'EventTransform', name: 'total' } },
          { spec: of('order') as Record<string, unknown> },
        ),
        trigger(
          'bad',
          { ref: { apiVersion: 'eventing.knative.dev/v1alpha1', kind: 'EventTransform', name: 'poison' } },
          { spec: { ...(of('order') as object), delivery: { retry: 0 } } },
        ),
        trigger('totals', totals.url, { spec: of('order.total') as Record<string, unknown> }),
      ],
    })
    const body = '{"prices":[1,2,3.5]}'
    expect(await post(`${g.listen}/default/default`, 'o1', { 'ce-type': 'order' }, body)).toBe(202)
    await until('the total arrives', () => totals.seen.length === 1)
    expect(totals.seen[0]).toMatchObject({ id: 'o1-sum', type: 'order.total', body: '{"sum":6.5}' })
    // Straight to it: the answer is the event, or that of the sink.
    const response = await fetch(`${g.listen}/default/total`, {
      method: 'POST',
      headers: {
        'ce-specversion': '1.0',
        'ce-id': 'o2',
        'ce-source': '/t',
        'ce-type': 'order',
        'content-type': 'application/json',
      },
      body,
    })
    expect([response.status, response.headers.get('ce-id'), await response.text()]).toEqual([200, 'o2-sum', '{"sum":6.5}'])
    expect(await post(`${g.listen}/default/before-sink`, 'o3', { 'ce-type': 'order' }, body)).toBe(202)
    expect(forwarded.seen[0]).toMatchObject({ id: 'o3-sum', body: '{"sum":6.5}' })
    // An expression without an end is stopped; its events are parked, the others were never held up.
    await until(
      'the poisoned one is parked',
      async () => (await numbers(g)).find((s) => s.key === 'trigger/default/bad')!.parked === 1,
    )
  })
})

describe('event types', () => {
  test('are found at the ingress and in replies, outlive a restart, and are listed with a Trigger to copy', async () => {
    const asked = await sink(replying('answer'))
    const data = join(temporaryFolder(), 'data')
    const manifests = [
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'config-features', namespace: 'knative-eventing' },
        data: { 'eventtype-auto-create': 'enabled' },
      },
      broker(),
      trigger('asked', asked.url, { spec: of('question') as Record<string, unknown> }),
      {
        apiVersion: 'eventing.knative.dev/v1beta2',
        kind: 'EventType',
        metadata: { name: 'declared' },
        spec: { type: 'announced', source: '/soon', broker: 'default', description: 'comes later' },
      },
    ]
    const g = await gateway({ manifests, data })
    expect(await post(`${g.listen}/default/default`, 'q', { 'ce-type': 'question' })).toBe(202)
    await until('the answer is in the broker', async () => (await listed(g)).length === 3)
    expect((await listed(g)).map((i) => [i.type, i.source, i.declared])).toEqual([
      ['announced', '/soon', 'default/declared'],
      ['answer', '/r', ''],
      ['question', '/test', ''],
    ])
    await g.stop()
    const again = await gateway({ manifests, data })
    expect(await listed(again)).toHaveLength(3)
    const all = await runCli(['get', 'eventtypes', '--admin', again.admin])
    expect(all.out).toMatch(/broker\/default\/default\s+announced\s+\/soon\s+default\/declared\s+comes later/)
    const one = await runCli(['get', 'eventtypes', 'question', '--admin', again.admin])
    expect(one.out).toMatch(/kind: Trigger[\s\S]*broker: default[\s\S]*type: question/)
    const none = await runCli(['get', 'eventtypes', 'nonsense', '--admin', again.admin])
    expect([none.code, none.err]).toEqual([1, expect.stringContaining('known are: announced, answer, question')])
  })
})

const listed = async (g: RunningGateway): Promise<{ type: string; source: string; declared: string }[]> =>
  (await g.api<{ items: { type: string; source: string; declared: string }[] }>('/api/v1/eventtypes')).items

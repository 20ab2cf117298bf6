import { afterEach, describe, expect, test } from 'vitest'
import { broker, post, startGateway, trigger, type RunningGateway } from '../gateway.ts'
import { startSink, type Sink } from '../sink.ts'
import { until } from '../until.ts'

const open: { gateways: RunningGateway[]; sinks: Sink[] } = { gateways: [], sinks: [] }
afterEach(async () => {
  for (const g of open.gateways.splice(0)) await g.stop()
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

describe('embedded broker', () => {
  test('an event sent to the broker reaches the trigger that matches, and only that', async () => {
    const yes = await sink()
    const no = await sink()
    const g = await gateway({
      manifests: [
        broker(),
        trigger('yes', yes.url, { spec: { filter: { attributes: { type: 'test.event' } } } }),
        trigger('no', no.url, { spec: { filters: [{ not: { exact: { type: 'test.event' } } }] } }),
      ],
    })
    expect(await post(`${g.listen}/default/default`, 'one', { 'ce-color': 'blue' })).toBe(202)
    await until('the event arrives', () => yes.seen.length === 1)
    const [seen] = yes.seen
    expect(seen?.headers['ce-id']).toBe('one')
    expect(seen?.headers['ce-color']).toBe('blue')
    expect(seen?.headers['ce-knativebrokerttl']).toBeUndefined()
    expect(seen?.headers['kn-namespace']).toBe('default')
    expect(seen?.headers['prefer']).toBe('reply')
    expect(seen?.body).toBe('{"n":1}')
    const snapshot = await until('it is settled', async () => {
      const s = await g.api<{ subscriptions: { key: string; delivered: number; filtered: number; waiting: number }[] }>(
        '/api/v1/snapshot',
      )
      return s.subscriptions.every((x) => x.waiting === 0 && x.delivered + x.filtered === 1) ? s : null
    })
    expect(snapshot.subscriptions.find((s) => s.key === 'trigger/default/no')?.filtered).toBe(1)
    expect(no.seen.length).toBe(0)
  })

  test('a reply goes back to the broker and to the trigger that wants it', async () => {
    const asked = await sink((_seen, response) => {
      response.writeHead(200, { 'ce-specversion': '1.0', 'ce-id': 'answer', 'ce-source': '/answering', 'ce-type': 'test.answer' })
      response.end('well')
    })
    const answers = await sink()
    const g = await gateway({
      manifests: [
        broker(),
        trigger('asked', asked.url, { spec: { filter: { attributes: { type: 'test.event' } } } }),
        trigger('answers', answers.url, { spec: { filter: { attributes: { type: 'test.answer' } } } }),
      ],
    })
    expect(await post(`${g.listen}/default/default`, 'question')).toBe(202)
    await until('the reply arrives', () => answers.seen.length === 1)
    expect(answers.seen[0]?.id).toBe('answer')
    expect(answers.seen[0]?.body).toBe('well')
  })

  test('what cannot be delivered goes to the dead-letter sink with its story', async () => {
    const failing = await sink((_seen, response) => response.writeHead(503).end('no'))
    const dead = await sink()
    const g = await gateway({
      manifests: [
        broker(),
        trigger('failing', failing.url, {
          spec: { delivery: { retry: 2, backoffPolicy: 'linear', backoffDelay: 'PT0.01S', deadLetterSink: { uri: dead.url } } },
        }),
      ],
    })
    expect(await post(`${g.listen}/default/default`, 'lost-cause')).toBe(202)
    await until('the dead letter arrives', () => dead.seen.length === 1)
    expect(failing.counts().get('lost-cause')).toBe(3)
    expect(dead.seen[0]?.headers['ce-knativeerrorcode']).toBe('503')
    expect(dead.seen[0]?.headers['ce-knativeerrordest']).toBe(failing.url)
    expect(Buffer.from(String(dead.seen[0]?.headers['ce-knativeerrordata']), 'base64').toString()).toBe('no')
  })

  test('without a dead-letter sink it is parked, shown, and replayed once the subscriber is well', async () => {
    let well = false
    const moody = await sink((_seen, response) => response.writeHead(well ? 200 : 400).end())
    const g = await gateway({ manifests: [broker(), trigger('moody', moody.url, { spec: { delivery: { retry: 0 } } })] })
    expect(await post(`${g.listen}/default/default`, 'parked-one')).toBe(202)
    const parked = await until('it is parked', async () => {
      const r = await g.api<{ items: { id: string; event: { id: string }; attempts: { status: number }[] }[] }>(
        '/api/v1/dlq/trigger/default/moody',
      )
      return r.items.length === 1 ? r.items[0] : null
    })
    expect(parked.event.id).toBe('parked-one')
    expect(parked.attempts.map((a) => a.status)).toEqual([400])
    well = true
    const replayed = await g.api<{ replayed: number; failed: number }>('/api/v1/dlq/trigger/default/moody/replay', {})
    expect(replayed).toEqual({ matched: 1, replayed: 1, failed: 0 })
    expect((await g.api<{ items: unknown[] }>('/api/v1/dlq/trigger/default/moody')).items).toEqual([])
    expect(moody.counts().get('parked-one')).toBe(2)
  })
})

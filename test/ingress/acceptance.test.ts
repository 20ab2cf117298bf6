import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CloudEvent } from '../../src/event/event.ts'
import type { Outcome } from '../../src/contract/outcome.ts'
import { until } from '../until.ts'
import type { Rig } from './rig.ts'
import { ceHeaders, openRig, SERVERS } from './rig.ts'

describe.each(SERVERS)('events over %s', (http) => {
  let rig: Rig
  let url: string
  beforeEach(async () => {
    rig = await openRig(http, { limits: { maxBatchEvents: 3 } })
    url = `${rig.ingress.url}/ns/broker`
  })
  afterEach(() => rig.ingress.close())

  const send = (
    headers: Record<string, string>,
    body: string | Uint8Array<ArrayBuffer> = '{"a":1}',
    path = url,
  ): Promise<Response> => fetch(path, { method: 'POST', headers, body })
  const fault = async (r: Response): Promise<{ code: string; message: string }> =>
    (await r.json()) as { code: string; message: string }

  test('the server under test is the one that was asked for', () => {
    expect(rig.ingress.http).toBe(http)
  })

  test('a binary event gets its 202 only when it is durable', async () => {
    rig.stream.hold = true
    let status = 0
    const answer = send(ceHeaders('1', { 'content-type': 'application/json' })).then((r) => (status = r.status))
    await until('the append', () => rig.stream.waiting.length === 1)
    expect(status).toBe(0)
    expect(rig.seen.received).toEqual([])
    rig.stream.waiting[0]?.({ kind: 'durable' })
    expect(await answer).toBe(202)
    expect(rig.seen.received).toEqual(['1'])
    const [event] = rig.stream.events
    expect(event).toMatchObject({ id: '1', source: '/s', type: 't', datacontenttype: 'application/json' })
    expect(Buffer.from(event?.data ?? []).toString()).toBe('{"a":1}')
    expect(event?.envelope.receivedMs).toBeGreaterThan(1_600_000_000_000)
  })

  test('a structured event and a batch are stored whole, an empty batch is accepted', async () => {
    const one = { specversion: '1.0', id: 's', source: '/s', type: 't', data: { x: 1 } }
    const structured = await send({ 'content-type': 'application/cloudevents+json; charset=utf-8' }, JSON.stringify(one))
    expect(structured.status).toBe(202)
    const batch = [
      { ...one, id: 'b1' },
      { ...one, id: 'b2' },
    ]
    const type = { 'content-type': 'application/cloudevents-batch+json' }
    expect((await send(type, JSON.stringify(batch))).status).toBe(202)
    expect((await send(type, '[]')).status).toBe(202)
    expect(rig.stream.appends.map((a) => a.map((e) => e.id))).toEqual([['s'], ['b1', 'b2']])
    expect(rig.seen.received).toEqual(['s', 'b1', 'b2'])
  })

  test('a batch with one bad event stores nothing, and one over the limit neither', async () => {
    const type = { 'content-type': 'application/cloudevents-batch+json' }
    const good = { specversion: '1.0', id: 'b1', source: '/s', type: 't' }
    const bad = await send(type, JSON.stringify([good, { ...good, id: '' }]))
    expect(bad.status).toBe(400)
    expect((await fault(bad)).message).toContain('id')
    expect((await send(type, JSON.stringify([good, good, good, good]))).status).toBe(413)
    expect(rig.stream.appends).toEqual([])
    expect(rig.seen.refused).toEqual(['ingress.bad-event', 'ingress.too-large'])
  })

  test('an event without data and one with 0.3 are taken', async () => {
    expect((await send(ceHeaders('1'), '')).status).toBe(202)
    expect((await send(ceHeaders('2', { 'ce-specversion': '0.3' }))).status).toBe(202)
    expect(rig.stream.events.map((e) => [e.specversion, e.data === null])).toEqual([
      ['1.0', true],
      ['0.3', false],
    ])
  })

  test('a bad event is 400 and names the attribute', async () => {
    const missing = ceHeaders('1')
    delete missing['ce-type']
    const r = await send(missing)
    expect(r.status).toBe(400)
    expect(r.headers.get('content-type')).toBe('application/json')
    expect(await fault(r)).toMatchObject({ code: 'ingress.bad-event', message: expect.stringContaining('type') as string })
    const none = await send({ 'content-type': 'application/json' })
    expect(none.status).toBe(400)
    expect((await fault(none)).message).toContain('specversion')
    expect(rig.stream.appends).toEqual([])
  })

  test('an unknown address is 404, also for a bad event', async () => {
    const r = await send({ 'ce-id': 'only' }, 'x', `${rig.ingress.url}/ns/nobody`)
    expect(r.status).toBe(404)
    expect((await fault(r)).code).toBe('ingress.not-found')
  })

  test.each(['GET', 'PUT', 'DELETE', 'PATCH'])('%s is 405 with Allow', async (method) => {
    const r = await fetch(url, { method })
    expect(r.status).toBe(405)
    expect(r.headers.get('allow')).toBe('POST, OPTIONS')
  })

  test('OPTIONS answers as the webhook specification says', async () => {
    const r = await fetch(url, { method: 'OPTIONS', headers: { 'webhook-request-origin': 'eventemitter.example.com' } })
    expect(r.status).toBe(200)
    expect(r.headers.get('allow')).toBe('POST, OPTIONS')
    expect(r.headers.get('webhook-allowed-origin')).toBe('*')
    expect(r.headers.get('webhook-allowed-rate')).toBe('*')
  })

  test('an event format nobody knows and a content encoding are 415', async () => {
    const format = await send({ 'content-type': 'application/cloudevents+xml' }, '<a/>')
    expect(format.status).toBe(415)
    const encoded = await send(ceHeaders('1', { 'content-encoding': 'gzip' }))
    expect(encoded.status).toBe(415)
    expect((await fault(encoded)).code).toBe('ingress.media-type')
    expect(rig.stream.appends).toEqual([])
  })

  test('a body over the limit is 413 by its announced length and by its bytes, one of exactly the limit is taken', async () => {
    rig.stream.destination = { ...rig.stream.destination, maxEventBytes: 100_000 }
    expect((await send(ceHeaders('1'), 'x'.repeat(100_000))).status).toBe(202)
    const announced = await send(ceHeaders('2'), 'x'.repeat(100_001))
    expect(announced.status).toBe(413)
    expect((await fault(announced)).message).toContain('100000 bytes')
    const stream = new ReadableStream({
      start(c) {
        c.enqueue(Buffer.alloc(60_000))
        c.enqueue(Buffer.alloc(60_000))
        c.close()
      },
    })
    const counted = await fetch(url, { method: 'POST', headers: ceHeaders('3'), body: stream, duplex: 'half' } as RequestInit)
    expect(counted.status).toBe(413)
    expect(rig.stream.events.map((e) => e.id)).toEqual(['1'])
    expect(rig.seen.refused).toEqual(['ingress.too-large', 'ingress.too-large'])
  })

  test('a large body arrives byte for byte, with a length and chunked', async () => {
    const body = Buffer.alloc(900_000)
    for (let i = 0; i < body.length; i++) body[i] = (i * 31 + (i >> 8)) & 255
    expect((await send(ceHeaders('1'), body)).status).toBe(202)
    const chunks = new ReadableStream({
      start(c) {
        for (let i = 0; i < body.length; i += 70_001) c.enqueue(body.subarray(i, i + 70_001))
        c.close()
      },
    })
    const chunked = await fetch(url, { method: 'POST', headers: ceHeaders('2'), body: chunks, duplex: 'half' } as RequestInit)
    expect(chunked.status).toBe(202)
    for (const e of rig.stream.events) expect(body.equals(e.data ?? Buffer.alloc(0))).toBe(true)
    expect(rig.stream.events).toHaveLength(2)
  })

  test.each([
    [{ kind: 'full', retryAfterMs: 2_500, why: 'the subscription ns/slow holds 10 GiB' }, 429, '3', 'ingress.full'],
    [{ kind: 'full', retryAfterMs: 0, why: 'full' }, 429, '1', 'ingress.full'],
    [{ kind: 'unavailable', retryAfterMs: 1_000, why: 'no leader' }, 503, '1', 'ingress.unavailable'],
    [{ kind: 'partial', durable: 1 }, 503, '1', 'ingress.unavailable'],
    [{ kind: 'too-large', limitBytes: 5 }, 413, null, 'ingress.too-large'],
  ] as const)('a stream that says %o gives %i', async (answer, status, retryAfter, code) => {
    rig.stream.answer = answer
    const r = await send(ceHeaders('1'))
    expect(r.status).toBe(status)
    expect(r.headers.get('retry-after')).toBe(retryAfter)
    expect((await fault(r)).code).toBe(code)
    expect(rig.seen).toMatchObject({ received: [], refused: [code] })
  })

  test('the TTL goes into the envelope one less, a used one is 400', async () => {
    await send(ceHeaders('1', { 'ce-knativebrokerttl': '7' }))
    await send(ceHeaders('2', { 'ce-knativebrokerttl': 'many' }))
    await send(ceHeaders('3'))
    expect(rig.stream.events.map((e) => [e.envelope.ttl, e.extensions.length])).toEqual([
      [6, 0],
      [255, 0],
      [255, 0],
    ])
    const used = await send(ceHeaders('4', { 'ce-knativebrokerttl': '0' }))
    expect(used.status).toBe(400)
    expect((await fault(used)).code).toBe('ingress.loop')
    expect((await send(ceHeaders('5', { 'ce-knativebrokerttl': '-3' }))).status).toBe(400)
  })

  test('a request that has passed this gateway is 508, one of another gateway is not', async () => {
    expect((await send(ceHeaders('1', { 'sluice-hop': 'other, gateway-1' }))).status).toBe(508)
    expect((await send(ceHeaders('2', { 'sluice-hop': 'gateway-10' }))).status).toBe(202)
  })

  test('trace context and the headers Knative passes on are in the envelope', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    await send(ceHeaders('1', { traceparent, tracestate: 'a=b', 'x-request-id': 'r1', 'knative-thing': 'k', cookie: 'no' }))
    const envelope = rig.stream.events[0]?.envelope
    expect(envelope).toMatchObject({ traceparent, tracestate: 'a=b' })
    expect(envelope?.headers).toEqual(['x-request-id', 'r1', 'knative-thing', 'k'])
  })

  test('percent-encoded and raw UTF-8 attributes arrive as text', async () => {
    await send(ceHeaders('1', { 'ce-subject': 'Gr%C3%BC%C3%9Fe' }))
    expect(rig.stream.events[0]?.subject).toBe('Grüße')
  })

  test('the probes of Knative are answered, and readiness follows the gateway', async () => {
    expect((await fetch(`${rig.ingress.url}/healthz`)).status).toBe(200)
    expect((await fetch(`${rig.ingress.url}/readyz`)).status).toBe(200)
    expect((await fetch(`${rig.ingress.url}/any/thing`, { headers: { 'k-network-probe': 'probe' } })).status).toBe(200)
    expect((await fetch(`${rig.ingress.url}/any/thing`, { headers: { 'k-network-probe': 'no' } })).status).toBe(404)
    rig.ingress.setReady(false)
    expect((await fetch(`${rig.ingress.url}/readyz`)).status).toBe(503)
    expect((await fetch(`${rig.ingress.url}/healthz`)).status).toBe(200)
  })

  test('a repeat within the window is 202 and not stored again', async () => {
    rig.stream.destination = { ...rig.stream.destination, dedupWindowMs: 60_000 }
    for (const id of ['1', '1', '2']) expect((await send(ceHeaders(id))).status).toBe(202)
    expect(rig.stream.events.map((e) => e.id)).toEqual(['1', '2'])
    expect(rig.seen).toMatchObject({ received: ['1', '2'], deduplicated: ['1'] })
  })

  test('a repeat in flight shares the fate of the first, and only what is durable is remembered', async () => {
    rig.stream.destination = { ...rig.stream.destination, dedupWindowMs: 60_000 }
    rig.stream.hold = true
    const answers = [send(ceHeaders('1')), send(ceHeaders('1'))]
    await until('both are here', () => rig.ingress.running() === 2 && rig.stream.waiting.length === 1)
    rig.stream.waiting.pop()?.({ kind: 'full', retryAfterMs: 1, why: 'full' })
    expect((await Promise.all(answers)).map((r) => r.status)).toEqual([429, 429])
    rig.stream.hold = false
    expect((await send(ceHeaders('1'))).status).toBe(202)
    expect(rig.seen).toMatchObject({
      received: ['1'],
      deduplicated: [],
      accepted: [1],
      refused: ['ingress.full', 'ingress.full'],
    })
  })

  test('a batch with repeats, one of them of itself, stores each event once', async () => {
    rig.stream.destination = { ...rig.stream.destination, dedupWindowMs: 60_000 }
    await send(ceHeaders('a'))
    const batch = ['a', 'b', 'b'].map((id) => ({ specversion: '1.0', id, source: '/s', type: 't' }))
    const r = await send({ 'content-type': 'application/cloudevents-batch+json' }, JSON.stringify(batch))
    expect(r.status).toBe(202)
    expect(rig.stream.events.map((e) => e.id)).toEqual(['a', 'b'])
    expect(rig.seen).toMatchObject({ received: ['a', 'b'], deduplicated: ['a', 'b'], accepted: [1, 3] })
  })

  test('a target without a stream gives the producer its own answer', async () => {
    const outcomes: Outcome[] = [
      { kind: 'accepted', status: 202 },
      { kind: 'accepted', status: 200, reply: new CloudEvent({ id: 'r', source: '/r', type: 'reply', data: Buffer.from('hi') }) },
      { kind: 'retryable', status: 429, why: 'busy', retryAfterMs: 4_000 },
      { kind: 'retryable', status: 0, why: 'no connection' },
      { kind: 'rejected', status: 422, why: 'never' },
      { kind: 'rejected', status: 302, why: 'moved' },
    ]
    rig.routes.set('/target', {
      kind: 'target',
      id: 9,
      maxEventBytes: 1_000,
      deliver: (_e, done) => setImmediate(() => done(outcomes.shift() as Outcome)),
    })
    const answers: (string | number | null)[][] = []
    for (let i = 0; i < 6; i++) {
      const r = await send(ceHeaders(String(i)), 'x', `${rig.ingress.url}/target`)
      const text = await r.text()
      answers.push([r.status, r.headers.get('retry-after'), r.headers.get('ce-type') === null ? '' : text])
    }
    expect(answers).toEqual([
      [202, null, ''],
      [200, null, 'hi'],
      [429, '4', ''],
      [503, '1', ''],
      [422, null, ''],
      [502, null, ''],
    ])
    expect(rig.seen.received).toEqual(['0', '1'])
    expect(rig.seen.refused).toHaveLength(4)
  })

  test('a callback is read whole and answered by its handler, once', async () => {
    rig.routes.set('/callback', {
      kind: 'callback',
      id: 11,
      maxBodyBytes: 10,
      handle(request, answer) {
        const body = Buffer.from(request.body ?? []).toString()
        setImmediate(() => {
          answer(201, ['x-was', request.headers.get('x-is') ?? ''], `${request.query} ${body}`)
          answer(500, [], null)
        })
      },
    })
    const r = await send({ 'x-is': 'it' }, 'body', `${rig.ingress.url}/callback?id=1`)
    expect([r.status, r.headers.get('x-was'), await r.text()]).toEqual([201, 'it', 'id=1 body'])
    expect((await send({}, 'x'.repeat(11), `${rig.ingress.url}/callback`)).status).toBe(413)
    expect((await fetch(`${rig.ingress.url}/callback`)).status).toBe(405)
  })
})

import { readFileSync } from 'node:fs'
import { createServer as createTls, type Server } from 'node:https'
import { createSecureServer } from 'node:http2'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import type { Origin } from '../../src/contract/target.ts'
import { NEW_ENVELOPE } from '../../src/event/event.ts'
import { endToEnd } from '../../src/sender/hop-by-hop.ts'
import { fitPath, fitValue, hostOf, unfitHeader } from '../../src/sender/request-head.ts'
import { createSender } from '../../src/sender/sender.ts'
import { attempt, bed, EVENT, LANES, type AttemptOverrides } from './parts.ts'
import { answer, openRude, type RudeServer, type SeenRequest } from './rude-server.ts'
import { SteppedClock } from './stepped-clock.ts'

const open: (() => unknown)[] = []
afterEach(async () => {
  for (const close of open.splice(0)) await close()
})

describe.each(LANES)('%s lane: what an attempt says', (lane) => {
  async function said(
    o: AttemptOverrides,
    origin?: (s: RudeServer) => Origin,
  ): Promise<{ lines: string[]; request: SeenRequest }> {
    const server = await openRude({ request: (r) => void r.socket.write(answer(200)) })
    const b = bed(lane)
    open.push(
      () => b.sender.close(),
      () => server.close(),
    )
    expect(await attempt(b, origin?.(server) ?? server.origin, o).outcome).toMatchObject({ kind: 'accepted' })
    const [request] = server.requests
    if (request === undefined) throw new Error('no request came')
    return { lines: request.head.trimEnd().split('\r\n'), request }
  }

  test('binary mode: attributes, type, length, Prefer, namespace, Host', async () => {
    const { lines, request } = await said({ path: '/in?x=1' })
    expect(lines[0]).toBe('POST /in?x=1 HTTP/1.1')
    expect(
      lines
        .slice(1)
        .filter((l) => l !== 'connection: keep-alive')
        .sort(),
    ).toEqual([
      'ce-id: e-1',
      'ce-source: /test',
      'ce-specversion: 1.0',
      'ce-type: test.sent',
      'content-length: 5',
      'content-type: text/plain',
      expect.stringMatching(/^host: 127\.0\.0\.1:\d+$/),
      'kn-namespace: default',
      'prefer: reply',
    ])
    expect(request.body.toString()).toBe('hello')
  })

  test('structured mode carries the event as JSON and no ce- header', async () => {
    const { lines, request } = await said({ structured: true })
    expect(lines.filter((l) => l.startsWith('ce-'))).toEqual([])
    expect(lines).toContain('content-type: application/cloudevents+json; charset=utf-8')
    expect(JSON.parse(request.body.toString())).toMatchObject({ id: 'e-1', type: 'test.sent', data: 'hello' })
  })

  test('an event without data has the length 0, a large one arrives whole', async () => {
    const none = await said({ event: EVENT.with({ data: null }) })
    expect(none.lines).toContain('content-length: 0')
    const data = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251))
    const large = await said({ event: EVENT.with({ data }) })
    expect(large.lines).toContain('content-length: 300000')
    expect(large.request.body.equals(data)).toBe(true)
  })

  test('data that is a plain Uint8Array view arrives byte for byte', async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i).subarray(3)
    expect([...(await said({ event: EVENT.with({ data: bytes }) })).request.body]).toEqual([...bytes])
  })

  test('trace context and what Knative passes on come from the envelope, unless the attempt sets them', async () => {
    const envelope = {
      ...NEW_ENVELOPE,
      traceparent: '00-aaaa-bbbb-01',
      tracestate: 'v=1',
      headers: ['x-request-id', 'r1', 'knative-a', 'ü', 'connection', 'close', 'bad name', 'x', 'knative-b', 'a\r\nx-evil: 1'],
    }
    const event = EVENT.with({ envelope })
    const plain = (await said({ event })).lines
    expect(plain).toContain('traceparent: 00-aaaa-bbbb-01')
    expect(plain).toContain('tracestate: v=1')
    expect(plain).toContain('x-request-id: r1')
    expect(plain).toContain('knative-a: ü')
    expect(plain.join('\n')).not.toMatch(/evil|bad name|connection: close/)

    const over = (
      await said({ event, headers: ['Traceparent', '00-cccc-dddd-01', 'Authorization', 'Bearer t ', 'X-Request-Id', 'r2'] })
    ).lines
    expect(over.filter((l) => l.startsWith('traceparent'))).toEqual(['traceparent: 00-cccc-dddd-01'])
    expect(over.filter((l) => l.startsWith('tracestate'))).toEqual([])
    expect(over.filter((l) => l.startsWith('x-request-id'))).toEqual(['x-request-id: r2'])
    expect(over.some((l) => l.startsWith('authorization: Bearer t'))).toBe(true)
  })

  test('Host: the origin’s, else the target’s, else the attempt’s; framing and ce- headers are nobody else’s', async () => {
    const host = async (o: AttemptOverrides): Promise<string[]> => (await said(o)).lines.filter((l) => l.startsWith('host'))
    expect(await host({ host: 'domain.example' })).toEqual(['host: domain.example'])
    expect(await host({ host: 'domain.example', headers: ['Host', 'given.example'] })).toEqual(['host: given.example'])
    const { lines, request } = await said({
      headers: ['Content-Length', '1', 'Transfer-Encoding', 'chunked', 'CE-ID', 'x', 'Content-Type', 'a/b'],
    })
    expect(lines.filter((l) => /^(content-length|transfer|ce-id|content-type)/.test(l)).sort()).toEqual([
      'ce-id: e-1',
      'content-length: 5',
      'content-type: text/plain',
    ])
    expect(request.body.toString()).toBe('hello')
  })

  test('the same path with another namespace, host or wish is not mixed up', async () => {
    const server = await openRude({ request: (r) => void r.socket.write(answer(200)) })
    const b = bed(lane)
    open.push(
      () => b.sender.close(),
      () => server.close(),
    )
    const ways: AttemptOverrides[] = [
      { namespace: 'a' },
      { namespace: 'b' },
      { namespace: 'b', host: 'h' },
      { namespace: '', wantsReply: false },
      { namespace: 'a' },
    ]
    for (const o of ways) await attempt(b, server.origin, o).outcome
    const seen = server.requests.map((r) => [
      /kn-namespace: (.*)\r/.exec(r.head)?.[1],
      /host: h\r/.test(r.head),
      /prefer/.test(r.head),
    ])
    expect(seen).toEqual([
      ['a', false, true],
      ['b', false, true],
      ['b', true, true],
      [undefined, false, false],
      ['a', false, true],
    ])
  })

  test.each([
    ['a line break in a secret', { headers: ['authorization', 'Bearer a\r\nx-evil: 1'] }],
    ['a name that is none', { headers: ['x evil', '1'] }],
    ['a host that is none', { host: 'a b\r\nx-evil: 1' }],
  ])('%s: nothing is sent, and the reason does not tell the value', async (_name, o) => {
    const server = await openRude({})
    const b = bed(lane)
    open.push(() => server.close())
    const sent = attempt(b, server.origin, o)
    expect(sent.outcomes).toEqual([])
    const outcome = await sent.outcome
    expect(outcome).toMatchObject({ kind: 'retryable', status: 0, why: /header|Host/ })
    expect('why' in outcome && outcome.why).not.toMatch(/Bearer/)
    expect(sent.credit.released).toHaveLength(1)
    expect(server.sockets).toHaveLength(0)
  })

  test('a path cannot break the request line', async () => {
    const { lines } = await said({ path: 'a b\r\nx-evil: 1/ü#f' })
    expect(lines[0]).toBe('POST /a%20b%0D%0Ax-evil:%201/%C3%BC HTTP/1.1')
  })

  test('IPv6, with and without brackets', async () => {
    for (const written of ['::1', '[::1]']) {
      const server = await openRude({ host: '::1', request: (r) => void r.socket.write(answer(200)) })
      const b = bed(lane)
      open.push(
        () => b.sender.close(),
        () => server.close(),
      )
      await attempt(b, { ...server.origin, host: written }).outcome
      expect(server.requests[0]?.head).toContain(`host: [::1]:${server.origin.port}\r\n`)
    }
  })

  test('a host name', async () => {
    const { lines } = await said({}, (s) => ({ ...s.origin, host: 'localhost' }))
    expect(lines.some((l) => /^host: localhost:\d+$/.test(l))).toBe(true)
  })
})

describe('TLS', () => {
  // Made for this test alone; it opens nothing.
  const key = readFileSync(new URL('tls/key.pem', import.meta.url))
  const cert = readFileSync(new URL('tls/cert.pem', import.meta.url), 'utf8')

  async function listen(server: Server | ReturnType<typeof createSecureServer>, caCerts: string): Promise<Origin> {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    open.push(() => server.close())
    return { protocol: 'https:', host: '127.0.0.1', port: (server.address() as AddressInfo).port, caCerts }
  }

  test.each(['HTTP/1.1', 'HTTP/2'])('%s with a bundle of its own; a reply comes back', async (version) => {
    const versions: string[] = []
    const reply = { 'ce-specversion': '1.0', 'ce-id': 'r1', 'ce-source': '/s', 'ce-type': 't' }
    const server = version === 'HTTP/2' ? createSecureServer({ key, cert }) : createTls({ key, cert })
    server.on(
      'request',
      (req: { httpVersion: string; resume(): void }, res: { writeHead(n: number, h: object): void; end(t: string): void }) => {
        versions.push(req.httpVersion)
        req.resume()
        res.writeHead(200, reply)
        res.end('data')
      },
    )
    const origin = await listen(server, cert)
    const clock = new SteppedClock()
    const sender = createSender({ clock })
    open.unshift(() => sender.close())
    for (let i = 0; i < 3; i++) {
      expect(await attempt({ clock, sender }, origin).outcome).toMatchObject({
        kind: 'accepted',
        status: 200,
        reply: { id: 'r1' },
      })
    }
    expect(versions).toEqual(version === 'HTTP/2' ? ['2.0', '2.0', '2.0'] : ['1.1', '1.1', '1.1'])
  })

  test('a certificate nobody vouches for is a connection error, nothing is sent', async () => {
    let requests = 0
    const origin = await listen(
      createTls({ key, cert }, () => requests++),
      '',
    )
    const clock = new SteppedClock()
    const sender = createSender({ clock })
    open.unshift(() => sender.close())
    expect(await attempt({ clock, sender }, origin).outcome).toMatchObject({ kind: 'retryable', status: 0, why: /self-signed/ })
    expect(requests).toBe(0)
  })
})

test('what cannot be written is recognised', () => {
  expect(fitValue('plain\ttext é')).toBe('plain\ttext é')
  expect(fitValue('token\n')).toBe('token')
  // U+010A would become a line feed when written as latin1.
  expect(fitValue('Ċ')).toBe('Ä\u008a')
  expect(fitValue('a\nb')).toBeNull()
  expect(fitValue('\u007f')).toBeNull()
  expect(unfitHeader(['a', 'b'], 'h:80')).toBe('')
  expect(unfitHeader(['a', 'secret\0'], '')).not.toContain('secret')
  expect(fitPath('')).toBe('/')
  expect(fitPath('/a%20b?q=é')).toBe('/a%20b?q=%C3%A9')
  expect(hostOf({ protocol: 'https:', host: 'a', port: 443, caCerts: '' })).toBe('a')
  expect(hostOf({ protocol: 'http:', host: 'a', port: 443, caCerts: '' })).toBe('a:443')
})

test('hop-by-hop headers go, also those that Connection names, in whatever case', () => {
  const headers = [
    'A',
    '1',
    'connection',
    'B, c',
    'b',
    '2',
    'C',
    '3',
    'Upgrade',
    'h2c',
    'X-Bad',
    'a\nb',
    'bad name',
    'x',
    'D',
    '4',
  ]
  expect(endToEnd(headers)).toEqual(['a', '1', 'd', '4'])
})

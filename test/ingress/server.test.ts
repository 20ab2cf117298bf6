import { afterEach, describe, expect, test } from 'vitest'
import { createLog } from '../../src/runtime/log.ts'
import { loadUws } from '../../src/vendor/uws/uws.ts'
import { until } from '../until.ts'
import { CE, openRig, post, Raw, SERVERS } from './rig.ts'
import type { Rig, RigOptions } from './rig.ts'

/** What the two servers promise alike, and the few things in which they differ, said aloud. docs/decisions/http-in.md */
describe.each(SERVERS)('raw HTTP over %s', (http) => {
  const open: { destroy(): void }[] = []
  const rigs: Rig[] = []
  afterEach(async () => {
    for (const raw of open.splice(0)) raw.destroy()
    for (const rig of rigs.splice(0)) await rig.ingress.close()
  })
  const start = async (o: RigOptions = {}): Promise<Rig> => {
    const rig = await openRig(http, o)
    rigs.push(rig)
    return rig
  }
  const connect = (rig: Rig, text: string | Uint8Array = ''): Raw => {
    const raw = new Raw(rig.ingress.port)
    open.push(raw)
    return raw.send(text)
  }
  const isUws = http === 'uws'
  const GET = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'
  const CHUNKED = `POST /ns/broker HTTP/1.1\r\nHost: x\r\n${CE}Transfer-Encoding: chunked\r\n\r\n`

  test('a connection serves many requests, one after another', async () => {
    const rig = await start()
    const raw = connect(rig)
    for (let i = 1; i <= 5; i++) {
      raw.send(post('/ns/broker', 'abc'))
      await raw.answers(i)
    }
    expect(raw.statuses).toEqual([202, 202, 202, 202, 202])
    expect(rig.stream.events).toHaveLength(5)
    expect(raw.closed).toBe(false)
  })

  test('Connection: close is done', async () => {
    const rig = await start()
    const raw = connect(rig, post('/ns/broker', 'abc', `${CE}Connection: close\r\n`))
    await raw.end()
    expect(raw.statuses).toEqual([202])
  })

  test('a request that comes byte by byte is one request', async () => {
    const rig = await start()
    const raw = connect(rig)
    for (const c of post('/ns/broker', 'abcdef')) raw.send(c)
    expect(await raw.answers(1)).toEqual([202])
    expect(Buffer.from(rig.stream.events[0]?.data ?? []).toString()).toBe('abcdef')
  })

  test('chunked bodies arrive whole however they are cut', async () => {
    const rig = await start()
    const raw = connect(rig, CHUNKED)
    for (const part of ['3\r', '\nab', 'c\r\n', '2\r\nde\r\n0\r\n', '\r\n']) {
      raw.send(part)
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(await raw.answers(1)).toEqual([202])
    raw.send(`${CHUNKED}5\r\nvwxyz\r\n0\r\n\r\n`)
    expect(await raw.answers(2)).toEqual([202, 202])
    expect(rig.stream.events.map((e) => Buffer.from(e.data ?? []).toString())).toEqual(['abcde', 'vwxyz'])
  })

  test('Expect: 100-continue is answered before the body comes', async () => {
    const rig = await start()
    const raw = connect(rig, `POST /ns/broker HTTP/1.1\r\nHost: x\r\n${CE}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n`)
    await until('100', () => raw.text.startsWith('HTTP/1.1 100 '))
    raw.send('abc')
    expect(await raw.answers(1)).toEqual([202])
    expect(rig.stream.events).toHaveLength(1)
  })

  test.each([
    ['another Expect', `${CE}Expect: magic\r\nContent-Length: 3\r\n\r\nabc`, 417],
    ['two lengths', `${CE}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd`, 400],
    ['two equal lengths', `${CE}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc`, 400],
    ['a list of lengths', `${CE}Content-Length: 3, 3\r\n\r\nabc`, 400],
    ['a negative length', `${CE}Content-Length: -3\r\n\r\nabc`, 400],
    ['a signed length', `${CE}Content-Length: +3\r\n\r\nabc`, 400],
    ['a length with a tail', `${CE}Content-Length: 3x\r\n\r\nabc`, 400],
    ['an empty length', `${CE}Content-Length: \r\n\r\nabc`, 400],
    ['a length beyond all numbers', `${CE}Content-Length: 99999999999999999999\r\n\r\nabc`, 400],
    ['a length and chunks', `${CE}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`, 400],
    ['chunks and a length', `${CE}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n`, 400],
    ['gzip before chunked', `${CE}Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`, 501],
    ['an encoding like chunked', `${CE}Transfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`, 501],
    ['identity', `${CE}Transfer-Encoding: identity\r\n\r\nabc`, 501],
    ['two encodings', `${CE}Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`, 501],
    ['two hosts', `Host: y\r\n${CE}Content-Length: 3\r\n\r\nabc`, 400],
    ['chunks of no size', `${CE}Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n`, 400],
    ['a chunk beyond all numbers', `${CE}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n`, 400],
  ])('%s is refused, its bytes are never the next request, and nothing is stored', async (_what, rest, status) => {
    const rig = await start()
    const text = `POST /ns/broker HTTP/1.1\r\nHost: x\r\n${rest}`
    const alone = connect(rig, text)
    await alone.end()
    expect(alone.statuses).toEqual([status])
    // With more bytes behind it uWebSockets.js may cut the connection before the answer is out.
    const followed = connect(rig, text + GET)
    await followed.end()
    expect(followed.statuses.filter((s) => s < 400)).toEqual([])
    expect(rig.stream.appends).toEqual([])
  })

  test.each([
    ['no Host', 'POST /ns/broker HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc'],
    ['a TLS hello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaa\r\n\r\n'],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['a space in the target', 'GET /a b HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['HTTP/1.2', 'GET /healthz HTTP/1.2\r\nHost: x\r\n\r\n'],
    ['bare line feeds', `POST /ns/broker HTTP/1.1\nHost: x\nContent-Length: 3\n\nabc`],
    ['CONNECT', 'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n'],
    ['raw bytes in the target', 'GET /n\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['the target *', 'OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n'],
  ])('%s is answered with an error, not with silence', async (_what, text) => {
    const rig = await start()
    const raw = connect(rig, text)
    const [status] = await raw.answers(1)
    expect(status).toBeGreaterThanOrEqual(400)
    expect(rig.stream.appends).toEqual([])
  })

  test('headers over the limit in bytes or in number are 431', async () => {
    const rig = await start({ limits: { maxHeaders: 50 } })
    const under = connect(rig, `GET /healthz HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(12_000)}\r\n\r\n`)
    expect(await under.answers(1)).toEqual([200])
    const bytes = connect(rig, `GET /healthz HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(17_000)}\r\n\r\n`)
    await bytes.end()
    expect(bytes.statuses).toEqual([431])
    for (const count of [51, 150, 3_000]) {
      const number = connect(rig, `GET /healthz HTTP/1.1\r\nHost: x\r\n${'a: 1\r\n'.repeat(count)}\r\n`)
      await number.end()
      expect(number.statuses).toEqual([431])
    }
  })

  test('a connection over the limit is closed, and the place of a closed one is free again', async () => {
    const rig = await start({ limits: { maxConnections: 2 } })
    const first = connect(rig, GET)
    const second = connect(rig, GET)
    await first.answers(1)
    await second.answers(1)
    const third = connect(rig)
    await until('the third is closed', () => third.closed || third.ended)
    expect(third.text).toBe('')
    first.destroy()
    await until('room', () => rig.ingress.connections() === 1)
    expect(await connect(rig, GET).answers(1)).toEqual([200])
  })

  test('a client that goes away within its body leaves nothing behind', async () => {
    const rig = await start()
    const raw = connect(rig, `POST /ns/broker HTTP/1.1\r\nHost: x\r\n${CE}Content-Length: 30\r\n\r\nabc`)
    await until('it is here', () => rig.ingress.running() === 1)
    raw.destroy()
    await until('it is gone', () => rig.ingress.running() === 0 && rig.ingress.connections() === 0)
    expect(rig.stream.appends).toEqual([])
  })

  test('a client that goes away before its answer loses the answer, not the event', async () => {
    const rig = await start()
    rig.stream.hold = true
    const raw = connect(rig, post('/ns/broker', 'abc'))
    await until('the append', () => rig.stream.waiting.length === 1)
    raw.destroy()
    await until('it is gone', () => rig.ingress.running() === 0)
    rig.stream.waiting[0]?.({ kind: 'durable' })
    expect(rig.seen.received).toEqual(['1'])
    expect(await connect(rig, GET).answers(1)).toEqual([200])
  })

  test('a body that stops coming is 408, one below the least rate too, and one above it is taken', async () => {
    const limits = { bodyTimeoutMs: 1_500, slowGraceMs: 300, minBytesPerS: 1_000 }
    const rig = await start({ limits })
    const head = `POST /ns/broker HTTP/1.1\r\nHost: x\r\n${CE}Content-Length: 3000\r\n\r\n`
    const stopped = connect(rig, head)
    await stopped.end()
    expect(stopped.statuses).toEqual([408])
    const slow = connect(rig, head)
    const drip = setInterval(() => slow.send('x'.repeat(20)), 50)
    await slow.end()
    clearInterval(drip)
    expect(slow.statuses).toEqual([408])
    const fit = connect(rig, head)
    const flow = setInterval(() => fit.send('x'.repeat(300)), 50)
    expect(await fit.answers(1)).toEqual([202])
    clearInterval(flow)
    expect(rig.seen.refused).toEqual(['ingress.slow', 'ingress.slow'])
  })

  test('bodies together are bounded: the next one is 429, and room comes back', async () => {
    const rig = await start({ limits: { maxBufferedBytes: 1_000 } })
    rig.stream.hold = true
    const first = connect(rig, post('/ns/broker', 'x'.repeat(900)))
    await until('the append', () => rig.stream.waiting.length === 1)
    const second = connect(rig, post('/ns/broker', 'x'.repeat(900)))
    expect(await second.answers(1)).toEqual([429])
    expect(second.text.toLowerCase()).toContain('retry-after: 1')
    rig.stream.hold = false
    rig.stream.waiting[0]?.({ kind: 'durable' })
    expect(await first.answers(1)).toEqual([202])
    second.send(post('/ns/broker', 'x'.repeat(900)))
    expect(await second.answers(2)).toEqual([429, 202])
  })

  test('who is refused while the body still comes reads the refusal, and the connection goes on', async () => {
    const rig = await start()
    const raw = connect(rig, `POST /nobody HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n`)
    raw.send(Buffer.alloc(100_000)).send(Buffer.alloc(100_000)).send(GET)
    expect(await raw.answers(isUws ? 2 : 1)).toContain(404)
    if (!isUws) raw.send(GET)
    await raw.answers(2)
    expect(raw.statuses.slice(0, 2)).toEqual([404, 200])
  })

  test('a body far over the limit is 413 at once, without being waited for', async () => {
    const rig = await start()
    const raw = connect(rig, `POST /ns/broker HTTP/1.1\r\nHost: x\r\n${CE}Content-Length: 5000000000\r\n\r\nabc`)
    await raw.end()
    expect(raw.statuses).toEqual([413])
    expect(raw.text.toLowerCase()).toContain('connection: close')
  })

  test('an endless chunked body is 413 and cut', async () => {
    const rig = await start({ limits: { minBytesPerS: 0 } })
    rig.stream.destination = { ...rig.stream.destination, maxEventBytes: 10_000 }
    const raw = connect(rig, CHUNKED)
    const chunk = `8000\r\n${'x'.repeat(0x8000)}\r\n`
    const pump = setInterval(() => raw.socket.writable && raw.send(chunk), 2)
    await until('the end', () => raw.ended || raw.closed)
    clearInterval(pump)
    expect(raw.statuses.filter((s) => s !== 413)).toEqual([])
    expect(rig.seen.refused).toEqual(['ingress.too-large'])
  })

  test('a drain lets running requests finish, refuses new ones, and ends when all are answered', async () => {
    const rig = await start()
    rig.stream.hold = true
    const running = connect(rig, post('/ns/broker', 'abc'))
    const idle = connect(rig, GET)
    await idle.answers(1)
    await until('the append', () => rig.stream.waiting.length === 1)
    let drained = false
    const drain = rig.ingress.drain(new AbortController().signal).then(() => (drained = true))
    const late = connect(rig)
    await until('nobody listens', () => late.error === 'ECONNREFUSED')
    expect(drained).toBe(false)
    rig.stream.waiting[0]?.({ kind: 'durable' })
    expect(await running.answers(1)).toEqual([202])
    expect(running.text.toLowerCase()).toContain('connection: close')
    await drain
    await running.end()
    await rig.ingress.close()
    await idle.end()
  })

  test('a drain ends at its signal, and close cuts what is left', async () => {
    const rig = await start()
    rig.stream.hold = true
    const raw = connect(rig, post('/ns/broker', 'abc'))
    await until('the append', () => rig.stream.waiting.length === 1)
    const stop = new AbortController()
    const drain = rig.ingress.drain(stop.signal)
    stop.abort()
    await drain
    expect(raw.closed).toBe(false)
    await rig.ingress.close()
    await raw.end()
    expect(raw.text).toBe('')
  })

  test('a port that is taken is a fault that names it', async () => {
    const rig = await start()
    await expect(openRig(http, {}, rig.ingress.port)).rejects.toMatchObject({
      code: 'ingress.listen',
      message: expect.stringContaining(String(rig.ingress.port)) as string,
    })
  })

  test('HEAD is answered without a body', async () => {
    const rig = await start()
    const raw = connect(rig, `HEAD /nobody HTTP/1.1\r\nHost: x\r\n\r\n${isUws ? '' : GET}`)
    await raw.answers(1)
    expect(raw.text).toMatch(/HTTP\/1\.1 404 Not Found\r\n[^]*\r\n\r\n(HTTP|$)/)
  })

  test('header values keep to their line', async () => {
    const rig = await start()
    const raw = connect(rig, post('/ns/broker', 'x', `${CE}ce-subject: a%0D%0AX-Evil: 1\r\n`))
    expect(await raw.answers(1)).toEqual([400])
    raw.send(post('/ns/broker', 'x', `${CE}X-Request-Id: a\x85b\r\n`))
    expect(await raw.answers(2)).toEqual([400, 202])
    expect(raw.text).not.toContain('X-Evil: 1\r\n')
    raw.send(post('/ns/broker', 'x', `${CE}ce-subject: a\xc3\xa9b\r\n`))
    await raw.answers(3)
    expect(rig.stream.events[0]?.envelope.headers).toEqual(['x-request-id', 'a\x85b'])
    expect(rig.stream.events[1]?.subject).toBe('aéb')
  })
})

describe('what only node:http can do', () => {
  const GET = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'
  const chunked = (extra: string): string =>
    `POST /ns/broker HTTP/1.1\r\nHost: x\r\n${CE}${extra}Transfer-Encoding: chunked\r\n\r\n`
  const cases: { what: string; text: string; uws: number[]; node: number[]; stored: [number, number] }[] = [
    {
      what: 'HTTP/1.0',
      text: `POST /ns/broker HTTP/1.0\r\nHost: x\r\n${CE}Content-Length: 3\r\n\r\nabc`,
      uws: [505],
      node: [202],
      stored: [0, 1],
    },
    {
      what: 'the absolute form of the target',
      text: `POST http://x/ns/broker HTTP/1.1\r\nHost: x\r\n${CE}Content-Length: 3\r\n\r\nabc`,
      uws: [505],
      node: [202],
      stored: [0, 1],
    },
    {
      what: 'trailers that are announced',
      text: `${chunked('Trailer: x-sum\r\n')}3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n`,
      uws: [505],
      node: [202],
      stored: [0, 1],
    },
    {
      what: 'trailers that are not announced',
      text: `${chunked('')}3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n`,
      uws: [505],
      node: [202],
      stored: [0, 1],
    },
    {
      what: 'a request hidden in trailers',
      text: `${chunked('')}3\r\nabc\r\n0\r\nXXPOST /ns/broker HTTP/1.1\r\nHost: x\r\n${CE}Content-Length: 0\r\n\r\n`,
      uws: [],
      node: [400],
      stored: [0, 0],
    },
    {
      what: 'chunk extensions',
      text: `${chunked('')}3;name=value\r\nabc\r\n0\r\n\r\n`,
      uws: [400],
      node: [202],
      stored: [0, 1],
    },
    {
      what: 'two events in one packet',
      text: post('/ns/broker', 'abc') + post('/ns/broker', 'abc'),
      uws: [],
      node: [202, 202],
      stored: [1, 2],
    },
    {
      what: 'a probe after an event in one packet',
      text: post('/ns/broker', 'abc') + GET,
      uws: [],
      node: [202, 200],
      stored: [1, 1],
    },
  ]
  test.each(cases)('$what: uWebSockets.js refuses it without a hang', async ({ text, uws, stored }) => {
    const rig = await openRig('uws')
    const raw = new Raw(rig.ingress.port).send(text)
    await raw.end()
    expect(raw.statuses).toEqual(uws)
    await until('what was taken is stored', () => rig.stream.appends.length >= stored[0])
    expect(rig.stream.appends).toHaveLength(stored[0])
    await rig.ingress.close()
  })
  test.each(cases)('$what: node serves it', async ({ text, node, stored }) => {
    const rig = await openRig('node')
    const raw = new Raw(rig.ingress.port).send(text)
    expect(await raw.answers(node.length)).toEqual(node)
    expect(rig.stream.appends).toHaveLength(stored[1])
    raw.destroy()
    await rig.ingress.close()
  })
  test('uWebSockets.js: a request on an open connection is 503 while the gateway drains', async () => {
    const rig = await openRig('uws')
    rig.stream.hold = true
    const running = new Raw(rig.ingress.port).send(post('/ns/broker', 'abc'))
    const idle = new Raw(rig.ingress.port).send(GET)
    await idle.answers(1)
    await until('the append', () => rig.stream.waiting.length === 1)
    const drain = rig.ingress.drain(new AbortController().signal)
    idle.send(post('/ns/broker', 'abc'))
    expect(await idle.answers(2)).toEqual([200, 503])
    expect(idle.text).toContain('ingress.draining')
    await idle.end()
    rig.stream.waiting[0]?.({ kind: 'durable' })
    expect(await running.answers(1)).toEqual([202])
    await drain
    await rig.ingress.close()
  })

  test('uWebSockets.js: trailers that are announced are refused before the body comes', async () => {
    const rig = await openRig('uws')
    const raw = new Raw(rig.ingress.port).send(chunked('Trailer: x-sum\r\n'))
    await raw.end()
    expect(raw.statuses).toEqual([501])
    expect(rig.stream.appends).toEqual([])
    await rig.ingress.close()
  })

  test('uWebSockets.js: a chunk extension that it takes for digits of the size stores nothing and does not hang', async () => {
    const rig = await openRig('uws', { limits: { bodyTimeoutMs: 400 } })
    const raw = new Raw(rig.ingress.port).send(`${chunked('')}3;a=b\r\nabc\r\n0\r\n\r\n`)
    await raw.end()
    expect(raw.statuses).toEqual([408])
    expect(rig.stream.appends).toEqual([])
    await rig.ingress.close()
  })

  test('a client that has closed its own half still gets its answer', async () => {
    const rig = await openRig('node')
    const raw = new Raw(rig.ingress.port, true)
    raw.socket.end(Buffer.from(post('/ns/broker', 'abc'), 'latin1'))
    expect(await raw.answers(1)).toEqual([202])
    raw.destroy()
    await rig.ingress.close()
  })
})

test('where uWebSockets.js does not load node:http serves, and one line of the log says why', async () => {
  const lines: string[] = []
  const rig = await openRig('uws', {
    loadUws: () => loadUws(16_384, () => Promise.reject(new Error('no binary for this machine\nand more'))),
    log: createLog({ write: (line) => lines.push(line) > 0 }, 'info', () => 0),
  })
  expect(rig.ingress.http).toBe('node')
  expect(lines).toHaveLength(1)
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 'warn', reason: 'no binary for this machine' })
  await rig.ingress.close()
})

import type { Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import type { Origin } from '../../src/contract/target.ts'
import type { ProxyCall, ProxyFailure, ProxyRequest } from '../../src/sender/proxy.ts'
import { until } from '../until.ts'
import { bed, CountedCredit, LANES, type Bed } from './parts.ts'
import { answer, openRude, reset, type Manners, type RudeServer } from './rude-server.ts'

interface Proxied {
  readonly call: ProxyCall
  readonly credit: CountedCredit
  readonly status: number[]
  readonly headers: string[]
  body: string
  trailers: readonly string[] | null
  readonly failures: ProxyFailure[]
  drains: number
  /** false = the sink asks for a pause with every chunk. */
  takes: boolean
  over(): boolean
}

function proxied(b: Bed, origin: Origin, o: Partial<ProxyRequest> = {}, onData?: () => void): Proxied {
  const credit = new CountedCredit(origin)
  const request: ProxyRequest = {
    method: 'GET',
    path: '/',
    headers: [],
    contentLength: 0,
    deadlineMs: b.clock.now() + 60_000,
    ...o,
  }
  const seen: Omit<Proxied, 'call'> = {
    credit,
    status: [],
    headers: [],
    body: '',
    trailers: null,
    failures: [],
    drains: 0,
    takes: true,
    over: () => seen.trailers !== null || seen.failures.length > 0,
  }
  const call = b.sender.proxy(request, credit, {
    head(status, headers) {
      seen.status.push(status)
      seen.headers.push(...headers)
    },
    data(bytes) {
      seen.body += Buffer.from(bytes).toString('latin1')
      onData?.()
      return seen.takes
    },
    end(trailers) {
      if (seen.over()) throw new Error('ended twice')
      seen.trailers = trailers
    },
    fail(f) {
      if (seen.over()) throw new Error('failed after the end')
      seen.failures.push(f)
    },
    drain: () => void seen.drains++,
  })
  return Object.assign(seen, { call })
}

describe.each(LANES)('%s lane: a proxied request', (lane) => {
  const open: (() => unknown)[] = []
  afterEach(async () => {
    for (const close of open.splice(0)) await close()
  })
  async function set(manners: Manners): Promise<{ b: Bed; server: RudeServer }> {
    const server = await openRude(manners)
    const b = bed(lane)
    open.push(
      () => b.sender.close(),
      () => server.close(),
    )
    return { b, server }
  }

  test('goes and comes back without what means one connection', async () => {
    const { b, server } = await set({
      request: (r) =>
        void r.socket.write(
          answer(418, 'short', 'X-A: 1', 'X-A: 2', 'Connection: x-private', 'X-Private: s', 'Keep-Alive: timeout=9'),
        ),
    })
    const headers = [
      'Host',
      'svc.example.com',
      'X-Up',
      'a',
      'Connection',
      'close, X-Drop',
      'X-Drop',
      'b',
      'TE',
      'trailers',
      'Content-Length',
      '99',
      'Expect',
      '100-continue',
    ]
    const p = proxied(b, server.origin, { method: 'PATCH', path: '/a/b?c=%20d', headers })
    await until('it is over', () => p.over())
    expect(p.status).toEqual([418])
    expect(p.headers).toEqual(['x-a', '1', 'x-a', '2', 'content-length', '5'])
    expect(p.body).toBe('short')
    expect(p.credit.released).toMatchObject([{ ok: true }])
    const [line, ...lines] = (server.requests[0]?.head ?? '').trimEnd().split('\r\n')
    expect(line).toBe('PATCH /a/b?c=%20d HTTP/1.1')
    expect(
      lines
        .map((l) => l.toLowerCase())
        .filter((l) => l !== 'connection: keep-alive')
        .sort(),
    ).toEqual(['content-length: 0', 'host: svc.example.com', 'x-up: a'])
  })

  test.each([
    ['counted', 11],
    ['chunked', -1],
  ])('streams a %s body as it comes', async (_name, contentLength) => {
    const { b, server } = await set({ request: (r) => void r.socket.write(answer(200, r.body.toString())) })
    const p = proxied(b, server.origin, { method: 'POST', contentLength })
    p.call.write(Buffer.from('hello '))
    await until('the connection stands', () => server.sockets.length === 1)
    expect(server.requests).toHaveLength(0)
    p.call.write(Buffer.from('wor'))
    await new Promise(setImmediate)
    p.call.write(Buffer.from('ld'))
    p.call.end()
    await until('it is over', () => p.over())
    expect(p.body).toBe('hello world')
    expect(/transfer-encoding: chunked/i.test(server.requests[0]?.head ?? '')).toBe(contentLength < 0)
  })

  test('chunks of the answer come at once, trailers at the end', async () => {
    const { b, server } = await set({
      request: (r) =>
        void r.socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n'),
    })
    const p = proxied(b, server.origin)
    await until('the head has come', () => p.status.length === 1)
    for (const n of ['1', '2', '3']) {
      server.requests[0]?.socket.write(`8\r\ndata: ${n}\n\r\n`)
      await until('the chunk has come', () => p.body.endsWith(`data: ${n}\n`))
    }
    expect(p.over()).toBe(false)
    server.requests[0]?.socket.write('0\r\nX-Sum: 3\r\n\r\n')
    await until('it is over', () => p.over())
    expect(p.trailers).toEqual(['x-sum', '3'])
    expect(p.headers).toEqual(['content-type', 'text/event-stream'])
  })

  test('a client that takes nothing stops the pod, and goes on where it stopped', async () => {
    const text = 'abcdefghij'.repeat(3_200_000)
    let written = 0
    const { b, server } = await set({
      request({ socket }) {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n`)
        const pump = (): void => {
          while (written < text.length) {
            const piece = text.slice(written, written + 65_536)
            written += piece.length
            if (!socket.write(piece)) return void socket.once('drain', pump)
          }
        }
        pump()
      },
    })
    const p = proxied(b, server.origin)
    p.takes = false
    await until('data has come', () => p.body.length > 0)
    let last = -1
    await until('the pod has stopped', () => {
      const stopped = written === last
      last = written
      return stopped && written < text.length
    })
    expect(p.body.length).toBeLessThan(1 << 20)
    p.takes = true
    p.call.resume()
    await until('it is over', () => p.over())
    expect(p.body === text).toBe(true)
  })

  test('a pod that reads nothing stops the client, and drain lets it go on', async () => {
    const { b, server } = await set({ reads: false, accepted: (s) => void s.pause() })
    const p = proxied(b, server.origin, { method: 'POST', contentLength: -1 })
    const chunk = Buffer.alloc(65_536, 'x')
    let written = 0
    let goes = p.call.write(chunk)
    await until('the pod has stopped it', () => {
      for (let i = 0; goes && i < 1_000; i++, written++) goes = p.call.write(chunk)
      if (goes || p.drains === 0) return false
      const before = p.drains
      goes = true
      return before === p.drains && server.sockets.length === 1 && written > 1
    })
    goes = false
    const drains = p.drains
    let got = 0
    server.sockets[0]?.on('data', (d) => (got += d.length))
    server.sockets[0]?.resume()
    await until('drain was called', () => p.drains > drains)
    p.call.end()
    await until('all of it has come', () => got > written * chunk.length)
    server.sockets[0]?.write(answer(200, 'ok'))
    await until('it is over', () => p.over())
    expect(p.body).toBe('ok')
  })

  test('an answer before the body is whole ends it, and the rest of the body goes nowhere', async () => {
    const { b, server } = await set({ reads: false, accepted: (s) => void s.write(answer(413, 'no')) })
    const p = proxied(b, server.origin, { method: 'POST', contentLength: 1_000 })
    p.call.write(Buffer.alloc(10))
    await until('it is over', () => p.over())
    expect([p.status, p.body, p.failures]).toEqual([[413], 'no', []])
    expect(p.call.write(Buffer.alloc(990))).toBe(true)
    p.call.end()
    expect(p.credit.released).toHaveLength(1)
    server.sockets[0]?.resume()
    await until('the connection is not kept', () => server.closed() === 1)
  })

  test('HEAD has headers and no body, and the connection goes on', async () => {
    const { b, server } = await set({
      request: (r) => void r.socket.write('HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 500\r\n\r\n'),
    })
    for (let i = 0; i < 2; i++) {
      const p = proxied(b, server.origin, { method: 'HEAD' })
      await until('it is over', () => p.over())
      expect([p.headers, p.body]).toEqual([['content-length', '500'], ''])
    }
  })

  test('nothing was sent: unsent, so another pod may have it', async () => {
    const { b, server } = await set({})
    await server.close()
    open.pop()
    const p = proxied(b, server.origin, { method: 'POST', contentLength: 5 })
    p.call.write(Buffer.from('hello'))
    p.call.end()
    await until('it is over', () => p.over())
    expect(p.failures).toMatchObject([{ kind: 'unsent', wrote: false, answered: false, why: /ECONNREFUSED/ }])
    expect(p.credit.released).toMatchObject([{ ok: false }])
  })

  test.each([
    ['before the head', (r: { socket: Socket }) => reset(r.socket), false],
    ['within the head', (r: { socket: Socket }) => void r.socket.end('HTTP/1.1 20'), false],
    ['within the body', (r: { socket: Socket }) => void r.socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf'), true],
  ])('a pod that closes %s: reset, never sent again', async (_name, request, answered) => {
    const { b, server } = await set({ request })
    const p = proxied(b, server.origin)
    await until('it is over', () => p.over())
    expect(p.failures).toMatchObject([{ kind: 'reset', wrote: true, answered }])
    expect(p.credit.released).toHaveLength(1)
    expect(server.requests).toHaveLength(1)
  })

  test('time-out before the head: failed at once, booked until the pod answers', async () => {
    const { b, server } = await set({ allowHalfOpen: true })
    const p = proxied(b, server.origin, { deadlineMs: b.clock.now() + 1_000 })
    await until('the request has come', () => server.requests.length === 1)
    b.clock.advance(1_010)
    expect(p.failures).toMatchObject([{ kind: 'timeout', wrote: true, answered: false }])
    expect(p.credit.abandoned).toBe(1)
    await turns()
    // Undici cannot half close: there the connection goes at once.
    expect(p.credit.released).toHaveLength(lane === 'own' ? 0 : 1)
    server.sockets[0]?.end(answer(200, 'too late'))
    await until('the credit is free', () => p.credit.released.length === 1)
    expect([p.status, p.body]).toEqual([[], ''])
  })

  test('time-out within the answer: cut, and the connection closed soon', async () => {
    const { b, server } = await set({
      request: (r) => void r.socket.write('HTTP/1.1 200 OK\r\n\r\ndata: 1\n'),
      allowHalfOpen: true,
    })
    const p = proxied(b, server.origin, { deadlineMs: b.clock.now() + 1_000 })
    await until('the answer has begun', () => p.body !== '')
    b.clock.advance(1_010)
    expect(p.failures).toMatchObject([{ kind: 'timeout', answered: true }])
    b.clock.advance(1_010)
    await until('the credit is free', () => p.credit.released.length === 1)
    await until('the pod sees the close', () => server.closed() === 1 || server.sockets[0]?.readableEnded === true)
  })

  test('client gone while the pod computes: nothing more is told, booked until the pod is done', async () => {
    const { b, server } = await set({ allowHalfOpen: true })
    const p = proxied(b, server.origin)
    await until('the request has come', () => server.requests.length === 1)
    p.call.abort()
    expect(p.credit.abandoned).toBe(1)
    await until('the pod can see it', () => server.sockets[0]?.readableEnded)
    await turns()
    expect(p.credit.released).toHaveLength(lane === 'own' ? 0 : 1)
    server.sockets[0]?.end(answer(200, 'for nobody'))
    await until('the credit is free', () => p.credit.released.length === 1)
    expect([p.status, p.body, p.failures, p.trailers]).toEqual([[], '', [], null])
  })

  test('client gone within an endless answer: closed within a second or so', async () => {
    const { b, server } = await set({
      request: (r) => void r.socket.write('HTTP/1.1 200 OK\r\n\r\ndata: 1\n'),
      allowHalfOpen: true,
    })
    const p = proxied(b, server.origin)
    await until('the answer has begun', () => p.body !== '')
    p.takes = false
    p.call.abort()
    b.clock.advance(1_010)
    await until('the credit is free', () => p.credit.released.length === 1)
    expect(p.failures).toEqual([])
  })

  test('client gone before the connection stands: never sent, nothing abandoned', async () => {
    const { b, server } = await set({})
    const p = proxied(b, server.origin)
    p.call.abort()
    p.call.abort()
    await until('the credit is free', () => p.credit.released.length === 1)
    await turns()
    expect(p.credit.abandoned).toBe(0)
    expect(server.requests).toHaveLength(0)
  })

  test('client gone within its body: the pod sees the cut', async () => {
    const { b, server } = await set({ allowHalfOpen: true })
    const p = proxied(b, server.origin, { method: 'POST', contentLength: 10 })
    p.call.write(Buffer.from('half'))
    await until('the connection stands', () => server.sockets.length === 1 && p.drains > 0)
    p.call.abort()
    await until('the credit is free', () => p.credit.released.length === 1)
    expect(server.requests).toHaveLength(0)
    expect(p.failures).toEqual([])
  })

  test('the pod is gone: told so, released once', async () => {
    const { b, server } = await set({})
    const p = proxied(b, server.origin)
    await until('the request has come', () => server.requests.length === 1)
    p.credit.goes()
    expect(p.failures).toMatchObject([{ kind: 'gone', wrote: true }])
    await until('the credit is free', () => p.credit.released.length === 1)
  })

  test.each([
    ['longer than announced', 'hello world', 5],
    ['shorter than announced', 'hell', 5],
  ])('a body %s is never passed on as a whole request', async (_name, text, contentLength) => {
    const { b, server } = await set({ request: (r) => void r.socket.write(answer(200)) })
    const p = proxied(b, server.origin, { method: 'POST', contentLength })
    p.call.write(Buffer.from(text))
    p.call.end()
    await until('the credit is free', () => p.credit.released.length === 1)
    expect(p.failures).toHaveLength(1)
    expect(server.requests).toHaveLength(0)
  })

  test('a method that is none is refused before anything is sent', async () => {
    const { b, server } = await set({})
    for (const method of ['GET /x HTTP/1.1\r\nX:', 'CONNECT', '']) {
      const p = proxied(b, server.origin, { method })
      await until('it is over', () => p.over())
      expect(p.failures).toMatchObject([{ kind: 'unsent', wrote: false }])
    }
    expect(server.sockets).toHaveLength(0)
  })
})

describe('own lane', () => {
  // Undici takes a reset for the end of such an answer, by intention; libuv does where it comes with the last bytes.
  test('a pod that resets an answer without a length: the cut is seen', async () => {
    const server = await openRude({ request: (r) => void r.socket.write('HTTP/1.1 200 OK\r\n\r\nhalf of') })
    const b = bed('own')
    const p = proxied(b, server.origin, {}, () => server.sockets.forEach(reset))
    await until('it is over', () => p.over())
    expect(p.failures).toMatchObject([{ kind: 'reset', answered: true }])
    b.sender.close()
    await server.close()
  })
})

/** A few turns of the loop, so that what is on its way arrives. */
async function turns(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise(setImmediate)
}

import { afterEach, describe, expect, test } from 'vitest'
import { until } from '../until.ts'
import { attempt, bed, EVENT, LANES, type Bed } from './parts.ts'
import { answer, openRude, reset, type Manners, type RudeServer } from './rude-server.ts'

const BIG = EVENT.with({ data: Buffer.alloc(8 << 20, 'b') })

describe.each(LANES)('%s lane: whatever a server does ends the attempt once', (lane) => {
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
  /** One attempt against one rudeness: retryable without a status, one release, nothing abandoned, no connection kept. */
  async function fails(manners: Manners): Promise<{ why: string; server: RudeServer }> {
    const { b, server } = await set(manners)
    const sent = attempt(b, server.origin)
    const o = await sent.outcome
    expect(o).toMatchObject({ kind: 'retryable', status: 0 })
    expect(sent.credit.released).toEqual([{ ms: 0, ok: false }])
    expect(sent.credit.abandoned).toBe(0)
    await until('the connection is closed', () => server.closed() === server.sockets.length)
    expect(sent.outcomes).toHaveLength(1)
    return { why: 'why' in o ? o.why : '', server }
  }

  const malformed: Record<string, string> = {
    garbage: 'Hello, what do you want?\r\n\r\n',
    'garbage without an end': '220 mail.example.com ESMTP\r\n',
    'a status of two digits': 'HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n',
    'a header without a colon': 'HTTP/1.1 200 OK\r\nContent-Length 0\r\n\r\n',
    'a blank before the colon': 'HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n',
    'a NUL in a header': 'HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n',
    'Content-Length that is no number': answer(200, 'x').replace('Length: 1', 'Length: one'),
    'negative Content-Length': answer(200, 'x').replace('Length: 1', 'Length: -1'),
    'two Content-Lengths': answer(200, 'x', 'Content-Length: 7'),
    'Content-Length beside Transfer-Encoding':
      'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'a chunk size that is no number': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n',
    'a chunk longer than its size': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n',
  }
  test.each(Object.keys(malformed))('%s', async (name) => {
    const { why } = await fails({ request: (r) => void r.socket.write(malformed[name] ?? '') })
    expect(why).not.toBe('')
  })

  test('a head without an end is read up to 64 KiB', async () => {
    let sentBytes = 0
    await fails({
      request({ socket }) {
        const more = (): void => {
          if (socket.destroyed) return
          const line = `X-Filler-${sentBytes}: ${'y'.repeat(1_000)}\r\n`
          sentBytes += line.length
          if (socket.write(line)) setImmediate(more)
          else socket.once('drain', more)
        }
        socket.write('HTTP/1.1 200 OK\r\n')
        more()
      },
    })
    expect(sentBytes).toBeGreaterThan(60_000)
  })

  test('a flood of interim answers is bounded', async () => {
    const { why } = await fails({ request: (r) => void r.socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(1_000)) })
    expect(why).toMatch(/more than 32 interim answers/)
  })

  const endings: Record<string, Manners> = {
    'closes on accept': { accepted: (s) => void s.destroy() },
    'resets on accept': { accepted: (s) => reset(s) },
    'closes when it has read': { request: (r) => void r.socket.end() },
    'resets when it has read': { request: (r) => reset(r.socket) },
    'closes within the head': { request: (r) => void r.socket.end('HTTP/1.1 200 OK\r\nContent-Le') },
    'resets within the head': { request: (r) => void r.socket.write('HTTP/1.1 2', () => reset(r.socket)) },
    'closes within a counted body': { request: (r) => void r.socket.end(answer(200, 'abc').replace(': 3', ': 9')) },
    'resets within a counted body': {
      request: (r) => void r.socket.write(answer(200, 'abc').replace(': 3', ': 9'), () => reset(r.socket)),
    },
    'closes within a chunked body': {
      request: (r) => void r.socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n'),
    },
    'closes within the trailers': {
      request: (r) => void r.socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n'),
    },
  }
  test.each(Object.keys(endings))('%s: tried once, retryable', async (name) => {
    const { server } = await fails(endings[name] ?? {})
    expect(server.sockets).toHaveLength(1)
  })

  test('bytes behind an answer: it counts, the connection is not used again, the next attempt gets its own answer', async () => {
    const { b, server } = await set({
      request: (r) => void r.socket.write(r.connection === 1 ? answer(200) + answer(500, 'junk') : answer(201)),
    })
    expect(await attempt(b, server.origin).outcome).toEqual({ kind: 'accepted', status: 200 })
    expect(await attempt(b, server.origin).outcome).toEqual({ kind: 'accepted', status: 201 })
    expect(server.requests.map((r) => r.connection)).toEqual([1, 2])
  })

  test('an answer before the body was read counts, and the connection is not used again', async () => {
    const { b, server } = await set({
      reads: false,
      accepted: (s) => void s.write(answer(413, 'too much')),
    })
    const first = attempt(b, server.origin, { event: BIG })
    expect(await first.outcome).toMatchObject({ kind: 'rejected', status: 413 })
    expect(first.credit.released).toHaveLength(1)
    const second = attempt(b, server.origin, { event: BIG })
    expect(await second.outcome).toMatchObject({ kind: 'rejected', status: 413 })
    expect(server.sockets).toHaveLength(2)
  })

  test('a reused connection that is closed unanswered: the event goes out once more on a fresh one', async () => {
    const { b, server } = await set({
      request: (r) => void (r.nth > 1 ? r.socket.destroy() : r.socket.write(answer(200))),
    })
    await attempt(b, server.origin).outcome
    await until('the connection rests', () => b.sender.stats().idle === 1)
    const second = attempt(b, server.origin)
    expect(await second.outcome).toEqual({ kind: 'accepted', status: 200 })
    expect(second.credit.released).toHaveLength(1)
    expect(server.requests.map((r) => [r.connection, r.nth])).toEqual([
      [1, 1],
      [1, 2],
      [2, 1],
    ])
    expect(server.requests[2]?.body.toString()).toBe('hello')
  })

  test('only once: a server that closes the fresh one too has failed', async () => {
    const { b, server } = await set({
      request: (r) => void (server.requests.length > 1 ? r.socket.destroy() : r.socket.write(answer(200))),
    })
    await attempt(b, server.origin).outcome
    await until('the connection rests', () => b.sender.stats().idle === 1)
    expect(await attempt(b, server.origin).outcome).toMatchObject({ kind: 'retryable', status: 0 })
    expect(server.requests).toHaveLength(3)
  })

  test('a reused connection that is closed within an answer is not sent again', async () => {
    const { b, server } = await set({
      request: (r) => void (r.nth > 1 ? r.socket.end('HTTP/1.1 2') : r.socket.write(answer(200))),
    })
    await attempt(b, server.origin).outcome
    await until('the connection rests', () => b.sender.stats().idle === 1)
    expect(await attempt(b, server.origin).outcome).toMatchObject({ kind: 'retryable', status: 0 })
    expect(server.requests).toHaveLength(2)
  })

  test('a body nobody wants is read to the end up to 1 MiB, over it the connection is closed and the status counts', async () => {
    const { b, server } = await set({
      request: (r) =>
        void r.socket.write(
          answer(r.head.startsWith('POST /much') ? 500 : 200, 'x'.repeat(r.head.startsWith('POST /m') ? 8 << 20 : 900_000)),
        ),
    })
    expect(await attempt(b, server.origin).outcome).toEqual({ kind: 'accepted', status: 200 })
    await until('the connection rests', () => b.sender.stats().idle === 1)
    const over = attempt(b, server.origin, { path: '/more' })
    expect(await over.outcome).toEqual({ kind: 'accepted', status: 200 })
    expect(over.credit.released).toHaveLength(1)
    expect(await attempt(b, server.origin, { path: '/much' }).outcome).toMatchObject({ kind: 'retryable', status: 500 })
    expect(server.requests).toHaveLength(3)
    await until('both connections are closed', () => server.closed() === server.sockets.length)
  })

  test('nobody listens, no such host, no such port', async () => {
    const { b, server } = await set({})
    await server.close()
    expect(await attempt(b, server.origin).outcome).toMatchObject({ kind: 'retryable', status: 0, why: /ECONNREFUSED/ })
    const nowhere = { ...server.origin, host: 'not a host' }
    expect(await attempt(b, nowhere).outcome).toMatchObject({ kind: 'retryable', status: 0 })
    const sent = attempt(b, { ...server.origin, port: 99_999 })
    expect(await sent.outcome).toMatchObject({ kind: 'retryable', status: 0 })
    expect(sent.credit.released).toHaveLength(1)
    open.pop()
  })

  test('closing the sender ends what runs', async () => {
    const { b, server } = await set({})
    const sent = attempt(b, server.origin)
    await until('the request has come', () => server.requests.length === 1)
    b.sender.close()
    expect(await sent.outcome).toMatchObject({ kind: 'retryable', status: 0 })
    expect(sent.credit.released).toHaveLength(1)
  })
})

import { afterEach, describe, expect, test } from 'vitest'
import { REPLY_BYTES } from '../../src/sender/outcome.ts'
import { attempt, bed, LANES, type Bed } from './parts.ts'
import { answer, openRude, type Manners, type RudeServer } from './rude-server.ts'

describe.each(LANES)('%s lane: every proper answer is read right', (lane) => {
  const open: (() => unknown)[] = []
  afterEach(async () => {
    for (const close of open.splice(0)) await close()
  })
  async function set(request: NonNullable<Manners['request']>): Promise<{ b: Bed; server: RudeServer }> {
    const server = await openRude({ request })
    const b = bed(lane)
    open.push(
      () => b.sender.close(),
      () => server.close(),
    )
    return { b, server }
  }

  test.each([
    [200, 'accepted'],
    [201, 'accepted'],
    [202, 'accepted'],
    [204, 'accepted'],
    [299, 'accepted'],
    [301, 'rejected'],
    [304, 'rejected'],
    [400, 'rejected'],
    [401, 'rejected'],
    [404, 'retryable'],
    [408, 'retryable'],
    [409, 'retryable'],
    [410, 'rejected'],
    [413, 'rejected'],
    [429, 'retryable'],
    [499, 'rejected'],
    [500, 'retryable'],
    [503, 'retryable'],
    [599, 'retryable'],
  ])('%i is %s', async (status, kind) => {
    const { b, server } = await set((r) => {
      r.socket.write(status === 204 || status === 304 ? `HTTP/1.1 ${status} X\r\n\r\n` : answer(status, 'text'))
    })
    const { outcome, credit } = attempt(b, server.origin)
    expect(await outcome).toMatchObject({ kind, status })
    expect(credit.released).toHaveLength(1)
    expect(credit.released[0]?.ok).toBe(kind === 'accepted')
    expect(credit.abandoned).toBe(0)
  })

  test('the body of an error is kept up to 1,024 bytes, and the connection goes on', async () => {
    const { b, server } = await set((r) => void r.socket.write(answer(500, 'x'.repeat(5_000))))
    const o = await attempt(b, server.origin).outcome
    expect(o).toMatchObject({ kind: 'retryable', why: 'answered 500 Internal Server Error' })
    expect('body' in o && o.body?.length).toBe(1_024)
  })

  test.each([
    [503, '7', 7_000],
    [429, '0', 0],
    [500, '7', undefined],
    [503, 'soon', undefined],
  ])('%i with Retry-After %s asks for %s ms', async (status, value, ms) => {
    const { b, server } = await set((r) => void r.socket.write(answer(status, '', `Retry-After: ${value}`)))
    const o = await attempt(b, server.origin).outcome
    expect('retryAfterMs' in o ? o.retryAfterMs : undefined).toBe(ms)
  })

  const ce = ['ce-specversion: 1.0', 'ce-id: r1', 'ce-source: /sub', 'ce-type: replied', 'content-type: text/plain']

  test('a reply in binary mode is the outcome’s event', async () => {
    const { b, server } = await set((r) => void r.socket.write(answer(200, 'the data', ...ce)))
    const o = await attempt(b, server.origin).outcome
    expect(o).toMatchObject({ kind: 'accepted', status: 200, reply: { id: 'r1', source: '/sub', type: 'replied' } })
    expect('reply' in o && Buffer.from(o.reply?.data ?? []).toString()).toBe('the data')
  })

  test('a reply in structured mode, trickled byte by byte, is the same event', async () => {
    const json = JSON.stringify({ specversion: '1.0', id: 'r2', source: '/sub', type: 'replied', data: { a: 1 } })
    const { b, server } = await set((r) => {
      void trickle(r.socket, answer(200, json, 'Content-Type: application/cloudevents+json; charset=utf-8'))
    })
    const o = await attempt(b, server.origin).outcome
    expect(o).toMatchObject({ kind: 'accepted', reply: { id: 'r2', type: 'replied' } })
  })

  test('an answer that claims to be an event and is none is accepted with the reason, not retried', async () => {
    const { b, server } = await set((r) => void r.socket.write(answer(200, '', 'ce-specversion: 1.0', 'ce-id: x')))
    const o = await attempt(b, server.origin).outcome
    expect(o).toMatchObject({ kind: 'accepted', status: 200 })
    expect('badReply' in o && o.badReply).toMatch(/no valid event: .*(source|type)/)
  })

  test('a 2xx that is no event, and a 202 that looks like one, are plain successes', async () => {
    const { b, server } = await set((r) => {
      r.socket.write(
        r.head.startsWith('POST /202') ? answer(202, 'x', ...ce) : answer(200, '"OK"', 'Content-Type: application/json'),
      )
    })
    expect(await attempt(b, server.origin).outcome).toEqual({ kind: 'accepted', status: 200 })
    expect(await attempt(b, server.origin, { path: '/202' }).outcome).toEqual({ kind: 'accepted', status: 202 })
  })

  test('where nobody wants a reply none is read, and none is asked for', async () => {
    const { b, server } = await set((r) => void r.socket.write(answer(200, 'x', ...ce)))
    expect(await attempt(b, server.origin, { wantsReply: false }).outcome).toEqual({ kind: 'accepted', status: 200 })
    expect(server.requests[0]?.head).not.toMatch(/prefer/i)
  })

  test('a reply over the limit is no reply, one at the limit is', async () => {
    const { b, server } = await set((r) => {
      r.socket.write(answer(200, 'x'.repeat(r.head.startsWith('POST /over') ? REPLY_BYTES + 1 : REPLY_BYTES), ...ce))
    })
    const over = await attempt(b, server.origin, { path: '/over' }).outcome
    expect('badReply' in over && over.badReply).toBe(`the reply is larger than ${REPLY_BYTES} bytes`)
    const at = await attempt(b, server.origin).outcome
    expect('reply' in at && at.reply?.data?.length).toBe(REPLY_BYTES)
  })

  test('a batch of one is a reply, a batch of two is not', async () => {
    const one = { specversion: '1.0', id: 'b', source: '/sub', type: 't' }
    const { b, server } = await set((r) => {
      const events = r.head.startsWith('POST /two') ? [one, { ...one, id: 'c' }] : [one]
      r.socket.write(answer(200, JSON.stringify(events), 'Content-Type: application/cloudevents-batch+json'))
    })
    expect(await attempt(b, server.origin).outcome).toMatchObject({ kind: 'accepted', reply: { id: 'b' } })
    const two = await attempt(b, server.origin, { path: '/two' }).outcome
    expect('badReply' in two && two.badReply).toMatch(/batch of 2/)
  })

  const framings: Record<string, string> = {
    'chunked with extensions and trailers':
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n' +
      `${ce.join('\r\n')}\r\n\r\n4;a=b;c="d e"\r\nthe \r\n4\r\ndata\r\n0\r\nX-Sum: 12\r\n\r\n`,
    'chunked, upper-case hexadecimal with leading zeros': `HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n${ce.join('\r\n')}\r\n\r\n00008\r\nthe data\r\n0000\r\n\r\n`,
    'Content-Length': `HTTP/1.1 200 OK\r\n${ce.join('\r\n')}\r\nCONTENT-LENGTH:8\r\n\r\nthe data`,
    'no reason phrase': `HTTP/1.1 200 \r\n${ce.join('\r\n')}\r\nContent-Length: 8\r\n\r\nthe data`,
  }
  test.each(Object.keys(framings))('%s, whole and in single bytes', async (name) => {
    const text = framings[name] ?? ''
    const { b, server } = await set((r) => {
      if (r.head.startsWith('POST /slow')) void trickle(r.socket, text)
      else r.socket.write(text)
    })
    for (const path of ['/whole', '/slow']) {
      const o = await attempt(b, server.origin, { path }).outcome
      expect('reply' in o && Buffer.from(o.reply?.data ?? []).toString()).toBe('the data')
    }
  })

  test.each(['HTTP/1.1 200 OK', 'HTTP/1.0 200 OK'])('%s without a length lasts until the connection is closed', async (line) => {
    const { b, server } = await set((r) => void r.socket.end(`${line}\r\n${ce.join('\r\n')}\r\n\r\nthe data`))
    const o = await attempt(b, server.origin).outcome
    expect('reply' in o && Buffer.from(o.reply?.data ?? []).toString()).toBe('the data')
  })

  test('interim answers are passed over', async () => {
    const { b, server } = await set((r) => {
      r.socket.write(`HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n`.repeat(5) + answer(200))
    })
    expect(await attempt(b, server.origin).outcome).toEqual({ kind: 'accepted', status: 200 })
  })

  test('101 without having been asked is final', async () => {
    const { b, server } = await set((r) => {
      r.socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n')
    })
    expect(await attempt(b, server.origin).outcome).toMatchObject({ kind: 'rejected', status: 101 })
  })

  test('Connection: close and HTTP/1.0 end the connection, keep-alive keeps it', async () => {
    const { b, server } = await set((r) => {
      if (r.head.startsWith('POST /close')) r.socket.write(answer(200, 'x', 'Connection: close'))
      else if (r.head.startsWith('POST /old')) r.socket.write(answer(200, 'x').replace('1.1', '1.0'))
      else if (r.head.startsWith('POST /hint'))
        r.socket.write(answer(200, 'x', 'Connection: keep-alive', 'Keep-Alive: timeout=1'))
      else r.socket.write(answer(200, 'x'))
    })
    for (const path of ['/close', '/old', '/hint', '/', '/']) {
      expect(await attempt(b, server.origin, { path }).outcome).toMatchObject({ kind: 'accepted' })
    }
    const [close, old, hint, kept] = server.requests.map((r) => r.connection)
    expect(new Set([close, old, hint, kept]).size).toBe(4)
  })
})

describe('own lane', () => {
  test('sequential attempts share one connection, equal origins of another identity do not', async () => {
    const server = await openRude({ request: (r) => void r.socket.write(answer(200)) })
    const b = bed('own')
    for (let i = 0; i < 5; i++) await attempt(b, server.origin).outcome
    expect(server.sockets).toHaveLength(1)
    await attempt(b, { ...server.origin }).outcome
    expect(server.sockets).toHaveLength(2)
    expect(b.sender.stats()).toEqual({ connections: 2, idle: 2 })
    b.sender.close()
    await server.close()
  })

  test('an unasked 100 Continue is passed over', async () => {
    const server = await openRude({ request: (r) => void r.socket.write('HTTP/1.1 100 Continue\r\n\r\n' + answer(200)) })
    const b = bed('own')
    expect(await attempt(b, server.origin).outcome).toEqual({ kind: 'accepted', status: 200 })
    b.sender.close()
    await server.close()
  })
})

async function trickle(socket: { write(b: Buffer): boolean; destroyed: boolean }, text: string): Promise<void> {
  for (const byte of Buffer.from(text, 'latin1')) {
    if (socket.destroyed) return
    socket.write(Buffer.of(byte))
    await new Promise(setImmediate)
  }
}

import { afterEach, describe, expect, test } from 'vitest'
import { ABANDONED_MS } from '../../src/sender/attempt-call.ts'
import { until } from '../until.ts'
import { attempt, bed, EVENT, LANES, type Bed } from './parts.ts'
import { answer, openRude, type Manners, type RudeServer } from './rude-server.ts'

const HUGE = EVENT.with({ data: Buffer.alloc(32 << 20, 'b') })

describe.each(LANES)('%s lane: a credit is booked exactly as long as the pod may be at work', (lane) => {
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

  const reply = ['ce-specversion: 1.0', 'ce-id: r1', 'ce-source: /sub', 'ce-type: replied']

  test('time-out without an answer: done at once, the credit abandoned, a late 2xx is told with its reply and frees the credit', async () => {
    const { b, server } = await set({})
    const sent = attempt(b, server.origin, { timeoutMs: 1_000 })
    await until('the request has come', () => server.requests.length === 1)
    b.clock.advance(990)
    expect(sent.outcomes).toEqual([])
    b.clock.advance(18)
    expect(sent.outcomes).toEqual([
      { kind: 'retryable', status: 0, why: expect.stringMatching(/^timed out after 10\d\d ms without an answer$/) },
    ])
    expect(sent.credit).toMatchObject({ abandoned: 1, released: [] })

    server.requests[0]?.socket.write(answer(200, 'late', ...reply))
    await until('the credit is free', () => sent.credit.released.length === 1)
    expect(sent.late).toMatchObject([{ kind: 'accepted', status: 200, reply: { id: 'r1' } }])
    // Told first, so that the credit does not go to the very retry which this makes needless.
    expect(sent.releasedBeforeLate).toEqual([0])
    expect(sent.outcomes).toHaveLength(1)
    expect(sent.credit.released[0]?.ok).toBe(true)
  })

  test('time-out within the answer: booked until its last byte; a late error is not told', async () => {
    const { b, server } = await set({ request: (r) => void r.socket.write(answer(503, 'abc').slice(0, -2)) })
    const sent = attempt(b, server.origin, { timeoutMs: 1_000 })
    await until('the request has come', () => server.requests.length === 1)
    await turns()
    b.clock.advance(1_010)
    expect(sent.outcomes).toMatchObject([{ kind: 'retryable', status: 0, why: /within the answer/ }])
    expect(sent.credit).toMatchObject({ abandoned: 1, released: [] })
    server.requests[0]?.socket.write('bc')
    await until('the credit is free', () => sent.credit.released.length === 1)
    expect(sent.late).toEqual([])
    expect(sent.credit.released[0]?.ok).toBe(false)
  })

  test('time-out while the body is written to a server that never reads: booked until it closes', async () => {
    const { b, server } = await set({ reads: false })
    const sent = attempt(b, server.origin, { event: HUGE, timeoutMs: 1_000 })
    await until('the connection stands', () => server.sockets.length === 1)
    await turns()
    b.clock.advance(1_010)
    expect(sent.outcomes).toMatchObject([{ kind: 'retryable', status: 0 }])
    expect(sent.credit).toMatchObject({ abandoned: 1, released: [] })
    server.sockets[0]?.destroy()
    await until('the credit is free', () => sent.credit.released.length === 1)
    expect(server.sockets).toHaveLength(1)
    expect(sent.late).toEqual([])
  })

  test('a time-out on a reused connection that closes afterwards is not sent again', async () => {
    const { b, server } = await set({ request: (r) => void (r.nth === 1 && r.connection === 1 && r.socket.write(answer(200))) })
    await attempt(b, server.origin).outcome
    await until('the connection rests', () => b.sender.stats().idle === 1)
    const sent = attempt(b, server.origin, { timeoutMs: 1_000 })
    await until('the second request has come', () => server.requests.length === 2)
    b.clock.advance(1_010)
    server.requests[1]?.socket.destroy()
    await until('the credit is free', () => sent.credit.released.length === 1)
    await turns()
    expect(server.requests).toHaveLength(2)
  })

  test('a connection that stays abandoned is closed in the end', async () => {
    const { b, server } = await set({})
    const sent = attempt(b, server.origin, { timeoutMs: 1_000 })
    await until('the request has come', () => server.requests.length === 1)
    b.clock.advance(1_010)
    b.clock.advance(ABANDONED_MS - 100)
    await turns()
    expect(sent.credit.released).toEqual([])
    b.clock.advance(200)
    await until('the credit is free', () => sent.credit.released.length === 1)
    await until('the server sees the close', () => server.closed() === 1)
  })

  test('a pod that is gone: retryable at once, the connection destroyed, the credit released once', async () => {
    const { b, server } = await set({})
    const sent = attempt(b, server.origin)
    await until('the request has come', () => server.requests.length === 1)
    sent.credit.goes()
    expect(sent.outcomes).toEqual([{ kind: 'retryable', status: 0, why: 'the pod pod-1 is gone' }])
    await until('the credit is free', () => sent.credit.released.length === 1)
    await until('the server sees the close', () => server.closed() === 1)
    expect(sent.outcomes).toHaveLength(1)
    expect(sent.credit.abandoned).toBe(0)
  })

  test('a pod that goes while its credit is abandoned: nothing is told twice', async () => {
    const { b, server } = await set({})
    const sent = attempt(b, server.origin, { timeoutMs: 1_000 })
    await until('the request has come', () => server.requests.length === 1)
    b.clock.advance(1_010)
    sent.credit.goes()
    await until('the credit is free', () => sent.credit.released.length === 1)
    expect(sent.outcomes).toHaveLength(1)
    expect(sent.late).toEqual([])
  })

  test('time-out before the connection stands: nothing was sent, nothing is abandoned', async () => {
    const { b, server } = await set({})
    const sent = attempt(b, server.origin, { timeoutMs: 1_000 })
    b.clock.advance(1_010)
    expect(sent.outcomes).toMatchObject([{ kind: 'retryable', status: 0, why: /while connecting/ }])
    await until('the credit is free', () => sent.credit.released.length === 1)
    await turns()
    expect(sent.credit.abandoned).toBe(0)
    expect(server.requests).toHaveLength(0)
  })

  test('a deadline that has passed already ends the attempt in the next ticks', async () => {
    const { b, server } = await set({})
    const sent = attempt(b, server.origin, { timeoutMs: -50 })
    b.clock.advance(20)
    expect(sent.outcomes).toHaveLength(1)
    await until('the credit is free', () => sent.credit.released.length === 1)
  })

  test('many at once: each gets its own answer, and its credit comes back once', async () => {
    const { b, server } = await set({
      request: (r) => {
        const text = answer(200, r.body.toString(), ...reply)
        setImmediate(() => r.socket.write(text.slice(0, 30)))
        setImmediate(() => setImmediate(() => r.socket.write(text.slice(30))))
      },
    })
    const all = Array.from({ length: 200 }, (_, i) =>
      attempt(b, server.origin, { event: EVENT.with({ data: Buffer.from(`event ${i}`) }) }),
    )
    const outcomes = await Promise.all(all.map((s) => s.outcome))
    outcomes.forEach((o, i) => expect('reply' in o && Buffer.from(o.reply?.data ?? []).toString()).toBe(`event ${i}`))
    for (const s of all) expect(s.credit.released).toHaveLength(1)
  })
})

describe('own lane', () => {
  test('idle connections are closed after 4 s, or a second before the server would', async () => {
    const server = await openRude({
      request: (r) =>
        void r.socket.write(answer(200, '', ...(r.head.startsWith('POST /hint') ? ['Keep-Alive: timeout=11, max=5'] : []))),
    })
    const b = bed('own')
    await attempt(b, server.origin).outcome
    b.clock.advance(3_900)
    expect(b.sender.stats()).toEqual({ connections: 1, idle: 1 })
    b.clock.advance(1_200)
    await until('it is closed', () => server.closed() === 1)
    expect(b.sender.stats()).toEqual({ connections: 0, idle: 0 })

    await attempt(b, server.origin, { path: '/hint' }).outcome
    b.clock.advance(9_900)
    expect(b.sender.stats()).toEqual({ connections: 1, idle: 1 })
    b.clock.advance(100)
    await attempt(b, server.origin).outcome
    expect(server.sockets).toHaveLength(3)
    b.clock.advance(10_000)
    await until('all are closed', () => server.closed() === 3)
    expect(b.clock.timers()).toBe(0)
    b.sender.close()
    await server.close()
  })

  test('a server that closes an idle connection is noticed', async () => {
    const server = await openRude({ request: (r) => void r.socket.write(answer(200)) })
    const b = bed('own')
    await attempt(b, server.origin).outcome
    server.sockets[0]?.end()
    await until('the connection is gone', () => b.sender.stats().connections === 0)
    await attempt(b, server.origin).outcome
    expect(server.requests.map((r) => r.connection)).toEqual([1, 2])
    b.sender.close()
    await server.close()
  })

  test('a connection that never stands is given up after 10 s', async () => {
    const server = await openRude({})
    const b = bed('own')
    const sent = attempt(b, server.origin)
    // The clock moves before the loop turns, so the connect is still under way.
    b.clock.advance(10_100)
    expect(await sent.outcome).toMatchObject({ kind: 'retryable', why: /no connection to 127\.0\.0\.1:\d+ within 10000 ms/ })
    expect(sent.credit.released).toHaveLength(1)
    b.sender.close()
    await server.close()
  })
})

/** A few turns of the loop, so that what is on its way arrives. */
async function turns(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise(setImmediate)
}

import { describe, expect, test } from 'vitest'
import type { DetachedState } from '../../../src/contract/delivery.ts'
import type { Appended } from '../../../src/contract/stream.ts'
import { append, event, events, LATEST } from '../rig.ts'
import { queueRig } from './rig.ts'

const KEY = 'trigger/a/x'
const STORY = [{ attempt: 1, atMs: 5, tookMs: 7, to: 'http://sink', status: 503, error: 'busy' }]

const waits = (dueMs: number): DetachedState => ({ dueMs, story: STORY, phase: 'subscriber', reason: '' })

describe('an append', () => {
  test('after an attach waits until the system has made the subscription, in its order', async () => {
    const r = await queueRig((s) => (s.trouble.holdReady = []))
    const p = r.intake.attach(1, KEY, LATEST)
    const results = [append(r.stream, events(1)), append(r.stream, events(1, 1))]
    await r.pass(1_000)
    expect(r.server.log).toHaveLength(0)
    for (const go of r.server.trouble.holdReady!.splice(0)) go()
    await r.pass(10)
    expect((await Promise.all(results)).map((x) => x.kind)).toEqual(['durable', 'durable'])
    expect(p.ids).toEqual(['e0', 'e1'])
  })

  test('waits no longer than 10 s for a subscription that cannot be made', async () => {
    const r = await queueRig((s) => (s.trouble.holdReady = []))
    r.intake.attach(1, KEY, LATEST)
    const result = append(r.stream, events(1))
    await r.pass(9_900)
    expect(r.server.log).toHaveLength(0)
    await r.pass(200)
    expect((await result).kind).toBe('durable')
    expect((await append2(r, events(1, 1))).kind).toBe('durable')
  })

  test('to a system that knows that it is away is refused at once, whatever else it would wait for', async () => {
    const r = await queueRig((s) => (s.trouble.holdReady = []))
    r.system.away = { reason: 'Unreachable', message: 'connection refused' }
    r.intake.attach(1, KEY, LATEST)
    expect(await append(r.stream, events(1))).toMatchObject({ kind: 'unavailable', why: 'connection refused' })
    expect(r.server.log).toHaveLength(0)
  })

  test('to a system that is away is refused, with nothing acknowledged, and says why', async () => {
    const r = await queueRig((s) => (s.trouble.away = true))
    r.system.complaint = { reason: 'Unreachable', message: 'connection refused' }
    expect(await append2(r, events(1))).toMatchObject({ kind: 'unavailable', why: 'the server is away' })
    expect(r.stream.stats().refusing).toBe('connection refused')
    expect(r.told).toEqual([])
  })

  test('is refused while too much waits to be stored, and taken again when that is stored', async () => {
    const r = await queueRig((s) => (s.trouble.holdPublish = []))
    const big = event('big', { data: Buffer.alloc(2 ** 20) })
    const answers: Appended[] = []
    for (let i = 0; i < 70; i++) r.stream.append([big], (x) => answers.push(x))
    await r.pass(1)
    expect(answers.length).toBeGreaterThan(5)
    expect(new Set(answers.map((a) => a.kind))).toEqual(new Set(['full']))
    expect(r.server.trouble.holdPublish!.length).toBe(70 - answers.length)
    for (const go of r.server.trouble.holdPublish!.splice(0)) go()
    r.server.trouble.holdPublish = null
    expect((await append2(r, [big])).kind).toBe('durable')
  })

  test('is told with its bytes once it is durable, the stored part of a batch alike', async () => {
    const r = await queueRig()
    await append2(r, events(3))
    r.server.trouble.refuses = { kind: 'partial', durable: 1 }
    expect(await append2(r, events(3))).toEqual({ kind: 'partial', durable: 1 })
    expect(r.told.map((t) => t.events)).toEqual([3, 1])
    expect(r.told[0]!.bytes).toBe(3 * r.told[1]!.bytes)
  })

  test('that answers a delivery settles it only when it is stored', async () => {
    const r = await queueRig()
    const p = r.intake.attach(1, KEY, LATEST, (e) => !e.id.startsWith('reply'))
    await append2(r, events(1))
    await r.pass(10)
    r.server.trouble.refuses = { kind: 'unavailable', retryAfterMs: 1, why: 'no' }
    const options = { settles: p.of('e0') }
    const refused = new Promise((resolve) => r.stream.append([event('reply-1')], resolve, options))
    await r.pass(10)
    expect(await refused).toMatchObject({ kind: 'unavailable' })
    expect(r.server.acknowledged).toEqual([])
    r.server.trouble.refuses = null
    const stored = new Promise((resolve) => r.stream.append([event('reply-1')], resolve, options))
    await r.pass(10)
    expect(await stored).toEqual({ kind: 'durable' })
    expect(r.server.acknowledged.toSorted()).toEqual(['e0', 'reply-1'])
  })
})

describe('a delivery that waits long', () => {
  test('waits in the system, is settled when it is stored there, and comes back before what is new', async () => {
    const r = await queueRig(undefined, { mostHeld: 80 })
    const p = r.intake.attach(1, KEY, LATEST)
    await append2(r, events(1))
    const ok = detached(r, 'e0', 30_000)
    await r.pass(10)
    expect(await ok).toBe(true)
    expect(r.server.acknowledged).toEqual(['e0'])
    p.lane = 1
    for (const e of events(500, 1)) r.server.publish(e)
    await r.pass(60_000)
    p.settlesSoon = true
    r.intake.settleAll(p)
    await r.pass(1_000)
    const at = p.ids.indexOf('e0', 1)
    expect(at).toBeGreaterThan(0)
    expect(at).toBeLessThan(100)
    expect(p.offered[at]).toMatchObject({ story: STORY, phase: 'subscriber', lane: 0 })
    expect(p.offered).toHaveLength(502)
    expect(r.feed.passed(1)).toBe(501)
  })

  test('is kept here where the system cannot, and settled there all the same', async () => {
    const r = await queueRig((s) => (s.trouble.delaysNothing = true))
    const p = r.intake.attach(1, KEY, LATEST)
    await append2(r, events(1))
    const ok = detached(r, 'e0', 30_000)
    await r.pass(10)
    expect(await ok).toBe(true)
    expect(r.server.acknowledged).toEqual(['e0'])
    expect(r.server.places.get(`${KEY}/due`)!.ready).toHaveLength(0)
    await r.pass(31_000)
    expect(p.ids).toEqual(['e0', 'e0'])
    expect(p.offered[1]).toMatchObject({ story: STORY, redelivery: 1 })
  })

  test('that is not ours any more is stored nowhere', async () => {
    const r = await queueRig()
    const p = r.intake.attach(1, KEY, LATEST)
    await append2(r, events(1))
    await r.pass(10)
    const d = p.of('e0')
    r.feed.settle(d, 'handed-back')
    await r.pass(10)
    expect(p.ids).toEqual(['e0', 'e0'])
    const ok = new Promise((resolve) => r.feed.detachDelivery(d, waits(r.clock.wall() + 1_000), resolve))
    await r.pass(5_000)
    expect(await ok).toBe(true)
    expect(p.ids).toEqual(['e0', 'e0'])
  })
})

describe('a seek', () => {
  test('that fails gives back what was dropped for it, and tells why', async () => {
    const r = await queueRig()
    const p = r.intake.attach(1, KEY, LATEST)
    await append2(r, events(2))
    await r.pass(10)
    r.server.trouble.seekFails = new Error('no such time')
    const sought = r.feed.seek(1, { at: 'earliest' }).catch((e: Error) => e.message)
    await r.pass(10)
    expect(await sought).toBe('no such time')
    expect(p.ids).toEqual(['e0', 'e1', 'e0', 'e1'])
  })

  test('where the system has none is refused', async () => {
    const r = await queueRig((s) => (s.seeks = false))
    r.intake.attach(1, KEY, LATEST)
    await expect(r.feed.seek(1, { at: 'earliest' })).rejects.toMatchObject({ code: 'admin.refused' })
  })
})

describe('a subscription that leaves', () => {
  test('acknowledges what it settled, gives back the rest, and is gone before one of its name begins', async () => {
    const r = await queueRig()
    const p = r.intake.attach(1, KEY, LATEST)
    await append2(r, events(3))
    await r.pass(10)
    r.server.trouble.losesAcks = true
    r.feed.settle(p.of('e0'), 'delivered')
    r.feed.detach(1, false)
    const q = r.intake.attach(2, KEY, LATEST)
    await r.pass(2_000)
    expect(r.system.orders).toHaveLength(1)
    expect(q.ids).toEqual([])
    r.server.trouble.losesAcks = false
    await r.pass(2_000)
    expect(r.server.acknowledged).toEqual(['e0'])
    expect(r.system.orders).toHaveLength(2)
    expect(q.ids).toEqual(['e1', 'e2'])
  })

  test('waits no longer than 10 s for a system that is away', async () => {
    const r = await queueRig()
    const p = r.intake.attach(1, KEY, LATEST)
    await append2(r, events(1))
    await r.pass(10)
    r.server.trouble.away = true
    r.feed.settle(p.of('e0'), 'delivered')
    r.feed.detach(1, false)
    r.intake.attach(2, KEY, LATEST)
    await r.pass(11_000)
    expect(r.system.orders).toHaveLength(2)
  })

  test('and is forgotten takes its place in the system with it', async () => {
    const r = await queueRig()
    r.intake.attach(1, KEY, LATEST)
    await append2(r, events(2))
    expect(r.feed.forget(KEY)).toBe(false)
    r.feed.detach(1, false)
    expect(r.feed.forget(KEY)).toBe(true)
    await r.pass(10)
    expect(r.server.places.has(KEY)).toBe(false)
    expect(r.feed.forget(KEY)).toBe(false)
  })
})

describe('flushing', () => {
  test('ends when the system knows all that was settled', async () => {
    const r = await queueRig()
    const p = r.intake.attach(1, KEY, LATEST)
    await append2(r, events(3))
    await r.pass(10)
    r.server.trouble.losesAcks = true
    r.intake.settleAll(p)
    let flushed = false
    void r.feed.flush(new AbortController().signal).then(() => (flushed = true))
    await r.pass(3_000)
    expect(flushed).toBe(false)
    r.server.trouble.losesAcks = false
    await r.pass(3_000)
    expect(flushed).toBe(true)
    expect(r.server.acknowledged).toHaveLength(3)
  })

  test('ends with its signal where the system is away', async () => {
    const r = await queueRig()
    const p = r.intake.attach(1, KEY, LATEST)
    await append2(r, events(1))
    await r.pass(10)
    r.server.trouble.away = true
    r.intake.settleAll(p)
    const stop = new AbortController()
    const flushing = r.feed.flush(stop.signal)
    await r.pass(100)
    stop.abort()
    await flushing
    expect(r.server.acknowledged).toEqual([])
  })
})

describe('closing', () => {
  test('waits for what was published and settled, gives back the rest, and leaves the system last', async () => {
    const r = await queueRig()
    const p = r.intake.attach(1, KEY, LATEST)
    await append2(r, events(3))
    await r.pass(10)
    r.feed.settle(p.of('e0'), 'delivered')
    r.server.trouble.holdPublish = []
    const late = append(r.stream, events(1, 3), { settles: p.of('e1') })
    let closed = false
    const closing = r.stream.close(new AbortController().signal).then(() => (closed = true))
    await r.pass(100)
    expect(closed).toBe(false)
    expect(r.system.closed).toBe(false)
    expect((await append(r.stream, events(1))).kind).toBe('unavailable')
    for (const go of r.server.trouble.holdPublish) go()
    await r.pass(100)
    await closing
    expect((await late).kind).toBe('durable')
    expect(r.server.acknowledged.toSorted()).toEqual(['e0', 'e1'])
    expect(r.server.place(KEY).ready.map((m) => m.event?.id)).toEqual(['e2', 'e3'])
    expect(r.system.closed).toBe(true)
    expect(r.stream.stats().refusing).toBe('the stream is closed')
  })

  test('ends by itself where the system is away, whoever closes it', async () => {
    const r = await queueRig()
    const p = r.intake.attach(1, KEY, LATEST)
    await append2(r, events(1))
    await r.pass(10)
    r.server.trouble.away = true
    r.server.trouble.holdPublish = []
    r.intake.settleAll(p)
    const late = append(r.stream, events(1, 1))
    const closing = r.stream.close(new AbortController().signal)
    await r.pass(25_000)
    await closing
    expect(r.system.closed).toBe(true)
    for (const go of r.server.trouble.holdPublish) go()
    await r.pass(10)
    expect((await late).kind).toBe('unavailable')
  })

  test('gives back what is held before what came last', async () => {
    const r = await queueRig()
    const p = r.intake.attach(1, KEY, LATEST)
    p.lane = 2
    r.server.lateOnes = true
    await append2(r, events(2))
    await append2(r, events(1, 2))
    await r.stream.close(new AbortController().signal)
    expect(p.ids).toEqual(['e0', 'e1'])
    expect(r.server.released).toEqual(['e0', 'e1', 'e2'])
  })

  test('answers an append that waits for a subscription, and ends with its signal', async () => {
    const r = await queueRig((s) => (s.trouble.holdReady = []))
    r.intake.attach(1, KEY, LATEST)
    const result = append(r.stream, events(1))
    r.server.trouble.away = true
    await r.stream.close(AbortSignal.abort())
    expect((await result).kind).toBe('unavailable')
    expect(r.server.log).toHaveLength(0)
  })
})

type Rig = Awaited<ReturnType<typeof queueRig>>

/** An append on the clock of the test. */
async function append2(r: Rig, list: Parameters<typeof append>[1]): Promise<Appended> {
  const result = append(r.stream, list)
  await r.pass(1)
  return result
}

function detached(r: Rig, id: string, ms: number): Promise<unknown> {
  const d = r.intake.players.get(1)!.of(id)
  const ok = new Promise((resolve) => r.feed.detachDelivery(d, waits(r.clock.wall() + ms), resolve))
  r.intake.done(r.intake.players.get(1)!, d)
  return ok
}

import { describe, expect, test } from 'vitest'
import { createBudget } from '../../../src/flow/budget.ts'
import { append, event, events, LATEST } from '../rig.ts'
import type { QueueRig } from './rig.ts'
import { queueRig } from './rig.ts'

const KEY = 'trigger/a/x'
const LEASE_MS = 20_000

async function refusal(r: QueueRig): Promise<unknown> {
  const result = append(r.stream, events(1))
  await r.pass(1)
  return result
}

/** Publishes as everybody else would, and lets it come, all at once. */
async function publish(r: QueueRig, n: number, from = 0): Promise<void> {
  const { away } = r.server.trouble
  r.server.trouble.away = true
  for (const e of events(n, from)) r.server.publish(e)
  r.server.trouble.away = away
  if (!away) r.server.back()
  await r.pass(1)
}

describe('a lease', () => {
  test('of everything held is renewed as long as a sink hangs, unread or offered', async () => {
    const r = await queueRig((s) => (s.leaseMs = LEASE_MS))
    const p = r.intake.attach(1, KEY, LATEST)
    p.lane = 1
    await publish(r, 3)
    await r.pass(10 * LEASE_MS)
    expect(p.ids).toEqual(['e0'])
    expect(r.server.renewals).toBeGreaterThanOrEqual(3 * 10)
    // Half of the lease each time, and not more often.
    expect(r.server.renewals).toBeLessThanOrEqual(3 * 21)
    expect(r.server.place(KEY).out.size).toBe(3)
    p.lane = 100
    r.intake.settleAll(p)
    await r.pass(10)
    r.intake.settleAll(p)
    await r.pass(10)
    expect(r.server.acknowledged).toEqual(['e0', 'e1', 'e2'])
  })

  test('that lapsed while the system was away brings the event again: it keeps its place and is acknowledged when settled', async () => {
    const r = await queueRig((s) => (s.leaseMs = LEASE_MS))
    const p = r.intake.attach(1, KEY, LATEST)
    await publish(r, 1)
    r.server.trouble.away = true
    await r.pass(3 * LEASE_MS)
    r.server.back()
    await r.pass(10)
    expect(p.ids).toEqual(['e0'])
    expect(r.server.place(KEY).out.size).toBe(1)
    r.intake.settleAll(p)
    await r.pass(10)
    expect(r.server.acknowledged).toEqual(['e0'])
    expect(r.server.place(KEY).out.size).toBe(0)
  })

  test('that lapsed for good ends what waited unread: it is offered once, when it comes again', async () => {
    const r = await queueRig((s) => (s.leaseMs = LEASE_MS))
    const p = r.intake.attach(1, KEY, LATEST)
    p.lane = 1
    await publish(r, 3)
    r.server.trouble.away = true
    await r.pass(3 * LEASE_MS)
    // All three wait in the system again, none of them here as well.
    expect(r.feed.backlog(1).events).toBe(3)
    r.server.back()
    p.lane = 100
    r.intake.settleAll(p)
    await r.pass(2_000)
    expect(p.ids).toEqual(['e0', 'e1', 'e2'])
    expect(p.offered.slice(1).map((d) => d.redelivery)).toEqual([1, 1])
  })

  test('of a system that has none costs no call', async () => {
    const r = await queueRig()
    r.intake.attach(1, KEY, LATEST)
    await publish(r, 3)
    await r.pass(60_000)
    expect(r.server.renewals).toBe(0)
  })
})

describe('an acknowledgement', () => {
  test('is gathered with others: a call for many, none later than 5 ms', async () => {
    const r = await queueRig()
    const p = r.intake.attach(1, KEY, LATEST)
    p.settlesAtOnce = true
    await publish(r, 1)
    await r.pass(5)
    expect(r.server.acknowledgeCalls).toEqual([1])
    for (const e of events(1_000, 1)) r.server.publish(e)
    await r.pass(100)
    expect(r.server.acknowledged).toHaveLength(1_001)
    expect(Math.max(...r.server.acknowledgeCalls)).toBeLessThanOrEqual(256)
    expect(r.server.acknowledgeCalls.length).toBeLessThan(20)
  })

  test('that fails is said again until the system knows', async () => {
    const r = await queueRig()
    const p = r.intake.attach(1, KEY, LATEST)
    p.settlesAtOnce = true
    r.server.trouble.losesAcks = true
    await publish(r, 2)
    await r.pass(10_000)
    expect(r.server.acknowledged).toEqual([])
    expect(r.server.acknowledgeCalls.length).toBeGreaterThan(5)
    expect(r.server.acknowledgeCalls.length).toBeLessThan(20)
    r.server.trouble.losesAcks = false
    await r.pass(2_000)
    expect(r.server.acknowledged).toEqual(['e0', 'e1'])
    expect(p.ids).toEqual(['e0', 'e1'])
  })

  test('that got lost until the lease was over is all that is done when the event comes again', async () => {
    const r = await queueRig((s) => (s.leaseMs = LEASE_MS))
    const p = r.intake.attach(1, KEY, LATEST)
    p.settlesAtOnce = true
    r.server.trouble.losesAcks = true
    await publish(r, 1)
    await r.pass(LEASE_MS - 2_000)
    r.server.trouble.away = true
    await r.pass(LEASE_MS)
    r.server.trouble.losesAcks = false
    r.server.back()
    await r.pass(1_000)
    expect(p.ids).toEqual(['e0'])
    expect(r.server.acknowledged).toEqual(['e0'])
    // Known from now on: somebody who sets the queue back gets it again.
    r.server.from(r.server.place(KEY), { at: 'earliest' })
    r.server.back()
    await r.pass(10)
    expect(p.ids).toEqual(['e0', 'e0'])
  })

  test('of an event that somebody set back is not taken for the new delivery', async () => {
    const r = await queueRig()
    const p = r.intake.attach(1, KEY, LATEST)
    p.settlesAtOnce = true
    await publish(r, 1)
    await r.pass(10)
    r.server.from(r.server.place(KEY), { at: 'earliest' })
    r.server.serve(r.server.place(KEY))
    await r.pass(10)
    expect(p.ids).toEqual(['e0', 'e0'])
  })
})

describe('a connection that is lost with what it had handed over', () => {
  test('brings everything again: what runs keeps its place, what waited is offered once', async () => {
    const r = await queueRig()
    const p = r.intake.attach(1, KEY, LATEST)
    p.lane = 2
    await publish(r, 4)
    expect(p.ids).toEqual(['e0', 'e1'])
    r.server.drop(true)
    expect(r.feed.backlog(1).events).toBe(4)
    r.server.back()
    await r.pass(10)
    expect(p.ids).toEqual(['e0', 'e1'])
    p.lane = 100
    r.intake.settleAll(p)
    await r.pass(10)
    r.intake.settleAll(p)
    await r.pass(10)
    expect(p.ids).toEqual(['e0', 'e1', 'e2', 'e3'])
    expect(r.server.acknowledged.toSorted()).toEqual(['e0', 'e1', 'e2', 'e3'])
    expect(r.server.place(KEY).out.size).toBe(0)
  })

  test('brings what was settled meanwhile again only to be acknowledged', async () => {
    const r = await queueRig()
    const p = r.intake.attach(1, KEY, LATEST)
    await publish(r, 2)
    r.server.trouble.away = true
    r.server.drop(true)
    r.intake.settleAll(p)
    await r.pass(1_000)
    expect(r.server.acknowledged).toEqual([])
    r.server.back()
    await r.pass(1_000)
    expect(p.ids).toEqual(['e0', 'e1'])
    expect(r.server.acknowledged).toEqual(['e0', 'e1'])
  })

  test('of a system without ids brings twice what ran, and loses nothing', async () => {
    const r = await queueRig((s) => (s.ids = false))
    const p = r.intake.attach(1, KEY, LATEST)
    await publish(r, 2)
    r.server.drop(true)
    const old = [...p.offered]
    r.server.back()
    await r.pass(10)
    expect(p.ids).toEqual(['e0', 'e1', 'e0', 'e1'])
    for (const d of old) r.feed.settle(d, 'delivered')
    await r.pass(10)
    expect(r.server.acknowledged).toEqual([])
    r.intake.settleAll(p)
    await r.pass(10)
    expect(r.server.acknowledged).toEqual(['e0', 'e1'])
  })

  test('but whose acknowledgements outlive it loses nothing', async () => {
    const r = await queueRig()
    const p = r.intake.attach(1, KEY, LATEST)
    await publish(r, 2)
    r.server.drop(false)
    r.intake.settleAll(p)
    await r.pass(10)
    expect(r.server.acknowledged).toEqual(['e0', 'e1'])
  })
})

describe('what is held', () => {
  test('is bounded in count while a sink hangs, and goes on afterwards', async () => {
    const r = await queueRig(undefined, { mostHeld: 100 })
    const p = r.intake.attach(1, KEY, LATEST)
    await publish(r, 1_000)
    await r.pass(1_000)
    expect(p.offered.length).toBeGreaterThan(50)
    expect(r.server.place(KEY).out.size).toBeLessThanOrEqual(100)
    expect(r.feed.backlog(1).events).toBe(1_000 - p.offered.length)
    p.settlesAtOnce = true
    r.intake.settleAll(p)
    await r.pass(2_000)
    expect(p.ids).toEqual(events(1_000).map((e) => e.id))
    expect(r.server.acknowledged).toHaveLength(1_000)
  })

  test('is bounded in bytes, and one event always fits', async () => {
    const r = await queueRig(undefined, { mostBytes: 2 ** 20 })
    const p = r.intake.attach(1, KEY, LATEST)
    for (let i = 0; i < 60; i++) r.server.publish(event(`e${i}`, { data: Buffer.alloc(100 * 1024) }))
    await r.pass(1_000)
    const held = p.offered.reduce((sum, d) => sum + d.bytes, 0)
    expect(p.offered.length).toBeGreaterThan(0)
    expect(held).toBeLessThan(8 * 2 ** 20)
    p.settlesAtOnce = true
    r.intake.settleAll(p)
    await r.pass(1_000)
    expect(p.offered).toHaveLength(60)
    r.server.publish(event('huge', { data: Buffer.alloc(3 * 2 ** 20) }))
    await r.pass(1_000)
    expect(p.ids.at(-1)).toBe('huge')
  })

  test('is one event where the memory of the shard is full, and goes on when that has room', async () => {
    const budget = createBudget(100_000)
    const r = await queueRig(undefined, {}, budget)
    const p = r.intake.attach(1, KEY, LATEST)
    budget.take(100_000)
    await publish(r, 100)
    expect(p.ids).toEqual(['e0'])
    expect(await refusal(r)).toMatchObject({ kind: 'full', why: 'the memory for events is used up' })
    budget.give(100_000)
    await r.pass(10)
    expect(p.offered).toHaveLength(100)
    expect(budget.usedBytes).toBe(0)
  })

  test('and unread is booked in the memory of the shard until it is offered or dropped', async () => {
    const budget = createBudget(2 ** 30)
    const r = await queueRig(undefined, {}, budget)
    const p = r.intake.attach(1, KEY, LATEST)
    p.lane = 1
    await publish(r, 50)
    const unread = events(49, 1).map((e) => 256 + e.data!.length)
    expect(p.offered).toHaveLength(1)
    expect(budget.usedBytes).toBe(unread.reduce((sum, n) => sum + n, 0))
    r.server.drop(true)
    expect(budget.usedBytes).toBe(0)
  })

  test('is one event at a time where order is kept', async () => {
    const r = await queueRig()
    r.intake.players.clear()
    const p = r.intake.attach(1, KEY, LATEST)
    r.feed.detach(1, false)
    await r.pass(10)
    r.feed.attach(1, KEY, LATEST, 'ordered')
    expect(r.system.orders).toEqual(['unordered', 'ordered'])
    await publish(r, 5)
    expect(r.server.place(KEY).out.size).toBe(1)
    for (let i = 0; i < 5; i++) {
      expect(p.ids).toEqual(events(i + 1).map((e) => e.id))
      r.intake.settleAll(p)
      await r.pass(10)
    }
    expect(r.server.acknowledged).toEqual(p.ids)
  })

  test('is acknowledged without an offer where the subscription does not want it, and counted as passed', async () => {
    const r = await queueRig()
    const p = r.intake.attach(1, KEY, LATEST, (e) => e.id === 'e1')
    await publish(r, 3)
    await r.pass(10)
    expect(p.ids).toEqual(['e1'])
    expect(r.server.acknowledged).toEqual(['e0', 'e2'])
    expect(r.feed.passed(1)).toBe(3)
  })

  test('and is no event is parked as it came, and holds up nobody', async () => {
    const r = await queueRig()
    const p = r.intake.attach(1, KEY, LATEST)
    r.server.publish(null)
    await publish(r, 1)
    expect(p.ids).toEqual(['e0'])
    const [{ at, bad }] = p.undecodable as [{ at: number; bad: Parameters<typeof r.feed.parkRaw>[3] }]
    expect(bad).toMatchObject({ headers: [['h', 'v']], why: 'no event' })
    const ok = new Promise((resolve) => r.feed.parkRaw(1, 0, at, bad, resolve))
    await r.pass(10)
    expect(await ok).toBe(true)
    await r.pass(10)
    expect(r.server.acknowledged).toEqual([''])
    expect(r.feed.parked.counts(KEY).events).toBe(1)
  })

  test('ends here at the last delivery the system would make, but never at the first', async () => {
    const r = await queueRig((s) => (s.maxDeliveries = 3))
    const p = r.intake.attach(1, KEY, LATEST)
    await publish(r, 1)
    for (let i = 0; i < 2; i++) {
      r.feed.settle(p.offered.at(-1)!, 'handed-back')
      await r.pass(10)
    }
    expect(p.offered.map((d) => d.phase)).toEqual(['subscriber', 'subscriber', 'dead-letter'])
    expect(p.offered[2]!.story).toMatchObject([{ attempt: 3, status: 0 }])
    const once = await queueRig((s) => (s.maxDeliveries = 1))
    const q = once.intake.attach(1, KEY, LATEST)
    await publish(once, 1)
    expect(q.offered.map((d) => d.phase)).toEqual(['subscriber'])
  })
})

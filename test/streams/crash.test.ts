import { describe, expect, test } from 'vitest'
import type { DetachedState } from '../../src/contract/delivery.ts'
import { VirtualClock } from '../simulation/virtual-clock.ts'
import { FaultyKv } from '../store/faulty-kv.ts'
import type { Player } from './recording-intake.ts'
import { EARLIEST, event, LATEST } from './rig.ts'
import { openStored, type Stored } from './stored.ts'

const WAITS: DetachedState = { dueMs: 0, story: [], phase: 'subscriber', reason: 'exhausted' }
const BATCH = 5

/** What the world outside knows when the process dies. */
class Outside {
  /** Batches by number: acknowledged or only sent. */
  readonly acked = new Set<number>()
  sent = 0
  /** Settled, and a flush after it has resolved. */
  readonly durablySettled = new Set<string>()
  readonly settled = new Set<string>()
  readonly detached = new Set<string>()
  readonly parked = new Set<string>()
  replied = false
  highest = 0
}

/** The same story every time, told until the store dies: returns what the outside has seen of it. */
function play(clock: VirtualClock, r: Stored, seen: Outside): Player {
  const p = r.intake.attach(1, 'trigger/a/x', LATEST, (e) => !e.id.startsWith('reply'))
  const settle = (id: string): void => {
    if (!p.ids.includes(id)) return
    r.feed.settle(p.of(id), 'delivered')
    seen.settled.add(id)
  }
  const batch = (): void => {
    const n = seen.sent++
    r.stream.append(
      Array.from({ length: BATCH }, (_, i) => event(`b${n}-${i}`)),
      (x) => x.kind === 'durable' && seen.acked.add(n),
    )
    clock.advance(1)
  }
  const flush = (): void => {
    const before = [...seen.settled]
    void r.feed.flush(new AbortController().signal).then(() => before.forEach((id) => seen.durablySettled.add(id)))
    clock.advance(1)
  }
  batch()
  batch()
  settle('b0-1')
  settle('b1-0')
  clock.advance(60)
  if (p.ids.includes('b0-2'))
    r.feed.detachDelivery(p.of('b0-2'), { ...WAITS, dueMs: clock.wall() + 5_000 }, (ok) => ok && seen.detached.add('b0-2'))
  if (p.ids.includes('b0-3')) r.feed.park(p.of('b0-3'), WAITS, (ok) => ok && seen.parked.add('b0-3'))
  batch()
  flush()
  if (p.ids.includes('b1-1')) {
    r.stream.append([event('reply')], (x) => (seen.replied ||= x.kind === 'durable'), { settles: p.of('b1-1') })
  }
  clock.advance(1)
  for (const id of ['b2-4', 'b2-3', 'b0-0', 'b1-4']) settle(id)
  flush()
  batch()
  clock.advance(60)
  seen.highest = Math.max(0, ...p.offered.map((d) => d.position))
  return p
}

async function recover(cut: FaultyKv, clock: VirtualClock) {
  const after = new FaultyKv(clock, cut.disk)
  const r = await openStored(clock, after)
  const q = r.intake.attach(1, 'trigger/a/x', EARLIEST, (e) => !e.id.startsWith('reply'))
  const all = r.intake.attach(2, 'trigger/a/audit', { at: 'earliest' })
  clock.advance(100)
  const atOnce = [...q.ids]
  clock.advance(10_000)
  return { r, q, all, atOnce }
}

async function check(cut: FaultyKv, clock: VirtualClock, seen: Outside, where: string): Promise<void> {
  const { r, q, all, atOnce } = await recover(cut, clock)
  const stored = new Set(all.ids)
  const parked = r.feed.parked.list(q.key, '', 100).map((e) => e.event!.id)
  for (let n = 0; n < seen.sent; n++) {
    const ids = Array.from({ length: BATCH }, (_, i) => `b${n}-${i}`)
    const there = ids.filter((id) => stored.has(id))
    expect([0, BATCH], `${where}: a batch is whole`).toContain(there.length)
    if (!seen.acked.has(n)) continue
    expect(there, `${where}: what was acknowledged is there`).toHaveLength(BATCH)
    const answered = stored.has('reply') ? ['b1-1'] : []
    const ended = [...seen.settled, ...parked, ...answered]
    for (const id of ids) expect([...q.ids, ...ended], `${where}: ${id} is offered or has ended`).toContain(id)
  }
  expect(new Set(q.ids).size, `${where}: nothing is offered twice`).toBe(q.ids.length)
  for (const id of seen.durablySettled) expect(q.ids, `${where}: ${id} was settled for good`).not.toContain(id)
  for (const id of seen.detached)
    expect(atOnce.includes(id) || !q.ids.includes(id), `${where}: ${id} is offered when due`).toBe(false)
  for (const id of seen.parked) expect(parked, `${where}: ${id} is parked`).toContain(id)
  for (const id of parked) expect(q.ids, `${where}: ${id} is parked, not offered`).not.toContain(id)
  if (seen.replied) expect(stored, `${where}: the reply is there`).toContain('reply')
  expect(q.ids.includes('b1-1') && stored.has('reply'), `${where}: reply and settlement are one`).toBe(false)
  await position(r, all, clock, seen, where)
}

async function position(r: Stored, all: Player, clock: VirtualClock, seen: Outside, where: string): Promise<void> {
  r.stream.append([event('after')], () => {})
  clock.advance(10)
  expect(all.of('after').position, `${where}: positions go on`).toBeGreaterThan(seen.highest)
}

/** How many operations the whole story writes. */
async function countOps(): Promise<number> {
  const clock = new VirtualClock()
  const kv = new FaultyKv(clock)
  const seen = new Outside()
  play(clock, await openStored(clock, kv), seen)
  await Promise.resolve()
  expect(seen.acked.size).toBe(4)
  expect([seen.detached.size, seen.parked.size, seen.replied, seen.durablySettled.size]).toEqual([1, 1, true, 6])
  return kv.ops
}

describe('a process that dies', () => {
  test('at any operation of its writing finds everything acknowledged, once, when it comes back', async () => {
    const ops = await countOps()
    expect(ops).toBeGreaterThan(30)
    for (let at = 0; at <= ops; at++) {
      const clock = new VirtualClock()
      const kv = new FaultyKv(clock)
      const seen = new Outside()
      let dead = false
      // A commit in which the cut lies is not there at all: that is what a transaction is.
      kv.fate = (_n, _before, after) => {
        dead ||= after > at
        return dead ? 'lost' : 'durable'
      }
      play(clock, await openStored(clock, kv), seen)
      await Promise.resolve()
      await check(kv, clock, seen, `cut at operation ${at}`)
    }
  })

  test('between a commit and its acknowledgement finds it, once', async () => {
    const ops = await countOps()
    for (let at = 0; at <= ops; at++) {
      const clock = new VirtualClock()
      const kv = new FaultyKv(clock)
      const seen = new Outside()
      let dead = false
      kv.fate = (_n, _before, after) => {
        if (dead) return 'lost'
        dead = after > at
        return dead ? 'hangs' : 'durable'
      }
      play(clock, await openStored(clock, kv), seen)
      await Promise.resolve()
      await check(kv, clock, seen, `dead after the commit with operation ${at}`)
    }
  })
})

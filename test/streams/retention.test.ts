import { describe, expect, test } from 'vitest'
import { VirtualClock } from '../simulation/virtual-clock.ts'
import { FaultyKv } from '../store/faulty-kv.ts'
import { EARLIEST, event, events, LATEST } from './rig.ts'
import { openStored } from './stored.ts'

const HOUR_MS = 3_600_000

function bytes(n: number, size: number) {
  return Array.from({ length: n }, (_, i) => event(`b${i}`, { data: Buffer.alloc(size) }))
}

describe('settled history', () => {
  test('is deleted by age, and what is unsettled never is', async () => {
    const clock = new VirtualClock()
    const r = await openStored(clock, new FaultyKv(clock), { retentionMs: HOUR_MS })
    const done = r.intake.attach(1, 'trigger/a/done', LATEST)
    const holds = r.intake.attach(2, 'trigger/a/holds', LATEST, (e) => e.id === 'e20')
    done.settlesAtOnce = true
    for (let i = 0; i < 40; i++) {
      r.stream.append(events(1, i), () => {})
      clock.advance(HOUR_MS / 10)
    }
    expect(r.stream.stats().events).toBe(20)
    const from = r.intake.attach(3, 'replay', { at: 'earliest' })
    clock.advance(10)
    expect(from.ids[0]).toBe('e20')
    expect(from.ids).toHaveLength(20)
    r.intake.settleAll(from)
    r.intake.settleAll(holds)
    clock.advance(2_000)
    expect(r.stream.stats().events).toBe(9)
    clock.advance(2 * HOUR_MS)
    expect(r.stream.stats()).toMatchObject({ events: 0, bytes: 0, oldestMs: 0 })
    r.stream.append(events(1, 99), () => {})
    clock.advance(10)
    expect(done.of('e99').position).toBe(41)
  })

  test('goes block by block, and one unsettled event keeps its block', async () => {
    const clock = new VirtualClock()
    const r = await openStored(clock, new FaultyKv(clock), { retentionMs: 0, maxBytes: 0 })
    const p = r.intake.attach(1, 'trigger/a/x', LATEST)
    for (let i = 0; i < 4; i++) {
      r.stream.append(events(50, i * 50), () => {})
      clock.advance(10)
    }
    for (const [id, block, left] of [
      ['e99', 'e50', 150],
      ['e199', 'e150', 50],
    ] as const) {
      const last = p.of(id)
      for (const d of [...p.open]) if (d !== last && d !== p.of('e199')) r.intake.settle(p, d)
      if (id === 'e199') r.intake.settle(p, p.of('e99'))
      clock.advance(5_000)
      expect(r.stream.stats().events).toBe(left)
      const all = r.intake.attach(left, `replay/${id}`, { at: 'earliest' })
      clock.advance(100)
      expect(all.ids[0]).toBe(block)
      r.feed.detach(left, true)
    }
    r.intake.settleAll(p)
    clock.advance(5_000)
    expect(r.stream.stats().events).toBe(0)
  })

  test('is deleted by size, a few blocks a commit', async () => {
    const clock = new VirtualClock()
    const kv = new FaultyKv(clock)
    const r = await openStored(clock, kv, { maxBytes: 100_000 })
    const p = r.intake.attach(1, 'trigger/a/x', LATEST)
    p.lane = Infinity
    for (const e of bytes(300, 2_000)) {
      r.stream.append([e], () => {})
      clock.advance(1)
    }
    expect(r.stream.stats().events).toBe(300)
    kv.mostOps = 0
    r.intake.settleAll(p)
    clock.advance(3_000)
    const { events: left, bytes: leftBytes } = r.stream.stats()
    expect(leftBytes).toBeLessThanOrEqual(100_000)
    expect(leftBytes).toBeGreaterThan(95_000)
    expect(left).toBeGreaterThan(40)
    expect(kv.removes).toBe(300 - left)
    expect(kv.mostOps).toBeLessThan(80)
  })

  test('held by a subscription that is gone stays until it is forgotten', async () => {
    const clock = new VirtualClock()
    const kv = new FaultyKv(clock)
    const r = await openStored(clock, kv, { retentionMs: 0, maxBytes: 0 })
    r.intake.attach(1, 'trigger/a/gone', LATEST)
    r.feed.detach(1, false)
    r.stream.append(events(5), () => {})
    clock.advance(5_000)
    expect(r.stream.holdings()).toEqual([{ key: 'trigger/a/gone', attached: false, position: 1, unread: 5 }])
    const s = await openStored(clock, kv, { retentionMs: 0, maxBytes: 0 })
    clock.advance(5_000)
    expect(s.stream.stats().events).toBe(5)
    expect(s.stream.forget('trigger/a/gone')).toBe(true)
    expect(s.stream.forget('trigger/a/gone')).toBe(false)
    clock.advance(5_000)
    expect(s.stream.stats().events).toBe(0)
    expect(s.stream.holdings()).toEqual([])
    const t = await openStored(clock, kv)
    expect(t.stream.holdings()).toEqual([])
  })

  test('survives a wall clock that jumps for a while', async () => {
    const clock = new VirtualClock()
    let jumpMs = 0
    const wall = clock.wall.bind(clock)
    clock.wall = () => wall() + jumpMs
    const r = await openStored(clock, new FaultyKv(clock), { retentionMs: HOUR_MS })
    r.stream.append(events(3), () => {})
    clock.advance(2_000)
    jumpMs = 10 * HOUR_MS
    clock.advance(20_000)
    expect(r.stream.stats().events).toBe(3)
    jumpMs = 0
    clock.advance(60_000)
    expect(r.stream.stats().events).toBe(3)
    jumpMs = 10 * HOUR_MS
    clock.advance(60_000)
    expect(r.stream.stats().events).toBe(0)
  })
})

test('times in a stream never go back, and a start by time is found among them', async () => {
  const clock = new VirtualClock()
  let jumpMs = 0
  const wall = clock.wall.bind(clock)
  clock.wall = () => wall() + jumpMs
  const r = await openStored(clock, new FaultyKv(clock))
  const begin = clock.wall()
  for (let i = 0; i < 200; i++) {
    if (i === 100) jumpMs = -HOUR_MS
    r.stream.append(events(1 + (i % 3), i * 3), () => {})
    clock.advance(1_000)
  }
  const at = (timeMs: number): string | undefined => {
    const sub = 10 + r.intake.players.size
    const p = r.intake.attach(sub, `replay/${sub}`, { at: 'time', timeMs })
    clock.advance(100)
    r.feed.detach(sub, true)
    return p.ids[0]
  }
  expect(at(begin - 1)).toBe('e0')
  expect(at(begin + 50_000)).toBe('e150')
  expect(at(begin + 50_001)).toBe('e153')
  // Everything after the jump has the last time before it.
  expect(at(begin + 99_000)).toBe('e297')
  expect(at(begin + 99_001)).toBeUndefined()
})

test('a subscription that was away longer than history lasts finds what it holds', async () => {
  const clock = new VirtualClock()
  const kv = new FaultyKv(clock)
  const r = await openStored(clock, kv, { retentionMs: 1_000 })
  const other = r.intake.attach(1, 'trigger/a/other', LATEST)
  other.settlesAtOnce = true
  r.intake.attach(2, 'trigger/a/away', LATEST)
  r.feed.detach(2, false)
  r.stream.append(events(50), () => {})
  clock.advance(60_000)
  const away = r.intake.attach(3, 'trigger/a/away', EARLIEST)
  clock.advance(100)
  expect(away.ids).toHaveLength(50)
})

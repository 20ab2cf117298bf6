import { describe, expect, test } from 'vitest'
import type { Kv } from '../../src/vendor/lmdb/kv.ts'
import { VirtualClock } from '../simulation/virtual-clock.ts'
import { FaultyKv } from '../store/faulty-kv.ts'
import { EARLIEST, event, events, LATEST } from './rig.ts'
import { openStored } from './stored.ts'

/** Counts how many prefetches are on their way at the same time. */
function watched(clock: VirtualClock) {
  const kv = new FaultyKv(clock)
  const seen = { running: 0, most: 0, calls: 0, keys: 0 }
  const prefetch: Kv['prefetch'] = (keys, done) => {
    seen.calls++
    seen.keys = Math.max(seen.keys, keys.length)
    seen.most = Math.max(seen.most, ++seen.running)
    clock.after(5, () => {
      seen.running--
      done()
    })
  }
  kv.prefetch = prefetch
  return { kv, seen }
}

async function filled(n: number, clock: VirtualClock, kv: Kv) {
  const first = await openStored(clock, kv)
  for (let i = 0; i < n; i += 50) {
    first.stream.append(events(50, i), () => {})
    clock.advance(1)
  }
  return openStored(clock, kv)
}

describe('subscriptions behind the head', () => {
  test('that are near each other share one reader, far ones have at most four, and all get everything', async () => {
    const clock = new VirtualClock()
    const { kv, seen } = watched(clock)
    const r = await filled(6_000, clock, kv)
    const near = Array.from({ length: 20 }, (_, i) => r.intake.attach(i + 1, `near/${i}`, { at: 'position', position: 1 + i }))
    clock.advance(40)
    expect(seen.most).toBe(1)
    const far = Array.from({ length: 10 }, (_, i) =>
      r.intake.attach(i + 100, `far/${i}`, { at: 'position', position: 600 * i + 1 }),
    )
    for (const p of [...near, ...far]) p.settlesAtOnce = true
    clock.advance(10_000)
    expect(seen.most).toBe(4)
    expect(seen.keys).toBeLessThanOrEqual(17)
    near.forEach((p, i) => expect(p.ids).toEqual(events(6_000 - i, i).map((e) => e.id)))
    far.forEach((p, i) => expect(p.offered).toHaveLength(6_000 - 600 * i))
    for (const p of far) expect(r.feed.backlog(p.sub).events).toBe(0)
  })

  test('look at a few events a turn', async () => {
    const clock = new VirtualClock()
    const r = await filled(2_000, clock, new FaultyKv(clock))
    const p = r.intake.attach(1, 'replay', EARLIEST)
    let most = 0
    let before = 0
    const soon = clock.soon.bind(clock)
    clock.soon = (f) => {
      soon(() => {
        f()
        most = Math.max(most, p.offered.length - before)
        before = p.offered.length
      })
    }
    clock.advance(1_000)
    expect(p.offered).toHaveLength(2_000)
    expect(most).toBeLessThanOrEqual(32)
    expect(most).toBeGreaterThan(8)
  })

  test('are read from memory as far as it goes, and join the head without missing or repeating', async () => {
    const clock = new VirtualClock()
    const { kv, seen } = watched(clock)
    const r = await openStored(clock, kv)
    const p = r.intake.attach(1, 'trigger/a/x', LATEST)
    p.lane = 10
    for (let i = 0; i < 3_000; i += 10) {
      r.stream.append(events(10, i), () => {})
      clock.advance(1)
      if (i % 100 === 0) r.intake.settleAll(p)
    }
    for (let i = 0; i < 400; i++) {
      r.intake.settleAll(p)
      clock.advance(1)
    }
    expect(p.ids).toEqual(events(3_000).map((e) => e.id))
    expect(seen.calls).toBe(0)
    expect(p.rude).toBe(0)
    r.stream.append(events(1, 3_000), () => {})
    clock.advance(0)
    clock.advance(1)
    expect(p.offered).toHaveLength(3_001)
  })

  test('an event that cannot be read goes to the machine as it is, and the next one follows', async () => {
    const clock = new VirtualClock()
    const kv = new FaultyKv(clock)
    await filled(50, clock, kv)
    const [block] = kv.range(Buffer.from('e'), Buffer.from('f'), 1)
    const bytes = Buffer.from(block!.value)
    const second = 3 + 50 * 4 + (bytes.readUInt32BE(3) - (3 + 50 * 4))
    bytes[second] = 255
    kv.disk.commit(
      (b) => b.put(block!.key, bytes),
      () => {},
    )
    const r = await openStored(clock, kv)
    const p = r.intake.attach(1, 'replay', EARLIEST)
    clock.advance(100)
    expect(p.undecodable).toHaveLength(1)
    expect(p.undecodable[0]).toMatchObject({ at: 2 })
    expect(p.undecodable[0]!.bad.why).toContain('stored bytes are no event')
    expect(p.ids).toEqual(
      events(50)
        .map((e) => e.id)
        .filter((id) => id !== 'e1'),
    )
    const parked: boolean[] = []
    r.feed.parkRaw(1, 0, 2, p.undecodable[0]!.bad, (ok) => parked.push(ok))
    r.intake.settleAll(p)
    clock.advance(100)
    expect(parked).toEqual([true])
    expect(r.stream.holdings()[0]!.position).toBe(51)
  })

  test('events of any size come back from the store', async () => {
    const clock = new VirtualClock()
    const kv = new FaultyKv(clock)
    const first = await openStored(clock, kv)
    const sizes = [0, 1, 65_536, 10, 1_000_000, 64_000, 3, 200_000]
    const made = sizes.map((n, i) => event(`s${i}`, { data: Buffer.alloc(n, i + 1) }))
    first.stream.append(made, () => {})
    clock.advance(10)
    const r = await openStored(clock, kv)
    const p = r.intake.attach(1, 'replay', EARLIEST)
    clock.advance(100)
    expect(p.offered.map((d) => Buffer.from(d.event.data!))).toEqual(made.map((e) => Buffer.from(e.data!)))
  })
})

test('forty subscriptions that all change leave nothing out when the process dies between two full records', async () => {
  const clock = new VirtualClock()
  const kv = new FaultyKv(clock)
  const r = await openStored(clock, kv)
  const players = Array.from({ length: 40 }, (_, i) => r.intake.attach(i + 1, `trigger/a/${i}`, LATEST))
  clock.advance(100)
  // Many groups within one moment: most of them go without the positions.
  for (let i = 0; i < 10; i++) {
    r.stream.append(events(3, i * 3), () => {})
    clock.advance(0)
    clock.settle()
  }
  for (const p of players) expect(p.offered).toHaveLength(30)
  players.forEach((p, i) => p.offered.slice(0, i).forEach((d) => r.feed.settle(d, 'delivered')))
  r.stream.append(events(1, 30), () => {})
  clock.advance(0)
  kv.fate = () => 'lost'
  const after = await openStored(clock, new FaultyKv(clock, kv.disk))
  players.forEach((_, i) => after.intake.attach(i + 1, `trigger/a/${i}`, LATEST))
  clock.advance(100)
  for (let i = 0; i < 40; i++) {
    const back = after.intake.players.get(i + 1)!
    for (let n = i; n < 31; n++) expect(back.ids, `subscription ${i}`).toContain(`e${n}`)
    expect(new Set(back.ids).size).toBe(back.ids.length)
  }
})

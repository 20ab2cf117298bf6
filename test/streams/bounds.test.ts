import { expect, test } from 'vitest'
import type { Budget } from '../../src/contract/budget.ts'
import type { Appended } from '../../src/contract/stream.ts'
import { VirtualClock } from '../simulation/virtual-clock.ts'
import { FaultyKv } from '../store/faulty-kv.ts'
import { event, events, LATEST } from './rig.ts'
import { openStored } from './stored.ts'

const MIB = 2 ** 20

test('while the disk does not answer at most 64 MiB wait, then the stream is full', async () => {
  const clock = new VirtualClock()
  const kv = new FaultyKv(clock)
  const r = await openStored(clock, kv)
  kv.fate = () => 'hangs'
  const results: Appended[] = []
  const big = event('big', { data: Buffer.alloc(MIB - 1_000) })
  for (let i = 0; i < 70; i++) r.stream.append([big], (x) => results.push(x))
  expect(results.length).toBeGreaterThan(4)
  expect(results.length).toBeLessThan(8)
  expect(results[0]).toMatchObject({ kind: 'full', why: 'the disk does not keep up' })
  expect(r.stream.stats().refusing).toBe('the disk does not keep up')
})

test('what waits for its commit is booked in the budget of the shard and given back, and a full budget refuses', async () => {
  const clock = new VirtualClock()
  const kv = new FaultyKv(clock)
  let used = 0
  const budget: Budget = {
    limitBytes: MIB,
    get usedBytes() {
      return used
    },
    get full() {
      return used >= MIB
    },
    take(bytes) {
      used += bytes
      return !this.full
    },
    give(bytes) {
      used -= bytes
    },
    onRoom() {},
  }
  const r = await openStored(clock, kv, {}, undefined, budget)
  const results: Appended['kind'][] = []
  const half = event('half', { data: Buffer.alloc(MIB / 2) })
  for (let i = 0; i < 4; i++) r.stream.append([half], (x) => results.push(x.kind))
  expect(used).toBeGreaterThan(MIB)
  expect(results).toEqual(['full', 'full'])
  r.stream.append([event('reply')], (x) => results.push(x.kind), { reserve: true })
  clock.advance(10)
  expect(results).toEqual(['full', 'full', 'durable', 'durable', 'durable'])
  expect(used).toBe(0)
})

test('a burst is handed on over several turns, and is unread until then', async () => {
  const clock = new VirtualClock()
  const r = await openStored(clock, new FaultyKv(clock))
  const p = r.intake.attach(1, 'trigger/a/x', LATEST)
  clock.advance(100)
  let most = 0
  let before = 0
  const soon = clock.soon.bind(clock)
  clock.soon = (f) =>
    soon(() => {
      f()
      most = Math.max(most, p.offered.length - before)
      before = p.offered.length
      if (p.offered.length > 0) expect(p.offered.length + r.feed.backlog(1).events).toBe(2_000)
    })
  r.stream.append(events(2_000), () => {})
  clock.advance(10)
  expect(p.ids).toEqual(events(2_000).map((e) => e.id))
  expect(most).toBe(256)
})

test('what comes while a burst is handed on stands behind it', async () => {
  const clock = new VirtualClock()
  const r = await openStored(clock, new FaultyKv(clock))
  const p = r.intake.attach(1, 'trigger/a/x', LATEST)
  let late: ReturnType<typeof r.intake.attach> | undefined
  r.stream.append(events(1_000), () => {
    r.stream.append(events(1, 1_000), () => {})
    clock.soon(() => {
      late = r.intake.attach(2, 'trigger/a/late', LATEST)
    })
  })
  clock.advance(100)
  expect(p.ids).toEqual(events(1_001).map((e) => e.id))
  expect(late!.ids).toEqual(p.ids.slice(-late!.ids.length))
  expect(late!.ids.length).toBeGreaterThan(0)
})

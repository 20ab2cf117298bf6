import { describe, expect, test } from 'vitest'
import type { DetachedState } from '../../src/contract/delivery.ts'
import type { Appended } from '../../src/contract/stream.ts'
import { VirtualClock } from '../simulation/virtual-clock.ts'
import { FaultyKv, NO_SPACE, type Fate } from '../store/faulty-kv.ts'
import { EARLIEST, event, events, LATEST } from './rig.ts'
import { openStored, PLENTY } from './stored.ts'

const WAITS: DetachedState = { dueMs: 0, story: [], phase: 'subscriber', reason: '' }

async function begin(disk = () => PLENTY) {
  const clock = new VirtualClock()
  const kv = new FaultyKv(clock)
  const r = await openStored(clock, kv, {}, disk)
  const results: Appended[] = []
  const append = (n: number, from = 0): void => {
    for (const e of events(n, from)) r.stream.append([e], (x) => results.push(x))
  }
  return { clock, kv, r, results, append }
}

describe('a flush that never ends', () => {
  test('acknowledges nothing and delivers nothing; after two minutes the process is told to end', async () => {
    const { clock, kv, r, results, append } = await begin()
    const p = r.intake.attach(1, 'trigger/a/x', LATEST)
    append(1)
    clock.advance(10)
    expect([results.length, p.offered.length]).toEqual([1, 1])
    kv.fate = () => 'hangs'
    append(5, 1)
    const settled: boolean[] = []
    r.feed.park(p.offered[0]!, WAITS, (ok) => settled.push(ok))
    clock.advance(60_000)
    expect([results.length, p.offered.length, settled.length, r.fatal.length]).toEqual([1, 1, 0, 0])
    clock.advance(61_000)
    expect(results.slice(1).map((x) => x.kind)).toEqual(Array.from({ length: 5 }, () => 'unavailable'))
    expect(settled).toEqual([false])
    expect(p.offered).toHaveLength(1)
    expect(r.fatal.map((f) => f.code)).toEqual(['store.failed'])
  })
})

describe('a flush that fails', () => {
  const failed: readonly (readonly [string, Fate])[] = [
    ['an input or output error', { error: new Error('EIO'), visible: true }],
    ['a full disk after the commit was visible', { error: NO_SPACE, visible: true }],
    ['an error that did not even commit', { error: new Error('MDB_PANIC'), visible: false }],
  ]
  test.each(failed)('%s ends everything and acknowledges nothing', async (_what, fate) => {
    const { clock, kv, r, results, append } = await begin()
    const p = r.intake.attach(1, 'trigger/a/x', LATEST)
    append(2)
    clock.advance(10)
    kv.fate = () => fate
    append(3, 2)
    const kept: boolean[] = []
    r.feed.detachDelivery(p.offered[1]!, WAITS, (ok) => kept.push(ok))
    const flushed = r.feed.flush(new AbortController().signal)
    clock.advance(10)
    await expect(flushed).rejects.toMatchObject({ code: 'store.failed' })
    append(1, 9)
    clock.advance(1_000)
    expect(results.map((x) => x.kind)).toEqual(['durable', 'durable', 'unavailable', 'unavailable', 'unavailable', 'unavailable'])
    expect(kept).toEqual([false])
    expect(p.offered).toHaveLength(2)
    expect(r.fatal).toHaveLength(1)
    expect(r.stream.stats().refusing).not.toBe('')
  })
})

describe('a full disk', () => {
  test('refuses what does not fit, loses nothing, and goes on when there is room', async () => {
    const { clock, kv, r, results, append } = await begin()
    const p = r.intake.attach(1, 'trigger/a/x', LATEST)
    append(4)
    clock.advance(10)
    kv.fate = () => ({ error: NO_SPACE, visible: false })
    append(2, 4)
    const kept: boolean[] = []
    const [d0, d1, d2] = [p.of('e0'), p.of('e1'), p.of('e2')]
    r.feed.park(d0, WAITS, (ok) => kept.push(ok))
    r.feed.settle(d1, 'delivered')
    let reply: Appended | undefined
    r.stream.append([event('reply')], (x) => (reply = x), { settles: d2 })
    clock.advance(1)
    expect(results.slice(4).map((x) => x.kind)).toEqual(['full', 'full'])
    expect([kept, reply?.kind]).toEqual([[false], 'full'])
    append(1, 6)
    expect(results.at(-1)).toMatchObject({ kind: 'full' })
    expect(r.fatal).toEqual([])
    kv.fate = () => 'durable'
    clock.advance(2_000)
    append(1, 7)
    clock.advance(100)
    expect(results.at(-1)).toEqual({ kind: 'durable' })
    expect(p.ids).toEqual(['e0', 'e1', 'e2', 'e3', 'e7'])
    // What was settled meanwhile is settled for good; what could not be stored is still unsettled.
    const again = await openStored(clock, kv)
    const q = again.intake.attach(1, 'trigger/a/x', EARLIEST)
    clock.advance(10)
    expect(q.ids).toEqual(['e0', 'e2', 'e3', 'e7'])
  })

  test('is seen coming: what is left is kept for settlements and deletes', async () => {
    const disk = { freeBytes: 2 ** 40, totalBytes: 2 ** 41 }
    const { clock, kv, r, results, append } = await begin(() => ({ ...disk }))
    const p = r.intake.attach(1, 'trigger/a/x', LATEST)
    append(2)
    clock.advance(10)
    disk.freeBytes = 2 ** 30 - 1
    clock.advance(2_000)
    append(1, 2)
    expect(results.at(-1)).toMatchObject({ kind: 'full' })
    let reply: Appended | undefined
    r.stream.append([event('reply')], (x) => (reply = x), { reserve: true })
    clock.advance(10)
    expect(reply?.kind).toBe('durable')
    r.feed.settle(p.of('e0'), 'delivered')
    clock.advance(100)
    const again = await openStored(clock, kv)
    const q = again.intake.attach(1, 'trigger/a/x', EARLIEST)
    clock.advance(10)
    expect(q.ids).toEqual(['e1', 'reply'])
    disk.freeBytes = 2 ** 40
    clock.advance(2_000)
    append(1, 3)
    clock.advance(10)
    expect(results.at(-1)).toEqual({ kind: 'durable' })
  })
})

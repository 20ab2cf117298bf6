import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeRuns, encodeRuns } from '../../../src/sources/kafka/settled-runs.ts'
import { PositionTracker, WINDOW } from '../../../src/sources/kafka/tracker.ts'

const take = (t: PositionTracker, from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, i) => t.take(from + i, 1))

describe('the positions of one partition', () => {
  test('what may be committed follows the lowest that is not settled', () => {
    const t = new PositionTracker(10, [])
    const [a, b, c] = take(t, 10, 13) as [number, number, number]
    expect([t.committable, t.position]).toEqual([10, 13])
    t.settle(b)
    t.settle(c)
    expect(t.committable).toBe(10)
    expect(t.settledAbove()).toEqual([11, 13])
    t.settle(a)
    expect([t.committable, t.window]).toEqual([13, 0])
    expect(t.settledAbove()).toEqual([])
  })

  test('settling twice, or what is long gone, changes nothing', () => {
    const t = new PositionTracker(0, [])
    const [a, b] = take(t, 0, 2) as [number, number]
    t.settle(a)
    const version = t.version
    t.settle(a)
    t.settle(-1)
    t.settle(99)
    expect([t.committable, t.version]).toEqual([1, version])
    t.settle(b)
    expect(t.committable).toBe(2)
  })

  test('offsets without a record for us count as settled, however many they are', () => {
    const t = new PositionTracker(0, [])
    const a = t.take(5, 1)
    const b = t.take(5_000_000_000, 1)
    t.passTo(9_000_000_000)
    expect(t.window).toBe(2)
    expect(t.settledAbove()).toEqual([6, 5_000_000_000, 5_000_000_001, 9_000_000_000])
    t.settle(a)
    expect(t.committable).toBe(5_000_000_000)
    t.settle(b)
    expect(t.committable).toBe(9_000_000_000)
  })

  test('what was settled before a take-over is not taken again, and stays in what is told to the group', () => {
    const t = new PositionTracker(10, [12, 15, 20, 22])
    expect(t.take(10, 1)).toBeGreaterThanOrEqual(0)
    expect(t.settledAbove()).toEqual([12, 15, 20, 22])
    const eleven = t.take(11, 1)
    expect([t.take(12, 1), t.take(13, 1), t.take(14, 1)]).toEqual([-1, -1, -1])
    const fifteen = t.take(15, 1)
    expect(fifteen).toBeGreaterThan(eleven)
    t.settle(fifteen)
    expect(t.settledAbove()).toEqual([12, 16, 20, 22])
    // A hole in the log that ends inside a run.
    expect(t.take(21, 1)).toBe(-1)
    expect(t.position).toBe(22)
    t.settle(t.find(10))
    t.settle(eleven)
    expect(t.committable).toBe(22)
  })

  test('what is handed back is taken again when it is read again, and nothing else is', () => {
    const t = new PositionTracker(0, [])
    const o = take(t, 0, 6) as [number, number, number, number, number, number]
    t.settle(o[2])
    t.release(o[4])
    t.release(o[1])
    t.release(o[2])
    expect(t.released).toBe(2)
    expect(t.beginReread()).toBe(1)
    expect([1, 2, 3, 4, 5].map((offset) => t.take(offset, 1))).toEqual([o[1], -1, -1, o[4], -1])
    expect(t.endReread(6)).toBe(0)
    for (const one of o) t.settle(one)
    expect(t.committable).toBe(6)
  })

  test('what was to be read again and is no longer in the log counts as settled, but not what was handed back meanwhile', () => {
    const t = new PositionTracker(0, [])
    const o = take(t, 0, 4) as [number, number, number, number]
    t.release(o[0])
    t.release(o[1])
    expect(t.beginReread()).toBe(0)
    expect(t.take(1, 1)).toBe(o[1])
    t.release(o[1])
    t.release(o[3])
    expect(t.endReread(4)).toBe(1)
    expect([t.committable, t.released]).toEqual([1, 2])
    expect(t.beginReread()).toBe(1)
  })

  test('knows the oldest unsettled and finds what it holds', () => {
    const t = new PositionTracker(0, [])
    expect(t.oldestMs).toBe(0)
    t.take(3, 1_000)
    t.take(9, 2_000)
    expect([t.oldestMs, t.find(9), t.find(4), t.find(10)]).toEqual([1_000, 1, -1, -1])
    t.settle(0)
    expect(t.oldestMs).toBe(2_000)
  })

  test('holds a full window and more, in order', () => {
    const t = new PositionTracker(0, [])
    const all = take(t, 0, WINDOW + 100)
    for (const o of all.slice(1)) t.settle(o)
    expect([t.window, t.committable]).toEqual([WINDOW + 100, 0])
    t.settle(all[0] ?? -1)
    expect([t.window, t.committable]).toEqual([0, WINDOW + 100])
  })

  test('never commits past an unsettled event, and a take-over from what was told offers exactly the rest', () => {
    const step = fc.record({ gap: fc.integer({ min: 0, max: 3 }), settle: fc.boolean(), release: fc.boolean() })
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1e12 }),
        fc.array(step, { maxLength: 200 }),
        fc.array(fc.nat(), { maxLength: 5 }),
        (start, steps, again) => {
          const t = new PositionTracker(start, [])
          const offsets: number[] = []
          const settled = new Set<number>()
          let next = start
          for (const s of steps) {
            next += s.gap
            const ordinal = t.take(next, 1)
            offsets.push(next)
            if (s.settle) {
              t.settle(ordinal)
              settled.add(next)
            } else if (s.release) t.release(ordinal)
            next++
          }
          for (const n of again) {
            const offset = offsets[n % Math.max(1, offsets.length)]
            if (offset === undefined) continue
            t.settle(t.find(offset))
            settled.add(offset)
          }
          const rest = offsets.filter((o) => !settled.has(o))
          expect(t.committable).toBe(rest[0] ?? t.position)
          const heir = new PositionTracker(
            t.committable,
            decodeRuns(t.committable, encodeRuns(t.committable, t.settledAbove(), 1e6)),
          )
          expect(offsets.filter((o) => o >= t.committable && heir.take(o, 1) >= 0)).toEqual(rest)
        },
      ),
    )
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeSeat, encodeSeat } from '../../src/streams/seat-record.ts'
import { LONGEST_WINDOW, Window } from '../../src/streams/window.ts'

describe('the unsettled positions of a subscription', () => {
  test('are what was added and not settled, in any order, beyond 2^32 too', () => {
    const op = fc.tuple(fc.boolean(), fc.nat(LONGEST_WINDOW - 1))
    fc.assert(
      fc.property(fc.constantFrom(1, 2 ** 31 - 5_000, 2 ** 40 + 7), fc.array(op, { maxLength: 300 }), (base, ops) => {
        const w = new Window()
        const model = new Set<number>()
        for (const [add, offset] of ops) {
          const p = base + offset
          if (add) expect(w.add(p)).toBe(!model.has(p))
          else expect(w.delete(p)).toBe(model.has(p))
          if (add) model.add(p)
          else model.delete(p)
          const sorted = [...model].toSorted((a, b) => a - b)
          expect(w.count).toBe(sorted.length)
          expect(w.floor).toBe(sorted[0] ?? 0)
        }
        const sorted = [...model].toSorted((a, b) => a - b)
        expect(w.positions()).toEqual(sorted)
        for (const p of sorted) expect(w.has(p)).toBe(true)
        expect(Window.of(w.floor, w.runs()).positions()).toEqual(sorted)
      }),
      { numRuns: 200 },
    )
  })

  test('span at most 65,536 positions', () => {
    const w = new Window()
    w.add(100)
    expect(w.fits(100 + LONGEST_WINDOW - 1)).toBe(true)
    expect(w.fits(100 + LONGEST_WINDOW)).toBe(false)
    expect(() => w.add(100 + LONGEST_WINDOW)).toThrow('outside the window')
    w.add(100 + LONGEST_WINDOW - 1)
    w.delete(100)
    expect(w.floor).toBe(100 + LONGEST_WINDOW - 1)
    expect(w.fits(100 + LONGEST_WINDOW)).toBe(true)
    for (let p = w.floor + 1; p < w.floor + LONGEST_WINDOW; p++) w.add(p)
    expect(w.count).toBe(LONGEST_WINDOW)
    expect(w.runs()).toEqual([LONGEST_WINDOW])
    w.clear()
    expect([w.count, w.floor, w.has(200)]).toEqual([0, 0, false])
    expect(w.fits(1)).toBe(true)
  })
})

test('where a subscription stands is read as it was written', () => {
  const record = fc.record({
    next: fc.nat({ max: 2 ** 47 }),
    atHead: fc.boolean(),
    floor: fc.nat({ max: 2 ** 47 }),
    runs: fc.array(fc.integer({ min: 1, max: LONGEST_WINDOW })),
  })
  fc.assert(
    fc.property(record, (r) => {
      expect(decodeSeat(encodeSeat(r))).toEqual(r)
    }),
  )
  expect(() => decodeSeat(Buffer.from([9, 0]))).toThrow('format 9')
})

import { describe, expect, test } from 'vitest'
import { coefficientOf, createWindows, panicWindowS, SecondBuckets } from '../../src/autoscaler/windows.ts'
import { specOf } from './spec.ts'

function filled(windowS: number, values: readonly (readonly [number, number])[]): SecondBuckets {
  const buckets = new SecondBuckets(windowS)
  for (const [s, v] of values) buckets.record(s, v)
  return buckets
}

describe('linear average', () => {
  test('a young window averages only the seconds it has', () => {
    const b = filled(60, [
      [100, 4],
      [101, 8],
    ])
    expect(b.average(101)).toBe(6)
  })
  test('values of one second are added', () => {
    expect(filled(6, [[5, 1], [5.9, 2]]).average(5)).toBe(3) // prettier-ignore
  })
  test('a gap counts as zeros', () => {
    expect(filled(10, [[0, 10], [4, 10]]).average(4)).toBe(4) // prettier-ignore
  })
  test('seconds that left the window no longer count', () => {
    const b = new SecondBuckets(3)
    for (let s = 0; s < 10; s++) b.record(s, s)
    expect(b.average(9)).toBe(8)
  })
  test('while nothing is written the window shrinks from its old end', () => {
    const b = new SecondBuckets(4)
    for (let s = 0; s < 4; s++) b.record(s, s + 1)
    // Two seconds on: 1 and 2 have left, 3 and 4 stay, two of four seconds are valid.
    expect(b.average(5)).toBe(3.5)
    expect(b.average(7)).toBe(0)
  })
  test('a gap of a whole window forgets everything, the first second too', () => {
    const b = filled(4, [[0, 100], [4, 8]]) // prettier-ignore
    expect(b.average(4)).toBe(8)
  })
  test('a value as old as the window is ignored, a younger one is added in its place', () => {
    const b = filled(4, [[10, 4]]) // prettier-ignore
    b.record(6, 100)
    expect(b.average(10)).toBe(4)
    b.record(8, 8)
    expect(b.average(10)).toBe(4)
  })
  test('an average is cut to six digits and never below zero', () => {
    expect(filled(3, [[0, 1], [1, 0], [2, 0]]).average(2)).toBe(0.333333) // prettier-ignore
    const b = new SecondBuckets(3)
    for (let s = 0; s < 1000; s++) b.record(s, s % 7 === 0 ? 0.1 : 0.3)
    for (let s = 1000; s < 1003; s++) b.record(s, 0)
    expect(b.average(1002)).toBe(0)
  })
})

describe('emptiness', () => {
  test('a window is empty once nothing was written for longer than it', () => {
    const b = filled(6, [[10, 1]])
    expect(b.isEmpty(16.9)).toBe(false)
    expect(b.isEmpty(17)).toBe(true)
    expect(new SecondBuckets(6).isEmpty(0)).toBe(true)
  })
})

describe('weighted-exponential average', () => {
  test('the coefficients of the reference', () => {
    expect(coefficientOf(60)).toBe(0.2)
    expect(coefficientOf(6)).toBeCloseTo(0.78456, 5)
    expect(coefficientOf(40)).toBeCloseTo(0.20567, 5)
  })
  test('a young window reads low: the weights are not normalised', () => {
    expect(filled(60, [[0, 10]]).weightedAverage(0)).toBe(2)
    expect(filled(60, [[0, 10], [1, 10]]).weightedAverage(1)).toBeCloseTo(3.6, 6) // prettier-ignore
  })
  test('seconds without a value count as zeros', () => {
    expect(filled(60, [[0, 10]]).weightedAverage(2)).toBeCloseTo(1.28, 6)
    expect(filled(60, [[0, 10]]).weightedAverage(60)).toBe(0)
  })
})

describe('resize', () => {
  test('the newest seconds are kept', () => {
    const b = new SecondBuckets(6)
    for (let s = 0; s < 6; s++) b.record(s, s)
    b.resize(3)
    expect(b.windowS).toBe(3)
    expect(b.average(5)).toBe(4)
  })
  test('a grown window counts the length it lived through', () => {
    const b = new SecondBuckets(3)
    for (let s = 0; s < 9; s++) b.record(s, 6)
    b.resize(6)
    expect(b.average(8)).toBe(6)
    b.record(9, 2)
    expect(b.average(9)).toBe(5)
  })
})

describe('the windows of a revision', () => {
  test('the panic window is its percentage in whole seconds, at least one', () => {
    expect(panicWindowS({ stableWindowMs: 60_000, panicWindowPercentage: 10 })).toBe(6)
    expect(panicWindowS({ stableWindowMs: 6_000, panicWindowPercentage: 1 })).toBe(1)
    expect(panicWindowS({ stableWindowMs: 45_000, panicWindowPercentage: 10 })).toBe(5)
  })
  test('no data is null, with burst capacity -1 it is no load', () => {
    expect(createWindows(specOf()).average(5_000)).toEqual({ stable: null, panic: null })
    expect(createWindows(specOf({}, { targetBurstCapacity: -1 })).average(5_000)).toEqual({ stable: 0, panic: 0 })
  })
  test('rps takes requests, concurrency takes concurrency', () => {
    for (const [metric, wanted] of [
      ['rps', 30],
      ['concurrency', 7],
    ] as const) {
      // prettier-ignore
      const w = createWindows(specOf({}, { metric }))
      w.record(1_000, 7, 30)
      expect(w.average(1_000).stable).toBe(wanted)
    }
  })
  test.each([
    ['NaN', 2_000, Number.NaN],
    ['negative', 2_000, -5],
    ['infinite', 2_000, Infinity],
    ['twice the same time', 1_000, 900],
    ['from the past', 500, 900],
    ['no time', Number.NaN, 900],
  ])('a sample that is %s is left out', (_what, atMs, value) => {
    const w = createWindows(specOf())
    w.record(1_000, 4, 4)
    w.record(atMs, value, value)
    expect(w.average(1_000)).toEqual({ stable: 4, panic: 4 })
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CALM, kpa, kpaScale, type KpaMemory } from '../../src/autoscaler/kpa.ts'
import type { KpaSpec } from '../../src/contract/decider.ts'
import { pod, seenOf, specOf } from './spec.ts'

interface Row {
  readonly promise: string
  readonly spec?: Partial<KpaSpec>
  readonly ready: number
  readonly stable: number
  readonly panic: number
  readonly desired: number
  readonly memory?: KpaMemory
  readonly panicking?: boolean
  readonly excess?: number
}

const panicked = (panicSinceMs: number, maxPanicPods: number): KpaMemory => ({ panicSinceMs, maxPanicPods, delayed: [] })
/** Decided at 100 s. */
const ROWS: readonly Row[] = [
  { promise: 'the average over the target, rounded up', ready: 5, stable: 50, panic: 50, desired: 8 },
  { promise: 'nothing is wanted of nothing', ready: 1, stable: 0, panic: 0, desired: 0 },
  { promise: 'up by at most the rate', spec: { maxScaleUpRate: 2 }, ready: 2, stable: 700, panic: 0, desired: 4 },
  { promise: 'a fractional rate is rounded up', spec: { maxScaleUpRate: 1.5 }, ready: 3, stable: 700, panic: 0, desired: 5 },
  { promise: 'no pod counts as one', spec: { maxScaleUpRate: 10 }, ready: 0, stable: 700, panic: 0, desired: 10 },
  { promise: 'down to half at most, rounded down', ready: 9, stable: 7, panic: 7, desired: 4 },
  {
    promise: 'out of reach it falls as far as it wants',
    spec: { reachable: false },
    ready: 9,
    stable: 7,
    panic: 7,
    desired: 1,
  },
  {
    promise: 'the activation scale lifts what is not zero',
    spec: { activationScale: 5 },
    ready: 1,
    stable: 1,
    panic: 0,
    desired: 5,
  },
  { promise: 'the activation scale leaves zero', spec: { activationScale: 5 }, ready: 1, stable: 0, panic: 0, desired: 0 },
  {
    promise: 'the activation scale comes after the rate',
    spec: { activationScale: 5, maxScaleUpRate: 2 },
    ready: 1,
    stable: 70,
    panic: 0,
    desired: 5,
  },
  { promise: 'at the threshold it panics', ready: 5, stable: 7, panic: 70, desired: 10, panicking: true },
  { promise: 'below the threshold it does not', ready: 5, stable: 7, panic: 63, desired: 2, panicking: false },
  {
    promise: 'the threshold is judged before the rate clamps',
    spec: { maxScaleUpRate: 1.5 },
    ready: 2,
    stable: 7,
    panic: 70,
    desired: 3,
    panicking: true,
  },
  {
    promise: 'a panic never shrinks',
    ready: 10,
    stable: 7,
    panic: 7,
    memory: panicked(90_000, 10),
    desired: 10,
    panicking: true,
  },
  {
    promise: 'in a panic the greater of both windows counts',
    ready: 10,
    stable: 140,
    panic: 70,
    memory: panicked(90_000, 10),
    desired: 20,
    panicking: true,
  },
  {
    promise: 'exactly a stable window later it still panics',
    ready: 10,
    stable: 7,
    panic: 7,
    memory: panicked(40_000, 10),
    desired: 10,
    panicking: true,
  },
  {
    promise: 'after more than a stable window it is calm',
    ready: 10,
    stable: 7,
    panic: 7,
    memory: panicked(39_999, 10),
    desired: 5,
    panicking: false,
  },
  { promise: 'burst capacity is of the total', ready: 30, stable: 7, panic: 7.5, desired: 15, excess: 81 },
  { promise: 'burst capacity counts no pod as none', ready: 0, stable: 0, panic: 0, desired: 0, excess: -211 },
  { promise: 'burst capacity 0 is 0', spec: { targetBurstCapacity: 0 }, ready: 3, stable: 7, panic: 7, desired: 1, excess: 0 },
  {
    promise: 'burst capacity -1 is -1',
    spec: { targetBurstCapacity: -1 },
    ready: 3,
    stable: 7,
    panic: 7,
    desired: 1,
    excess: -1,
  },
]

describe("Knative's decision", () => {
  test.each(ROWS)('$promise', (row) => {
    const spec = specOf({}, row.spec).kpa
    const result = kpaScale(spec, row.memory ?? CALM, { readyPods: row.ready, stable: row.stable, panic: row.panic }, 100_000)
    expect(result.valid).toBe(true)
    expect(result.desired).toBe(row.desired)
    if (row.panicking !== undefined) expect(result.panicking).toBe(row.panicking)
    if (row.excess !== undefined) expect(result.excessBurstCapacity).toBe(row.excess)
  })

  test('a panic is extended while the load is over the threshold', () => {
    const { kpa: spec } = specOf()
    const first = kpaScale(spec, CALM, { readyPods: 1, stable: 7, panic: 70 }, 0)
    const later = kpaScale(spec, first.next, { readyPods: 1, stable: 7, panic: 70 }, 50_000)
    expect(later.next.panicSinceMs).toBe(50_000)
    expect(kpaScale(spec, later.next, { readyPods: 10, stable: 7, panic: 7 }, 109_000).desired).toBe(10)
    const calm = kpaScale(spec, later.next, { readyPods: 10, stable: 7, panic: 7 }, 110_001)
    expect(calm.panicking).toBe(false)
    expect(calm.next.maxPanicPods).toBe(0)
  })

  test('a scale-down delay wants the most of its ticks', () => {
    const { kpa: spec } = specOf({}, { scaleDownDelayMs: 6_000 })
    let memory = CALM
    const at = (s: number, load: number): number => {
      const result = kpaScale(spec, memory, { readyPods: 8, stable: load, panic: load }, s * 1000)
      memory = result.next
      return result.desired
    }
    expect([at(0, 56), at(2, 28), at(4, 28), at(6, 28), at(8, 35)]).toEqual([8, 8, 8, 4, 5])
  })

  test.each([
    ['no stable average', { stable: null }],
    ['no panic average', { panic: null }],
    ['NaN', { stable: Number.NaN }],
    ['a negative average', { panic: -1 }],
    ['infinite', { stable: Infinity }],
    ['no count of pods', { readyPods: Number.NaN }],
  ])('%s: nothing changes', (_what, wrong) => {
    const memory = panicked(90_000, 10)
    const result = kpaScale(specOf().kpa, memory, { readyPods: 3, stable: 7, panic: 7, ...wrong }, 100_000)
    expect(result.valid).toBe(false)
    expect(result.next).toBe(memory)
  })

  test('bounds by rate, monotone in the load, and always a number', () => {
    const load = fc.double({ min: 0, max: 1e6, noNaN: true })
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 500 }), load, load, load, (readyPods, stable, panic, more) => {
        const { kpa: spec } = specOf({}, { maxScaleUpRate: 3 })
        const desired = (s: number, p: number): number => kpaScale(spec, CALM, { readyPods, stable: s, panic: p }, 0).desired
        const ready = Math.max(1, readyPods)
        const got = desired(stable, panic)
        expect(Number.isInteger(got)).toBe(true)
        expect(got).toBeGreaterThanOrEqual(Math.floor(ready / 2))
        expect(got).toBeLessThanOrEqual(ready * 3)
        expect(desired(stable + more, panic + more)).toBeGreaterThanOrEqual(got)
      }),
    )
  })
})

describe('the kpa class', () => {
  const pods = (n: number) => Array.from({ length: n }, (_, i) => pod(`p${i}`, 0))

  test('an autoscaler that finds pods begins in panic and cannot shrink them', () => {
    const spec = specOf()
    const state = kpa.init(spec, 0)
    const first = kpa.decide(spec, state, seenOf({ stable: 1, panic: 1, pods: pods(6) }), 1_000)
    expect(first.desired).toBe(6)
    const late = kpa.decide(spec, first.next, seenOf({ stable: 1, panic: 1, pods: pods(6) }), 61_500)
    expect(late.desired).toBe(3)
  })

  test('before there is data a revision has its initial scale', () => {
    const spec = specOf({ initialScale: 3 })
    const decision = kpa.decide(spec, kpa.init(spec, 0), seenOf(), 1_000)
    expect(decision).toMatchObject({ desired: 3, valid: true })
  })

  test('no data once it runs changes nothing', () => {
    const spec = specOf()
    let decision = kpa.decide(spec, kpa.init(spec, 0), seenOf({ stable: 30, panic: 30, pods: pods(1) }), 1_000)
    decision = kpa.decide(spec, decision.next, seenOf({ stable: 30, panic: 30, pods: pods(5) }), 3_000)
    const silent = kpa.decide(spec, decision.next, seenOf({ pods: pods(5) }), 5_000)
    expect(silent).toMatchObject({ valid: false, desired: decision.desired })
  })

  test('an observation from the past changes nothing', () => {
    const spec = specOf()
    const now = kpa.decide(spec, kpa.init(spec, 0), seenOf({ stable: 30, panic: 30, pods: pods(1) }), 10_000)
    const past = kpa.decide(spec, now.next, seenOf({ stable: 700, panic: 700, pods: pods(1) }), 4_000)
    expect(past.desired).toBe(now.desired)
    expect(past.next.memory).toEqual(now.next.memory)
  })
})

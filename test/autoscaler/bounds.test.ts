import { describe, expect, test } from 'vitest'
import { applyBounds, initialBounds, type Activity, type Bounded, type BoundsState } from '../../src/autoscaler/bounds.ts'
import type { ScaleSpec } from '../../src/contract/decider.ts'
import { specOf } from './spec.ts'

const at = (activity: Activity, sinceMs: number, proxiedSinceMs: number | null = null, begun = true): BoundsState => ({
  activity,
  sinceMs,
  proxiedSinceMs,
  begun,
})
const step = (spec: ScaleSpec, state: BoundsState, wanted: number, nowMs: number, ready = 1, excessBurstCapacity = 5): Bounded =>
  applyBounds(spec, state, { wanted, ready, excessBurstCapacity }, nowMs)

describe('bounds', () => {
  test('no decision leaves the scale alone unless it is activating', () => {
    expect(step(specOf({ minScale: 3 }), at('active', 0), -1, 1_000).scale).toBe(-1)
    expect(step(specOf({ minScale: 3 }), at('activating', 0), -1, 1_000).scale).toBe(3)
  })
  test.each([
    [{ minScale: 2, maxScale: 5 }, 1, 2],
    [{ minScale: 2, maxScale: 5 }, 9, 5],
    [{ minScale: 0, maxScale: 0 }, 900, 900],
  ])('%o: %i becomes %i', (more, wanted, scale) => {
    expect(step(specOf(more), at('active', 0), wanted, 1_000).scale).toBe(scale)
  })
  test('out of reach there is no least scale', () => {
    expect(step(specOf({ minScale: 4 }, { reachable: false }), at('active', 0), 1, 1_000).scale).toBe(1)
  })
  test('the initial scale is a least scale until it was reached once', () => {
    const spec = specOf({ initialScale: 4 })
    const first = step(spec, initialBounds(spec, 0), 1, 1_000, 2)
    expect(first.scale).toBe(4)
    const reached = step(spec, first.next, 1, 3_000, 4)
    expect(reached.next.begun).toBe(true)
    expect(step(spec, reached.next, 1, 5_000, 4).scale).toBe(1)
  })
})

describe('scale to zero', () => {
  const spec = specOf()
  test('switched off it keeps one', () => {
    expect(step(specOf({}, { enableScaleToZero: false }), at('inactive', 0), 0, 1e9).scale).toBe(1)
  })
  test('activating holds, and gives up after the progress deadline and 30 s', () => {
    expect(step(spec, at('activating', 0), 0, 630_000, 0).scale).toBe(-1)
    expect(step(spec, at('activating', 0), 0, 630_001, 0).scale).toBe(0)
  })
  test('active for less than a stable window keeps one and asks again when it is over', () => {
    expect(step(spec, at('active', 10_000), 0, 30_000)).toMatchObject({ scale: 1, wakeAtMs: 70_000 })
  })
  test('active for a stable window becomes inactive and keeps its pods this round', () => {
    const round = step(spec, at('active', 10_000), 0, 70_000)
    expect(round.scale).toBe(-1)
    expect(round.next).toMatchObject({ activity: 'inactive', sinceMs: 70_000 })
  })
  test('inactive waits for the grace period', () => {
    expect(step(spec, at('inactive', 0), 0, 29_999)).toMatchObject({ scale: -1 })
    expect(step(spec, at('inactive', 0), 0, 30_000).scale).toBe(0)
  })
  test('behind the gateway for the grace period already: at once', () => {
    expect(step(spec, at('inactive', 50_000, 10_000), 0, 50_001).scale).toBe(0)
    expect(step(spec, at('inactive', 50_000, 40_000), 0, 50_001)).toMatchObject({ scale: -1, wakeAtMs: 70_000 })
  })
  test('retention holds the last pod, and not where it is out of reach', () => {
    const retained = specOf({}, { scaleToZeroPodRetentionPeriodMs: 90_000 })
    expect(step(retained, at('inactive', 0, 0), 0, 89_999)).toMatchObject({ scale: -1, wakeAtMs: 90_000 })
    expect(step(retained, at('inactive', 0, 0), 0, 90_000).scale).toBe(0)
    const unreachable = specOf({}, { scaleToZeroPodRetentionPeriodMs: 90_000, reachable: false })
    expect(step(unreachable, at('inactive', 0), 0, 30_000).scale).toBe(0)
  })
  test('a least scale never gets there', () => {
    expect(step(specOf({ minScale: 1 }), at('inactive', 0), 0, 1e9).scale).toBe(1)
  })
  test('wanted again it is activating until enough are ready, then active', () => {
    const woken = step(spec, at('inactive', 0), 2, 1_000, 0)
    expect(woken.next.activity).toBe('activating')
    expect(step(spec, woken.next, 2, 2_000, 1).next.activity).toBe('active')
  })
  test('in the path unless something is wanted and burst capacity is left', () => {
    expect(step(spec, at('active', 0, null), 2, 1_000, 2, -1).next.proxiedSinceMs).toBe(1_000)
    expect(step(spec, at('active', 0, 500), 2, 1_000, 2, 0).next.proxiedSinceMs).toBeNull()
  })
})

import { describe, expect, test } from 'vitest'
import { hpaByHand, kpaByHand, xpaByHand } from '../../src/autoscaler/by-hand.ts'

const SPEC = { scalingMetric: 'concurrency', targetValue: 7, totalValue: 10, panicThreshold: 200, maxScaleUpRate: 10 }

describe('kpa by hand', () => {
  test('begins calm, decides, and holds where there is no data', () => {
    const hand = kpaByHand(SPEC)
    expect(hand({ t: 0, readyPods: 5, stable: 35, panic: 35 })).toMatchObject({ t: 0, desired: 5, valid: true, panicking: false })
    expect(hand({ t: 2, readyPods: 5, stable: null, panic: 35 })).toMatchObject({ desired: 5, valid: false })
  })
  test('begins in the middle of a panic', () => {
    const hand = kpaByHand({ ...SPEC, panicSince: 0, maxPanicPods: 20 })
    expect(hand({ t: 30, readyPods: 20, stable: 7, panic: 7 })).toMatchObject({ desired: 20, panicking: true })
    expect(hand({ t: 61, readyPods: 20, stable: 7, panic: 7 })).toMatchObject({ desired: 10, panicking: false })
  })
  test('settings change on the way and stay changed', () => {
    const hand = kpaByHand(SPEC)
    expect(hand({ t: 0, readyPods: 1, stable: 20, panic: 1, spec: { targetValue: 5 } })).toMatchObject({ desired: 4 })
    expect(hand({ t: 2, readyPods: 1, stable: 20, panic: 1 })).toMatchObject({ desired: 4 })
  })
  test('what comes twice decides the same, what is from the past nothing', () => {
    const hand = kpaByHand(SPEC)
    const line = { t: 10, readyPods: 1, stable: 20, panic: 1 }
    expect(hand(line)).toEqual(hand(line))
    expect(hand({ t: 5, readyPods: 1, stable: 700, panic: 700 })).toMatchObject({ valid: false, desired: 3 })
  })
  test.each([
    [{ targetValue: 0 }, 'targetValue'],
    [{ maxScaleDownRate: 0.5 }, 'maxScaleDownRate'],
    [{ scalingMetric: 'cpu' }, 'concurrency, rps'],
    [{ targetBurstCapacity: -2 }, 'at least -1'],
    [{ reachable: 'yes' }, 'true or false'],
    [{ targetvalue: 7 }, 'not known'],
  ])('%o is refused with what is allowed', (wrong, says) => {
    expect(() => kpaByHand({ ...SPEC, ...wrong })).toThrow(says)
  })
  test('a line without a time is refused', () => {
    expect(() => kpaByHand(SPEC)({ readyPods: 1 })).toThrow('t is')
  })
})

describe('xpa by hand', () => {
  test('pods by name, idle ones are named for removal and it says when to ask again', () => {
    const hand = xpaByHand({ limit: 10, gcTimeSeconds: 20, without: ['keep-alive'] })
    const pods = [
      { name: 'a', inFlight: 3, since: 0 },
      { name: 'b', inFlight: 0, since: 1 },
    ]
    expect(hand({ t: 0, inFlight: 3, pods })).toMatchObject({ desired: 2, remove: [], valid: true })
    expect(hand({ t: 19.8, inFlight: 3, pods })).toMatchObject({ remove: [], wakeAt: 20 })
    expect(hand({ t: 20, inFlight: 3, pods })).toMatchObject({ desired: 1, remove: ['b'] })
  })
  test('the rate is read from the first line on', () => {
    const hand = xpaByHand({ limit: 10, without: ['staffing', 'trend', 'cold-start', 'keep-alive'] })
    expect(hand({ t: 0, arrivalsPerS: 100, serviceMs: 500 })).toMatchObject({ desired: 5 })
    expect(hand({ t: 10, arrivalsPerS: 100, serviceMs: 500 })).toMatchObject({ desired: 5 })
  })
  test('a reading that is none moves nothing, and does not spoil the next', () => {
    const hand = xpaByHand({ limit: 10, without: ['staffing', 'trend', 'cold-start', 'keep-alive'] })
    expect(hand({ t: 0, inFlight: 30, readyPods: 3 })).toMatchObject({ desired: 3 })
    expect(hand({ t: 1, inFlight: 'NaN', readyPods: 3 })).toMatchObject({ valid: false, desired: 3 })
    expect(hand({ t: 2, inFlight: 30, arrivalsPerS: -5, readyPods: 3 })).toMatchObject({ valid: false, desired: 3 })
    expect(hand({ t: 3, inFlight: 30, readyPods: 3 })).toMatchObject({ valid: true, desired: 3 })
  })
})

test('hpa by hand reads a value', () => {
  const hand = hpaByHand({ targetValue: 10 })
  expect(hand({ t: 0, readyPods: 4, value: 15 })).toMatchObject({ desired: 6, valid: true, remove: [], wakeAt: 15 })
  expect(hand({ t: 15, readyPods: 4, value: null })).toMatchObject({ desired: 4, valid: false })
})

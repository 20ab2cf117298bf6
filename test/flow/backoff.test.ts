import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { DeliveryPlan } from '../../src/contract/plan.ts'
import { backoffMs, jittered, longerOf, retryDelayMs } from '../../src/flow/backoff.ts'
import { seededRandom } from '../../src/runtime/random.ts'

const PLAN: DeliveryPlan = {
  retry: 10,
  backoffPolicy: 'exponential',
  backoffDelayMs: 200,
  backoffMaxMs: 600_000,
  timeoutMs: 600_000,
  retryAfterMaxMs: 0,
  format: 'binary',
}
const middle = { next: () => 0.5 }

test('the Broker default: 0.4 s for the first retry, then double', () => {
  const waits = [1, 2, 3, 10].map((n) => backoffMs(PLAN, n))
  expect(waits).toEqual([400, 800, 1_600, 204_800])
})

test('linear grows by one delay a retry', () => {
  expect([1, 2, 3].map((n) => backoffMs({ ...PLAN, backoffPolicy: 'linear' }, n))).toEqual([200, 400, 600])
})

test('no wait is over the cap, however many retries', () => {
  expect(backoffMs(PLAN, 20)).toBe(600_000)
  expect(backoffMs(PLAN, 5_000)).toBe(600_000)
  expect(backoffMs({ ...PLAN, backoffDelayMs: 0 }, 10)).toBe(0)
})

test('jitter spreads by a fifth either way, evenly', () => {
  expect(jittered(1_000, { next: () => 0 })).toBe(800)
  expect(jittered(1_000, middle)).toBe(1_000)
  expect(jittered(1_000, { next: () => 0.999_999 })).toBe(1_200)
  const random = seededRandom(1)
  const mean = Array.from({ length: 10_000 }, () => jittered(1_000, random)).reduce((a, b) => a + b) / 10_000
  expect(Math.abs(mean - 1_000)).toBeLessThan(5)
})

describe('Retry-After', () => {
  test('is not looked at without a cap', () => {
    expect(retryDelayMs(PLAN, 1, 60_000, middle)).toBe(400)
  })
  test('wins when it is longer, and is capped', () => {
    const plan = { ...PLAN, retryAfterMaxMs: 30_000 }
    expect(retryDelayMs(plan, 1, 10_000, middle)).toBe(10_000)
    expect(retryDelayMs(plan, 1, 90_000, middle)).toBe(30_000)
    expect(retryDelayMs(plan, 1, 100, middle)).toBe(400)
    expect(retryDelayMs(plan, 1, undefined, middle)).toBe(400)
  })
})

test('a wait is never shorter than four fifths of the back-off, nor longer than six fifths of the larger of cap and server', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 60 }),
      fc.integer({ min: 0, max: 60_000 }),
      fc.integer({ min: 0, max: 3_600_000 }),
      fc.option(fc.integer({ min: 0, max: 10_000_000 }), { nil: undefined }),
      fc.double({ min: 0, max: 0.999_999, noNaN: true }),
      (retry, backoffDelayMs, retryAfterMaxMs, retryAfterMs, chance) => {
        const plan = { ...PLAN, backoffDelayMs, retryAfterMaxMs }
        const standard = backoffMs(plan, retry)
        const wait = retryDelayMs(plan, retry, retryAfterMs, { next: () => chance })
        expect(wait).toBeGreaterThanOrEqual(Math.floor(standard * 0.8))
        expect(wait).toBeLessThanOrEqual(Math.max(Math.ceil(standard * 1.2), retryAfterMaxMs))
        expect(wait).toBe(longerOf(jittered(standard, { next: () => chance }), retryAfterMaxMs, retryAfterMs))
      },
    ),
  )
})

import { expect, test } from 'vitest'
import { Rate } from '../../src/flow/rate.ts'

/** How many go within `ms` when somebody always wants to, looking every `stepMs`. */
function sent(rate: Rate, fromMs: number, ms: number, stepMs = 1): number {
  let n = 0
  for (let t = fromMs; t < fromMs + ms; t += stepMs) {
    while (rate.waitMs(t) === 0) {
      rate.take(t)
      n++
    }
  }
  return n
}

test('begins without a burst, one at a time', () => {
  const rate = new Rate(100, 1_000)
  expect(rate.waitMs(1_000)).toBe(0)
  rate.take(1_000)
  expect(rate.waitMs(1_000)).toBe(10)
  expect(rate.waitMs(1_009)).toBe(1)
  expect(rate.waitMs(1_010)).toBe(0)
})

test('keeps the rate in every second, slow and fast', () => {
  for (const perS of [0.5, 1, 7, 100, 5_000]) {
    const rate = new Rate(perS, 0)
    const n = sent(rate, 0, 10_000)
    expect(n).toBeGreaterThanOrEqual(Math.floor(perS * 9.999))
    expect(n).toBeLessThanOrEqual(perS * 10 + 1 + perS / 10)
  }
})

test('after a pause at most a tenth of a second is caught up', () => {
  const rate = new Rate(100, 0)
  sent(rate, 0, 1_000)
  let atOnce = 0
  while (rate.waitMs(60_000) === 0) {
    rate.take(60_000)
    atOnce++
  }
  expect(atOnce).toBe(10)
  const slow = new Rate(1, 0)
  slow.take(0)
  slow.take(60_000)
  expect(slow.waitMs(60_000)).toBe(1_000)
})

test('timers that are coarse do not slow a high rate', () => {
  const n = sent(new Rate(2_000, 0), 0, 2_000, 16)
  expect(n).toBeGreaterThan(3_900)
  expect(n).toBeLessThanOrEqual(4_201)
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { delaySeconds } from '../../../src/sources/rabbitmq/delays.ts'

test('a wait is rounded up, never down, to one of few steps', () => {
  expect([0, 1, 1_000, 1_001, 59_500, 60_001, 601_000, 3_601_000].map(delaySeconds)).toEqual([1, 1, 1, 2, 60, 70, 660, 4_200])
  const steps = new Set<number>()
  for (let ms = 0; ms <= 86_400_000; ms += 997) steps.add(delaySeconds(ms))
  expect(steps.size).toBeLessThanOrEqual(60 + 54 + 50 + 138)
})

test('a wait is lengthened by a sixth at most, and by a second at least', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 86_400_000 }), (ms) => {
      const rounded = delaySeconds(ms) * 1_000
      expect(rounded).toBeGreaterThanOrEqual(ms)
      expect(rounded - ms).toBeLessThanOrEqual(Math.max(1_000, ms / 6))
    }),
  )
})

test('no wait is longer than the times of a queue can be', () => {
  expect(delaySeconds(2 * 86_400_000 + 1)).toBe(3 * 86_400)
  expect((delaySeconds(Number.MAX_SAFE_INTEGER) + 86_400) * 1_000).toBeLessThan(2 ** 32)
})

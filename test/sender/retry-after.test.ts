import { expect, test } from 'vitest'
import { retryAfterMs } from '../../src/sender/retry-after.ts'

const NOW = Date.UTC(2026, 10, 6, 8, 49, 30)

test.each([
  ['0', 0],
  ['120', 120_000],
  [' 7 ', 7_000],
  ['Fri, 06 Nov 2026 08:49:37 GMT', 7_000],
  ['Friday, 06-Nov-26 08:49:37 GMT', 7_000],
  ['Fri Nov  6 08:49:37 2026', 7_000],
  ['Thu, 05 Nov 2026 08:49:37 GMT', 0],
  ['Sunday, 06-Nov-94 08:49:37 GMT', 0],
  ['Wed, 01 Jan 2076 00:00:00 GMT', Date.UTC(2076, 0, 1) - NOW],
])('%s is read', (text, ms) => {
  expect(retryAfterMs(text, NOW)).toBe(ms)
})

test.each([
  '',
  '-1',
  '1.5',
  '1e3',
  '12345678901',
  'soon',
  '2026-11-06T08:49:37Z',
  'Fri, 31 Feb 2026 08:49:37 GMT',
  'Fri, 06 Foo 2026 08:49:37 GMT',
  'Fri, 06 Nov 2026 25:49:37 GMT',
  'Fri, 06 Nov 2026 08:49:37 CET',
])('%j is nothing', (text) => {
  expect(retryAfterMs(text, NOW)).toBeUndefined()
})

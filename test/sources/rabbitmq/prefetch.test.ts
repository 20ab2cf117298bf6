import { expect, test } from 'vitest'
import { Prefetch } from '../../../src/sources/rabbitmq/prefetch.ts'

test('the first prefetch is small enough for large messages, the next as large as small ones allow', () => {
  const p = new Prefetch(1_024)
  const first = p.change(0)
  expect(first).toBe(64)
  p.begin(first)
  for (let i = 0; i < 200; i++) p.measure(1_000)
  // Not while anything may be on its way.
  expect(p.change(first - 1)).toBe(0)
  expect(p.change(first)).toBe(1_024)
  p.begin(1_024)
  expect(p.change(1_024)).toBe(0)
})

test('large messages make it small at once, and one always fits', () => {
  const p = new Prefetch(1_024)
  p.begin(64)
  p.measure(2 ** 20)
  expect(p.change(64)).toBe(8)
  p.measure(100 * 2 ** 20)
  expect(p.change(64)).toBe(1)
})

test('a subscription that wants one at a time has one', () => {
  const p = new Prefetch(1)
  expect(p.change(0)).toBe(1)
  p.begin(1)
  expect(p.change(1)).toBe(0)
})

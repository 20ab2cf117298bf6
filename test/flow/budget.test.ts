import { expect, test } from 'vitest'
import { budgetBytes, createBudget } from '../../src/flow/budget.ts'

test('is a quarter of the memory, at most 256 MiB', () => {
  expect(budgetBytes(400 * 2 ** 20)).toBe(100 * 2 ** 20)
  expect(budgetBytes(64 * 2 ** 30)).toBe(256 * 2 ** 20)
})

test('what is taken is always booked; when full it says so, and calls once there is room again', () => {
  const budget = createBudget(1_000)
  let room = 0
  budget.onRoom(() => room++)
  expect(budget.take(999)).toBe(true)
  expect(budget.take(500)).toBe(false)
  expect([budget.full, budget.usedBytes]).toEqual([true, 1_499])
  budget.give(600)
  expect([budget.full, room]).toEqual([true, 0])
  budget.give(24)
  expect([budget.full, room]).toEqual([false, 1])
  budget.give(875)
  expect([budget.usedBytes, room]).toEqual([0, 1])
  expect(() => budget.give(1)).toThrow('no more bytes')
})

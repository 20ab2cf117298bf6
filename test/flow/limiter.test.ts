import { expect, test } from 'vitest'
import { Limiter } from '../../src/flow/limiter.ts'

test('lets so many go at once', () => {
  const limiter = new Limiter(2)
  limiter.take()
  limiter.take()
  expect(limiter.hasRoom).toBe(false)
  expect(() => limiter.take()).toThrow('no more than 2')
  limiter.give()
  expect(limiter.hasRoom).toBe(true)
})

test('0 is without a limit, and nothing is given back that was not taken', () => {
  const limiter = new Limiter(0)
  for (let i = 0; i < 10_000; i++) limiter.take()
  expect(limiter.hasRoom).toBe(true)
  for (let i = 0; i < 10_000; i++) limiter.give()
  expect(() => limiter.give()).toThrow('given back')
})

test('a limit that was lowered below what is under way waits until enough have ended', () => {
  const limiter = new Limiter(2, 3)
  expect(limiter.hasRoom).toBe(false)
  limiter.give()
  expect(limiter.hasRoom).toBe(false)
  limiter.give()
  expect(limiter.hasRoom).toBe(true)
})

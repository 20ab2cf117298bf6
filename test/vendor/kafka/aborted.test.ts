import { expect, test } from 'vitest'
import { AbortedFilter } from '../../../src/vendor/kafka/aborted.ts'

test('a producer is rolled back from the first offset of the transaction to its marker', () => {
  const f = new AbortedFilter([{ producerId: 1, firstOffset: 10 }])
  expect(f.drops(1, 9)).toBe(false)
  expect(f.drops(1, 12)).toBe(true)
  expect(f.drops(2, 14)).toBe(false)
  f.marker(1, 15, true)
  expect(f.drops(1, 17)).toBe(false)
})

test('several transactions of one producer in one answer, listed in any order', () => {
  const f = new AbortedFilter([
    { producerId: 1, firstOffset: 20 },
    { producerId: 1, firstOffset: 0 },
  ])
  expect(f.drops(1, 4)).toBe(true)
  f.marker(1, 5, true)
  expect(f.drops(1, 8)).toBe(false)
  f.marker(1, 9, false)
  expect(f.drops(1, 21)).toBe(true)
})

test('a transaction whose marker is in a later answer is dropped to the end of this one', () => {
  const f = new AbortedFilter([{ producerId: 3, firstOffset: 2 }])
  expect([f.drops(3, 5), f.drops(3, 500)]).toEqual([true, true])
})

test('a commit marker of one producer leaves another rolled back', () => {
  const f = new AbortedFilter([{ producerId: 1, firstOffset: 0 }])
  f.marker(2, 3, false)
  expect(f.drops(1, 4)).toBe(true)
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { DueHeap } from '../../../../src/streams/kafka/kept/due-heap.ts'

test('gives offsets in order of their due time, those of one time in their own order', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(20), fc.nat(1_000)), { maxLength: 200 }), (pairs) => {
      const heap = new DueHeap()
      for (const [due, offset] of pairs) heap.push(due, offset)
      const wanted = pairs.toSorted((a, b) => a[0] - b[0] || a[1] - b[1])
      for (const [due, offset] of wanted) {
        expect(heap.nextMs).toBe(due)
        expect(heap.pop()).toBe(offset)
      }
      expect(heap.size).toBe(0)
    }),
  )
})

test('an empty one is never due', () => {
  const heap = new DueHeap()
  expect(heap.nextMs).toBe(Infinity)
  expect(heap.pop()).toBe(-1)
  heap.push(5, 1)
  heap.clear()
  expect([heap.size, heap.nextMs, heap.pop()]).toEqual([0, Infinity, -1])
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeRuns, encodeRuns, MOST_METADATA } from '../../../src/sources/kafka/settled-runs.ts'

const runs = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 1e6 }), fc.integer({ min: 1, max: 1e6 })), { maxLength: 100 })
  .map((pairs) => {
    let at = 0
    return pairs.flatMap(([gap, length]) => {
      const from = at + gap
      at = from + length
      return [from, at]
    })
  })

test('runs come back as they went', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1e12 }), runs, (base, relative) => {
      const absolute = relative.map((n) => n + base)
      expect(decodeRuns(base, encodeRuns(base, absolute, 1e6))).toEqual(absolute)
    }),
  )
})

test('nothing to say is an empty text', () => {
  expect(encodeRuns(5, [])).toBe('')
  expect(decodeRuns(5, '')).toEqual([])
})

test('what does not fit is left out from the top, and what is there is a prefix', () => {
  const many = Array.from({ length: 5_000 }, (_, i) => [100 + i * 10, 105 + i * 10]).flat()
  const text = encodeRuns(0, many)
  expect(text.length).toBeLessThanOrEqual(MOST_METADATA)
  expect(text.length).toBeGreaterThan(MOST_METADATA - 20)
  const back = decodeRuns(0, text)
  expect(back.length).toBeGreaterThan(1_000)
  expect(back).toEqual(many.slice(0, back.length))
})

test.each([
  '',
  'leader_epoch',
  's2:1.1',
  's1:',
  's1:1',
  's1:0.5',
  's1:1.0',
  's1:-1.5',
  's1:1.5,0.5',
  's1:1.5,x',
  's1:zzzzzzzzzzz.zzzzzzzzzzz',
  's1:1.5 ',
])('text that is not ours, or damaged, says nothing is settled: %j', (text) => {
  expect(decodeRuns(100, text)).toEqual([])
})

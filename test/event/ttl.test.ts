import { expect, test } from 'vitest'
import { passesLeft } from '../../src/event/ttl.ts'

test.for([
  [undefined, 255],
  ['', 255],
  ['1.5', 255],
  ['9'.repeat(30), 255],
  [true, 255],
  [Uint8Array.of(1), 255],
  [' 7 ', 6],
  ['+7', 6],
  [256, 255],
  [100_000, 255],
  [-3, 0],
  ['-3', 0],
] as const)('%j leaves %i', ([value, left]) => {
  expect(passesLeft(value)).toBe(left)
})

import { expect, test } from 'vitest'
import { decodeEnd, encodeEnd } from '../../../src/streams/kafka/replay-end.ts'

test('the end of a replay and when it was begun are read as they were written, the settled runs behind them', () => {
  for (const end of [0, 1, 35, 36, 2 ** 40]) {
    for (const runs of ['', 's1:2.3,1.1']) {
      expect(decodeEnd(encodeEnd(end, 1_790_000_000_000, runs))).toEqual({ end, begunMs: 1_790_000_000_000, runs })
    }
  }
})

test('metadata of others is no end: a live group has none', () => {
  for (const text of ['', 's1:2.3', 'u', 'u1;', 'u1.2', 'uA.1;', 'u-1.1;', `u${'z'.repeat(12)}.1;`, 'NO_METADATA'])
    expect(decodeEnd(text)).toBeNull()
})

import { expect, test } from 'vitest'
import { type FetchedPartition, parseFetch, topicIdOf } from '../../../src/vendor/kafka/fetch.ts'

const UUID = '00112233-4455-6677-8899-aabbccddeeff'

function answer(code: number, session: number, aborted: readonly [bigint, bigint][] | null, records: Buffer): Buffer {
  const int = (bytes: number, value: number | bigint): Buffer => {
    const b = Buffer.alloc(bytes)
    if (bytes === 8) b.writeBigInt64BE(BigInt(value))
    else b.writeIntBE(Number(value), 0, bytes)
    return b
  }
  const list =
    aborted === null
      ? [int(1, 0)]
      : [int(1, aborted.length + 1), ...aborted.flatMap(([p, o]) => [int(8, p), int(8, o), int(1, 0)])]
  return Buffer.concat([
    int(4, 0),
    int(2, code),
    int(4, session),
    int(1, 2),
    Buffer.from(UUID.replaceAll('-', ''), 'hex'),
    int(1, 2),
    int(4, 3),
    int(2, 6),
    int(8, 2 ** 41),
    int(8, 90),
    int(8, 7),
    ...list,
    int(4, -1),
    int(1, records.length + 1),
    records,
    // One tagged field: where the leader is now.
    Buffer.from([1, 1, 9, 0, 0, 0, 2, 0, 0, 0, 5, 0]),
    int(1, 0),
    int(1, 0),
  ])
}

function parsed(b: Buffer, committedOnly: boolean): { head: unknown; parts: unknown[] } {
  const parts: unknown[] = []
  const each: FetchedPartition = (...all) => parts.push(all)
  return { head: parseFetch(b, committedOnly, each), parts }
}

test('an answer is taken apart into its partitions, with plain numbers', () => {
  const { head, parts } = parsed(answer(0, 77, [[5n, 10n]], Buffer.from('abc')), true)
  expect(head).toEqual({ code: 0, sessionId: 77 })
  expect(parts).toEqual([[topicIdOf(UUID), 3, 6, 90, 7, [{ producerId: 5, firstOffset: 10 }], Buffer.from('abc')]])
})

test('uncommitted reading goes up to the high watermark and knows no aborted transactions', () => {
  const { parts } = parsed(answer(0, 77, null, Buffer.alloc(0)), false)
  expect(parts).toEqual([[topicIdOf(UUID), 3, 6, 2 ** 41, 7, null, Buffer.alloc(0)]])
})

test('an answer that is cut off throws instead of making something up', () => {
  const whole = answer(0, 77, [], Buffer.from('abc'))
  expect(() => parsed(whole.subarray(0, 60), true)).toThrow(RangeError)
})

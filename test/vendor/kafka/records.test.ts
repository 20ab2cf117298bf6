import { createRecordsBatch, type CompressionAlgorithmValue } from '@platformatic/kafka'
import { beforeAll, describe, expect, test } from 'vitest'
import { RecordCursor } from '../../../src/vendor/kafka/records.ts'
import { loadKafkaLibrary } from '../../../src/vendor/kafka/library.ts'

beforeAll(loadKafkaLibrary)

interface BatchOptions {
  readonly base?: number
  readonly values: readonly (string | null)[]
  readonly compression?: CompressionAlgorithmValue
  readonly producerId?: number
  readonly attributes?: number
}

/** One batch as a broker stores it: the library writes it, the broker sets the offset. */
function batch(o: BatchOptions): Buffer {
  const messages = o.values.map((v, i) => ({
    topic: 't',
    key: Buffer.from(`k${i}`),
    value: (v === null ? undefined : Buffer.from(v)) as Buffer,
    timestamp: BigInt(1_700_000_000_000 + i * 70),
    headers: new Map([[Buffer.from('h'), Buffer.from(`v${i}`)]]),
  }))
  const made = Buffer.from(
    createRecordsBatch(messages, { compression: o.compression ?? 'none', producerId: BigInt(o.producerId ?? -1) }).buffer,
  )
  made.writeBigInt64BE(BigInt(o.base ?? 0), 0)
  if (o.attributes !== undefined) made.writeInt16BE(made.readInt16BE(21) | o.attributes, 21)
  return made
}

/** The end of a transaction. Key: version, type (0 = abort, 1 = commit). */
function marker(base: number, producerId: number, type: 0 | 1): Buffer {
  const made = Buffer.from(
    createRecordsBatch([{ topic: 't', key: Buffer.from([0, 0, 0, type]), value: Buffer.alloc(6) }], {
      compression: 'none',
      producerId: BigInt(producerId),
    }).buffer,
  )
  made.writeBigInt64BE(BigInt(base), 0)
  made.writeInt16BE(0b110000, 21)
  return made
}

function all(c: RecordCursor): (readonly [number, string | null])[] {
  const found: (readonly [number, string | null])[] = []
  for (let f = c.next(); f !== 'end'; f = c.next()) {
    if (f === 'corrupt') found.push([c.offset, `corrupt: ${c.why}`])
    else found.push([c.offset, c.value === null ? null : Buffer.from(c.value).toString()])
  }
  return found
}

const TRANSACTIONAL = 1 << 4

describe('the records of one fetch answer', () => {
  test('come one by one with key, value, headers and time', () => {
    const c = new RecordCursor(batch({ base: 2 ** 40, values: ['a', 'b'] }), 2 ** 40, null)
    expect([c.end, c.count]).toEqual([2 ** 40 + 2, 2])
    expect(c.next()).toBe('record')
    expect([c.offset, c.timestampMs, c.position]).toEqual([2 ** 40, 1_700_000_000_000, 2 ** 40 + 1])
    expect(Buffer.from(c.key ?? []).toString()).toBe('k0')
    expect(c.headers.map(([n, v]) => [Buffer.from(n).toString(), Buffer.from(v ?? []).toString()])).toEqual([['h', 'v0']])
    expect(c.next()).toBe('record')
    expect(c.timestampMs).toBe(1_700_000_000_070)
    expect([c.next(), c.position]).toEqual(['end', 2 ** 40 + 2])
  })

  test.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)('%s', (compression) => {
    const values = Array.from({ length: 200 }, (_, i) => `value ${i} `.repeat(i % 20))
    expect(all(new RecordCursor(batch({ values, compression }), 0, null)).map(([, v]) => v)).toEqual(values)
  })

  test('a tombstone is null, an empty value is empty', () => {
    expect(all(new RecordCursor(batch({ values: [null, ''] }), 0, null))).toEqual([
      [0, null],
      [1, ''],
    ])
  })

  test('what lies before the offset asked for is passed over', () => {
    const bytes = Buffer.concat([batch({ values: ['a', 'b', 'c'] }), batch({ base: 3, values: ['d', 'e'] })])
    expect(all(new RecordCursor(bytes, 2, null)).map(([o]) => o)).toEqual([2, 3, 4])
    expect(all(new RecordCursor(bytes, 4, null)).map(([o]) => o)).toEqual([4])
  })

  test('a batch that is cut off at the end is left to the next fetch', () => {
    const second = batch({ base: 1, values: ['b'] })
    const c = new RecordCursor(Buffer.concat([batch({ values: ['a'] }), second.subarray(0, second.length - 3)]), 0, null)
    expect([c.end, c.count]).toEqual([1, 1])
    expect(all(c)).toEqual([[0, 'a']])
    expect(c.position).toBe(1)
  })

  test('a batch keeps its end though compaction took its last records', () => {
    const bytes = batch({ base: 5, values: ['a', 'b'] })
    bytes.writeInt32BE(9, 23)
    const c = new RecordCursor(bytes, 5, null)
    expect([c.end, all(c).length, c.position]).toEqual([15, 2, 15])
  })

  test('the time of the log counts where the topic says so', () => {
    const bytes = batch({ values: ['a', 'b'], attributes: 1 << 3 })
    bytes.writeBigInt64BE(1_800_000_000_123n, 35)
    const c = new RecordCursor(bytes, 0, null)
    c.next()
    expect(c.timestampMs).toBe(1_800_000_000_123)
  })

  test('aborted transactions and markers are passed, and their offsets with them', () => {
    const bytes = Buffer.concat([
      batch({ base: 0, values: ['x', 'y'], producerId: 7, attributes: TRANSACTIONAL }),
      batch({ base: 2, values: ['plain'] }),
      marker(3, 7, 0),
      batch({ base: 4, values: ['good'], producerId: 7, attributes: TRANSACTIONAL }),
      marker(5, 7, 1),
      batch({ base: 6, values: ['z'], producerId: 7, attributes: TRANSACTIONAL }),
      marker(7, 7, 0),
    ])
    const c = new RecordCursor(bytes, 0, [
      { producerId: 7, firstOffset: 0 },
      { producerId: 7, firstOffset: 6 },
    ])
    expect(all(c)).toEqual([
      [2, 'plain'],
      [4, 'good'],
    ])
    expect([c.position, c.end]).toEqual([8, 8])
    expect(all(new RecordCursor(bytes, 0, null)).map(([, v]) => v)).toEqual(['x', 'y', 'plain', 'good', 'z'])
  })

  test('bytes that cannot be read are told with their place, and reading goes on behind them', () => {
    const broken = batch({ base: 1, values: ['b', 'c'], compression: 'gzip' })
    broken.fill(0xee, 70)
    const old = batch({ base: 3, values: ['d'] })
    old[16] = 1
    const cut = batch({ base: 4, values: ['e', 'f'] })
    // The length of the first record claims more than there is.
    cut[61] = 0x7e
    const bytes = Buffer.concat([batch({ values: ['a'] }), broken, old, cut, batch({ base: 6, values: ['g'] })])
    const found = all(new RecordCursor(bytes, 0, null))
    expect(found.map(([o]) => o)).toEqual([0, 1, 3, 4, 6])
    expect(found[1]?.[1]).toMatch(/^corrupt: a batch cannot be decompressed/)
    expect(found[2]?.[1]).toMatch(/record format 1/)
    expect(found[3]?.[1]).toMatch(/ends before its records/)
    expect(found[4]?.[1]).toBe('g')
  })

  test('no bytes, or only garbage, is an end and no exception', () => {
    expect(new RecordCursor(Buffer.alloc(0), 5, null).next()).toBe('end')
    const c = new RecordCursor(Buffer.alloc(200), 5, null)
    expect([c.next(), c.end, c.position]).toEqual(['end', 5, 5])
  })
})

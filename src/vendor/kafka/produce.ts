import type { Connection, Writer } from '@platformatic/kafka'
import { kafkaLibrary } from './library.ts'

const PRODUCE = 0
const VERSION = 9
/** All in-sync replicas have it before it is acknowledged. */
const ACKS_ALL = -1

const HEAD = 61
/** The checksum covers everything from the attributes on. */
const CHECKED_FROM = 21
const TWO_32 = 2 ** 32

/** A record to be produced; bytes as they go on the wire. */
export interface OutRecord {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: readonly (readonly [name: Uint8Array, value: Uint8Array])[]
}

export interface PartitionBatch {
  readonly partition: number
  readonly batch: Buffer
}

/** How the append to one partition ended; `offset` is that of the batch's first record, -1 where there is none. */
export type ProducedPartition = (partition: number, code: number, offset: number) => void

/**
 * One produce request to the leader of all given partitions, acknowledged by all replicas in sync. `each` is called for
 * every partition of the answer, then `done`; an error = no answer, and nobody knows what was stored.
 */
export function produceBatches(
  connection: Connection,
  topic: string,
  batches: readonly PartitionBatch[],
  timeoutMs: number,
  each: ProducedPartition,
  done: (error: Error | null) => void,
): void {
  connection.send(
    PRODUCE,
    VERSION,
    () => encodeProduce(topic, batches, timeoutMs),
    (correlation, key, version, reader) => {
      const { parseResponse } = kafkaLibrary().produceV9
      try {
        return parseResponse(correlation, key, version, reader)
      } catch (e) {
        // Refused partitions make the library throw, with the whole answer attached.
        const response = (e as { response?: ReturnType<typeof parseResponse> }).response
        if (response === undefined) throw e
        return response
      }
    },
    true,
    true,
    (error, answer) => {
      if (error !== null || answer === undefined || answer === null)
        return done(error ?? new Error('no answer to a produce request'))
      for (const t of answer.responses) for (const p of t.partitionResponses) each(p.index, p.errorCode, Number(p.baseOffset))
      done(null)
    },
  )
}

function encodeProduce(topic: string, batches: readonly PartitionBatch[], timeoutMs: number): Writer {
  const w = kafkaLibrary()
    .Writer.create()
    // No transaction.
    .appendUnsignedVarInt(0)
    .appendInt16(ACKS_ALL)
    .appendInt32(timeoutMs)
    .appendUnsignedVarInt(2)
    .appendString(topic)
    .appendUnsignedVarInt(batches.length + 1)
  for (const b of batches) {
    w.appendInt32(b.partition)
      .appendUnsignedVarInt(b.batch.length + 1)
      .append(b.batch)
      .appendInt8(0)
  }
  return w.appendInt8(0).appendInt8(0)
}

/**
 * The records as one batch of format 2, not compressed, all with one time. Written into one buffer of the exact size: a
 * third of what the library's own writer costs, which makes several buffers a field.
 */
export function encodeBatch(records: readonly OutRecord[], timeMs: number): Buffer {
  let size = HEAD
  for (let i = 0; i < records.length; i++) {
    const body = bodySize(records[i] as OutRecord, i)
    size += varintSize(body) + body
  }
  const b = Buffer.allocUnsafe(size)
  b.fill(0, 0, HEAD)
  b.writeInt32BE(size - 12, 8)
  b.writeInt32BE(-1, 12)
  b[16] = 2
  b.writeInt32BE(records.length - 1, 23)
  for (const at of [27, 35]) {
    b.writeUInt32BE(Math.floor(timeMs / TWO_32), at)
    b.writeUInt32BE(timeMs % TWO_32, at + 4)
  }
  // Neither producer id nor epoch nor sequence: not idempotent, as Knative's producers are.
  b.fill(0xff, 43, 57)
  b.writeInt32BE(records.length, 57)
  let at = HEAD
  for (let i = 0; i < records.length; i++) at = writeRecord(b, at, records[i] as OutRecord, i)
  b.writeUInt32BE(kafkaLibrary().crc32c(b.subarray(CHECKED_FROM)), 17)
  return b
}

/** About what the record takes in a batch. */
export function recordSize(r: OutRecord): number {
  return bodySize(r, 0) + 8
}

function bodySize(r: OutRecord, delta: number): number {
  let size = 2 + varintSize(delta) + fieldSize(r.key) + fieldSize(r.value) + varintSize(r.headers.length)
  for (const [name, value] of r.headers) size += fieldSize(name) + fieldSize(value)
  return size
}

function writeRecord(b: Buffer, from: number, r: OutRecord, delta: number): number {
  let at = writeVarint(b, from, bodySize(r, delta))
  b[at++] = 0
  b[at++] = 0
  at = writeVarint(b, at, delta)
  at = writeField(b, at, r.key)
  at = writeField(b, at, r.value)
  at = writeVarint(b, at, r.headers.length)
  for (const [name, value] of r.headers) at = writeField(b, writeField(b, at, name), value)
  return at
}

function fieldSize(bytes: Uint8Array | null): number {
  return bytes === null ? 1 : varintSize(bytes.length) + bytes.length
}

function writeField(b: Buffer, at: number, bytes: Uint8Array | null): number {
  if (bytes === null) return writeVarint(b, at, -1)
  const next = writeVarint(b, at, bytes.length)
  b.set(bytes, next)
  return next + bytes.length
}

/** Zigzag; sizes stay far below 2^30. */
function varintSize(n: number): number {
  let z = n < 0 ? -2 * n - 1 : 2 * n
  let size = 1
  while (z >= 0x80) {
    z = Math.floor(z / 0x80)
    size++
  }
  return size
}

function writeVarint(b: Buffer, from: number, n: number): number {
  let at = from
  let z = n < 0 ? -2 * n - 1 : 2 * n
  while (z >= 0x80) {
    b[at++] = (z & 0x7f) | 0x80
    z = Math.floor(z / 0x80)
  }
  b[at++] = z
  return at
}

/** The partition a key belongs to, as every Java producer has it. */
export function partitionOfKey(key: Uint8Array, partitions: number): number {
  return (kafkaLibrary().murmur2(Buffer.from(key.buffer, key.byteOffset, key.length)) & 0x7fff_ffff) % partitions
}

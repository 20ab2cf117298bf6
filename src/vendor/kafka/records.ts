import { messageOf } from '../../runtime/errors.ts'
import { AbortedFilter, type AbortedTransaction } from './aborted.ts'
import { kafkaLibrary } from './library.ts'

export type RecordHeader = readonly [name: Uint8Array, value: Uint8Array | null]

/** What `next` came to: nothing left, a record, or bytes that cannot be read. */
export type Found = 'end' | 'record' | 'corrupt'

const BATCH_HEAD = 12
const RECORDS_AT = 61
const CODEC_BITS = 0b111
const LOG_APPEND_TIME = 1 << 3
const TRANSACTIONAL = 1 << 4
const CONTROL = 1 << 5
const TWO_32 = 2 ** 32

const EMPTY = Buffer.alloc(0)
const NO_HEADERS: readonly RecordHeader[] = Object.freeze([])

/** Zigzag variable-length integers, up to 53 bits. */
class VarReader {
  readonly #b: Buffer
  readonly #memory: ArrayBufferLike
  readonly #memoryAt: number
  at: number

  constructor(b: Buffer, at: number) {
    this.#b = b
    this.#memory = b.buffer
    this.#memoryAt = b.byteOffset
    this.at = at
  }

  get length(): number {
    return this.#b.length
  }

  rest(): Buffer {
    return this.#b.subarray(this.at)
  }

  varint(): number {
    const b = this.#b
    const first = b[this.at++] ?? 0
    // Nearly all lengths and deltas of a batch fit one or two bytes.
    if (first < 0x80) return (first >>> 1) ^ -(first & 1)
    let value = first & 0x7f
    let scale = 0x80
    for (let i = 0; i < 9; i++) {
      const byte = b[this.at++] ?? 0
      value += (byte & 0x7f) * scale
      if (byte < 0x80) break
      scale *= 0x80
    }
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  /** null for length -1. A length beyond the end moves `at` beyond it, which the caller checks. */
  bytes(): Uint8Array | null {
    const size = this.varint()
    if (size < 0) return null
    const from = this.at
    this.at += size
    if (size === 0) return EMPTY
    if (this.at > this.#b.length) return EMPTY
    // Half the price of `subarray` of a Buffer, fifteen times a record.
    return new Uint8Array(this.#memory, this.#memoryAt + from, size)
  }
}

/**
 * Walks the record batches of one partition as they came in a fetch answer, one record a step, decoding each batch when
 * it is reached. Numbers are plain (offsets and times are below 2^53), keys and values are views into the answer. This
 * costs less than half of the library's own decoder, which makes an object with bigints a record and reads all of an
 * answer at once, also what a full lane will not take for minutes.
 * Kafka protocol, record batch format 2.
 */
export class RecordCursor {
  /** Of the record `next` came to. */
  offset = 0
  timestampMs = 0
  key: Uint8Array | null = null
  value: Uint8Array | null = null
  headers: readonly RecordHeader[] = NO_HEADERS
  /** Of the corrupt part `next` came to: the bytes as they came. */
  raw: Uint8Array = EMPTY
  why = ''
  /** The next offset after everything `next` has passed, control batches and rolled-back ones included. */
  position: number
  /** The next offset after the last whole batch: where the following fetch goes on. */
  readonly end: number
  readonly bytes: number
  /** Records in all whole batches, counted before any filtering. */
  readonly count: number

  readonly #all: Buffer
  #batchAt = 0
  readonly #aborted: AbortedFilter | null
  /** Records of the running batch, decompressed. */
  #records = new VarReader(EMPTY, 0)
  #left = 0
  #baseOffset = 0
  #baseTime = 0
  #appendTime = -1
  #afterBatch = 0

  /** `from`: offsets below are passed over (a batch may begin before what was asked for). */
  constructor(all: Buffer, from: number, aborted: readonly AbortedTransaction[] | null) {
    this.#all = all
    this.position = from
    this.bytes = all.length
    this.#aborted = aborted === null ? null : new AbortedFilter(aborted)
    let end = from
    let count = 0
    for (let at = 0; at + BATCH_HEAD <= all.length;) {
      const size = BATCH_HEAD + all.readInt32BE(at + 8)
      if (size <= BATCH_HEAD || at + size > all.length) break
      const readable = size >= RECORDS_AT && all[at + 16] === 2
      const after = readInt64(all, at) + (readable ? all.readInt32BE(at + 23) : 0) + 1
      if (after > end) end = after
      count += readable ? all.readInt32BE(at + 57) : 1
      at += size
    }
    this.end = end
    this.count = count
  }

  next(): Found {
    for (;;) {
      if (this.#left === 0) {
        if (this.#afterBatch > this.position) this.position = this.#afterBatch
        const found = this.#nextBatch()
        if (found !== 'record') return found
        continue
      }
      this.#left--
      if (!this.#readRecord()) return this.#corruptRest()
      if (this.offset < this.position) continue
      this.position = this.offset + 1
      return 'record'
    }
  }

  /** Moves to the next batch that holds records for us. */
  #nextBatch(): Found {
    const b = this.#all
    while (this.#batchAt + BATCH_HEAD <= b.length) {
      const at = this.#batchAt
      const size = BATCH_HEAD + b.readInt32BE(at + 8)
      if (size <= BATCH_HEAD || at + size > b.length) break
      this.#batchAt = at + size
      const base = readInt64(b, at)
      if (b[at + 16] !== 2 || size < RECORDS_AT) {
        this.#afterBatch = base + 1
        return this.#corrupt(base, at, size, `record format ${b[at + 16]} is not supported, only 2 (Kafka 0.11 and later)`)
      }
      const after = base + b.readInt32BE(at + 23) + 1
      this.#afterBatch = after
      const attributes = b.readInt16BE(at + 21)
      if (this.#passesOver(at, size, attributes, after)) continue
      this.#baseOffset = base
      this.#baseTime = readInt64(b, at + 27)
      this.#appendTime = (attributes & LOG_APPEND_TIME) === 0 ? -1 : readInt64(b, at + 35)
      this.#left = b.readInt32BE(at + 57)
      try {
        this.#records = new VarReader(decompress(b.subarray(at + RECORDS_AT, at + size), attributes & CODEC_BITS), 0)
      } catch (e) {
        this.#left = 0
        return this.#corrupt(base, at, size, `a batch cannot be decompressed: ${messageOf(e)}`)
      }
      return 'record'
    }
    return 'end'
  }

  /** Batches that are no data for us: control markers, rolled-back transactions, what was read before. */
  #passesOver(at: number, size: number, attributes: number, after: number): boolean {
    const b = this.#all
    const control = (attributes & CONTROL) !== 0
    const producerId = readInt64(b, at + 43)
    if (control) {
      this.#aborted?.marker(producerId, after - 1, isAbortMarker(b.subarray(at + RECORDS_AT, at + size)))
    }
    const rolledBack = !control && (attributes & TRANSACTIONAL) !== 0 && this.#aborted?.drops(producerId, after - 1) === true
    if (!control && !rolledBack && after > this.position) return false
    if (after > this.position) this.position = after
    return true
  }

  /** false = the bytes end before the record does. */
  #readRecord(): boolean {
    const r = this.#records
    const size = r.varint()
    const end = r.at + size
    if (size < 6 || end > r.length || !Number.isSafeInteger(end)) return false
    r.at++
    const timeDelta = r.varint()
    this.offset = this.#baseOffset + r.varint()
    this.timestampMs = this.#appendTime >= 0 ? this.#appendTime : this.#baseTime + timeDelta
    this.key = r.bytes()
    this.value = r.bytes()
    const count = r.varint()
    if (count > size || count < 0) return false
    if (count === 0) this.headers = NO_HEADERS
    else {
      const headers: RecordHeader[] = []
      for (let i = 0; i < count; i++) headers.push([r.bytes() ?? EMPTY, r.bytes()])
      this.headers = headers
    }
    if (r.at > end) return false
    r.at = end
    return true
  }

  #corruptRest(): Found {
    this.#left = 0
    this.offset = Math.max(this.position, this.#baseOffset)
    this.raw = this.#records.rest()
    this.why = 'a record batch ends before its records do'
    this.position = Math.max(this.position, this.#afterBatch)
    return 'corrupt'
  }

  #corrupt(base: number, at: number, size: number, why: string): Found {
    this.offset = Math.max(base, this.position)
    this.raw = this.#all.subarray(at, at + size)
    this.why = why
    this.position = Math.max(this.position, this.#afterBatch)
    return 'corrupt'
  }
}

/** Key of a control record: version int16, type int16 (0 = abort, 1 = commit). Control batches hold one, uncompressed. */
function isAbortMarker(records: Buffer): boolean {
  const r = new VarReader(records, 0)
  r.varint()
  r.at++
  r.varint()
  r.varint()
  const key = r.bytes()
  return key !== null && key.length >= 4 && key[2] === 0 && key[3] === 0
}

function decompress(bytes: Buffer, codec: number): Buffer {
  if (codec === 0) return bytes
  const algorithm = kafkaLibrary().compressionsAlgorithmsByBitmask[codec]
  if (algorithm === undefined) throw new Error(`compression ${codec} is not known`)
  return algorithm.decompressSync(bytes)
}

function readInt64(b: Buffer, at: number): number {
  return b.readInt32BE(at) * TWO_32 + b.readUInt32BE(at + 4)
}

import type { Connection, Reader, Writer } from '@platformatic/kafka'
import type { AbortedTransaction } from './aborted.ts'
import { kafkaLibrary } from './library.ts'

const FETCH = 1
/** Knows topics by id, so that a topic made anew under an old name is not taken for the old one. Kafka 3.1 and later. */
const VERSION = 13

/** Topic ids travel as 16 bytes; as a latin1 text of 16 characters they make a cheap key. */
export type TopicId = string

export function topicIdOf(uuid: string): TopicId {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex').toString('latin1')
}

export interface FetchPartition {
  readonly topicId: TopicId
  readonly partition: number
  readonly offset: number
  readonly maxBytes: number
}

export interface FetchRequest {
  readonly maxWaitMs: number
  readonly minBytes: number
  readonly maxBytes: number
  readonly committedOnly: boolean
  readonly sessionId: number
  readonly sessionEpoch: number
  readonly partitions: readonly FetchPartition[]
  readonly forgotten: readonly { readonly topicId: TopicId; readonly partition: number }[]
}

/** Takes one partition of an answer; called while the answer is parsed. `records` is a view into it. */
export type FetchedPartition = (
  topicId: TopicId,
  partition: number,
  code: number,
  /** End of what may be read: the last stable offset for `committedOnly`, else the high watermark; -1 = not told. */
  readableEnd: number,
  logStart: number,
  aborted: readonly AbortedTransaction[] | null,
  records: Buffer,
) => void

export interface FetchAnswer {
  readonly code: number
  readonly sessionId: number
}

/** One fetch, answered through `done` (an error = no answer). No promise: at low rates nearly every event is a fetch of its own. */
export function fetchRecords(
  connection: Connection,
  q: FetchRequest,
  each: FetchedPartition,
  done: (error: Error | null, answer: FetchAnswer | undefined) => void,
): void {
  connection.send(
    FETCH,
    VERSION,
    () => encodeFetch(q),
    (_correlation, _key, _version, reader: Reader) =>
      parseFetch(reader.buffer.slice(reader.position, reader.length), q.committedOnly, each),
    true,
    true,
    (error, answer) => done(error, answer ?? undefined),
  )
}

function encodeFetch(q: FetchRequest): Writer {
  const w = kafkaLibrary()
    .Writer.create()
    .appendInt32(-1)
    .appendInt32(q.maxWaitMs)
    .appendInt32(q.minBytes)
    .appendInt32(q.maxBytes)
    .appendInt8(q.committedOnly ? 1 : 0)
    .appendInt32(q.sessionId)
    .appendInt32(q.sessionEpoch)
  const topics = byTopic(q.partitions)
  w.appendUnsignedVarInt(topics.length + 1)
  for (const list of topics) {
    w.append(Buffer.from(list[0]?.topicId ?? '', 'latin1')).appendUnsignedVarInt(list.length + 1)
    for (const p of list) {
      w.appendInt32(p.partition).appendInt32(-1).appendInt64(BigInt(p.offset)).appendInt32(-1).appendInt64(-1n)
      w.appendInt32(p.maxBytes).appendInt8(0)
    }
    w.appendInt8(0)
  }
  const forgotten = byTopic(q.forgotten)
  w.appendUnsignedVarInt(forgotten.length + 1)
  for (const list of forgotten) {
    w.append(Buffer.from(list[0]?.topicId ?? '', 'latin1')).appendUnsignedVarInt(list.length + 1)
    for (const p of list) w.appendInt32(p.partition)
    w.appendInt8(0)
  }
  // No rack, no tagged fields.
  return w.appendUnsignedVarInt(1).appendInt8(0)
}

function byTopic<P extends { readonly topicId: TopicId }>(partitions: readonly P[]): P[][] {
  const lists = new Map<TopicId, P[]>()
  for (const p of partitions) {
    const list = lists.get(p.topicId)
    if (list === undefined) lists.set(p.topicId, [p])
    else list.push(p)
  }
  return [...lists.values()]
}

export function parseFetch(b: Buffer, committedOnly: boolean, each: FetchedPartition): FetchAnswer {
  const r = new FieldReader(b, 4)
  const code = r.int16()
  const sessionId = r.int32()
  for (let topics = r.count(); topics > 0; topics--) {
    const topicId = r.topicId()
    for (let partitions = r.count(); partitions > 0; partitions--) {
      const partition = r.int32()
      const partitionCode = r.int16()
      const highWatermark = r.int64()
      const lastStable = r.int64()
      const logStart = r.int64()
      const aborted = readAborted(r)
      r.at += 4
      const records = r.bytes()
      r.skipTags()
      each(
        topicId,
        partition,
        partitionCode,
        committedOnly ? lastStable : highWatermark,
        logStart,
        committedOnly ? aborted : null,
        records,
      )
    }
    r.skipTags()
  }
  return { code, sessionId }
}

function readAborted(r: FieldReader): readonly AbortedTransaction[] {
  const count = r.count()
  if (count <= 0) return NO_ABORTED
  const list: AbortedTransaction[] = []
  for (let i = 0; i < count; i++) {
    list.push({ producerId: r.int64(), firstOffset: r.int64() })
    r.skipTags()
  }
  return list
}

const NO_ABORTED: readonly AbortedTransaction[] = Object.freeze([])

/** Fields of the flexible protocol versions, with plain numbers. */
class FieldReader {
  readonly #b: Buffer
  at: number
  constructor(b: Buffer, at: number) {
    this.#b = b
    this.at = at
  }
  int16(): number {
    this.at += 2
    return this.#b.readInt16BE(this.at - 2)
  }
  int32(): number {
    this.at += 4
    return this.#b.readInt32BE(this.at - 4)
  }
  int64(): number {
    this.at += 8
    return this.#b.readInt32BE(this.at - 8) * 2 ** 32 + this.#b.readUInt32BE(this.at - 4)
  }
  topicId(): TopicId {
    this.at += 16
    return this.#b.toString('latin1', this.at - 16, this.at)
  }
  varint(): number {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = this.#b.readUInt8(this.at++)
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
  }
  /** Entries of a compact array; -1 = null. */
  count(): number {
    return this.varint() - 1
  }
  bytes(): Buffer {
    const size = this.varint() - 1
    if (size <= 0) return NOTHING
    this.at += size
    return this.#b.subarray(this.at - size, this.at)
  }
  skipTags(): void {
    for (let tags = this.varint(); tags > 0; tags--) {
      this.varint()
      const size = this.varint()
      this.at += size
    }
  }
}

const NOTHING = Buffer.alloc(0)

import type { Position, Undecodable } from '../contract/delivery.ts'
import type { CloudEvent } from '../event/event.ts'
import { decodeStored } from '../event/stored.ts'
import { Fault, messageOf } from '../runtime/errors.ts'

/**
 * Events are stored in blocks, one or a few a commit, since a write of LMDB costs about as much for one event as for
 * sixty-four: 5.7 µs an event by itself, 3.2 µs in a block, the flush included (measured with 300-byte events).
 */
const FORMAT = 1
/** A block is closed once it has as many bytes, or as many events. */
export const BLOCK_BYTES = 64 * 1024
export const BLOCK_EVENTS = 1_024

const HEAD_BYTES = 3

/**
 * Where the blocks of one commit are put together. Used again for the next commit, which begins only when this one has
 * ended: fresh memory of this size costs a tenth of the commit.
 */
export class BlockArena {
  readonly #memory = Buffer.allocUnsafeSlow(4 * BLOCK_BYTES)
  #used = 0

  /** The last commit has ended: its blocks are nobody's any more. */
  clear(): void {
    this.#used = 0
  }

  encode(records: readonly Uint8Array[]): Buffer {
    return encodeBlock(records, (bytes) => this.#take(bytes))
  }

  #take(bytes: number): Buffer {
    if (this.#used + bytes > this.#memory.length) return Buffer.allocUnsafe(bytes)
    this.#used += bytes
    return this.#memory.subarray(this.#used - bytes, this.#used)
  }
}

/** Version, number of events, where each one ends, then the events as `event/stored.ts` writes them; into what `take` gives. */
export function encodeBlock(records: readonly Uint8Array[], take: (bytes: number) => Buffer): Buffer {
  let bytes = HEAD_BYTES + records.length * 4
  for (const r of records) bytes += r.length
  const b = take(bytes)
  b[0] = FORMAT
  b.writeUInt16BE(records.length, 1)
  let at = HEAD_BYTES + records.length * 4
  for (let i = 0; i < records.length; i++) {
    b.set(records[i]!, at)
    at += records[i]!.length
    b.writeUInt32BE(at, HEAD_BYTES + i * 4)
  }
  return b
}

/** A block as it was read. */
export class Block {
  readonly first: Position
  readonly count: number
  readonly #bytes: Buffer

  constructor(first: Position, bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (this.#bytes[0] !== FORMAT) {
      throw new Fault('store.format', `a block of events has format ${this.#bytes[0]}, this version reads ${FORMAT}`)
    }
    this.first = first
    this.count = this.#bytes.readUInt16BE(1)
  }

  has(position: Position): boolean {
    return position >= this.first && position < this.first + this.count
  }

  /** The event at a position of this block, or its bytes when they are none. */
  at(position: Position): CloudEvent | Undecodable {
    const i = position - this.first
    const begin = i === 0 ? HEAD_BYTES + this.count * 4 : this.#bytes.readUInt32BE(HEAD_BYTES + (i - 1) * 4)
    const end = this.#bytes.readUInt32BE(HEAD_BYTES + i * 4)
    // A copy, since the event may wait long: one small event must not hold a block of 64 KiB in memory.
    const raw = Buffer.from(this.#bytes.subarray(begin, end))
    try {
      return decodeStored(raw)
    } catch (e) {
      return { raw, headers: [], why: `stored bytes are no event: ${messageOf(e)}` }
    }
  }
}

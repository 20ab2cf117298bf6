import type { Position, Undecodable } from '../contract/delivery.ts'
import type { CloudEvent } from '../event/event.ts'
import { decodeStored, encodeStored } from '../event/stored.ts'
import { Block, BLOCK_BYTES, BLOCK_EVENTS, encodeBlock } from './blocks.ts'

/**
 * Events in memory as bytes, in blocks, addressed by position. A collection of garbage does not look into them: as objects,
 * whatever is kept for replay would be copied and walked through again and again, for milliseconds at a time.
 */
export class PackedEvents {
  #blocks: Block[] = []
  /** Of the block that is being filled. */
  #records: Uint8Array[] = []
  #bytes = 0
  #next: Position

  /** Begins empty; the first event pushed has the position `next`. */
  constructor(next: Position) {
    this.#next = next
  }

  push(event: CloudEvent): void {
    const record = encodeStored(event)
    this.#records.push(record)
    this.#bytes += record.length
    this.#next++
    if (this.#bytes >= BLOCK_BYTES || this.#records.length === BLOCK_EVENTS) this.#close()
  }

  /** undefined = it is not here, or not any more. */
  get(position: Position): CloudEvent | Undecodable | undefined {
    if (position >= this.#next) return undefined
    const open = this.#records[position - (this.#next - this.#records.length)]
    if (open !== undefined) return decodeStored(open)
    let low = 0
    let high = this.#blocks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const block = this.#blocks[middle]!
      if (block.first + block.count <= position) low = middle + 1
      else high = middle
    }
    const block = this.#blocks[low]
    return block?.has(position) ? block.at(position) : undefined
  }

  /** Forgets whole blocks of which nothing is at or above `position`. */
  dropBelow(position: Position): void {
    let n = 0
    for (const { first, count } of this.#blocks) {
      if (first + count > position) break
      n++
    }
    if (n > 0) this.#blocks.splice(0, n)
    if (position >= this.#next) this.#clear()
  }

  #close(): void {
    this.#blocks.push(
      new Block(
        this.#next - this.#records.length,
        encodeBlock(this.#records, (n) => Buffer.allocUnsafeSlow(n)),
      ),
    )
    this.#clear()
  }

  #clear(): void {
    this.#records = []
    this.#bytes = 0
  }
}

import type { Position } from '../contract/delivery.ts'
import { blockFrom, BLOCKS_END, readBlockKey, type BlockKey } from '../store/keys.ts'
import type { Kv } from '../vendor/lmdb/kv.ts'

/** Samples kept in memory; when they are used up every other one goes, so that they cover any log evenly. */
const MOST_SAMPLES = 4_096
/** Samples looked up at the start. */
const FIRST_SAMPLES = 256

/** Where in a log what time and how many bytes are, from memory and about: never I/O. */
export class LogIndex {
  #samples: BlockKey[] = []
  /** Only every so many blocks is sampled. */
  #stride = 1
  #skipped = 0

  /** Samples what is in the store. */
  load(kv: Kv, first: Position, next: Position): void {
    const step = Math.max(1, Math.floor((next - first) / FIRST_SAMPLES))
    for (let at = first; at < next; at += step) {
      const key = kv.keys(blockFrom(at), BLOCKS_END, 1)[0]
      if (key === undefined) break
      const sample = readBlockKey(key)
      this.#samples.push(sample)
      at = Math.max(at, sample.first)
    }
  }

  add(block: BlockKey): void {
    if (++this.#skipped < this.#stride) return
    this.#skipped = 0
    this.#samples.push(block)
    if (this.#samples.length < MOST_SAMPLES) return
    this.#samples = this.#samples.filter((_, i) => i % 2 === 0)
    this.#stride *= 2
  }

  /** Nothing below is in the log any more. */
  dropBelow(position: Position): void {
    let n = 0
    while (n + 1 < this.#samples.length && this.#samples[n + 1]!.first <= position) n++
    if (n > 0) this.#samples.splice(0, n)
  }

  /** The last sample that begins at `position` or below; undefined for an empty log. */
  at(position: Position): BlockKey | undefined {
    let low = 0
    let high = this.#samples.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#samples[middle]!.first <= position) low = middle + 1
      else high = middle
    }
    return this.#samples[Math.max(0, low - 1)]
  }
}

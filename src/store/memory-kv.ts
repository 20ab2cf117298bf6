import type { Clock } from '../runtime/clock.ts'
import type { Batch, Entry, Kv } from '../vendor/lmdb/kv.ts'

/** The same ordered map without a disk: for streams in memory, and as the ground of doubles. Commits end in the next turn. */
export class MemoryKv implements Kv {
  readonly #clock: Clock
  readonly #values = new Map<string, Uint8Array>()
  /** Keys in order, as latin-1 text, which sorts as the bytes do. */
  readonly #keys: string[] = []
  #running = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#values.get(text(key))
  }

  range(from: Uint8Array, to: Uint8Array, most: number, reverse = false): Entry[] {
    return this.#names(from, to, most, reverse).map((k) => ({ key: Buffer.from(k, 'latin1'), value: this.#values.get(k)! }))
  }

  keys(from: Uint8Array, to: Uint8Array, most: number, reverse = false): Uint8Array[] {
    return this.#names(from, to, most, reverse).map((k) => Buffer.from(k, 'latin1'))
  }

  prefetch(_keys: readonly Uint8Array[], done: () => void): void {
    this.#clock.soon(done)
  }

  commit(write: (b: Batch) => void, done: (error: Error | undefined) => void): void {
    const batch = new MemoryBatch(
      (key, value) => this.#put(key, value),
      (key) => this.#remove(key),
    )
    write(batch)
    this.#running++
    this.#clock.soon(() => {
      this.#running--
      done(undefined)
    })
  }

  async close(): Promise<void> {
    while (this.#running > 0) await new Promise<void>((resolve) => this.#clock.soon(resolve))
  }

  #names(from: Uint8Array, to: Uint8Array, most: number, reverse: boolean): string[] {
    const begin = this.#find(text(from))
    const end = this.#find(text(to))
    if (!reverse) return this.#keys.slice(begin, Math.min(end, begin + most))
    return this.#keys.slice(Math.max(begin, end - most), end).toReversed()
  }

  #put(key: Uint8Array, value: Uint8Array): void {
    const name = text(key)
    // Copied, since the caller may use its buffer again once the commit has ended.
    if (!this.#values.has(name)) this.#keys.splice(this.#find(name), 0, name)
    this.#values.set(name, Uint8Array.from(value))
  }

  #remove(key: Uint8Array): void {
    const name = text(key)
    if (this.#values.delete(name)) this.#keys.splice(this.#find(name), 1)
  }

  /** Index of the first key that is not lower. */
  #find(name: string): number {
    let low = 0
    let high = this.#keys.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#keys[middle]! < name) low = middle + 1
      else high = middle
    }
    return low
  }
}

class MemoryBatch implements Batch {
  readonly #puts: (key: Uint8Array, value: Uint8Array) => void
  readonly #removes: (key: Uint8Array) => void
  size = 0

  constructor(puts: (key: Uint8Array, value: Uint8Array) => void, removes: (key: Uint8Array) => void) {
    this.#puts = puts
    this.#removes = removes
  }
  put(key: Uint8Array, value: Uint8Array): void {
    this.size++
    this.#puts(key, value)
  }
  remove(key: Uint8Array): void {
    this.size++
    this.#removes(key)
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

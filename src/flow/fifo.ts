/** First in, first out, in a ring that grows by doubling: no allocation an item, unlike an array that is shifted. */
export class Fifo<T> {
  #ring: (T | undefined)[] = emptyRing<T>(8)
  #head = 0
  #size = 0

  get size(): number {
    return this.#size
  }

  push(item: T): void {
    if (this.#size === this.#ring.length) this.#grow()
    this.#ring[(this.#head + this.#size) & (this.#ring.length - 1)] = item
    this.#size++
  }

  /** In front of everything else. */
  unshift(item: T): void {
    if (this.#size === this.#ring.length) this.#grow()
    this.#head = (this.#head - 1) & (this.#ring.length - 1)
    this.#ring[this.#head] = item
    this.#size++
  }

  peek(): T | undefined {
    return this.#ring[this.#head]
  }

  shift(): T | undefined {
    if (this.#size === 0) return undefined
    const item = this.#ring[this.#head]
    this.#ring[this.#head] = undefined
    this.#head = (this.#head + 1) & (this.#ring.length - 1)
    this.#size--
    return item
  }

  clear(): void {
    this.#ring = emptyRing<T>(8)
    this.#head = 0
    this.#size = 0
  }

  #grow(): void {
    const bigger = emptyRing<T>(this.#ring.length * 2)
    for (let i = 0; i < this.#size; i++) bigger[i] = this.#ring[(this.#head + i) & (this.#ring.length - 1)]
    this.#ring = bigger
    this.#head = 0
  }
}

const emptyRing = <T>(length: number): (T | undefined)[] => Array.from({ length }, () => undefined)

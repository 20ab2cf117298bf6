/** A bit set over small integers that finds its lowest and highest member without looking at the others. */
export class OrderedBits {
  readonly #words: number[] = []
  /** One bit a word that is not zero: 1,024 members are found by two looks. */
  readonly #summary: number[] = []

  set(i: number): void {
    const w = i >>> 5
    while (this.#words.length <= w) this.#words.push(0)
    this.#words[w] = this.#words[w]! | (1 << (i & 31))
    const s = w >>> 5
    while (this.#summary.length <= s) this.#summary.push(0)
    this.#summary[s] = this.#summary[s]! | (1 << (w & 31))
  }

  clear(i: number): void {
    const w = i >>> 5
    if (w >= this.#words.length) return
    const left = this.#words[w]! & ~(1 << (i & 31))
    this.#words[w] = left
    if (left === 0) this.#summary[w >>> 5] = this.#summary[w >>> 5]! & ~(1 << (w & 31))
  }

  /** -1 = empty. */
  first(): number {
    for (let s = 0; s < this.#summary.length; s++) {
      const some = this.#summary[s]!
      if (some === 0) continue
      const w = (s << 5) + lowestBit(some)
      return (w << 5) + lowestBit(this.#words[w]!)
    }
    return -1
  }

  /** -1 = empty. */
  last(): number {
    for (let s = this.#summary.length - 1; s >= 0; s--) {
      const some = this.#summary[s]!
      if (some === 0) continue
      const w = (s << 5) + 31 - Math.clz32(some)
      return (w << 5) + 31 - Math.clz32(this.#words[w]!)
    }
    return -1
  }
}

const lowestBit = (x: number): number => 31 - Math.clz32(x & -x)

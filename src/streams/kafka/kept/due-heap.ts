/** Offsets in order of their due time, those of one time in their own order; sixteen bytes each and nothing else. */
export class DueHeap {
  readonly #due: number[] = []
  readonly #offset: number[] = []

  get size(): number {
    return this.#due.length
  }

  /** When the first is due, wall-clock ms; Infinity = there is none. */
  get nextMs(): number {
    return this.#due[0] ?? Infinity
  }

  push(dueMs: number, offset: number): void {
    let at = this.#due.length
    this.#due.push(dueMs)
    this.#offset.push(offset)
    while (at > 0) {
      const above = (at - 1) >> 1
      if (!this.#before(at, above)) return
      this.#swap(at, above)
      at = above
    }
  }

  /** Takes the first out and returns its offset, -1 = there is none. */
  pop(): number {
    const first = this.#offset[0] ?? -1
    const due = this.#due.pop()
    const offset = this.#offset.pop()
    if (due === undefined || offset === undefined || this.#due.length === 0) return first
    this.#due[0] = due
    this.#offset[0] = offset
    this.#sink()
    return first
  }

  clear(): void {
    this.#due.length = 0
    this.#offset.length = 0
  }

  #sink(): void {
    for (let at = 0; ;) {
      const left = 2 * at + 1
      if (left >= this.#due.length) return
      const child = left + 1 < this.#due.length && this.#before(left + 1, left) ? left + 1 : left
      if (!this.#before(child, at)) return
      this.#swap(at, child)
      at = child
    }
  }

  #before(a: number, b: number): boolean {
    const dueA = this.#due[a] as number
    const dueB = this.#due[b] as number
    return dueA < dueB || (dueA === dueB && (this.#offset[a] as number) < (this.#offset[b] as number))
  }

  #swap(a: number, b: number): void {
    const due = this.#due[a] as number
    const offset = this.#offset[a] as number
    this.#due[a] = this.#due[b] as number
    this.#offset[a] = this.#offset[b] as number
    this.#due[b] = due
    this.#offset[b] = offset
  }
}

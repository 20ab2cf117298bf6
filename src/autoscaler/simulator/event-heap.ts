/** What happens next in simulated time: a heap over two flat arrays, no object an event. */
export class EventHeap {
  #at = new Float64Array(1024)
  #what = new Int32Array(1024)
  #size = 0

  get nextMs(): number {
    return this.#size === 0 ? Infinity : this.#at[0]!
  }

  push(atMs: number, what: number): void {
    if (this.#size === this.#at.length) this.#grow()
    const at = this.#at
    let i = this.#size++
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (at[parent]! <= atMs) break
      at[i] = at[parent]!
      this.#what[i] = this.#what[parent]!
      i = parent
    }
    at[i] = atMs
    this.#what[i] = what
  }

  /** The payload of the earliest event. */
  pop(): number {
    const at = this.#at
    const what = this.#what
    const top = what[0]!
    const size = --this.#size
    const lastAt = at[size]!
    const lastWhat = what[size]!
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= size) break
      if (child + 1 < size && at[child + 1]! < at[child]!) child++
      if (at[child]! >= lastAt) break
      at[i] = at[child]!
      what[i] = what[child]!
      i = child
    }
    at[i] = lastAt
    what[i] = lastWhat
    return top
  }

  #grow(): void {
    const at = new Float64Array(this.#at.length * 2)
    at.set(this.#at)
    this.#at = at
    const what = new Int32Array(this.#what.length * 2)
    what.set(this.#what)
    this.#what = what
  }
}

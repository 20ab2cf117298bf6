import { assert } from '../runtime/errors.ts'

/** Most positions between the lowest unsettled and the highest read of one subscription (DESIGN §6). */
export const LONGEST_WINDOW = 65_536

/**
 * The unsettled positions of one subscription, in any order of settling: a ring of bits over [floor, floor + span).
 * 65,536 positions are 8 KiB; a subscription that keeps up stays at 128 bytes.
 */
export class Window {
  #bits = new Uint32Array(32)
  #mask = 32 * 32 - 1
  #floor = 0
  #top = 0
  #count = 0

  /** How many are unsettled. */
  get count(): number {
    return this.#count
  }

  /** The lowest unsettled position, 0 = none. */
  get floor(): number {
    return this.#count === 0 ? 0 : this.#floor
  }

  /** Whether `position` may be added without the window growing past its bound. */
  fits(position: number): boolean {
    return this.#count === 0 || Math.max(this.#top, position) - Math.min(this.#floor, position) < LONGEST_WINDOW
  }

  has(position: number): boolean {
    return this.#count > 0 && position >= this.#floor && position <= this.#top && this.#bit(position)
  }

  /** Marks `position` unsettled; false when it was already. */
  add(position: number): boolean {
    if (this.#count === 0) {
      this.#floor = this.#top = position
    } else {
      if (this.has(position)) return false
      assert(this.fits(position), `position ${position} outside the window from ${this.#floor}`)
      const floor = Math.min(this.#floor, position)
      const top = Math.max(this.#top, position)
      if (top - floor > this.#mask) this.#grow(top - floor + 1)
      this.#floor = floor
      this.#top = top
    }
    this.#bits[(position & this.#mask) >>> 5]! |= 1 << (position & 31)
    this.#count++
    return true
  }

  /** Marks `position` settled; false when it was not unsettled. */
  delete(position: number): boolean {
    if (!this.has(position)) return false
    this.#bits[(position & this.#mask) >>> 5]! &= ~(1 << (position & 31))
    this.#count--
    if (this.#count > 0 && position === this.#floor) this.#floor = this.#after(position)
    return true
  }

  clear(): void {
    this.#bits.fill(0)
    this.#count = 0
  }

  /** Every unsettled position, lowest first. */
  positions(): number[] {
    const out: number[] = []
    for (let left = this.#count, p = this.#floor; left > 0; left--) {
      out.push(p)
      if (left > 1) p = this.#after(p)
    }
    return out
  }

  /** Run lengths from the floor on: unsettled, settled, unsettled, … ending with a run of unsettled ones. */
  runs(): number[] {
    const runs: number[] = []
    let end = 0
    for (const p of this.positions()) {
      if (runs.length === 0) runs.push(1)
      else if (p === end) runs[runs.length - 1]!++
      else runs.push(p - end, 1)
      end = p + 1
    }
    return runs
  }

  static of(floor: number, runs: readonly number[]): Window {
    const w = new Window()
    let p = floor
    runs.forEach((length, i) => {
      if (i % 2 === 0) for (let k = 0; k < length; k++) w.add(p + k)
      p += length
    })
    return w
  }

  /** The next unsettled position above `position`; there must be one. Skips whole words of settled ones. */
  #after(position: number): number {
    let p = position + 1
    while (p <= this.#top) {
      const word = this.#bits[(p & this.#mask) >>> 5]! >>> (p & 31)
      if (word !== 0) return p + (31 - Math.clz32(word & -word))
      p += 32 - (p & 31)
    }
    throw new Error(`invariant broken: no unsettled position above ${position}`)
  }

  // Positions above 2^32 work, since `&` keeps the low bits of any safe integer: ToInt32 is modulo 2^32.
  #bit(position: number): boolean {
    return (this.#bits[(position & this.#mask) >>> 5]! & (1 << (position & 31))) !== 0
  }

  #grow(span: number): void {
    let size = this.#mask + 1
    while (size < span) size *= 2
    const held = this.positions()
    this.#bits = new Uint32Array(size >>> 5)
    this.#mask = size - 1
    for (const p of held) this.#bits[(p & this.#mask) >>> 5]! |= 1 << (p & 31)
  }
}

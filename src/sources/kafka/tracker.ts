import { assert } from '../../runtime/errors.ts'

/**
 * States of a position that was read:
 *
 *   take ──> running ──settle──> settled ──(all below settled)──> gone from the window, committable
 *              │  ^
 *      release │  │ take, when it is read again
 *              v  │
 *           released ──beginReread──> awaited ──endReread: no longer in the log──> settled
 */
const RUNNING = 1
const SETTLED = 2
const RELEASED = 3
const AWAITED = 4

/** At most so many positions between the lowest unsettled and the highest read; then reading stops. */
export const WINDOW = 65_536

/**
 * What has become of the positions of one partition. Everything below `committable` is settled. Offsets that hold no
 * record for us (markers, aborted, compacted) take no room: positions are counted by ordinal, not by offset.
 * Rings of plain numbers: a settle costs two array accesses, a record 17 bytes, and nothing is allocated an event.
 */
export class PositionTracker {
  /** Next offset to be read for the first time. */
  #position: number
  #offsets = new Float64Array(64)
  #times = new Float64Array(64)
  #states = new Uint8Array(64)
  #mask = 63
  #first = 0
  #next = 0
  #released = 0
  #awaited = 0
  /** Flat runs [from, to) settled by whoever had the partition before us and not reached yet. */
  #before: readonly number[]
  #beforeAt = 0
  /** Goes up whenever what a commit would say may have changed. */
  version = 0

  constructor(committed: number, settledAbove: readonly number[]) {
    this.#position = committed
    this.#before = settledAbove
  }

  get position(): number {
    return this.#position
  }

  /** What may be committed: the lowest offset that is not settled. */
  get committable(): number {
    return this.#first < this.#next ? this.#offsetAt(this.#first) : this.#position
  }

  /** Positions held between the lowest unsettled and the highest read. */
  get window(): number {
    return this.#next - this.#first
  }

  /** Timestamp of the oldest unsettled record, 0 = none. */
  get oldestMs(): number {
    return this.#first < this.#next ? (this.#times[this.#first & this.#mask] ?? 0) : 0
  }

  get released(): number {
    return this.#released
  }

  /** The ordinal under which the record runs from now on, or -1: it is settled or runs already. */
  take(offset: number, timeMs: number): number {
    if (offset > this.#position) this.passTo(offset)
    if (offset < this.#position) return this.#takeAgain(offset)
    if (this.#next - this.#first === this.#states.length) this.#grow()
    const ordinal = this.#next++
    const i = ordinal & this.#mask
    this.#offsets[i] = offset
    this.#times[i] = timeMs
    this.#states[i] = RUNNING
    this.passTo(offset + 1)
    return ordinal
  }

  /** Everything below `offset` has been seen: what was not taken holds no record for us. */
  passTo(offset: number): void {
    if (offset <= this.#position) return
    this.#position = offset
    this.version++
    while (this.#beforeAt + 1 < this.#before.length && (this.#before[this.#beforeAt] ?? 0) <= this.#position) {
      this.#position = Math.max(this.#position, this.#before[this.#beforeAt + 1] ?? 0)
      this.#beforeAt += 2
    }
  }

  /** Idempotent. */
  settle(ordinal: number): void {
    if (ordinal < this.#first || ordinal >= this.#next) return
    const i = ordinal & this.#mask
    const was = this.#states[i]
    if (was === SETTLED) return
    if (was === RELEASED) this.#released--
    else if (was === AWAITED) this.#awaited--
    this.#states[i] = SETTLED
    this.version++
    if (ordinal !== this.#first) return
    do this.#first++
    while (this.#first < this.#next && this.#states[this.#first & this.#mask] === SETTLED)
  }

  /** Not settled and not running any more: it has to be read again. */
  release(ordinal: number): void {
    if (ordinal < this.#first || ordinal >= this.#next) return
    const i = ordinal & this.#mask
    if (this.#states[i] !== RUNNING) return
    this.#states[i] = RELEASED
    this.#released++
  }

  /** The ordinal of an offset that is held, or -1. */
  find(offset: number): number {
    let low = this.#first
    let high = this.#next - 1
    while (low <= high) {
      const middle = Math.floor((low + high) / 2)
      const at = this.#offsetAt(middle)
      if (at === offset) return middle
      if (at < offset) low = middle + 1
      else high = middle - 1
    }
    return -1
  }

  /** Where reading has to begin again so that everything released comes by, or -1. */
  beginReread(): number {
    let from = -1
    for (let o = this.#first; o < this.#next; o++) {
      const i = o & this.#mask
      if (this.#states[i] === RELEASED) {
        this.#states[i] = AWAITED
        this.#awaited++
        this.#released--
      }
      if (from < 0 && this.#states[i] === AWAITED) from = this.#offsets[i] ?? 0
    }
    return from
  }

  /**
   * Reading has come to `offset`. What was awaited below it is no longer in the log (retention, compaction) and counts
   * as settled; returns how many those are.
   */
  endReread(offset: number): number {
    if (this.#awaited === 0) return 0
    const gone: number[] = []
    for (let o = this.#first; o < this.#next && this.#offsetAt(o) < offset; o++)
      if (this.#states[o & this.#mask] === AWAITED) gone.push(o)
    for (const o of gone) this.settle(o)
    return gone.length
  }

  /** Flat runs [from, to) of settled offsets above `committable`, read by us or known from before. */
  settledAbove(): number[] {
    const runs: number[] = []
    let last = -1
    for (let o = this.#first; o < this.#next; o++) {
      const i = o & this.#mask
      if (this.#states[i] === SETTLED) continue
      const at = this.#offsets[i] ?? 0
      if (last >= 0 && at > last + 1) runs.push(last + 1, at)
      last = at
    }
    if (last >= 0 && this.#position > last + 1) runs.push(last + 1, this.#position)
    for (let i = this.#beforeAt; i < this.#before.length; i++) runs.push(this.#before[i] ?? 0)
    return runs
  }

  #takeAgain(offset: number): number {
    const ordinal = this.find(offset)
    if (ordinal < 0) return -1
    const i = ordinal & this.#mask
    const was = this.#states[i]
    if (was === RELEASED) this.#released--
    else if (was === AWAITED) this.#awaited--
    else return -1
    this.#states[i] = RUNNING
    return ordinal
  }

  #offsetAt(ordinal: number): number {
    return this.#offsets[ordinal & this.#mask] ?? 0
  }

  #grow(): void {
    const old = this.#states.length
    assert(old < 4 * WINDOW, `a partition holds at most ${4 * WINDOW} positions`)
    const offsets = new Float64Array(old * 2)
    const times = new Float64Array(old * 2)
    const states = new Uint8Array(old * 2)
    const mask = old * 2 - 1
    for (let o = this.#first; o < this.#next; o++) {
      offsets[o & mask] = this.#offsets[o & this.#mask] ?? 0
      times[o & mask] = this.#times[o & this.#mask] ?? 0
      states[o & mask] = this.#states[o & this.#mask] ?? 0
    }
    this.#offsets = offsets
    this.#times = times
    this.#states = states
    this.#mask = mask
  }
}

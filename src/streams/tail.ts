import type { Position } from '../contract/delivery.ts'
import type { CloudEvent } from '../event/event.ts'

/** The youngest events of a log, in memory: a ring that grows as it must, addressed by position. */
export class Tail {
  #events: (CloudEvent | undefined)[] = Array.from({ length: 64 })
  #times = new Float64Array(64)
  /** Bytes pushed before each event, since the beginning. */
  #before = new Float64Array(64)
  #mask = 63
  #first: Position
  #next: Position
  #total = 0

  /** Begins empty; the first event pushed has the position `next`. */
  constructor(next: Position) {
    this.#first = this.#next = next
  }

  /** Lowest position it has, `next` when it is empty. */
  get first(): Position {
    return this.#first
  }
  /** One above the highest. */
  get next(): Position {
    return this.#next
  }
  get bytes(): number {
    return this.bytesFrom(this.#first)
  }

  push(event: CloudEvent, timeMs: number, bytes: number): void {
    if (this.#next - this.#first > this.#mask) this.#resize((this.#mask + 1) * 2)
    const slot = this.#next & this.#mask
    this.#events[slot] = event
    this.#times[slot] = timeMs
    this.#before[slot] = this.#total
    this.#next++
    this.#total += bytes
  }

  get(position: Position): CloudEvent | undefined {
    return position < this.#first || position >= this.#next ? undefined : this.#events[position & this.#mask]
  }
  timeOf(position: Position): number {
    return position < this.#first || position >= this.#next ? 0 : this.#times[position & this.#mask]!
  }
  sizeOf(position: Position): number {
    return this.bytesFrom(position) - this.bytesFrom(position + 1)
  }
  /** Bytes of the events from `position` on. */
  bytesFrom(position: Position): number {
    if (position >= this.#next) return 0
    return this.#total - this.#before[Math.max(position, this.#first) & this.#mask]!
  }

  /** The first position taken at `timeMs` or later; `next` when there is none. Times never decrease. */
  positionAt(timeMs: number): Position {
    let low = this.#first
    let high = this.#next
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if (this.timeOf(middle) < timeMs) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Forgets the event at a position, but neither its time nor its size. */
  release(position: Position): void {
    if (position >= this.#first && position < this.#next) this.#events[position & this.#mask] = undefined
  }

  /** Forgets everything below `position`. */
  dropBelow(position: Position): void {
    const end = Math.min(position, this.#next)
    for (; this.#first < end; this.#first++) this.#events[this.#first & this.#mask] = undefined
    // What a burst has made it grow to is given back once it is over.
    if (this.#first === this.#next && this.#mask >= 4_096) this.#resize(64)
  }

  #resize(size: number): void {
    const events: (CloudEvent | undefined)[] = Array.from({ length: size })
    const times = new Float64Array(size)
    const before = new Float64Array(size)
    for (let p = this.#first; p < this.#next; p++) {
      const slot = p & this.#mask
      events[p & (size - 1)] = this.#events[slot]
      times[p & (size - 1)] = this.#times[slot]!
      before[p & (size - 1)] = this.#before[slot]!
    }
    this.#events = events
    this.#times = times
    this.#before = before
    this.#mask = size - 1
  }
}

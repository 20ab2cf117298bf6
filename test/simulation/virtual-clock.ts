import type { Clock, Timer } from '../../src/runtime/clock.ts'

interface Entry extends Timer {
  readonly dueMs: number
  readonly serial: number
  run: (() => void) | null
}

/** A clock that stands still until it is moved. Timers fire in the order of their due times, then of their making. */
export class VirtualClock implements Clock {
  #nowMs: number
  readonly #wallAtStartMs: number
  #serial = 0
  /** A heap by due time. */
  readonly #heap: Entry[] = []
  #soon: (() => void)[] = []

  constructor(wallMs = 1_750_000_000_000) {
    this.#nowMs = 0
    this.#wallAtStartMs = wallMs
  }

  now(): number {
    return this.#nowMs
  }
  wall(): number {
    return this.#wallAtStartMs + Math.floor(this.#nowMs)
  }
  after(ms: number, f: () => void): Timer {
    const entry: Entry = {
      dueMs: this.#nowMs + Math.max(0, ms),
      serial: this.#serial++,
      run: f,
      cancel: () => {
        entry.run = null
      },
    }
    this.#push(entry)
    return entry
  }
  every(ms: number, f: () => void): Timer {
    let timer: Timer
    const again = (): void => {
      timer = this.after(ms, again)
      f()
    }
    timer = this.after(ms, again)
    return { cancel: () => timer.cancel() }
  }
  soon(f: () => void): void {
    this.#soon.push(f)
  }

  /** Monotonic ms of the next timer, Infinity = none. */
  get nextMs(): number {
    this.#dropCancelled()
    return this.#heap[0]?.dueMs ?? Infinity
  }

  /** Runs what was put off to the end of the turn, what that puts off included. */
  settle(): void {
    for (let turns = 0; this.#soon.length > 0; turns++) {
      if (turns > 100_000) throw new Error('the turn never ends')
      const soon = this.#soon
      this.#soon = []
      for (const f of soon) f()
    }
  }

  /** Moves by `ms`; every timer on the way fires at its own time. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms
    this.settle()
    while (this.nextMs <= untilMs) this.step()
    this.#nowMs = untilMs
  }

  /** Moves to the next timer and fires it. false = there is none. */
  step(): boolean {
    this.settle()
    if (this.nextMs === Infinity) return false
    const entry = this.#pop()
    this.#nowMs = Math.max(this.#nowMs, entry.dueMs)
    const run = entry.run
    entry.run = null
    run?.()
    this.settle()
    return true
  }

  #dropCancelled(): void {
    while (this.#heap.length > 0 && this.#heap[0]!.run === null) this.#pop()
  }

  #push(entry: Entry): void {
    const heap = this.#heap
    let i = heap.push(entry) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!before(heap[i]!, heap[parent]!)) break
      ;[heap[i], heap[parent]] = [heap[parent]!, heap[i]!]
      i = parent
    }
  }

  #pop(): Entry {
    const heap = this.#heap
    const top = heap[0]!
    const last = heap.pop()!
    if (heap.length > 0) {
      heap[0] = last
      let i = 0
      for (;;) {
        const left = 2 * i + 1
        const right = left + 1
        let least = i
        if (left < heap.length && before(heap[left]!, heap[least]!)) least = left
        if (right < heap.length && before(heap[right]!, heap[least]!)) least = right
        if (least === i) break
        ;[heap[i], heap[least]] = [heap[least]!, heap[i]!]
        i = least
      }
    }
    return top
  }
}

const before = (a: Entry, b: Entry): boolean => a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.serial < b.serial)

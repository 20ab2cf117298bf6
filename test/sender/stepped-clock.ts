import type { Clock } from '../../src/runtime/clock.ts'

interface Due {
  readonly atMs: number
  readonly f: () => void
  readonly everyMs: number
}

/** Time that only `advance` moves, over real sockets: a time-out happens exactly where a test wants it. */
export class SteppedClock implements Clock {
  nowMs = 1_000
  #due: Due[] = []

  now(): number {
    return this.nowMs
  }

  wall(): number {
    return Date.UTC(2026, 10, 1) + Math.round(this.nowMs)
  }

  after(ms: number, f: () => void): { cancel(): void } {
    return this.#add({ atMs: this.nowMs + ms, f, everyMs: 0 })
  }

  every(ms: number, f: () => void): { cancel(): void } {
    return this.#add({ atMs: this.nowMs + ms, f, everyMs: ms })
  }

  soon(f: () => void): void {
    setImmediate(f)
  }

  timers(): number {
    return this.#due.length
  }

  /** Runs what falls due, in order, each at its time. */
  advance(ms: number): void {
    const endMs = this.nowMs + ms
    for (;;) {
      const [next] = this.#due.filter((d) => d.atMs <= endMs).sort((a, b) => a.atMs - b.atMs)
      if (next === undefined) break
      this.#due = this.#due.filter((d) => d !== next)
      this.nowMs = Math.max(this.nowMs, next.atMs)
      if (next.everyMs > 0) this.#add({ ...next, atMs: next.atMs + next.everyMs })
      next.f()
    }
    this.nowMs = endMs
  }

  #add(d: Due): { cancel(): void } {
    this.#due.push(d)
    return { cancel: () => (this.#due = this.#due.filter((x) => x !== d)) }
  }
}

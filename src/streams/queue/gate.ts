import type { Clock } from '../../runtime/clock.ts'

/** A subscription that cannot be made (the system is away) holds up nobody for longer than this. */
const MOST_MS = 10_000

/** Lets appends through in their order, but not while a subscription is being made. */
export class Gate {
  readonly #clock: Clock
  readonly #waiting: ((closed: boolean) => void)[] = []
  #shut = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get open(): boolean {
    return this.#shut === 0
  }

  /** Until `ready` resolves, for a few seconds at most. */
  shut(ready: Promise<void>): void {
    this.#shut++
    let over = false
    const end = (): void => {
      if (over) return
      over = true
      timer.cancel()
      if (--this.#shut === 0) this.#letThrough(false)
    }
    const timer = this.#clock.after(MOST_MS, end)
    void ready.then(end, end)
  }

  /** `f` is called when it opens, or with `true` when it never will. */
  wait(f: (closed: boolean) => void): void {
    this.#waiting.push(f)
  }

  close(): void {
    this.#letThrough(true)
  }

  #letThrough(closed: boolean): void {
    for (const f of this.#waiting.splice(0)) f(closed)
  }
}

import type { Clock } from '../runtime/clock.ts'
import type { Lane } from './walk.ts'

interface Departure {
  readonly lanes: readonly Lane[]
  readonly done: () => void
}

/** Waits for lanes to be empty: a revoke, a removal, the end of the gateway. */
export class Departures {
  readonly #waiting = new Set<Departure>()
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Resolves when no delivery of these lanes is in memory. At `deadlineMs` (monotonic) `handBack` has to see to that. */
  empty(lanes: readonly Lane[], deadlineMs: number, handBack: () => void): Promise<void> {
    return new Promise((resolve) => {
      if (isEmpty(lanes)) return resolve()
      const timer = deadlineMs === Infinity ? null : this.#clock.after(Math.max(0, deadlineMs - this.#clock.now()), handBack)
      const departure: Departure = {
        lanes,
        done: () => {
          timer?.cancel()
          this.#waiting.delete(departure)
          resolve()
        },
      }
      this.#waiting.add(departure)
    })
  }

  /** A delivery has left this lane. */
  left(lane: Lane): void {
    if (this.#waiting.size === 0 || lane.count > 0) return
    for (const d of this.#waiting) if (isEmpty(d.lanes)) d.done()
  }
}

const isEmpty = (lanes: readonly Lane[]): boolean => lanes.every((lane) => lane.count === 0)

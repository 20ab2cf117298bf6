/** How much of a second may be caught up after a pause: enough for timers of 1 ms at any rate, too little to be felt. */
const BURST_S = 0.1

/**
 * A rate limit by the generic cell rate algorithm: `T = 1000 / rate`, `tau = T * (burst - 1)`, conforming when
 * `now >= tat - tau`. It begins with an empty bucket, so there is no burst at the start; after a pause at most a tenth
 * of a second's worth (one at least) is caught up.
 */
export class Rate {
  readonly #spacingMs: number
  readonly #toleranceMs: number
  /** Theoretical arrival time of the next one. */
  #dueMs: number

  constructor(perS: number, nowMs: number) {
    this.#spacingMs = 1000 / perS
    this.#toleranceMs = this.#spacingMs * (Math.max(1, Math.floor(perS * BURST_S)) - 1)
    this.#dueMs = nowMs + this.#toleranceMs
  }

  /** How long the next one has to wait, 0 = it may go. Takes nothing. */
  waitMs(nowMs: number): number {
    return Math.max(0, this.#dueMs - this.#toleranceMs - nowMs)
  }

  /** One goes. Only after `waitMs` said 0. */
  take(nowMs: number): void {
    this.#dueMs = Math.max(this.#dueMs, nowMs) + this.#spacingMs
  }
}

/** The longest a fetch waits at the broker while nothing comes. */
export const IDLE_WAIT_MS = 250

/**
 * The same while a partition is left out of the fetch though it has more to read: its gate may open any moment, and it
 * can join only the next fetch. Measured with one stuck partition of 16: a fixed 250 ms cost the others two thirds.
 */
export const CLOSED_WAIT_MS = 10

/** How long the next fetch may wait at the broker. */
export function fetchWaitMs(someLeftOutWithBacklog: boolean): number {
  return someLeftOutWithBacklog ? CLOSED_WAIT_MS : IDLE_WAIT_MS
}

/** What gathers under a pause of this length is worth more than the wait costs: a fifth of the CPU at 1,000 events a second. */
const PAUSE_MS = 2

/** Answers this close together are steady traffic. */
const STEADY_GAP_MS = 4

/** With more events an answer the cost of a fetch is spread well enough. */
const FEW_EVENTS = 4

/** Weight of the newest gap in the running mean. */
const NEWEST = 0.2

/**
 * Whether the loop of one broker pauses a moment before it fetches again, so that at a steady thousand events a second
 * a fetch brings a few of them instead of one. Never when traffic is sparse: then the next event would wait for
 * nothing; never when answers are full: then they are cheap already.
 */
export class FetchPace {
  #meanGapMs = Infinity
  #lastMs = -Infinity

  /** After an answer with `events` records at `nowMs` (monotonic): ms to pause before the next fetch. */
  pauseMs(events: number, nowMs: number): number {
    const gapMs = nowMs - this.#lastMs
    this.#lastMs = nowMs
    if (events === 0 || gapMs > 10 * STEADY_GAP_MS) {
      this.#meanGapMs = Infinity
      return 0
    }
    this.#meanGapMs = this.#meanGapMs === Infinity ? 2 * STEADY_GAP_MS : this.#meanGapMs + (gapMs - this.#meanGapMs) * NEWEST
    return this.#meanGapMs <= STEADY_GAP_MS && events <= FEW_EVENTS ? PAUSE_MS : 0
  }
}

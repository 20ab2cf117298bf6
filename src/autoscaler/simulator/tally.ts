/** Steps of the histogram of waits for each doubling: one step is 4 %. */
const STEPS = 17
/** "Waited" = longer than this for lack of a slot. */
export const WAITED_MS = 10

/** What a run is counted by. */
export class Tally {
  requests = 0
  waited = 0
  lost = 0
  longestMs = 0
  podMs = 0
  idlePodMs = 0
  queueMs = 0
  mostPods = 0
  scaleUps = 0
  busyStopped = 0
  overLimit = 0
  readonly #waits = new Float64Array(STEPS * 32)

  wait(ms: number): void {
    this.requests++
    if (ms <= 1) return
    if (ms > WAITED_MS) this.waited++
    if (ms > this.longestMs) this.longestMs = ms
    this.#waits[Math.min(this.#waits.length - 1, Math.floor(Math.log2(ms) * STEPS) + 1)]!++
  }

  /** The wait that this share of the requests stay under, ms, within 4 %. */
  percentile(share: number): number {
    let above = this.requests * (1 - share)
    for (let i = this.#waits.length - 1; i > 0; i--) {
      above -= this.#waits[i]!
      if (above < 0) return Math.min(this.longestMs, 2 ** (i / STEPS))
    }
    return 0
  }
}

/** Bounds in seconds: Knative's, with finer ones below 5 ms where this gateway works. */
export const LATENCY_BOUNDS_S: readonly number[] = [
  0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
]

/** What a histogram held at one instant; never changes. */
export interface Distribution {
  /** By bucket, not cumulative; one more than the bounds. */
  readonly counts: Float64Array
  readonly sumS: number
  readonly count: number
}

/** Counts by bucket as plain numbers; adding costs one binary search and no allocation. */
export class Histogram {
  readonly #counts = new Float64Array(LATENCY_BOUNDS_S.length + 1)
  #sumS = 0
  #count = 0

  /** A bound belongs to the bucket below it, as Prometheus' `le` wants. */
  add(ms: number): void {
    const seconds = ms / 1000
    let low = 0
    let high = LATENCY_BOUNDS_S.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (seconds <= (LATENCY_BOUNDS_S[middle] ?? Infinity)) high = middle
      else low = middle + 1
    }
    this.#counts[low]! += 1
    this.#sumS += seconds
    this.#count++
  }

  copy(): Distribution {
    return { counts: this.#counts.slice(), sumS: this.#sumS, count: this.#count }
  }
}

export function sumOf(a: Distribution, b: Distribution): Distribution {
  return { counts: a.counts.map((n, i) => n + (b.counts[i] ?? 0)), sumS: a.sumS + b.sumS, count: a.count + b.count }
}

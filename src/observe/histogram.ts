/** Bounds in seconds: Knative's, with finer ones below 5 ms where this gateway works. */
export const LATENCY_BOUNDS_S: readonly number[] = [
  0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
]

/** Counts by bucket as plain numbers; adding costs one binary search and no allocation. */
export interface Histogram {
  add(ms: number): void
  /** Not cumulative; one more than the bounds. */
  readonly counts: Float64Array
  sumS(): number
  count(): number
}

export function createHistogram(bounds: readonly number[] = LATENCY_BOUNDS_S): Histogram {
  const counts = new Float64Array(bounds.length + 1)
  let sum = 0
  let count = 0
  return {
    counts,
    add(ms) {
      const seconds = ms / 1000
      let low = 0
      let high = bounds.length
      while (low < high) {
        const middle = (low + high) >>> 1
        if (seconds <= (bounds[middle] ?? Infinity)) high = middle
        else low = middle + 1
      }
      counts[low] = (counts[low] ?? 0) + 1
      sum += seconds
      count++
    },
    sumS: () => sum,
    count: () => count,
  }
}

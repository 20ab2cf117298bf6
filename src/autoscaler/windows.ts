import type { KpaSpec, MetricWindows, ScaleSpec } from '../contract/decider.ts'

/** The least weight of the newest second, and how much of all weight must lie inside the window. Reference §1.2 */
const LEAST_COEFFICIENT = 0.2
const WEIGHT_INSIDE = 0.9999

/**
 * One window of Knative's autoscaler: a ring of one-second buckets, values of one second added up. Times are whole seconds of
 * any epoch; a bucket's place is its second modulo the size, so the epoch does not matter.
 */
export class SecondBuckets {
  #buckets: Float64Array
  #firstS = -1
  #lastS = -Infinity
  #total = 0

  constructor(windowS: number) {
    this.#buckets = new Float64Array(Math.max(1, Math.ceil(windowS)))
  }

  get windowS(): number {
    return this.#buckets.length
  }

  /** Adds to the second's bucket; a value as old as the window is ignored. */
  record(nowS: number, value: number): void {
    const second = Math.floor(nowS)
    const size = this.#buckets.length
    if (second <= this.#lastS - size) return
    if (this.#firstS < 0 || second < this.#firstS) this.#firstS = second
    if (second - this.#lastS >= size) {
      // Nothing was written for a whole window: what was before says nothing any more.
      this.#buckets.fill(0)
      this.#total = 0
      this.#firstS = second
      this.#lastS = second
    } else {
      for (let s = this.#lastS + 1; s <= second; s++) this.#clear(s)
      this.#lastS = Math.max(this.#lastS, second)
    }
    this.#buckets[second % size]! += value
    this.#total += value
  }

  /** Nothing was recorded for longer than the window. */
  isEmpty(nowS: number): boolean {
    return Math.floor(nowS) - this.#lastS > this.#buckets.length
  }

  /** The mean over the seconds there are: a young window averages only what exists. */
  average(nowS: number): number {
    const size = this.#buckets.length
    const ago = Math.floor(nowS) - this.#lastS
    if (ago >= size) return 0
    let total = this.#total
    for (let s = this.#lastS + 1; s <= this.#lastS + ago; s++) total -= this.#buckets[s % size]!
    const seconds = Math.min(this.#lastS - this.#firstS + 1, ago > 0 ? size - ago : size)
    return toSixDigits(total / seconds)
  }

  /** Newest first with falling weights that are not normalised: missing seconds count as zeros, so a young window reads low. */
  weightedAverage(nowS: number): number {
    const size = this.#buckets.length
    const ago = Math.max(0, Math.floor(nowS) - this.#lastS)
    if (ago >= size) return 0
    const coefficient = coefficientOf(size)
    let weight = coefficient * (1 - coefficient) ** ago
    let sum = 0
    for (let s = this.#lastS; s > this.#lastS - (size - ago); s--) {
      sum += this.#buckets[((s % size) + size) % size]! * weight
      weight *= 1 - coefficient
    }
    return toSixDigits(sum)
  }

  /** Another size: the newest seconds are kept; a grown window counts the old length as lived through. */
  resize(windowS: number): void {
    const size = Math.max(1, Math.ceil(windowS))
    const old = this.#buckets
    if (size === old.length) return
    const next = new Float64Array(size)
    this.#total = 0
    if (this.#lastS !== -Infinity) {
      for (let s = this.#lastS; s > this.#lastS - Math.min(size, old.length); s--) {
        const value = old[((s % old.length) + old.length) % old.length]!
        next[((s % size) + size) % size] = value
        this.#total += value
      }
      const lived = Math.min(this.#lastS - this.#firstS + 1, old.length)
      this.#firstS = this.#lastS - Math.min(lived, size) + 1
      if (size > old.length && lived >= old.length) this.#firstS = this.#lastS - old.length + 1
    }
    this.#buckets = next
  }

  #clear(second: number): void {
    const place = second % this.#buckets.length
    this.#total -= this.#buckets[place]!
    this.#buckets[place] = 0
  }
}

/** a = max(0.2, 1 − (1 − 0.9999)^(1/n)): so much of all weight stands inside a window of n seconds. */
export function coefficientOf(windowS: number): number {
  return Math.max(LEAST_COEFFICIENT, 1 - (1 - WEIGHT_INSIDE) ** (1 / windowS))
}

/** The panic window in whole seconds, at least one. */
export function panicWindowS(spec: Pick<KpaSpec, 'stableWindowMs' | 'panicWindowPercentage'>): number {
  return Math.max(1, Math.round((spec.stableWindowMs / 1000) * (spec.panicWindowPercentage / 100)))
}

/** The stable and the panic window of a revision's metric. What is no number, negative, or not newer than the last is left out. */
export function createWindows(spec: ScaleSpec): MetricWindows {
  const { kpa } = spec
  const stable = new SecondBuckets(kpa.stableWindowMs / 1000)
  const panic = new SecondBuckets(panicWindowS(kpa))
  const of = (buckets: SecondBuckets, nowS: number): number =>
    kpa.aggregation === 'linear' ? buckets.average(nowS) : buckets.weightedAverage(nowS)
  let lastMs = -Infinity
  return {
    record(nowMs, concurrency, requests) {
      const value = kpa.metric === 'rps' ? requests : concurrency
      if (!(nowMs > lastMs) || !Number.isFinite(nowMs) || !Number.isFinite(value) || value < 0) return
      lastMs = nowMs
      stable.record(nowMs / 1000, value)
      panic.record(nowMs / 1000, value)
    },
    average(nowMs) {
      const nowS = nowMs / 1000
      // Without a scrape target (burst capacity −1) an empty window means no load, otherwise no data.
      if (stable.isEmpty(nowS) && kpa.targetBurstCapacity !== -1) return { stable: null, panic: null }
      return { stable: of(stable, nowS), panic: of(panic, nowS) }
    },
  }
}

/** Cut, not rounded to nearest: as Knative does. What sums leave below zero is none (there too it counts as no pod). */
function toSixDigits(n: number): number {
  return Math.max(0, Math.floor(n * 1e6) / 1e6)
}

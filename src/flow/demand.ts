/** What a gate has seen since it was made: differences of two copies give rates and time-weighted averages. */
export interface GateCounters {
  /** Monotonic ms of the copy. */
  readonly atMs: number
  /** Jobs that came, whether they got a credit or not. */
  readonly arrivals: number
  readonly completions: number
  /** Completions that were no success. */
  readonly failures: number
  /** Smoothed time a credit is used, null = nothing completed yet. */
  readonly serviceMs: number | null
  /** Sum of the times credits were used. */
  readonly serviceMsSum: number
  /** Integral of credits in flight over time, in credit-ms. */
  readonly inFlightMs: number
  /** Integral of waiting jobs over time, in job-ms. */
  readonly queuedMs: number
}

/** Weight of the newest sample once there are enough of them for a plain mean not to be better. */
const NEWEST = 0.05

/** Keeps the counters of one gate. */
export class Demand {
  #atMs: number
  #inFlight = 0
  #queued = 0
  #arrivals = 0
  #completions = 0
  #failures = 0
  #samples = 0
  #serviceMs = 0
  #serviceMsSum = 0
  #inFlightMs = 0
  #queuedMs = 0

  constructor(nowMs: number) {
    this.#atMs = nowMs
  }

  get serviceMs(): number | null {
    return this.#samples === 0 ? null : this.#serviceMs
  }

  arrived(): void {
    this.#arrivals++
  }

  /** From now on so many are in flight and waiting. */
  level(inFlight: number, queued: number, nowMs: number): void {
    const ms = nowMs - this.#atMs
    if (ms > 0) {
      this.#inFlightMs += this.#inFlight * ms
      this.#queuedMs += this.#queued * ms
      this.#atMs = nowMs
    }
    this.#inFlight = inFlight
    this.#queued = queued
  }

  completed(ms: number, ok: boolean): void {
    this.#completions++
    this.#serviceMsSum += ms
    if (!ok) this.#failures++
    // A failure that comes at once says nothing about the work; one that took long (a time-out) does.
    if (!ok && ms <= this.#serviceMs) return
    this.#samples++
    this.#serviceMs += (ms - this.#serviceMs) * Math.max(NEWEST, 1 / this.#samples)
  }

  copy(nowMs: number): GateCounters {
    this.level(this.#inFlight, this.#queued, nowMs)
    return {
      atMs: this.#atMs,
      arrivals: this.#arrivals,
      completions: this.#completions,
      failures: this.#failures,
      serviceMs: this.serviceMs,
      serviceMsSum: this.#serviceMsSum,
      inFlightMs: this.#inFlightMs,
      queuedMs: this.#queuedMs,
    }
  }
}

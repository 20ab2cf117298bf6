import type { DeciderKit, MetricWindows, Observation, ScaleSpec } from '../../contract/decider.ts'
import type { Key } from '../../contract/ids.ts'
import { PackedPods } from './packed.ts'
import type { Reading } from './reading.ts'
import type { Heard } from './signals.ts'

/** What one look at a Service came to. */
export interface Verdict {
  /** Pods there should be. */
  readonly desired: number
  readonly reason: string
  /** Nothing may shrink for lack of data; `reason` says who is silent. */
  readonly held: boolean
}

/** At most one step down a second, as inside the gateway. */
const DOWN_EVERY_MS = 1_000
const SAMPLE_EVERY_MS = 1_000
const RATE_WINDOW_MS = 20_000

/**
 * One Service under a decider outside the gateway.
 *
 *   never heard, nothing new ──► nothing is decided
 *   heard, somebody silent   ──► decided on the last words of the silent one; up is done, down is held
 *   heard                    ──► decided
 */
export class ScaledService {
  readonly key: Key
  readonly spec: ScaleSpec
  readonly #kit: DeciderKit
  readonly #windows: MetricWindows | null
  readonly #pods = new PackedPods()
  #state: unknown
  #samples = 0
  #decidedMs = -Infinity
  #loweredMs = -Infinity
  #recordedMs = -Infinity
  #recorded = { demand: 0, samples: 0, arrivals: -1 }
  readonly #marks: { readonly atMs: number; readonly arrivals: number }[] = []

  constructor(key: Key, spec: ScaleSpec, kit: DeciderKit, nowMs: number) {
    this.key = key
    this.spec = spec
    this.#kit = kit
    this.#windows = kit.windows(spec)
    this.#state = kit.decider.init(spec, nowMs)
  }

  /** `size` = pods there are. null = there is nothing to say. */
  look(heard: Heard, size: number, starting: number, nowMs: number): Verdict | null {
    const { load, missing } = heard
    if (load === null || heard.samples === this.#samples)
      return missing === '' ? null : { desired: size, reason: `held at ${size}: ${missing}`, held: true }
    this.#samples = heard.samples
    this.#record(load, nowMs)
    if (nowMs - this.#decidedMs < this.#kit.tickMs)
      return missing === '' ? null : { desired: size, reason: `held at ${size}: ${missing}`, held: true }
    this.#decidedMs = nowMs
    const seen = this.#observation(load, size, starting, nowMs)
    const decision = this.#kit.decider.decide(this.spec, this.#state, seen, nowMs)
    this.#state = decision.next
    if (!decision.valid) return { desired: size, reason: decision.reason.text, held: missing !== '' }
    const { text } = decision.reason
    if (missing !== '' && decision.desired <= size)
      return { desired: size, reason: `held at ${size}: ${missing}; wanted were ${text}`, held: true }
    if (missing !== '') return { desired: decision.desired, reason: `${text}; not less, for ${missing}`, held: true }
    if (decision.desired < size) {
      if (nowMs - this.#loweredMs < DOWN_EVERY_MS) return null
      this.#loweredMs = nowMs
    }
    return { desired: decision.desired, reason: text, held: false }
  }

  #observation(load: Reading, size: number, starting: number, nowMs: number): Observation {
    const average = this.#windows?.average(nowMs)
    return {
      inFlight: load.inFlight,
      queued: load.queued,
      backlog: load.backlog,
      arrivals: load.arrivals,
      arrivalsPerS: this.#rate(load, nowMs),
      serviceMs: load.serviceMs,
      coldStartMs: null,
      stable: average?.stable ?? null,
      panic: average?.panic ?? null,
      pods: this.#pods.seen(size - starting, starting, load.inFlight, Math.max(1, this.spec.limit), nowMs),
    }
  }

  /** The kpa metric of each second: the mean of what was sampled in it, and the arrivals since the last. */
  #record(load: Reading, nowMs: number): void {
    if (this.#windows === null) return
    const recorded = this.#recorded
    recorded.demand += load.inFlight + load.queued + load.queuedEvents
    recorded.samples++
    if (nowMs - this.#recordedMs < SAMPLE_EVERY_MS) return
    this.#recordedMs = nowMs
    const requests = recorded.arrivals < 0 ? 0 : load.arrivals - recorded.arrivals
    this.#windows.record(nowMs, recorded.demand / recorded.samples, requests)
    this.#recorded = { demand: 0, samples: 0, arrivals: load.arrivals }
  }

  #rate(load: Reading, nowMs: number): number {
    const marks = this.#marks
    const newest = marks.at(-1)
    if (newest === undefined || nowMs - newest.atMs >= SAMPLE_EVERY_MS) marks.push({ atMs: nowMs, arrivals: load.arrivals })
    while (marks.length > 2 && nowMs - (marks[1]?.atMs ?? nowMs) >= RATE_WINDOW_MS) marks.shift()
    const oldest = marks[0]
    if (oldest === undefined || nowMs <= oldest.atMs) return load.arrivalsPerS
    return (load.arrivals - oldest.arrivals) / Math.max(1, (nowMs - oldest.atMs) / 1_000)
  }
}

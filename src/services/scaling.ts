import type { Decision, DeciderKit, MetricWindows, Observation, PodSeen, ScaleSpec } from '../contract/decider.ts'
import type { ServiceId } from '../contract/ids.ts'
import type { Observer } from '../contract/observer.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import type { Revision } from './revision.ts'

/** A decision as it is remembered for `explain`. `atMs` is wall clock. */
export interface DecisionRecord {
  readonly atMs: number
  readonly desired: number
  readonly before: number
  readonly removed: readonly string[]
  readonly reason: string
}

/** Watches one revision, asks the decider, grows and shrinks it. */
export interface Scaling {
  /** Something changed that may cross a threshold; cheap, called from the gate. */
  poke(): void
  desired(): number
  reason(): string
  decisions(): readonly DecisionRecord[]
  observation(): Observation
  /** Somebody outside decides until the lease runs out; within the bounds of the spec, and a busy pod still is not stopped. */
  override(wanted: number, leaseMs: number, reason: string): void
  close(): void
}

export interface ScalingParts {
  readonly id: ServiceId
  readonly spec: ScaleSpec
  readonly revision: Revision
  readonly kit: DeciderKit
  readonly clock: Clock
  readonly observer: Observer
  /** Events behind the gate that want this revision, capped by what they can use at once. */
  readonly backlog: () => number
  /** A new revision that must prove itself keeps one pod whatever the decider says. */
  readonly atLeast: () => number
}

/** At most ten up decisions and one down decision a second. */
const UP_EVERY_MS = 100
const DOWN_EVERY_MS = 1_000
const RATE_WINDOW_S = 20
const DECISIONS_KEPT = 100

export function createScaling(parts: ScalingParts): Scaling {
  const { spec, revision, kit, clock, observer, id } = parts
  const { gate } = revision
  const windows = kit.windows(spec)
  const rate = createRate(clock.now(), gate.counters().arrivals)
  let state: unknown = kit.decider.init(spec, clock.now())
  let timer: Timer | null = null
  let timerAtMs = Infinity
  let lastMs = -Infinity
  let lastDownMs = -Infinity
  let desired = revision.size()
  let reason = ''
  const kept: DecisionRecord[] = []
  let outside: { readonly decision: Pick<Decision<unknown>, 'desired' | 'reason'>; readonly untilMs: number } | null = null

  const observe = (nowMs: number): Observation => {
    const counters = gate.counters()
    const gateState = gate.state()
    const average = windows?.average(nowMs)
    const behindGate = parts.backlog()
    return {
      inFlight: gateState.inFlight,
      queued: gateState.queuedRequests,
      backlog: gateState.queuedEvents + behindGate,
      behindGate,
      arrivals: counters.arrivals,
      arrivalsPerS: rate.perS(nowMs, counters.arrivals),
      serviceMs: counters.serviceMs,
      coldStartMs: revision.coldStartMs(),
      stable: average?.stable ?? null,
      panic: average?.panic ?? null,
      pods: revision.seen(),
    }
  }

  const decide = (): void => {
    timer = null
    timerAtMs = Infinity
    const nowMs = clock.now()
    lastMs = nowMs
    const seen = observe(nowMs)
    const decision: Decision<unknown> = kit.decider.decide(spec, state, seen, nowMs)
    state = decision.next
    if (outside !== null && nowMs >= outside.untilMs) outside = null
    if (outside !== null) apply({ ...decision, ...outside.decision, remove: [], valid: true }, seen, nowMs)
    else if (decision.valid) apply(decision, seen, nowMs)
    // What is busy now may be idle soon: the wish of an outside decider is looked at again until it is met.
    if (outside !== null) schedule(Math.min(outside.untilMs, nowMs + DOWN_EVERY_MS))
    schedule(Math.min(decision.wakeAtMs, kit.tickMs > 0 ? nowMs + kit.tickMs : Infinity))
  }

  const apply = (decision: Decision<unknown>, seen: Observation, nowMs: number): void => {
    const wanted = Math.max(decision.desired, parts.atLeast())
    const before = revision.size()
    let removed: readonly string[] = []
    if (wanted > before) revision.grow(wanted - before)
    else if (wanted < before && nowMs - lastDownMs >= DOWN_EVERY_MS) {
      const names = decision.remove.length > 0 ? decision.remove : victims(seen.pods, before - wanted)
      removed = names.slice(0, before - wanted)
      revision.shrink(removed)
      lastDownMs = nowMs
    } else if (wanted < before) schedule(lastDownMs + DOWN_EVERY_MS)
    if (wanted !== desired || removed.length > 0) {
      kept.push({ atMs: clock.wall(), desired: wanted, before: desired, removed, reason: decision.reason.text })
      if (kept.length > DECISIONS_KEPT) kept.shift()
      observer.scaled(id, { ...decision, desired: wanted, remove: removed })
    }
    desired = wanted
    reason = decision.reason.text
  }

  const schedule = (atMs: number): void => {
    if (atMs >= timerAtMs || atMs === Infinity) return
    timer?.cancel()
    timerAtMs = atMs
    timer = clock.after(Math.max(1, atMs - clock.now()), decide)
  }

  const sampling = windows === null ? null : sampleEverySecond(clock, windows, parts)
  schedule(clock.now() + 1)

  return {
    poke() {
      if (kit.tickMs === 0) schedule(Math.max(lastMs + UP_EVERY_MS, clock.now() + 1))
      else if (desired === 0) schedule(clock.now() + 1)
    },
    desired: () => desired,
    reason: () => reason,
    decisions: () => kept,
    observation: () => observe(clock.now()),
    override(wanted, leaseMs, why) {
      const desired = Math.min(spec.maxScale > 0 ? spec.maxScale : Infinity, Math.max(spec.minScale, wanted))
      const bounded = desired === wanted ? '' : ` (${wanted} was asked for)`
      const text = `${desired}${bounded}, told from outside: ${why}`
      outside = { decision: { desired, reason: { text, terms: { desired } } }, untilMs: clock.now() + leaseMs }
      schedule(clock.now() + 1)
    },
    close() {
      timer?.cancel()
      timerAtMs = -Infinity
      sampling?.cancel()
    },
  }
}

/** Whom to stop when the decider names nobody (kpa, hpa): starting pods, then the longest idle, never a busy one. */
function victims(pods: readonly PodSeen[], count: number): readonly string[] {
  const starting = pods.filter((p) => p.phase === 'starting').sort((a, b) => b.sinceMs - a.sinceMs)
  const idle = pods.filter((p) => p.phase === 'ready' && p.inFlight === 0).sort((a, b) => b.sinceMs - a.sinceMs)
  return [...starting, ...idle].slice(0, count).map((p) => p.name)
}

/** Feeds the kpa windows with the time-weighted average of each second. */
function sampleEverySecond(clock: Clock, windows: MetricWindows, parts: ScalingParts): Timer {
  const { gate } = parts.revision
  let last = gate.counters()
  let lastMs = clock.now()
  return clock.every(1_000, () => {
    const nowMs = clock.now()
    const counters = gate.counters()
    const elapsedMs = nowMs - lastMs
    if (elapsedMs > 0) {
      // Knative's activator counts what it holds back as concurrency too.
      const concurrencyMs = counters.inFlightMs + counters.queuedMs - last.inFlightMs - last.queuedMs
      windows.record(nowMs, concurrencyMs / elapsedMs, counters.arrivals - last.arrivals)
    }
    last = counters
    lastMs = nowMs
  })
}

/** Arrivals a second over the last 20 s from a running total, in buckets of one second. */
function createRate(startMs: number, startTotal: number): { perS(nowMs: number, total: number): number } {
  const marks: { atMs: number; total: number }[] = [{ atMs: startMs, total: startTotal }]
  return {
    perS(nowMs, total) {
      const newest = marks.at(-1)
      if (newest === undefined || nowMs - newest.atMs >= 1_000) marks.push({ atMs: nowMs, total })
      while (marks.length > 2 && nowMs - (marks[1]?.atMs ?? nowMs) >= RATE_WINDOW_S * 1_000) marks.shift()
      const oldest = marks[0]
      if (oldest === undefined || nowMs <= oldest.atMs) return 0
      // A window younger than a second would make a rate of thousands out of one arrival.
      return (total - oldest.total) / Math.max(1, (nowMs - oldest.atMs) / 1_000)
    },
  }
}

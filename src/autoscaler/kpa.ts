import type { Decider, Decision, KpaSpec, Observation, ScaleSpec } from '../contract/decider.ts'
import { applyBounds, initialBounds, type BoundsState } from './bounds.ts'
import { recordMax, type MaxWindow } from './max-window.ts'
import { inWords } from './words.ts'

/** Knative decides so often, and its scale-down delay counts in these. */
export const KPA_TICK_MS = 2_000

/** What a decision needs from the one before it. */
export interface KpaMemory {
  /** Since when it panics, extended while the load is over the threshold; null = it does not. */
  readonly panicSinceMs: number | null
  /** The most pods wanted in this panic; never fewer while it lasts. */
  readonly maxPanicPods: number
  /** What was wanted in the ticks of the scale-down delay. */
  readonly delayed: MaxWindow
}

export interface KpaInput {
  readonly readyPods: number
  /** Window averages of the metric, null = no data. */
  readonly stable: number | null
  readonly panic: number | null
}

export interface KpaResult {
  readonly valid: boolean
  readonly desired: number
  readonly excessBurstCapacity: number
  readonly panicking: boolean
  readonly text: string
  readonly next: KpaMemory
}

export const CALM: KpaMemory = { panicSinceMs: null, maxPanicPods: 0, delayed: [] }

type Settings = Pick<
  KpaSpec,
  | 'totalValue'
  | 'targetValue'
  | 'stableWindowMs'
  | 'panicThresholdPercentage'
  | 'maxScaleUpRate'
  | 'maxScaleDownRate'
  | 'scaleDownDelayMs'
  | 'activationScale'
  | 'targetBurstCapacity'
  | 'reachable'
>

/**
 * One decision of Knative's autoscaler (knative/serving pkg/autoscaler/scaling; reference §1.3):
 *
 *   no data ─────────────────────────────► invalid, nothing changes
 *   stable, panic average ÷ target ─ rate clamp ─ activation scale ─► S, P
 *   calm ── P before the clamp ≥ threshold × ready ──► panicking: max(S, P), never down
 *   panicking ── a stable window under the threshold ──► calm: S
 *   ─ scale-down delay: the most of its ticks ─► desired
 */
export function kpaScale(spec: Settings, memory: KpaMemory, seen: KpaInput, nowMs: number): KpaResult {
  const { stable, panic, readyPods } = seen
  if (!isReading(stable) || !isReading(panic) || !isReading(readyPods)) {
    const text = stable === null || panic === null ? 'no data: nothing changes' : 'not a reading: nothing changes'
    return {
      valid: false,
      desired: -1,
      excessBurstCapacity: 0,
      panicking: memory.panicSinceMs !== null,
      text,
      next: memory,
    }
  }
  const ready = Math.max(1, readyPods)
  const highest = Math.ceil(spec.maxScaleUpRate * ready)
  const lowest = spec.reachable ? Math.floor(ready / spec.maxScaleDownRate) : 0
  const byStable = Math.ceil(stable / spec.targetValue)
  const byPanic = Math.ceil(panic / spec.targetValue)
  let calm = Math.min(Math.max(byStable, lowest), highest)
  let hurried = Math.min(Math.max(byPanic, lowest), highest)
  if (spec.activationScale > 1) {
    if (byStable > 0) calm = Math.max(calm, spec.activationScale)
    if (byPanic > 0) hurried = Math.max(hurried, spec.activationScale)
  }
  const over = byPanic / ready >= spec.panicThresholdPercentage / 100
  let { panicSinceMs, maxPanicPods, delayed } = memory
  if (over) panicSinceMs = nowMs
  else if (panicSinceMs !== null && panicSinceMs + spec.stableWindowMs < nowMs) {
    panicSinceMs = null
    maxPanicPods = 0
  }
  let desired = calm
  if (panicSinceMs !== null) {
    maxPanicPods = Math.max(maxPanicPods, calm, hurried)
    desired = maxPanicPods
  }
  const undelayed = desired
  if (spec.reachable && spec.scaleDownDelayMs > 0) {
    const recorded = recordMax(delayed, Math.ceil(spec.scaleDownDelayMs / KPA_TICK_MS), Math.floor(nowMs / KPA_TICK_MS), desired)
    delayed = recorded.window
    desired = recorded.max
  }
  return {
    valid: true,
    desired,
    excessBurstCapacity: burstCapacity(spec, readyPods, panic),
    panicking: panicSinceMs !== null,
    text: reasonText(spec, { stable, panic, desired, undelayed, byStable, byPanic, calm, panicking: panicSinceMs !== null }),
    next: { panicSinceMs, maxPanicPods, delayed },
  }
}

/** What is left of the ready capacity after the wanted burst and the load; of the total, not of the target. */
function burstCapacity(spec: Settings, readyPods: number, panic: number): number {
  if (spec.targetBurstCapacity === 0) return 0
  if (spec.targetBurstCapacity < 0) return -1
  return Math.floor(readyPods * spec.totalValue - spec.targetBurstCapacity - panic)
}

interface Words {
  readonly stable: number
  readonly panic: number
  readonly desired: number
  readonly undelayed: number
  readonly byStable: number
  readonly byPanic: number
  readonly calm: number
  readonly panicking: boolean
}

function reasonText(spec: Settings, w: Words): string {
  const target = inWords(spec.targetValue)
  const stable = `⌈${inWords(w.stable)} / ${target}⌉ = ${w.byStable} over the stable window`
  const panicking = `⌈${inWords(w.panic)} / ${target}⌉ = ${w.byPanic} over the panic window`
  const parts = [w.panicking ? `${w.desired}: panicking, never down; ${panicking}, ${stable}` : `${w.desired}: ${stable}`]
  if (!w.panicking && w.calm !== w.byStable) parts.push(`held at ${w.calm} by rate or activation scale`)
  if (w.desired !== w.undelayed) parts.push(`${w.undelayed} now, delayed for ${spec.scaleDownDelayMs / 1000} s`)
  return parts.join('; ')
}

function isReading(n: number | null): n is number {
  return n !== null && Number.isFinite(n) && n >= 0
}

export interface KpaState {
  readonly memory: KpaMemory | null
  readonly bounds: BoundsState
  /** The last valid scale, −1 = none yet. */
  readonly desired: number
  readonly lastMs: number
}

/** Knative's `kpa` class as a decider: windows → decision → bounds and scale to zero. Decides every two seconds. */
export const kpa: Decider<KpaState> = {
  init: (spec, nowMs) => ({ memory: null, bounds: initialBounds(spec, nowMs), desired: -1, lastMs: -Infinity }),
  decide(spec, state, seen, nowMs) {
    const ready = readyOf(seen)
    // A new autoscaler that finds pods begins in panic: a restart must not shrink anything for a stable window.
    const memory = state.memory ?? (ready > 1 ? { panicSinceMs: nowMs, maxPanicPods: ready, delayed: [] } : CALM)
    const stale = nowMs < state.lastMs
    const result = stale ? null : kpaScale(spec.kpa, memory, { ...seen, readyPods: ready }, nowMs)
    const wanted = result?.valid === true ? result.desired : -1
    const excess = result?.valid === true ? result.excessBurstCapacity : initialExcess(spec)
    const bounded = applyBounds(spec, state.bounds, { wanted, ready, excessBurstCapacity: excess }, nowMs)
    const valid = bounded.scale >= 0
    const desired = valid ? bounded.scale : state.desired
    const why = result?.text ?? 'an observation from the past: nothing changes'
    return {
      desired,
      remove: [],
      wakeAtMs: Math.min(nowMs + KPA_TICK_MS, bounded.wakeAtMs),
      valid,
      reason: {
        text: bounded.text === '' ? why : `${desired}: ${bounded.text}; ${why}`,
        terms: {
          stable: seen.stable ?? -1,
          panic: seen.panic ?? -1,
          wanted,
          excessBurstCapacity: excess,
          panicking: result?.panicking === true ? 1 : 0,
          desired,
        },
      },
      next: {
        memory: result?.next ?? memory,
        bounds: bounded.next,
        desired,
        lastMs: Math.max(nowMs, state.lastMs),
      },
    } satisfies Decision<KpaState>
  },
}

/** Before there is data. */
function initialExcess(spec: ScaleSpec): number {
  const { targetBurstCapacity, totalValue } = spec.kpa
  return targetBurstCapacity <= 0 ? targetBurstCapacity : spec.initialScale * totalValue - targetBurstCapacity
}

function readyOf(seen: Observation): number {
  let ready = 0
  for (const pod of seen.pods) if (pod.phase === 'ready') ready++
  return ready
}

import type { ScaleSpec } from '../contract/decider.ts'

/** How long a revision that never became active may hold its pods after the progress deadline. */
const ACTIVATION_SLACK_MS = 30_000

/** Knative's Active condition: activating until enough pods are ready, active, or inactive because nothing is wanted. */
export type Activity = 'activating' | 'active' | 'inactive'

export interface BoundsState {
  readonly activity: Activity
  readonly sinceMs: number
  /** Since when requests go through the activator (nothing wanted, or too little spare capacity); null = they do not. */
  readonly proxiedSinceMs: number | null
  /** The initial scale was reached once. */
  readonly begun: boolean
}

export interface Wanted {
  /** −1 = no decision. */
  readonly wanted: number
  readonly ready: number
  readonly excessBurstCapacity: number
}

export interface Bounded {
  /** Pods to have, −1 = leave alone. */
  readonly scale: number
  /** Ask again by then; Infinity = at the next tick. */
  readonly wakeAtMs: number
  /** What the bounds changed, '' = nothing. */
  readonly text: string
  readonly next: BoundsState
}

export function initialBounds(spec: ScaleSpec, nowMs: number): BoundsState {
  return { activity: 'activating', sinceMs: nowMs, proxiedSinceMs: null, begun: spec.initialScale === 0 }
}

/**
 * Bounds and scale to zero (knative/serving pkg/reconciler/autoscaling/kpa/scaler.go; reference §1.5). This gateway is the
 * activator, so the probe whether it serves the route always succeeds.
 *
 *   activating ── enough ready ──► active ── nothing wanted for a stable window ──► inactive ── grace ──► 0
 *       ▲                            │                                                │
 *       └──── something wanted, not enough ready ◄────────────────────────────────────┘
 */
export function applyBounds(spec: ScaleSpec, state: BoundsState, seen: Wanted, nowMs: number): Bounded {
  const { reachable } = spec.kpa
  const { wanted } = seen
  if (wanted < 0 && state.activity !== 'activating') return { scale: -1, wakeAtMs: Infinity, text: '', next: state }
  let lowest = reachable ? spec.minScale : 0
  if (!state.begun && reachable && spec.initialScale > 1) lowest = Math.max(lowest, spec.initialScale)
  const highest = spec.maxScale > 0 ? spec.maxScale : Infinity
  const clamped = Math.min(highest, Math.max(lowest, wanted))
  let text = clamped === wanted || wanted < 0 ? '' : `${wanted} within ${lowest} to ${spec.maxScale || '∞'}`
  let scale = clamped
  let wakeAtMs = Infinity
  let asked = wanted
  if (clamped === 0) {
    const zero = towardsZero(spec, state, nowMs)
    scale = zero.scale
    wakeAtMs = zero.wakeAtMs
    text = zero.text
    asked = zero.wanted
  }
  if (scale < 0 && !state.begun) {
    // A revision is made with its initial pods; nothing else starts them before there is a decision.
    scale = Math.min(highest, Math.max(lowest, spec.initialScale))
    text = 'the initial scale'
  }
  const next = follow(spec, state, { ...seen, wanted: clamped > 0 ? clamped : asked }, nowMs)
  return { scale, wakeAtMs, text, next }
}

interface TowardsZero {
  /** −1 = keep what there is. */
  readonly scale: number
  /** What the condition is judged by: 0 = inactive from now on. */
  readonly wanted: number
  readonly wakeAtMs: number
  readonly text: string
}

function towardsZero(spec: ScaleSpec, state: BoundsState, nowMs: number): TowardsZero {
  const { kpa } = spec
  if (!kpa.enableScaleToZero) return { scale: 1, wanted: 1, wakeAtMs: Infinity, text: 'scale to zero is off' }
  const sinceMs = nowMs - state.sinceMs
  if (state.activity === 'activating') {
    const deadlineMs = kpa.progressDeadlineMs + ACTIVATION_SLACK_MS
    if (sinceMs > deadlineMs) return { scale: 0, wanted: 0, wakeAtMs: Infinity, text: 'never became ready: timed out' }
    return { scale: -1, wanted: -1, wakeAtMs: state.sinceMs + deadlineMs + 1, text: 'still activating' }
  }
  if (state.activity === 'active') {
    const leftMs = kpa.stableWindowMs - sinceMs
    if (leftMs <= 0) return { scale: -1, wanted: 0, wakeAtMs: nowMs + 1, text: 'inactive from now on, pods kept this round' }
    return { scale: 1, wanted: 1, wakeAtMs: nowMs + leftMs, text: 'active for less than a stable window' }
  }
  const retentionMs = kpa.reachable ? kpa.scaleToZeroPodRetentionPeriodMs : 0
  const graceMs = kpa.scaleToZeroGracePeriodMs
  if (sinceMs >= Math.max(graceMs, retentionMs))
    return { scale: 0, wanted: 0, wakeAtMs: Infinity, text: 'idle for the grace period' }
  if (sinceMs < retentionMs)
    return { scale: -1, wanted: 0, wakeAtMs: state.sinceMs + retentionMs, text: 'the last pod is retained' }
  const proxiedMs = state.proxiedSinceMs === null ? 0 : nowMs - state.proxiedSinceMs
  if (proxiedMs >= graceMs) return { scale: 0, wanted: 0, wakeAtMs: Infinity, text: 'behind the gateway for the grace period' }
  return { scale: -1, wanted: 0, wakeAtMs: nowMs + graceMs - proxiedMs, text: 'waiting for the grace period' }
}

/** The conditions after this round. */
function follow(spec: ScaleSpec, state: BoundsState, seen: Wanted, nowMs: number): BoundsState {
  const { wanted, ready } = seen
  const first = state.begun ? spec.minScale : Math.max(spec.minScale, spec.initialScale)
  const begun = state.begun || ready >= first
  const held = wanted < 0 && state.activity === 'inactive'
  const activity: Activity = wanted === 0 || held ? 'inactive' : ready < Math.max(first, 1) ? 'activating' : 'active'
  const proxied = !(wanted > 0 && seen.excessBurstCapacity >= 0)
  return {
    activity,
    sinceMs: activity === state.activity ? state.sinceMs : nowMs,
    proxiedSinceMs: proxied ? (state.proxiedSinceMs ?? nowMs) : null,
    begun,
  }
}

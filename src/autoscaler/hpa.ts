import type { Decider, Decision, Observation } from '../contract/decider.ts'
import { inWords } from './words.ts'

/** The controller looks so often. */
export const HPA_TICK_MS = 15_000

/** One scaling policy of `behavior`: so many pods, or per cent of them, a period. */
export interface HpaPolicy {
  readonly type: 'Pods' | 'Percent'
  readonly value: number
  readonly periodSeconds: number
}

export interface HpaRules {
  readonly stabilizationWindowSeconds: number
  readonly selectPolicy: 'Max' | 'Min' | 'Disabled'
  readonly policies: readonly HpaPolicy[]
}

/** How the number is read: an average of the pods, one number against a target, or a sum shared by the pods. */
export type HpaTarget = 'pods' | 'value' | 'average-value'

export interface HpaSettings {
  readonly target: HpaTarget
  readonly targetValue: number
  readonly minScale: number
  readonly maxScale: number
  readonly tolerance: number
  /** Without it: the highest of 300 s, and growth to twice the pods or four. */
  readonly behavior: { readonly scaleUp: HpaRules; readonly scaleDown: HpaRules } | null
}

export const HPA_BEHAVIOR: NonNullable<HpaSettings['behavior']> = {
  scaleUp: {
    stabilizationWindowSeconds: 0,
    selectPolicy: 'Max',
    policies: [
      { type: 'Percent', value: 100, periodSeconds: 15 },
      { type: 'Pods', value: 4, periodSeconds: 15 },
    ],
  },
  scaleDown: {
    stabilizationWindowSeconds: 300,
    selectPolicy: 'Max',
    policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }],
  },
}

interface Mark {
  readonly atMs: number
  readonly value: number
}

export interface HpaState {
  /** What was recommended, for the stabilization windows. */
  readonly recommended: readonly Mark[]
  /** Pods added (positive) and removed (negative), for the rates. */
  readonly changes: readonly Mark[]
  readonly lastMs: number
}

export const HPA_START: HpaState = { recommended: [], changes: [], lastMs: -Infinity }

export interface HpaResult {
  readonly valid: boolean
  readonly desired: number
  readonly text: string
  readonly next: HpaState
}

/** One sync of the HorizontalPodAutoscaler for one metric (Kubernetes, reference §4.1). `replicas` = spec.replicas as it stands. */
export function hpaScale(
  spec: HpaSettings,
  state: HpaState,
  seen: { readonly value: number | null; readonly readyPods: number; readonly replicas: number },
  nowMs: number,
): HpaResult {
  const { value, readyPods, replicas } = seen
  if (value === null || !Number.isFinite(value) || value < 0 || nowMs < state.lastMs)
    return { valid: false, desired: replicas, text: 'no reading: nothing changes', next: state }
  if (replicas === 0 && spec.minScale !== 0)
    return { valid: false, desired: 0, text: '0 replicas: switched off', next: { ...state, lastMs: nowMs } }
  const wanted = recommend(spec, value, readyPods, replicas)
  const longestMs = 1000 * Math.max(300, ...rulesOf(spec).map((r) => r.stabilizationWindowSeconds))
  const recommended = [...state.recommended.filter((m) => m.atMs > nowMs - longestMs), { atMs: nowMs, value: wanted }]
  const stable = stabilize(spec, recommended, wanted, replicas, nowMs)
  const limited = limitRate(spec, state.changes, stable, replicas, nowMs)
  const highest = spec.maxScale > 0 ? spec.maxScale : Infinity
  const desired = Math.min(highest, Math.max(spec.minScale, limited))
  const longestPeriodMs = 1000 * Math.max(15, ...rulesOf(spec).flatMap((r) => r.policies.map((p) => p.periodSeconds)))
  const changes = state.changes.filter((m) => m.atMs > nowMs - longestPeriodMs)
  if (desired !== replicas) changes.push({ atMs: nowMs, value: desired - replicas })
  const steps = [`${wanted} by ${inWords(value)} of ${inWords(spec.targetValue)}`]
  if (stable !== wanted) steps.push(`stabilized at ${stable}`)
  if (limited !== stable) steps.push(`${limited} by rate`)
  if (desired !== limited) steps.push('bounded')
  return { valid: true, desired, text: `${desired}: ${steps.join(', ')}`, next: { recommended, changes, lastMs: nowMs } }
}

function rulesOf(spec: HpaSettings): readonly HpaRules[] {
  return spec.behavior === null ? [] : [spec.behavior.scaleUp, spec.behavior.scaleDown]
}

function recommend(spec: HpaSettings, value: number, readyPods: number, replicas: number): number {
  const target = Math.max(Number.MIN_VALUE, spec.targetValue)
  const ratio = spec.target === 'average-value' ? (replicas === 0 ? Infinity : value / (target * replicas)) : value / target
  if (replicas > 0 && Math.abs(1 - ratio) <= spec.tolerance) return replicas
  if (spec.target === 'average-value') return Math.ceil(value / target)
  if (spec.target === 'value' && replicas === 0) return Math.ceil(ratio)
  const counted = Math.ceil(ratio * readyPods)
  if (spec.target === 'value' || readyPods >= replicas) return counted
  // Pods that are not ready count as nothing when it would grow; where that turns the direction, all stays.
  const cautious = readyPods / replicas
  if (ratio > 1 && (ratio * cautious <= 1 || Math.ceil(ratio * cautious * replicas) < replicas)) return replicas
  return counted
}

function stabilize(spec: HpaSettings, marks: readonly Mark[], wanted: number, replicas: number, nowMs: number): number {
  const within = (seconds: number): number[] => marks.filter((m) => m.atMs > nowMs - seconds * 1000).map((m) => m.value)
  if (spec.behavior === null) return Math.max(wanted, ...within(300))
  const lowest = Math.min(wanted, ...within(spec.behavior.scaleUp.stabilizationWindowSeconds))
  const highest = Math.max(wanted, ...within(spec.behavior.scaleDown.stabilizationWindowSeconds))
  return Math.min(highest, Math.max(lowest, replicas))
}

function limitRate(spec: HpaSettings, changes: readonly Mark[], wanted: number, replicas: number, nowMs: number): number {
  if (spec.behavior === null) return Math.min(wanted, Math.max(2 * replicas, 4))
  if (wanted === replicas) return wanted
  const up = wanted > replicas
  const rules = up ? spec.behavior.scaleUp : spec.behavior.scaleDown
  if (rules.selectPolicy === 'Disabled') return replicas
  const limits = rules.policies.map((p) => {
    const recent = changes.filter((c) => c.atMs > nowMs - p.periodSeconds * 1000)
    const changed = recent.reduce((sum, c) => sum + c.value, 0)
    const start = replicas - changed
    if (up) return p.type === 'Pods' ? start + p.value : Math.ceil(start * (1 + p.value / 100))
    return p.type === 'Pods' ? start - p.value : Math.floor(start * (1 - p.value / 100))
  })
  const largest = rules.selectPolicy === 'Max'
  if (up) return Math.min(wanted, Math.max(replicas, largest ? Math.max(...limits) : Math.min(...limits)))
  return Math.max(wanted, Math.min(replicas, largest ? Math.min(...limits) : Math.max(...limits)))
}

/** The `hpa` class inside this gateway: the average concurrency of the ready pods against Knative's target. */
export const hpa: Decider<HpaState> = {
  init: () => HPA_START,
  decide(spec, state, seen, nowMs) {
    const { ready, replicas } = count(seen)
    const settings: HpaSettings = {
      target: 'pods',
      targetValue: spec.kpa.targetValue,
      minScale: Math.max(1, spec.minScale),
      maxScale: spec.maxScale,
      tolerance: 0.1,
      behavior: HPA_BEHAVIOR,
    }
    const load = seen.inFlight + seen.queued
    // Nothing measured yet: with no pod the controller is switched off, here the least scale holds instead.
    const result =
      replicas === 0
        ? { valid: true, desired: settings.minScale, text: `${settings.minScale}: the least there is`, next: state }
        : hpaScale(settings, state, { value: ready === 0 ? null : load / ready, readyPods: ready, replicas }, nowMs)
    return {
      desired: result.desired,
      remove: [],
      wakeAtMs: nowMs + HPA_TICK_MS,
      valid: result.valid,
      reason: { text: result.text, terms: { load, ready, desired: result.desired } },
      next: result.next,
    } satisfies Decision<HpaState>
  },
}

function count(seen: Observation): { ready: number; replicas: number } {
  let ready = 0
  let starting = 0
  for (const pod of seen.pods) {
    if (pod.phase === 'ready') ready++
    else if (pod.phase === 'starting') starting++
  }
  return { ready, replicas: ready + starting }
}

import type { Decider, Decision, Observation, ScaleSpec } from '../../contract/decider.ts'
import { HPA_BEHAVIOR, HPA_START, hpaScale, type HpaSettings, type HpaState } from '../hpa.ts'

const POLLING_MS = 30_000
const COOLDOWN_MS = 300_000
const SYNC_MS = 15_000
const MOST_PODS = 100
/** Default of the Kafka scaler. */
const LAG_THRESHOLD = 10

interface KedaState {
  readonly hpa: HpaState
  readonly polledMs: number
  readonly activeMs: number
  readonly active: boolean
}

/**
 * KEDA with its defaults (reference §3.1): its own loop does 0 ↔ 1 every 30 s, down to zero 300 s after the last activity; the
 * HPA it makes does the rest every 15 s from the sum of the load, a pod for each 70 % of its slots, or for ten events of lag.
 */
export const keda: Decider<KedaState> = {
  init: () => ({ hpa: HPA_START, polledMs: -Infinity, activeMs: -Infinity, active: false }),
  decide(spec, state, seen, nowMs) {
    const size = seen.pods.filter((p) => p.phase !== 'draining').length
    const load = seen.inFlight + seen.queued + seen.backlog
    let { polledMs, activeMs, active } = state
    if (nowMs - polledMs >= POLLING_MS) {
      polledMs = nowMs
      active = load > 0
      if (active) activeMs = nowMs
    }
    const least = Math.max(1, spec.minScale)
    let desired: number
    let hpa = state.hpa
    let text: string
    if (size === 0) {
      desired = active ? least : 0
      text = active ? 'activated' : 'nothing to do'
    } else if (spec.minScale === 0 && nowMs - activeMs >= COOLDOWN_MS) {
      desired = 0
      text = 'cooled down'
    } else {
      const ready = seen.pods.filter((p) => p.phase === 'ready').length
      const sum = sumOf(spec, seen)
      const result = hpaScale(settings(spec, least), hpa, { value: sum, readyPods: ready, replicas: size }, nowMs)
      hpa = result.next
      desired = result.desired
      text = result.text
    }
    return {
      desired,
      remove: [],
      wakeAtMs: nowMs + SYNC_MS,
      valid: true,
      reason: { text: `${desired}: ${text}`, terms: { load, desired } },
      next: { hpa, polledMs, activeMs, active },
    } satisfies Decision<KedaState>
  },
}

/** Both triggers in pods: the greater one counts. */
function sumOf(spec: ScaleSpec, seen: Observation): number {
  const flowing = seen.inFlight + seen.queued
  return Math.max(flowing / spec.kpa.targetValue, seen.backlog / LAG_THRESHOLD)
}

function settings(spec: ScaleSpec, least: number): HpaSettings {
  const most = spec.maxScale > 0 ? spec.maxScale : MOST_PODS
  return { target: 'average-value', targetValue: 1, minScale: least, maxScale: most, tolerance: 0.1, behavior: HPA_BEHAVIOR }
}

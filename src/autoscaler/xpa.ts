import type { Decider, Decision, Observation, PodSeen, ScaleSpec } from '../contract/decider.ts'

/** A starting pod is cancelled only after it has not been needed for this long: cancelling on every dip starves slow starts. */
const CANCEL_START_AFTER_MS = 10_000

export interface XpaState {
  /** Since when fewer pods than there are have been wanted, counting starting ones; null = not. */
  readonly unneededSinceMs: number | null
}

/**
 * Scaling from exact state, in credits:
 *
 *   demand  = max(in flight, arrival rate × S) + queued + min(W, ⌈W·S/T⌉)      S service time, T drain target, W backlog
 *   desired = max(busy pods, clamp(⌈demand ÷ limit⌉ + buffer, min, max))
 *
 * Down: pods idle for gc-time, the newest first, by name; a busy pod is never named.
 */
export const xpa: Decider<XpaState> = {
  init: () => ({ unneededSinceMs: null }),
  decide(spec, state, seen, nowMs) {
    const { demand, text } = demandOf(spec, seen)
    const busy = seen.pods.filter((p) => p.inFlight > 0 && p.phase !== 'failed').length
    const limit = Math.max(1, spec.limit)
    const highest = spec.maxScale > 0 ? spec.maxScale : Infinity
    const wanted = Math.min(highest, Math.max(spec.minScale, Math.ceil(demand / limit) + spec.podBufferSize))
    const desired = Math.max(busy, wanted)
    const capacity = seen.pods.filter((p) => p.phase === 'starting' || p.phase === 'ready')
    const unneededSinceMs = capacity.length > desired ? (state.unneededSinceMs ?? nowMs) : null
    const { remove, wakeAtMs } = removals(spec, capacity, desired, unneededSinceMs, nowMs)
    const kept = capacity.length - remove.length
    const size = Math.max(desired, kept)
    const reason = {
      text:
        `${desired} = max(${busy} busy, clamp(⌈${text} / ${limit}⌉ + ${spec.podBufferSize}, ${spec.minScale}, ${spec.maxScale || '∞'}))` +
        (size > desired ? `; kept at ${size}: not idle for ${spec.gcTimeMs / 1000} s yet` : ''),
      terms: { demand, busy, limit, buffer: spec.podBufferSize, desired },
    }
    return { desired: size, remove, wakeAtMs, valid: true, reason, next: { unneededSinceMs } } satisfies Decision<XpaState>
  },
}

function demandOf(spec: ScaleSpec, seen: Observation): { demand: number; text: string } {
  const { inFlight, queued, backlog, serviceMs } = seen
  const offered = serviceMs === null ? 0 : (seen.arrivalsPerS * serviceMs) / 1000
  const flowing = Math.max(inFlight, offered)
  // With the service time unknown a backlog counts as one pod at most: there is nothing to say how many it needs.
  const stored =
    serviceMs === null ? Math.min(backlog, Math.max(1, spec.limit)) : Math.min(backlog, Math.ceil((backlog * serviceMs) / spec.drainTargetMs))
  const first = offered > inFlight ? `${round(offered)} by rate` : `${inFlight} in flight`
  return { demand: flowing + queued + stored, text: `(${first} + ${queued} queued + ${stored} of backlog)` }
}

/** Whom to let go, and when to look again. */
function removals(
  spec: ScaleSpec,
  capacity: readonly PodSeen[],
  desired: number,
  unneededSinceMs: number | null,
  nowMs: number,
): { remove: string[]; wakeAtMs: number } {
  let spare = capacity.length - desired
  if (spare <= 0) return { remove: [], wakeAtMs: nowMs + 1_000 }
  let wakeAtMs = nowMs + 1_000
  const remove: string[] = []
  const starting = capacity.filter((p) => p.phase === 'starting').sort((a, b) => b.sinceMs - a.sinceMs)
  const cancelAtMs = (unneededSinceMs ?? nowMs) + CANCEL_START_AFTER_MS
  for (const pod of starting) {
    if (spare === 0) return { remove, wakeAtMs }
    if (nowMs < cancelAtMs) {
      wakeAtMs = Math.min(wakeAtMs, cancelAtMs)
      break
    }
    remove.push(pod.name)
    spare--
  }
  const idle = capacity.filter((p) => p.phase === 'ready' && p.idleSinceMs !== null).sort((a, b) => b.sinceMs - a.sinceMs)
  for (const pod of idle) {
    if (spare === 0) break
    const dueMs = (pod.idleSinceMs ?? nowMs) + spec.gcTimeMs
    if (dueMs <= nowMs) {
      remove.push(pod.name)
      spare--
    } else wakeAtMs = Math.min(wakeAtMs, dueMs)
  }
  return { remove, wakeAtMs }
}

function round(n: number): number {
  return Math.round(n * 10) / 10
}

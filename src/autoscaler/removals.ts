import type { PodSeen, ScaleSpec } from '../contract/decider.ts'

/** A starting pod is cancelled only after it has not been needed for this long: cancelling on every dip starves slow starts. */
const CANCEL_START_AFTER_MS = 10_000
/** Idle pods above everything that was lately needed go after this, if gc-time is not shorter still. */
const SURPLUS_IDLE_MS = 5_000

export interface Census {
  /** Starting and ready. */
  readonly capacity: number
  readonly ready: number
  readonly starting: number
  /** Pods with work, draining ones not counted: they are on their way out and take nothing. */
  readonly busy: number
}

export function census(pods: readonly PodSeen[]): Census {
  let ready = 0
  let starting = 0
  let busy = 0
  for (const pod of pods) {
    if (pod.phase === 'ready') {
      ready++
      if (pod.inFlight > 0) busy++
    } else if (pod.phase === 'starting') starting++
  }
  return { capacity: ready + starting, ready, starting, busy }
}

export interface Situation {
  readonly spec: ScaleSpec
  /** Pods over what is wanted. */
  readonly spare: number
  readonly capacity: number
  /** The most pods that were needed in the last gc-time; Infinity = not asked. */
  readonly recently: number
  readonly unneededSinceMs: number | null
  readonly nowMs: number
}

/** Whom to let go, and when to look again. Nothing is sorted unless somebody goes. */
export function removals(pods: readonly PodSeen[], s: Situation): { readonly remove: string[]; readonly wakeAtMs: number } {
  if (s.spare <= 0) return { remove: [], wakeAtMs: Infinity }
  const { nowMs } = s
  const gcMs = s.spec.gcTimeMs
  const surplusMs = Math.min(SURPLUS_IDLE_MS, gcMs)
  const surplus = Math.max(0, s.capacity - s.recently)
  const cancelAtMs = (s.unneededSinceMs ?? nowMs) + CANCEL_START_AFTER_MS
  let wakeAtMs = Infinity
  const due: PodSeen[] = []
  for (const pod of pods) {
    const dueMs =
      pod.phase === 'starting'
        ? cancelAtMs
        : pod.phase === 'ready' && pod.inFlight === 0 && pod.idleSinceMs !== null
          ? pod.idleSinceMs + (surplus > 0 ? surplusMs : gcMs)
          : Infinity
    if (dueMs <= nowMs) due.push(pod)
    else if (dueMs < wakeAtMs) wakeAtMs = dueMs
  }
  if (due.length === 0) return { remove: [], wakeAtMs }
  // Pods are seen oldest first, so that turning round is mostly all there is to do.
  due.reverse()
  if (!inOrder(due)) due.sort(goesBefore)
  const remove: string[] = []
  for (const pod of due) {
    if (remove.length === s.spare) break
    // Beyond the surplus a pod stays until it has been idle for the whole gc-time.
    const wholeMs = (pod.idleSinceMs ?? -Infinity) + gcMs
    if (pod.phase !== 'starting' && remove.length >= surplus && wholeMs > nowMs) {
      if (wholeMs < wakeAtMs) wakeAtMs = wholeMs
      continue
    }
    remove.push(pod.name)
  }
  return { remove, wakeAtMs }
}

/** Starting pods first, then the newest. */
function goesBefore(a: PodSeen, b: PodSeen): number {
  return Number(b.phase === 'starting') - Number(a.phase === 'starting') || b.sinceMs - a.sinceMs
}

function inOrder(pods: readonly PodSeen[]): boolean {
  for (let i = 1; i < pods.length; i++) if (goesBefore(pods[i - 1]!, pods[i]!) > 0) return false
  return true
}

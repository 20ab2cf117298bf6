import type { PodSeen } from '../contract/decider.ts'
import type { ServiceId } from '../contract/ids.ts'
import type { Observer } from '../contract/observer.ts'
import type { ServicePlan } from '../contract/plan.ts'
import type { Gate } from '../flow/gate.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import { randomId } from '../runtime/random.ts'
import type { Pod, PodEvents } from './pod.ts'

/**
 * The pods of one revision and their life:
 *
 *   start ─→ starting ─→ ready ⇄ cordoned ─→ (in flight 0) stop ─→ gone
 *               │ not ready in time, exits          │ exits, killed
 *               └─→ failed: back-off, then replaced └─→ gone: its attempts are retryable
 *
 * Only the gate knows what a pod has in flight; a pod is stopped when the gate says nothing is, never before.
 */
export interface Revision {
  readonly plan: ServicePlan
  readonly gate: Gate
  seen(): readonly PodSeen[]
  /** Pods that count as capacity or will: starting and ready, not cordoned. */
  size(): number
  ready(): number
  /** Mean of the last starts, null before the first. */
  coldStartMs(): number | null
  /** Takes back cordoned pods first, then starts new ones; fewer where a crash loop says wait. */
  grow(by: number): void
  /** Cordons these pods; each is stopped once it has nothing in flight. */
  shrink(names: readonly string[]): void
  /** Why there is less capacity than wanted, '' = all is well. */
  trouble(): string
  /** Stops all pods, waiting for what runs at most `graceMs`. */
  close(graceMs: number): Promise<void>
  /** Called whenever a pod changes. */
  onPods: () => void
}

export interface RevisionParts {
  readonly id: ServiceId
  readonly plan: ServicePlan
  readonly gate: Gate
  readonly clock: Clock
  readonly log: Log
  readonly observer: Observer
  readonly start: (name: string, log: Log, events: PodEvents) => Pod
}

interface Entry {
  readonly name: string
  readonly pod: Pod
  phase: 'starting' | 'ready' | 'cordoned' | 'gone'
  sinceMs: number
  readonly startedMs: number
  stopped: boolean
}

const START_TIMEOUT_MS = 60_000
/** A start slower than this multiple of the slow starts seen is a failed one. */
const START_TIMEOUT_FACTOR = 5
const FIRST_BACKOFF_MS = 1_000
const LONGEST_BACKOFF_MS = 60_000
/** A pod that lived this long ready does not count as crash-looping. */
const STABLE_MS = 30_000
const STARTS_KEPT = 20
/** After SIGTERM a pod may take this long to end. */
const STOP_GRACE_MS = 5_000
/** How often cordoned pods are looked at beside the gate's own notices. */
const DRAIN_LOOK_MS = 50
const STUCK_LOOK_MS = 1_000

export function createRevision(parts: RevisionParts): Revision {
  const { plan, gate, clock, log, observer, id } = parts
  const pods = new Map<string, Entry>()
  const starts: number[] = []
  let failures = 0
  let retryAtMs = 0
  let lastTrouble = ''
  let drainTimer: Timer | null = null
  let serial = 0
  let closing = false

  const startTimeoutMs = (): number => {
    const sorted = [...starts].sort((a, b) => a - b)
    const slowMs = START_TIMEOUT_FACTOR * (sorted[Math.floor(sorted.length * 0.95)] ?? 0)
    // `serving.knative.dev/progress-deadline` may ask for less patience, not for more.
    return Math.min(plan.scale.kpa.progressDeadlineMs, Math.max(START_TIMEOUT_MS, slowMs))
  }

  const failed = (entry: Entry, why: string): void => {
    failures++
    const waitMs = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(failures - 1, 10))
    retryAtMs = clock.now() + waitMs
    lastTrouble = `pod ${entry.name}: ${why}; the next start is tried in ${Math.round(waitMs / 1000)} s`
    log.warn('a pod failed', { service: plan.key, pod: entry.name, why, retryInMs: waitMs })
    observer.pod(id, entry.name, 'failed', why)
    clock.after(waitMs, () => revision.onPods())
  }

  const startOne = (): void => {
    const name = `${plan.revision}-${(serial++).toString(36)}-${randomId().slice(0, 5)}`
    const startedMs = clock.now()
    let entry: Entry | null = null
    const timeout = clock.after(startTimeoutMs(), () => {
      if (entry?.phase === 'starting') {
        gone(entry, `not ready after ${Math.round((clock.now() - startedMs) / 1000)} s`)
        entry.pod.kill()
      }
    })
    const pod = parts.start(name, log.with({ pod: name }), {
      ready(at) {
        if (entry === null || entry.phase !== 'starting') return
        timeout.cancel()
        entry.phase = 'ready'
        entry.sinceMs = clock.now()
        starts.push(entry.sinceMs - startedMs)
        if (starts.length > STARTS_KEPT) starts.shift()
        lastTrouble = ''
        observer.pod(id, name, 'ready', '')
        gate.add(name, at, plan.limit)
        revision.onPods()
      },
      gone(why) {
        timeout.cancel()
        if (entry !== null) gone(entry, why)
      },
    })
    entry = { name, pod, phase: 'starting', sinceMs: startedMs, startedMs, stopped: false }
    pods.set(name, entry)
    observer.pod(id, name, 'starting', '')
  }

  const gone = (entry: Entry, why: string): void => {
    if (entry.phase === 'gone') return
    const before = entry.phase
    const livedMs = clock.now() - entry.sinceMs
    entry.phase = 'gone'
    pods.delete(entry.name)
    if (before !== 'starting') gate.gone(entry.name)
    observer.pod(id, entry.name, 'gone', why)
    if (before === 'ready' && livedMs > STABLE_MS) failures = 0
    if (!entry.stopped && !closing && why !== '') failed(entry, why)
    revision.onPods()
  }

  const stop = (entry: Entry): void => {
    if (entry.stopped) return
    entry.stopped = true
    entry.pod.stop(STOP_GRACE_MS)
  }

  const cordon = (entry: Entry): void => {
    if (entry.phase === 'starting') {
      // It has no work: a start that is not wanted any more ends at once.
      stop(entry)
      gone(entry, '')
      return
    }
    if (entry.phase !== 'ready') return
    entry.phase = 'cordoned'
    entry.sinceMs = clock.now()
    gate.cordon(entry.name)
    observer.pod(id, entry.name, 'cordoned', '')
    drain()
  }

  /** Stops the cordoned pods that have nothing in flight, and looks again while some have. */
  const drain = (): void => {
    drainTimer?.cancel()
    drainTimer = null
    let busy = false
    for (const entry of pods.values()) {
      if (entry.phase !== 'cordoned' || entry.stopped) continue
      if (gate.inFlightOf(entry.name) === 0) stop(entry)
      else busy = true
    }
    if (busy) drainTimer = clock.after(DRAIN_LOOK_MS, drain)
  }

  /** The only case in which a pod with work is stopped: decided work that has not ended for another whole time-out. */
  const look = clock.every(STUCK_LOOK_MS, () => {
    gate.expireRequests(plan.timeoutMs)
    for (const entry of pods.values()) {
      const sinceMs = gate.abandonedSinceOf(entry.name)
      if (sinceMs === null || clock.now() - sinceMs < plan.timeoutMs) continue
      log.warn('a pod is stuck and is replaced', { service: plan.key, pod: entry.name })
      entry.pod.kill()
      gone(entry, `stuck: an attempt it was given up on ${Math.round((clock.now() - sinceMs) / 1000)} s ago has not ended`)
    }
  })

  const revision: Revision = {
    plan,
    gate,
    onPods: () => {},
    seen() {
      return [...pods.values()].map((e) => ({
        name: e.name,
        phase: e.phase === 'cordoned' ? ('draining' as const) : e.phase === 'ready' ? ('ready' as const) : ('starting' as const),
        inFlight: e.phase === 'starting' ? 0 : gate.inFlightOf(e.name),
        sinceMs: e.sinceMs,
        idleSinceMs: e.phase === 'starting' ? null : gate.idleSinceOf(e.name),
      }))
    },
    size: () => [...pods.values()].filter((e) => e.phase === 'starting' || e.phase === 'ready').length,
    ready: () => [...pods.values()].filter((e) => e.phase === 'ready').length,
    coldStartMs: () => (starts.length === 0 ? null : starts.reduce((a, b) => a + b, 0) / starts.length),
    grow(by) {
      let left = by
      // Newest first: the packing order fills the oldest, so the youngest cordoned pod is the least loaded.
      for (const entry of [...pods.values()].reverse()) {
        if (left === 0) return
        if (entry.phase !== 'cordoned' || entry.stopped) continue
        entry.phase = 'ready'
        entry.sinceMs = clock.now()
        gate.uncordon(entry.name)
        observer.pod(id, entry.name, 'ready', 'wanted again')
        left--
      }
      if (plan.process === null || closing || clock.now() < retryAtMs) return
      // After failures one at a time, until one has become ready.
      if (lastTrouble !== '') left = [...pods.values()].some((e) => e.phase === 'starting') ? 0 : Math.min(left, 1)
      for (; left > 0; left--) startOne()
    },
    shrink(names) {
      for (const name of names) {
        const entry = pods.get(name)
        if (entry !== undefined) cordon(entry)
      }
    },
    trouble: () => (plan.process === null ? 'nothing says how to run its pods' : lastTrouble),
    async close(graceMs) {
      closing = true
      look.cancel()
      for (const entry of [...pods.values()]) cordon(entry)
      const endMs = clock.now() + graceMs
      while (pods.size > 0) {
        if (clock.now() > endMs) for (const entry of pods.values()) entry.pod.kill()
        await new Promise<void>((resolve) => clock.after(10, resolve))
        if (clock.now() > endMs + STOP_GRACE_MS) break
      }
      drainTimer?.cancel()
    },
  }
  return revision
}

import type { KpaSpec, Observation, PodSeen, ScaleSpec } from '../../src/contract/decider.ts'

/** Defaults of Knative and of this gateway, ten slots a pod, with what a test changes. */
export function specOf(more: Partial<ScaleSpec> = {}, kpa: Partial<KpaSpec> = {}): ScaleSpec {
  return {
    class: 'xpa',
    limit: 10,
    minScale: 0,
    maxScale: 0,
    initialScale: 1,
    podBufferSize: 0,
    gcTimeMs: 60_000,
    drainTargetMs: 30_000,
    waitTargetMs: 0,
    without: [],
    kpa: {
      metric: 'concurrency',
      aggregation: 'linear',
      totalValue: 10,
      targetValue: 7,
      stableWindowMs: 60_000,
      panicWindowPercentage: 10,
      panicThresholdPercentage: 200,
      maxScaleUpRate: 1000,
      maxScaleDownRate: 2,
      scaleDownDelayMs: 0,
      activationScale: 1,
      targetBurstCapacity: 211,
      enableScaleToZero: true,
      scaleToZeroGracePeriodMs: 30_000,
      scaleToZeroPodRetentionPeriodMs: 0,
      progressDeadlineMs: 600_000,
      reachable: true,
      ...kpa,
    },
    ...more,
  }
}

export function seenOf(more: Partial<Observation> = {}): Observation {
  return {
    inFlight: 0,
    queued: 0,
    backlog: 0,
    arrivals: 0,
    arrivalsPerS: 0,
    serviceMs: null,
    coldStartMs: null,
    stable: null,
    panic: null,
    pods: [],
    ...more,
  }
}

/** A ready pod; idle since `idleSinceMs` where nothing is in flight. */
export function pod(name: string, inFlight: number, sinceMs = 0, idleSinceMs = 0): PodSeen {
  return { name, phase: 'ready', inFlight, sinceMs, idleSinceMs: inFlight > 0 ? null : idleSinceMs }
}

export function starting(name: string, sinceMs = 0): PodSeen {
  return { name, phase: 'starting', inFlight: 0, sinceMs, idleSinceMs: null }
}

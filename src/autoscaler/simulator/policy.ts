import type { DeciderKit, ScaleSpec } from '../../contract/decider.ts'
import type { Scene } from './scene.ts'

/**
 * Who hands out the work under a policy: `packed` = this gateway's gate, one queue, the fullest pod with room; `knative` = its
 * activator while spare capacity is short, else any pod and its own queue; `random` = a plain Service, a queue in every pod.
 */
export type Balance = 'packed' | 'knative' | 'random'

export interface Policy {
  readonly name: string
  readonly about: string
  readonly balance: Balance
  /** Stored events offered at once by a dispatcher that pushes; 0 = pods or gate pull one for each slot. */
  readonly pushesStored: number
  kit(scene: Scene, setup: Setup): DeciderKit
}

/** One run of a scene. */
export interface Setup {
  readonly coldStartMs: number
  readonly minScale: number
  readonly seed: number
  /** Changed settings, for sweeps. */
  readonly change?: Partial<ScaleSpec>
  readonly changeKpa?: Partial<ScaleSpec['kpa']>
}

/** Defaults of everything, Knative's and ours, for a scene. */
export function specFor(scene: Scene, setup: Setup): ScaleSpec {
  return {
    class: 'xpa',
    limit: scene.limit,
    minScale: setup.minScale,
    maxScale: scene.maxScale,
    initialScale: setup.minScale === 0 ? 0 : 1,
    podBufferSize: 0,
    gcTimeMs: 60_000,
    drainTargetMs: 30_000,
    waitTargetMs: 0,
    without: [],
    kpa: {
      metric: 'concurrency',
      aggregation: 'linear',
      totalValue: scene.limit,
      targetValue: scene.limit * 0.7,
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
      ...setup.changeKpa,
    },
    ...setup.change,
  }
}

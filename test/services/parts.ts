import type { KpaSpec, ScaleSpec } from '../../src/contract/decider.ts'
import type { Credit, Job } from '../../src/contract/target.ts'
import type { ServicePlan } from '../../src/contract/plan.ts'
import type { PodEvents } from '../../src/services/pod.ts'
import type { Pods } from '../../src/services/process-pods.ts'

const KPA: KpaSpec = {
  metric: 'concurrency',
  aggregation: 'linear',
  totalValue: 10,
  targetValue: 7,
  stableWindowMs: 60_000,
  panicWindowPercentage: 10,
  panicThresholdPercentage: 200,
  maxScaleUpRate: 1_000,
  maxScaleDownRate: 2,
  scaleDownDelayMs: 0,
  activationScale: 1,
  targetBurstCapacity: 211,
  enableScaleToZero: true,
  scaleToZeroGracePeriodMs: 30_000,
  scaleToZeroPodRetentionPeriodMs: 0,
  progressDeadlineMs: 600_000,
  reachable: true,
}

export function scaleSpec(more: Partial<ScaleSpec> = {}): ScaleSpec {
  return {
    class: 'xpa',
    limit: 2,
    minScale: 1,
    maxScale: 5,
    initialScale: 1,
    podBufferSize: 0,
    gcTimeMs: 2_000,
    drainTargetMs: 30_000,
    waitTargetMs: 0,
    without: [],
    kpa: KPA,
    ...more,
  }
}

export function servicePlan(more: Partial<ServicePlan> = {}): ServicePlan {
  return {
    key: 'service/default/worker',
    namespace: 'default',
    name: 'worker',
    revision: 'worker-1',
    process: {
      command: ['worker'],
      env: [],
      workingDir: '',
      readiness: { kind: 'tcp' },
      readinessPeriodMs: 1_000,
      initialDelayMs: 0,
    },
    limit: 2,
    timeoutMs: 10_000,
    scale: scaleSpec(),
    limits: { maxConcurrency: 0, ratePerS: 0 },
    traffic: [{ revision: '', percent: 100, tag: '' }],
    ...more,
  }
}

export interface FakePod {
  readonly name: string
  readonly revision: string
  readonly events: PodEvents
  stopped: boolean
  killed: boolean
  ready(): void
  exit(why: string): void
}

/** Pods that do what the test says and nothing else. */
export function fakePods(): Pods & { readonly started: FakePod[] } {
  const started: FakePod[] = []
  return {
    started,
    start(plan, name, _log, events) {
      const pod: FakePod = {
        name,
        revision: plan.revision,
        events,
        stopped: false,
        killed: false,
        ready: () => events.ready({ protocol: 'http:', host: '127.0.0.1', port: 1_000 + started.length, caCerts: '' }),
        exit: (why) => events.gone(why),
      }
      started.push(pod)
      return {
        pid: started.length,
        stop() {
          pod.stopped = true
          events.gone('')
        },
        kill() {
          pod.killed = true
          events.gone('')
        },
      }
    },
    close() {},
  }
}

/** A wish for a credit that remembers what became of it. */
export function wish(): Job & { credit: Credit | null; refusal: string } {
  const job = {
    kind: 'event' as const,
    sub: 1,
    retry: false,
    bytes: 1,
    credit: null as Credit | null,
    refusal: '',
    start(c: Credit) {
      job.credit = c
    },
    refused(why: string) {
      job.refusal = why
    },
  }
  return job
}

/** What a revision asks of its autoscaler, resolved from annotations, ConfigMap and defaults. Times ms. */
export interface ScaleSpec {
  readonly class: 'xpa' | 'kpa' | 'hpa'
  /** Credits of a pod: what one pod may do at once; for kpa the total from which the target is taken. */
  readonly limit: number
  readonly minScale: number
  /** 0 = none. */
  readonly maxScale: number
  readonly initialScale: number
  /** xpa */
  readonly podBufferSize: number
  readonly gcTimeMs: number
  readonly drainTargetMs: number
  /** Wanted wait for a slot (`sluice.dev/wait-target`), 0 = default. */
  readonly waitTargetMs: number
  /** xpa terms switched off by annotation: `trend`, `staffing`, `cold-start`, `keep-alive`. */
  readonly without: readonly string[]
  readonly kpa: KpaSpec
}

/** Knative's own settings, `config-autoscaler` and annotations merged. */
export interface KpaSpec {
  readonly metric: 'concurrency' | 'rps'
  readonly aggregation: 'linear' | 'weighted-exponential'
  /** What a pod can do in all, and what of it is aimed at. */
  readonly totalValue: number
  readonly targetValue: number
  readonly stableWindowMs: number
  readonly panicWindowPercentage: number
  readonly panicThresholdPercentage: number
  readonly maxScaleUpRate: number
  readonly maxScaleDownRate: number
  readonly scaleDownDelayMs: number
  readonly activationScale: number
  readonly targetBurstCapacity: number
  readonly enableScaleToZero: boolean
  readonly scaleToZeroGracePeriodMs: number
  readonly scaleToZeroPodRetentionPeriodMs: number
  readonly progressDeadlineMs: number
  readonly reachable: boolean
}

export interface PodSeen {
  readonly name: string
  readonly phase: 'starting' | 'ready' | 'draining' | 'failed'
  readonly inFlight: number
  /** Monotonic ms: since when it is in this phase. */
  readonly sinceMs: number
  /** Since when nothing has been in flight; null = busy or not ready. */
  readonly idleSinceMs: number | null
}

/** Everything a decider may look at, at one instant. */
export interface Observation {
  readonly inFlight: number
  /** Proxied requests that wait in the gate for a credit. */
  readonly queued: number
  /** Events that wait: in the gate, in lanes, and unread in streams × match ratio, each subscription capped by what it can use. */
  readonly backlog: number
  /** Of the backlog: what has not come to the gate and is not in `arrivals` yet. Its growth tells new load from stored work. */
  readonly behindGate?: number
  /** Over the last 20 s, or since the revision began where that is shorter. */
  readonly arrivalsPerS: number
  /** All arrivals since the revision began; deciders take differences of it for windows of their own. */
  readonly arrivals: number
  /** Measured, null = not known yet. */
  readonly serviceMs: number | null
  /** Measured mean start of a pod, null = not known yet. */
  readonly coldStartMs: number | null
  /** Window averages of the kpa metric; null = no data. */
  readonly stable: number | null
  readonly panic: number | null
  readonly pods: readonly PodSeen[]
}

/** Why, in numbers and in words. */
export interface Reason {
  readonly text: string
  readonly terms: Readonly<Record<string, number>>
}

/** `next` is handed back with the next observation; `remove` names the pods to cordon, drain and stop. */
export interface Decision<S> {
  readonly desired: number
  readonly remove: readonly string[]
  /** Monotonic ms: decide again by then even if nothing happens; Infinity = only when something does. */
  readonly wakeAtMs: number
  /** false: no data, change nothing. */
  readonly valid: boolean
  readonly reason: Reason
  readonly next: S
}

/** Pure functions of (state, now): no clock, no chance. */
export interface Decider<S> {
  init(spec: ScaleSpec, nowMs: number): S
  decide(spec: ScaleSpec, state: S, seen: Observation, nowMs: number): Decision<S>
}

/** Window averages of a revision's metric, fed once a second; what kpa decides from. */
export interface MetricWindows {
  /** Time-weighted average concurrency and the requests that arrived since the last call. */
  record(nowMs: number, concurrency: number, requests: number): void
  average(nowMs: number): { readonly stable: number | null; readonly panic: number | null }
}

/** One autoscaler class as the scaling loop uses it. */
export interface DeciderKit {
  readonly decider: Decider<unknown>
  /** Decides every so often; 0 = whenever demand crosses a pod and when `wakeAtMs` is due. */
  readonly tickMs: number
  windows(spec: ScaleSpec): MetricWindows | null
}

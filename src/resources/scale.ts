import type { KpaSpec, ScaleSpec } from '../contract/decider.ts'
import { annotation, type Annotations } from './annotations.ts'
import { asFraction, type AutoscalerConfig, type Range, RANGES, type ScaleClass } from './autoscaler-config.ts'
import type { Path } from './faults.ts'
import { sentence } from './issues.ts'
import type { Complain } from './resource.ts'
import { parseGoDuration } from './durations.ts'
import { parseWhole } from './quantities.ts'

/** Annotations and where they stand; the first place that has a name wins. */
export interface AnnotationPlace {
  readonly annotations: Annotations
  readonly path: Path
}

const PREFIX = 'autoscaling.knative.dev/'
const DEFAULT_GC_TIME_MS = 60_000
const DEFAULT_DRAIN_TARGET_MS = 30_000
const DEFAULT_PROGRESS_DEADLINE_MS = 600_000

const bufferSize: Range<number> = {
  must: 'must be a whole number from 0 to 100000',
  read: (t) => atMost(parseWhole(t), 100_000),
}
const gcTime: Range<number> = {
  must: 'must be a whole number of seconds from 0 to 86400',
  read(t) {
    const ms = /^\d+$/.test(t) ? Number(t) * 1000 : parseGoDuration(t)
    return ms !== undefined && ms % 1000 === 0 ? atMost(ms, 86_400_000) : undefined
  },
}
const METRICS: Readonly<Record<ScaleClass, readonly string[]>> = {
  kpa: ['concurrency', 'rps'],
  xpa: ['concurrency'],
  hpa: ['cpu', 'memory', 'concurrency', 'rps'],
}
const AGGREGATIONS: Readonly<Record<string, KpaSpec['aggregation']>> = {
  linear: 'linear',
  'weighted-exponential': 'weighted-exponential',
  weightedExponential: 'weighted-exponential',
}
const aggregation: Range<KpaSpec['aggregation']> = {
  must: 'must be one of linear, weighted-exponential',
  read: (t) => (Object.hasOwn(AGGREGATIONS, t) ? AGGREGATIONS[t] : undefined),
}

function atMost(n: number | undefined, most: number): number | undefined {
  return n !== undefined && n <= most ? n : undefined
}

/** Reads one annotation after the other, each under any of its spellings, and says what is out of range. */
class ScaleReader {
  readonly #places: readonly AnnotationPlace[]
  readonly #complain: Complain
  constructor(places: readonly AnnotationPlace[], complain: Complain) {
    this.#places = places
    this.#complain = complain
  }

  /** The text of the first place and the first spelling that has one: kebab wins over the old camel alias. */
  find(names: readonly string[]): { readonly text: string; readonly path: Path } | undefined {
    for (const place of this.#places) {
      for (const name of names) {
        const text = place.annotations[name]
        if (text !== undefined) return { text, path: [...place.path, name] }
      }
    }
    return undefined
  }

  read<T>(range: Range<T>, otherwise: T, ...names: readonly string[]): T {
    const found = this.find(names.map((n) => (n.includes('/') ? n : PREFIX + n)))
    if (found === undefined) return otherwise
    const value = range.read(found.text)
    if (value !== undefined) return value
    this.#complain(found.path, sentence(range.must, found.text))
    return otherwise
  }

  complain(names: readonly string[], message: string, otherwise: Path): void {
    this.#complain(this.find(names.map((n) => PREFIX + n))?.path ?? otherwise, message)
  }
}

/** What a revision asks of its autoscaler. `gateLimit` = credits of a pod, 0 = without limit; `hardLimit` = containerConcurrency. */
export function scaleSpec(
  places: readonly AnnotationPlace[],
  gateLimit: number,
  hardLimit: number,
  config: AutoscalerConfig,
  complain: Complain,
): ScaleSpec {
  const r = new ScaleReader(places, complain)
  const own = Object.assign({}, ...places.toReversed().map((p) => p.annotations)) as Annotations
  const scaleClass = r.read(RANGES.class, config.class, 'class')
  const metric = r.read(
    { must: `must be one of ${METRICS[scaleClass].join(', ')}`, read: (t) => METRICS[scaleClass].find((m) => m === t) },
    '',
    'metric',
  )
  const rps = metric === 'rps'
  const target = r.read(RANGES.target, 0, 'target')
  const softTotal = target > 0 ? target : rps ? config.rpsTarget : hardLimit > 0 ? hardLimit : config.concurrencyTarget
  const totalValue = !rps && hardLimit > 0 ? Math.min(softTotal, hardLimit) : softTotal
  const percentage = r.read(RANGES.utilizationPercentage, 0, 'target-utilization-percentage', 'targetUtilizationPercentage')
  const utilization = percentage > 0 ? percentage / 100 : rps ? 0.7 : asFraction(config.utilization)
  const kpa = kpaSpec(r, config, rps, totalValue, utilization)
  const bounds = readBounds(r, config, places[0]?.path ?? [])
  return {
    class: scaleClass,
    limit: gateLimit > 0 ? gateLimit : Math.max(1, Math.floor(rps ? config.concurrencyTarget : totalValue)),
    ...bounds,
    podBufferSize: r.read(bufferSize, 0, 'pod-buffer-size', 'podBufferSize'),
    gcTimeMs: r.read(gcTime, DEFAULT_GC_TIME_MS, 'gc-time', 'gcTime'),
    drainTargetMs: annotation(own, 'sluice.dev/drain-target') ?? DEFAULT_DRAIN_TARGET_MS,
    waitTargetMs: annotation(own, 'sluice.dev/wait-target') ?? 0,
    without: annotation(own, 'sluice.dev/without') ?? [],
    kpa: { ...kpa, activationScale: readActivation(r, bounds, places[0]?.path ?? []) },
  }
}

/** What a strict gate without containerConcurrency gives a pod: the autoscaling target, else 100. DESIGN §8 */
export function strictLimit(places: readonly AnnotationPlace[], config: AutoscalerConfig): number {
  const r = new ScaleReader(places, () => {})
  const target = r.read(RANGES.target, config.concurrencyTarget, 'target')
  const counted = r.find([`${PREFIX}metric`])?.text === 'rps' ? config.concurrencyTarget : target
  return Math.max(1, Math.floor(counted))
}

function kpaSpec(r: ScaleReader, c: AutoscalerConfig, rps: boolean, totalValue: number, utilization: number): KpaSpec {
  return {
    metric: rps ? 'rps' : 'concurrency',
    aggregation: r.read(aggregation, 'linear', 'metric-aggregation-algorithm', 'metricAggregationAlgorithm'),
    totalValue,
    targetValue: Math.max(0.01, totalValue * utilization),
    stableWindowMs: r.read(RANGES.window, c.stableWindowMs, 'window'),
    panicWindowPercentage: r.read(
      RANGES.panicWindow,
      c.panicWindowPercentage,
      'panic-window-percentage',
      'panicWindowPercentage',
    ),
    panicThresholdPercentage: r.read(
      RANGES.panicThreshold,
      c.panicThresholdPercentage,
      'panic-threshold-percentage',
      'panicThresholdPercentage',
    ),
    maxScaleUpRate: c.maxScaleUpRate,
    maxScaleDownRate: c.maxScaleDownRate,
    scaleDownDelayMs: r.read(RANGES.delay, c.scaleDownDelayMs, 'scale-down-delay', 'scaleDownDelay'),
    activationScale: 1,
    targetBurstCapacity: r.read(RANGES.burst, c.targetBurstCapacity, 'target-burst-capacity', 'targetBurstCapacity'),
    enableScaleToZero: c.enableScaleToZero,
    scaleToZeroGracePeriodMs: c.scaleToZeroGracePeriodMs,
    scaleToZeroPodRetentionPeriodMs: r.read(
      RANGES.retention,
      c.podRetentionMs,
      'scale-to-zero-pod-retention-period',
      'scaleToZeroPodRetentionPeriod',
    ),
    progressDeadlineMs: r.read(
      RANGES.progressDeadline,
      DEFAULT_PROGRESS_DEADLINE_MS,
      'serving.knative.dev/progress-deadline',
      'serving.knative.dev/progressDeadline',
    ),
    reachable: true,
  }
}

interface Bounds {
  readonly minScale: number
  readonly maxScale: number
  readonly initialScale: number
}

function readBounds(r: ScaleReader, c: AutoscalerConfig, otherwise: Path): Bounds {
  const minScale = r.read(RANGES.scale, c.minScale, 'min-scale', 'minScale')
  const maxScale = r.read(RANGES.scale, c.maxScale, 'max-scale', 'maxScale')
  const initialScale = r.read(RANGES.scale, c.initialScale, 'initial-scale', 'initialScale')
  if (maxScale > 0 && minScale > maxScale) {
    r.complain(['min-scale', 'minScale'], `is ${minScale}, must be at most max-scale (${maxScale})`, otherwise)
  }
  if (c.maxScaleLimit > 0 && (maxScale < 1 || maxScale > c.maxScaleLimit)) {
    r.complain(['max-scale', 'maxScale'], `is ${maxScale}, must be from 1 to max-scale-limit (${c.maxScaleLimit})`, otherwise)
  }
  if (initialScale === 0 && !c.allowZeroInitialScale) {
    const remedy = 'unless allow-zero-initial-scale is true in config-autoscaler'
    r.complain(['initial-scale', 'initialScale'], `is 0, must be at least 1 ${remedy}`, otherwise)
  }
  return { minScale, maxScale, initialScale }
}

function readActivation(r: ScaleReader, b: Bounds, otherwise: Path): number {
  const n = r.read(RANGES.activationScale, 1, 'activation-scale', 'activationScale')
  if (n > 1 && (n < b.minScale || (b.maxScale > 0 && n > b.maxScale))) {
    const most = b.maxScale > 0 ? ` and at most max-scale (${b.maxScale})` : ''
    r.complain(['activation-scale', 'activationScale'], `is ${n}, must be at least min-scale (${b.minScale})${most}`, otherwise)
  }
  return n
}

import { parseGoDuration } from './durations.ts'
import { sentence } from './issues.ts'
import type { Complain } from './resource.ts'
import { parseDecimal, parseWhole } from './quantities.ts'

/** `config-autoscaler`, resolved. Times ms, percentages as written. `reference/autoscaling.md` §1.6 */
export interface AutoscalerConfig {
  /** A fraction in (0, 1]. */
  readonly utilization: number
  readonly concurrencyTarget: number
  readonly rpsTarget: number
  readonly targetBurstCapacity: number
  readonly stableWindowMs: number
  readonly panicWindowPercentage: number
  readonly panicThresholdPercentage: number
  readonly maxScaleUpRate: number
  readonly maxScaleDownRate: number
  readonly enableScaleToZero: boolean
  readonly scaleToZeroGracePeriodMs: number
  readonly podRetentionMs: number
  readonly scaleDownDelayMs: number
  readonly initialScale: number
  readonly allowZeroInitialScale: boolean
  readonly minScale: number
  readonly maxScale: number
  /** 0 = none. */
  readonly maxScaleLimit: number
  readonly class: ScaleClass
}

export type ScaleClass = 'kpa' | 'xpa' | 'hpa'
export const CLASSES: Readonly<Record<string, ScaleClass>> = {
  'kpa.autoscaling.knative.dev': 'kpa',
  'xpa.autoscaling.knative.dev': 'xpa',
  'hpa.autoscaling.knative.dev': 'hpa',
}

export const AUTOSCALER_DEFAULTS: AutoscalerConfig = Object.freeze({
  utilization: 0.7,
  concurrencyTarget: 100,
  rpsTarget: 200,
  targetBurstCapacity: 211,
  stableWindowMs: 60_000,
  panicWindowPercentage: 10,
  panicThresholdPercentage: 200,
  maxScaleUpRate: 1000,
  maxScaleDownRate: 2,
  enableScaleToZero: true,
  scaleToZeroGracePeriodMs: 30_000,
  podRetentionMs: 0,
  scaleDownDelayMs: 0,
  initialScale: 1,
  allowZeroInitialScale: false,
  minScale: 0,
  maxScale: 0,
  maxScaleLimit: 0,
  class: 'kpa',
})

/** One way to read a text of an annotation or a ConfigMap; undefined = out of range. */
export interface Range<T> {
  readonly read: (text: string) => T | undefined
  readonly must: string
}

const range = <T>(must: string, read: (text: string) => T | undefined): Range<T> => ({ must, read })
const within = (n: number | undefined, ok: (n: number) => boolean): number | undefined =>
  n !== undefined && ok(n) ? n : undefined
const wholeAtLeast = (least: number): Range<number> =>
  range(`must be a whole number of at least ${least}`, (t) => within(parseWhole(t), (n) => n >= least && n < 2 ** 31))
const percent = (least: number, most: number): Range<number> =>
  range(`must be a number from ${least} to ${most}`, (t) => within(parseDecimal(t), (n) => n >= least && n <= most))
const over = (least: number): Range<number> =>
  range(`must be a number over ${least}`, (t) => within(parseDecimal(t), (n) => n > least))
const truth = range('must be true or false', (t) => (/^(true|false)$/i.test(t) ? t.toLowerCase() === 'true' : undefined))
const HOUR_MS = 3_600_000
const wholeSeconds = (must: string, least: number, most: number): Range<number> =>
  range(must, (t) => within(parseGoDuration(t), (ms) => ms >= least && ms <= most && ms % 1000 === 0))

/** The ranges, each said once: the ConfigMap and the annotations share them where Knative's do. */
export const RANGES = {
  targetPercentage: range('must be a number over 0 up to 100; up to 1 it is a fraction', (t) =>
    within(parseDecimal(t), (n) => n > 0 && n <= 100),
  ),
  utilizationPercentage: percent(1, 100),
  target: range('must be a number of at least 0.01', (t) => within(parseDecimal(t), (n) => n >= 0.01)),
  burst: range('must be a number of at least 0, or -1', (t) => within(parseDecimal(t), (n) => n >= 0 || n === -1)),
  window: wholeSeconds('must be a duration from 6s to 1h in whole seconds', 6000, HOUR_MS),
  panicWindow: percent(1, 100),
  panicThreshold: percent(110, 1000),
  panicThresholdConfig: over(0),
  rate: over(1),
  truth,
  grace: range('must be a duration over 0s, such as 30s', (t) => within(parseGoDuration(t), (ms) => ms > 0)),
  retentionConfig: range('must be a duration such as 30s', parseGoDuration),
  retention: range('must be a duration from 0s to 1h', (t) => within(parseGoDuration(t), (ms) => ms <= HOUR_MS)),
  delayConfig: wholeSeconds('must be a duration in whole seconds', 0, Number.MAX_SAFE_INTEGER),
  delay: wholeSeconds('must be a duration from 0s to 1h in whole seconds', 0, HOUR_MS),
  scale: wholeAtLeast(0),
  activationScale: wholeAtLeast(2),
  progressDeadline: wholeSeconds('must be a duration of at least 1s in whole seconds', 1000, Number.MAX_SAFE_INTEGER),
  class: range<ScaleClass>(`must be one of ${Object.keys(CLASSES).join(', ')}`, (t) =>
    Object.hasOwn(CLASSES, t) ? CLASSES[t] : undefined,
  ),
} as const

const KEYS = {
  'container-concurrency-target-percentage': ['utilization', RANGES.targetPercentage],
  'container-concurrency-target-default': ['concurrencyTarget', RANGES.target],
  'requests-per-second-target-default': ['rpsTarget', RANGES.target],
  'target-burst-capacity': ['targetBurstCapacity', RANGES.burst],
  'stable-window': ['stableWindowMs', RANGES.window],
  'panic-window-percentage': ['panicWindowPercentage', RANGES.panicWindow],
  'panic-threshold-percentage': ['panicThresholdPercentage', RANGES.panicThresholdConfig],
  'max-scale-up-rate': ['maxScaleUpRate', RANGES.rate],
  'max-scale-down-rate': ['maxScaleDownRate', RANGES.rate],
  'enable-scale-to-zero': ['enableScaleToZero', RANGES.truth],
  'scale-to-zero-grace-period': ['scaleToZeroGracePeriodMs', RANGES.grace],
  'scale-to-zero-pod-retention-period': ['podRetentionMs', RANGES.retentionConfig],
  'scale-down-delay': ['scaleDownDelayMs', RANGES.delayConfig],
  'initial-scale': ['initialScale', RANGES.scale],
  'allow-zero-initial-scale': ['allowZeroInitialScale', RANGES.truth],
  'min-scale': ['minScale', RANGES.scale],
  'max-scale': ['maxScale', RANGES.scale],
  'max-scale-limit': ['maxScaleLimit', RANGES.scale],
  'pod-autoscaler-class': ['class', RANGES.class],
} as const satisfies Readonly<Record<string, readonly [keyof AutoscalerConfig, Range<unknown>]>>

/** Keys that are not Knative's are ignored, as Knative ignores them (`_example` and what older versions had). */
export function readAutoscalerConfig(data: Readonly<Record<string, string>>, complain: Complain): AutoscalerConfig {
  const read: Record<string, unknown> = { ...AUTOSCALER_DEFAULTS }
  for (const [key, [field, r]] of Object.entries(KEYS)) {
    const text = data[key]
    if (text === undefined) continue
    const value = (r as Range<unknown>).read(text.trim())
    if (value === undefined) complain(['data', key], sentence(r.must, text))
    else read[field] = field === 'utilization' ? asFraction(value as number) : value
  }
  const config = read as unknown as AutoscalerConfig
  checkTogether(config, (key, message) => complain(['data', key], message))
  return config
}

function checkTogether(c: AutoscalerConfig, complain: (key: keyof typeof KEYS, message: string) => void): void {
  if (c.initialScale === 0 && !c.allowZeroInitialScale) {
    complain('initial-scale', 'is 0, must be at least 1 unless allow-zero-initial-scale is true')
  }
  if (c.maxScale > 0 && c.minScale > c.maxScale) {
    complain('min-scale', `is ${c.minScale}, must be at most max-scale (${c.maxScale})`)
  }
  if (c.maxScaleLimit > 0 && (c.maxScale < 1 || c.maxScale > c.maxScaleLimit)) {
    complain('max-scale', `is ${c.maxScale}, must be from 1 to max-scale-limit (${c.maxScaleLimit})`)
  }
  if (c.concurrencyTarget * c.utilization < 0.01) {
    complain(
      'container-concurrency-target-default',
      `is ${c.concurrencyTarget}, must be at least 0.01 after the target percentage`,
    )
  }
  const panicMs = (c.stableWindowMs * c.panicWindowPercentage) / 100
  if (panicMs < 1000) {
    complain(
      'panic-window-percentage',
      `is ${c.panicWindowPercentage}, must give a panic window of at least 1s, it gives ${panicMs / 1000}s`,
    )
  }
}

/** A percentage as a fraction; Knative reads anything up to 1 as one already. */
export function asFraction(percentage: number): number {
  return percentage > 1 ? percentage / 100 : percentage
}

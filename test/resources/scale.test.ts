import { describe, expect, test } from 'vitest'
import type { ScaleSpec } from '../../src/contract/decider.ts'
import type { ServicePlan } from '../../src/contract/plan.ts'
import { item, planOf, read } from './planning.ts'

interface Written {
  /** Annotations of the template, as YAML. */
  readonly template?: string
  readonly own?: string
  readonly spec?: string
  /** Data of config-autoscaler, as YAML. */
  readonly config?: string
  readonly defaults?: string
}

const PREFIX = 'autoscaling.knative.dev/'

function yamlOf(w: Written): string {
  return `apiVersion: v1
kind: ConfigMap
metadata: {name: config-autoscaler, namespace: knative-serving}
data: ${w.config ?? '{}'}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: config-defaults, namespace: knative-serving}
data: ${w.defaults ?? '{}'}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: s, annotations: ${w.own ?? '{}'}}
spec:
  template:
    metadata: {annotations: ${w.template ?? '{}'}}
    spec: {${w.spec === undefined ? '' : `${w.spec}, `}containers: [{image: a}]}`
}
const serviceOf = (w: Written): ServicePlan => item(planOf(yamlOf(w)).services, 'service/default/s')
const scaleOf = (w: Written): ScaleSpec => serviceOf(w).scale
/** `{min-scale: "1"}` with the prefix before each name. */
const annotations = (a: Readonly<Record<string, string>>): string =>
  JSON.stringify(Object.fromEntries(Object.entries(a).map(([name, value]) => [PREFIX + name, value])))

describe('Knative’s defaults', () => {
  test('are those of config-autoscaler', () => {
    expect(scaleOf({})).toEqual({
      class: 'kpa',
      limit: 100,
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
        totalValue: 100,
        targetValue: 70,
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
      },
    })
  })

  test('every key of config-autoscaler is read', () => {
    const config = JSON.stringify({
      'container-concurrency-target-percentage': '0.5',
      'container-concurrency-target-default': '40',
      'requests-per-second-target-default': '300',
      'target-burst-capacity': '-1',
      'stable-window': '90s',
      'panic-window-percentage': '20',
      'panic-threshold-percentage': '150',
      'max-scale-up-rate': '10',
      'max-scale-down-rate': '3',
      'enable-scale-to-zero': 'false',
      'scale-to-zero-grace-period': '45s',
      'scale-to-zero-pod-retention-period': '1m5s',
      'scale-down-delay': '15m',
      'initial-scale': '0',
      'allow-zero-initial-scale': 'true',
      'min-scale': '1',
      'max-scale': '8',
      'max-scale-limit': '10',
      'pod-autoscaler-class': 'xpa.autoscaling.knative.dev',
      'tick-interval': 'ignored',
    })
    expect(scaleOf({ config })).toMatchObject({
      class: 'xpa',
      limit: 40,
      minScale: 1,
      maxScale: 8,
      initialScale: 0,
      kpa: {
        totalValue: 40,
        targetValue: 20,
        targetBurstCapacity: -1,
        stableWindowMs: 90_000,
        panicWindowPercentage: 20,
        panicThresholdPercentage: 150,
        maxScaleUpRate: 10,
        maxScaleDownRate: 3,
        enableScaleToZero: false,
        scaleToZeroGracePeriodMs: 45_000,
        scaleToZeroPodRetentionPeriodMs: 65_000,
        scaleDownDelayMs: 900_000,
      },
    })
    expect(
      scaleOf({ config, template: annotations({ metric: 'rps', class: 'kpa.autoscaling.knative.dev' }) }).kpa.totalValue,
    ).toBe(300)
  })
})

describe('annotations', () => {
  const kebab = {
    class: 'kpa.autoscaling.knative.dev',
    metric: 'rps',
    'metric-aggregation-algorithm': 'weighted-exponential',
    target: '150',
    'target-utilization-percentage': '80',
    'target-burst-capacity': '0',
    window: '2m',
    'panic-window-percentage': '5.5',
    'panic-threshold-percentage': '110',
    'scale-to-zero-pod-retention-period': '1h',
    'scale-down-delay': '30s',
    'initial-scale': '3',
    'min-scale': '2',
    'max-scale': '20',
    'activation-scale': '4',
  }
  const camel = {
    metric: 'rps',
    metricAggregationAlgorithm: 'weightedExponential',
    target: '150',
    targetUtilizationPercentage: '80',
    targetBurstCapacity: '0',
    window: '2m',
    panicWindowPercentage: '5.5',
    panicThresholdPercentage: '110',
    scaleToZeroPodRetentionPeriod: '1h',
    scaleDownDelay: '30s',
    initialScale: '3',
    minScale: '2',
    maxScale: '20',
    activationScale: '4',
  }
  test('are read in both spellings', () => {
    const read = scaleOf({ template: annotations(kebab) })
    expect(read).toMatchObject({
      class: 'kpa',
      minScale: 2,
      maxScale: 20,
      initialScale: 3,
      kpa: {
        metric: 'rps',
        aggregation: 'weighted-exponential',
        totalValue: 150,
        targetValue: 120,
        targetBurstCapacity: 0,
        stableWindowMs: 120_000,
        panicWindowPercentage: 5.5,
        panicThresholdPercentage: 110,
        scaleToZeroPodRetentionPeriodMs: 3_600_000,
        scaleDownDelayMs: 30_000,
        activationScale: 4,
      },
    })
    expect(scaleOf({ template: annotations(camel) })).toEqual(read)
  })
  test('kebab wins over camel, the template over the Service', () => {
    expect(scaleOf({ template: annotations({ 'min-scale': '2', minScale: '5' }) }).minScale).toBe(2)
    expect(
      scaleOf({ template: annotations({ minScale: '3' }), own: annotations({ 'min-scale': '7', 'max-scale': '9' }) }),
    ).toMatchObject({
      minScale: 3,
      maxScale: 9,
    })
  })
  test('those of xpa', () => {
    const template = annotations({ class: 'xpa.autoscaling.knative.dev', 'pod-buffer-size': '3', 'gc-time': '30' })
    const own = '{sluice.dev/drain-target: 10s, sluice.dev/wait-target: 50ms, sluice.dev/without: "trend, staffing"}'
    expect(scaleOf({ template, own })).toMatchObject({
      class: 'xpa',
      podBufferSize: 3,
      gcTimeMs: 30_000,
      drainTargetMs: 10_000,
      waitTargetMs: 50,
      without: ['trend', 'staffing'],
    })
  })
})

describe('the limit of a pod', () => {
  const strict = '{networking.knative.dev/flow-controller.class: strict}'
  const rows: readonly [string, Written, number, number][] = [
    ['containerConcurrency, strict or not', { spec: 'containerConcurrency: 7' }, 7, 7],
    [
      'containerConcurrency before the target',
      { spec: 'containerConcurrency: 7', own: strict, template: annotations({ target: '50' }) },
      7,
      7,
    ],
    ['strict: the target', { own: strict, template: annotations({ target: '12.9' }) }, 12, 12],
    ['strict: a target under one is one', { own: strict, template: annotations({ target: '0.5' }) }, 1, 1],
    ['strict: nothing said is 100', { own: strict }, 100, 100],
    [
      'strict: a target in requests a second is none',
      { own: strict, template: annotations({ metric: 'rps', target: '5' }) },
      100,
      100,
    ],
    ['strict on the template counts as well', { template: strict }, 100, 100],
    ['neither: no limit, and the target for the count of pods', { template: annotations({ target: '12' }) }, 0, 12],
    ['neither: nothing said', {}, 0, 100],
    ['the default of config-defaults', { defaults: '{container-concurrency: "3"}' }, 3, 3],
  ]
  test.for(rows)('%s', ([, written, gate, scale]) => {
    const plan = serviceOf(written)
    expect([plan.limit, plan.scale.limit]).toEqual([gate, scale])
  })
  test('a target over containerConcurrency is cut to it', () => {
    expect(scaleOf({ spec: 'containerConcurrency: 10', template: annotations({ target: '50' }) }).kpa).toMatchObject({
      totalValue: 10,
      targetValue: 7,
    })
    expect(scaleOf({ spec: 'containerConcurrency: 10', template: annotations({ target: '5' }) }).kpa).toMatchObject({
      totalValue: 5,
      targetValue: 3.5,
    })
  })
})

describe('what is out of its range is refused with the range', () => {
  const rows: readonly [string, string, string][] = [
    [
      'class',
      'spa.autoscaling.knative.dev',
      'must be one of kpa.autoscaling.knative.dev, xpa.autoscaling.knative.dev, hpa.autoscaling.knative.dev',
    ],
    ['metric', 'cpu', 'must be one of concurrency, rps'],
    ['metric-aggregation-algorithm', 'median', 'must be one of linear, weighted-exponential'],
    ['target', '0.009', 'must be a number of at least 0.01'],
    ['target', 'NaN', 'must be a number of at least 0.01'],
    ['target-utilization-percentage', '0', 'must be a number from 1 to 100'],
    ['targetUtilizationPercentage', '101', 'must be a number from 1 to 100'],
    ['target-burst-capacity', '-2', 'must be a number of at least 0, or -1'],
    ['window', '5s', 'must be a duration from 6s to 1h in whole seconds'],
    ['window', '6500ms', 'must be a duration from 6s to 1h in whole seconds'],
    ['window', '61m', 'must be a duration from 6s to 1h in whole seconds'],
    ['panic-window-percentage', '0.5', 'must be a number from 1 to 100'],
    ['panic-threshold-percentage', '109', 'must be a number from 110 to 1000'],
    ['panic-threshold-percentage', '1001', 'must be a number from 110 to 1000'],
    ['scale-to-zero-pod-retention-period', '2h', 'must be a duration from 0s to 1h'],
    ['scale-to-zero-pod-retention-period', '-1s', 'must be a duration from 0s to 1h'],
    ['scale-down-delay', '1500ms', 'must be a duration from 0s to 1h in whole seconds'],
    ['initial-scale', '-1', 'must be a whole number of at least 0'],
    ['min-scale', '1.5', 'must be a whole number of at least 0'],
    ['max-scale', 'many', 'must be a whole number of at least 0'],
    ['activation-scale', '1', 'must be a whole number of at least 2'],
    ['pod-buffer-size', '-1', 'must be a whole number from 0 to 100000'],
    ['gc-time', '0.5', 'must be a whole number of seconds from 0 to 86400'],
  ]
  test.for(rows)('%s: %s', ([name, value, must]) => {
    const path = `spec.template.metadata.annotations["${PREFIX}${name}"]`
    expect(read(yamlOf({ template: annotations({ [name]: value }) })).texts).toEqual([
      expect.stringMatching(/^m\.yaml:\d+: Service default\/s: /),
    ])
    expect(read(yamlOf({ template: annotations({ [name]: value }) })).faults[0]).toMatchObject({
      path,
      message: `is "${value}", ${must}`,
    })
  })

  const together: readonly [string, Written, string][] = [
    ['min over max', { template: annotations({ 'min-scale': '5', 'max-scale': '3' }) }, 'is 5, must be at most max-scale (3)'],
    [
      'an initial scale of 0',
      { template: annotations({ 'initial-scale': '0' }) },
      'is 0, must be at least 1 unless allow-zero-initial-scale is true in config-autoscaler',
    ],
    [
      'a max over the limit',
      { config: '{max-scale-limit: "5", max-scale: "5"}', template: annotations({ 'max-scale': '6' }) },
      'is 6, must be from 1 to max-scale-limit (5)',
    ],
    [
      'no max though there is a limit',
      { config: '{max-scale-limit: "5", max-scale: "5"}', template: annotations({ 'max-scale': '0' }) },
      'is 0, must be from 1 to max-scale-limit (5)',
    ],
    [
      'an activation scale outside the bounds',
      { template: annotations({ 'activation-scale': '9', 'max-scale': '8' }) },
      'is 9, must be at least min-scale (0) and at most max-scale (8)',
    ],
    [
      'more than a pod may have',
      { spec: 'containerConcurrency: 1001' },
      'is 1001, must be at most 1000 (container-concurrency-max-limit of config-defaults)',
    ],
    [
      'a time-out over the most',
      { spec: 'timeoutSeconds: 601' },
      'is 601, must be at most 600 (max-revision-timeout-seconds of config-defaults)',
    ],
  ]
  test.for(together)('%s', ([, written, message]) => {
    expect(read(yamlOf(written)).faults.map((f) => f.message)).toEqual([message])
  })

  const config: readonly [string, string, string][] = [
    ['container-concurrency-target-percentage', '0', 'is "0", must be a number over 0 up to 100; up to 1 it is a fraction'],
    ['container-concurrency-target-default', '0.001', 'is "0.001", must be a number of at least 0.01'],
    ['stable-window', '2h', 'is "2h", must be a duration from 6s to 1h in whole seconds'],
    ['max-scale-up-rate', '1', 'is "1", must be a number over 1'],
    ['max-scale-down-rate', '0.5', 'is "0.5", must be a number over 1'],
    ['enable-scale-to-zero', 'sometimes', 'is "sometimes", must be true or false'],
    ['scale-to-zero-grace-period', '0s', 'is "0s", must be a duration over 0s, such as 30s'],
    ['scale-down-delay', '1.5s', 'is "1.5s", must be a duration in whole seconds'],
    ['initial-scale', '0', 'is 0, must be at least 1 unless allow-zero-initial-scale is true'],
    ['panic-window-percentage', '1', 'is 1, must give a panic window of at least 1s, it gives 0.6s'],
  ]
  test.for(config)('config-autoscaler %s: %s', ([key, value, message]) => {
    const { faults } = read(yamlOf({ config: JSON.stringify({ [key]: value }) }))
    expect(
      faults.filter((f) => f.resource === 'ConfigMap knative-serving/config-autoscaler').map((f) => [f.path, f.message]),
    ).toEqual([[`data.${key}`, message]])
  })
})

test('config-defaults: time-out and its most', () => {
  expect(serviceOf({}).timeoutMs).toBe(300_000)
  expect(serviceOf({ defaults: '{revision-timeout-seconds: "40", max-revision-timeout-seconds: "50"}' }).timeoutMs).toBe(40_000)
  expect(read(yamlOf({ defaults: '{revision-timeout-seconds: "700"}' })).faults.map((f) => f.message)).toEqual([
    'is 700, must be at most max-revision-timeout-seconds (600)',
  ])
})

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { numbersOf } from '../../src/autoscaler/simulator/check.ts'
import { POLICIES } from '../../src/autoscaler/simulator/policies.ts'
import { simulate } from '../../src/autoscaler/simulator/run.ts'
import { sceneFromTrace } from '../../src/autoscaler/simulator/traces.ts'
import { suiteScene } from '../../src/autoscaler/simulator/suite.ts'

const traces = join(import.meta.dirname, '..', 'conformance', 'suites', 'traces')
const golden = join(import.meta.dirname, 'autoscaler-golden.json')
const scenes = ['llm-conv', 'llm-code', 'ramp', 'small', 'on-off', 'spike', 'sparse', 'nightly']
const policies = ['xpa', 'kpa', 'hpa', 'keda', 'oracle']

const read = (file: string): string => readFileSync(join(traces, file), 'utf8')

/** Every decision of these runs, folded into a few numbers: `GOLDEN=write vitest run --project unit test/simulation/autoscaler` renews them. */
function play(): Record<string, unknown> {
  const out: Record<string, unknown> = { generated: 'by test/simulation/autoscaler.test.ts; GOLDEN=write renews it' }
  for (const name of scenes) {
    const scene = suiteScene(name, 1, read)!
    for (const policy of policies) {
      const run = simulate(scene, POLICIES[policy]!, { coldStartMs: 8_000, minScale: 0, seed: 1 })
      const { requests, waited, p99Ms, podS, busyStopped } = numbersOf(run)
      out[`${name} ${policy}`] = [
        requests,
        waited,
        Math.round(p99Ms),
        Math.round(podS),
        run.tally.mostPods,
        run.tally.scaleUps,
        busyStopped,
      ]
    }
  }
  return out
}

describe('golden runs', () => {
  const now = play()
  if (process.env['GOLDEN'] === 'write') writeFileSync(golden, `${JSON.stringify(now, null, 1)}\n`)
  const before = existsSync(golden) ? (JSON.parse(readFileSync(golden, 'utf8')) as Record<string, unknown>) : {}

  test('the same runs are kept', () => {
    expect(Object.keys(before)).toEqual(Object.keys(now))
    expect(Object.keys(now)).toHaveLength(1 + scenes.length * policies.length)
  })
  test.each(Object.keys(now))('%s', (name) => {
    expect(now[name]).toEqual(before[name])
  })
})

describe('each term wins somewhere', () => {
  const run = (scene: string, without: readonly string[]): ReturnType<typeof numbersOf> =>
    numbersOf(
      simulate(suiteScene(scene, 1, read)!, POLICIES['xpa']!, { coldStartMs: 8_000, minScale: 0, seed: 1, change: { without } }),
    )
  test('staffing: fewer wait on a flow', () => {
    expect(run('ramp', []).waited).toBeLessThan(run('ramp', ['staffing']).waited / 2)
  })
  test('keep-alive: fewer pod-seconds after a spike', () => {
    expect(run('spike', []).podS).toBeLessThan(run('spike', ['keep-alive']).podS)
  })
  test('cold start: fewer pod-seconds for queues that drain anyway', () => {
    expect(run('small', []).podS).toBeLessThan(run('small', ['cold-start']).podS * 0.95)
  })
  test('trend: fewer wait where load climbs', () => {
    expect(run('sawtooth', []).waited).toBeLessThan(run('sawtooth', ['trend']).waited)
  })
})

test('a day of the World Cup is two weeks of minutes cut to one', () => {
  const day = sceneFromTrace(read('worldcup98-per-minute.csv'), {
    name: 'day',
    seed: 1,
    serviceMs: 100,
    variation: 1,
    limit: 10,
    maxScale: 0,
    fromMinute: 0,
    minutes: 1440,
    scale: 0.01,
  })
  const run = simulate(day, POLICIES['xpa']!, { coldStartMs: 8_000, minScale: 1, seed: 1 })
  // 15.1 million requests on 8 June 1998, a hundredth of them.
  expect(Math.abs(run.tally.requests - 151_386)).toBeLessThan(2_000)
  expect(run.tally.lost + run.tally.busyStopped + run.tally.overLimit).toBe(0)
})

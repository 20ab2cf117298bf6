import { describe, expect, test } from 'vitest'
import { numbersOf, ratiosOf, verdictOf, type Cell, type Numbers } from '../../../src/autoscaler/simulator/check.ts'
import { EventHeap } from '../../../src/autoscaler/simulator/event-heap.ts'
import { plotSvg } from '../../../src/autoscaler/simulator/plot.ts'
import { POLICIES } from '../../../src/autoscaler/simulator/policies.ts'
import { runTable } from '../../../src/autoscaler/simulator/report.ts'
import { simulate } from '../../../src/autoscaler/simulator/run.ts'
import { poisson, type Scene } from '../../../src/autoscaler/simulator/scene.ts'
import { syntheticScene, SYNTHETIC } from '../../../src/autoscaler/simulator/scenes.ts'
import { Tally } from '../../../src/autoscaler/simulator/tally.ts'
import { sceneFromTrace } from '../../../src/autoscaler/simulator/traces.ts'
import { seededRandom } from '../../../src/runtime/random.ts'

/** A scene by hand: when requests come, and how long each takes. */
function scene(arrivalsMs: readonly number[], serviceMs: number, more: Partial<Scene> = {}): Scene {
  return {
    name: 'by hand',
    group: 'beyond',
    about: '',
    arrivalsMs: Float64Array.from(arrivalsMs),
    serviceMs: new Float32Array(arrivalsMs.length).fill(serviceMs),
    stored: [],
    storedServiceMs: serviceMs,
    endMs: 120_000,
    limit: 2,
    maxScale: 0,
    ...more,
  }
}
const setup = { coldStartMs: 2_000, minScale: 1, seed: 1 }
const xpa = POLICIES['xpa']!
const kpa = POLICIES['kpa']!

describe('one run', () => {
  test('what finds a slot does not wait, the third of two slots does', () => {
    const run = simulate(scene([10_000, 10_000, 10_000], 500), xpa, { ...setup, change: { maxScale: 1 } })
    expect(run.tally).toMatchObject({ requests: 3, waited: 1, lost: 0, overLimit: 0 })
    expect(run.tally.longestMs).toBeCloseTo(500, 6)
  })

  test('pod-seconds count from the start of a pod, idle ones only while it is ready and empty', () => {
    const run = simulate(scene([10_000], 1_000), xpa, setup)
    expect(run.tally.podMs).toBe(120_000)
    expect(run.tally.idlePodMs).toBe(119_000)
  })

  test('at zero a request waits for a cold start', () => {
    const run = simulate(scene([10_000], 100), xpa, { ...setup, minScale: 0 })
    expect(run.tally.waited).toBe(1)
    expect(run.tally.longestMs).toBeGreaterThan(1_000)
    expect(run.pods.at(-1)).toBe(0)
  })

  test('the same seed gives the same run, another one another', () => {
    const spike = syntheticScene('spike', 1)!
    const once = simulate(spike, xpa, setup)
    const again = simulate(spike, xpa, setup)
    expect(again.log).toEqual(once.log)
    expect(again.pods).toEqual(once.pods)
    expect(again.tally.podMs).toBe(once.tally.podMs)
    expect(simulate(spike, xpa, { ...setup, seed: 2 }).tally.podMs).not.toBe(once.tally.podMs)
  })

  test.each(Object.keys(POLICIES))('%s serves every request of a changing load and is never over the limit', (name) => {
    const load = syntheticScene('on-off-long', 3)!
    const run = simulate(load, POLICIES[name]!, { ...setup, minScale: 0 })
    expect(run.tally.requests + run.tally.lost).toBe(load.arrivalsMs.length)
    expect(run.tally.lost).toBe(0)
    expect(run.tally.overLimit).toBe(0)
    expect(run.tally.mostPods).toBeGreaterThan(3)
  })

  test.each(['xpa', 'oracle'])('%s never stops a busy pod, kpa does', (name) => {
    const load = syntheticScene('step', 1)!
    expect(simulate(load, POLICIES[name]!, setup).tally.busyStopped).toBe(0)
    expect(simulate(load, kpa, setup).tally.busyStopped).toBeGreaterThan(0)
  })

  test('a stored batch is drained within twice the drain target, and takes no more pods than that needs', () => {
    const run = simulate(syntheticScene('nightly', 1)!, xpa, { ...setup, coldStartMs: 8_000 })
    expect(run.drainedMs[0]).toBeLessThan(60_000)
    // 200,000 × 50 ms in 30 s on pods of ten slots: 34.
    expect(run.tally.mostPods).toBeLessThan(60)
  })

  test('the oracle waits less than anybody and keeps less idle than kpa', () => {
    const load = syntheticScene('spike', 1)!
    const floor = simulate(load, POLICIES['oracle']!, setup).tally
    for (const name of ['xpa', 'kpa', 'hpa', 'keda']) {
      const tally = simulate(load, POLICIES[name]!, setup).tally
      expect(floor.waited, name).toBeLessThan(tally.waited)
      expect(floor.podMs, name).toBeLessThan(tally.podMs)
    }
  })
})

describe('the parts', () => {
  test('the heap gives what was pushed in the order of time', () => {
    const heap = new EventHeap()
    const random = seededRandom(5)
    const times = Array.from({ length: 3_000 }, () => Math.floor(random.next() * 1e6))
    for (const t of times) heap.push(t, t)
    const out = times.map(() => heap.pop())
    expect(out).toEqual(times.toSorted((a, b) => a - b))
    expect(heap.nextMs).toBe(Infinity)
  })

  test('percentiles are within four per cent', () => {
    const tally = new Tally()
    for (let i = 1; i <= 1_000; i++) tally.wait(i * 10)
    expect(tally.percentile(0.5)).toBeGreaterThan(4_900)
    expect(tally.percentile(0.5)).toBeLessThan(5_250)
    expect(tally.percentile(0.99)).toBeLessThanOrEqual(10_000)
    expect(new Tally().percentile(0.99)).toBe(0)
  })

  test('arrivals follow their rates, rising, inside their seconds', () => {
    const at = poisson([0, 100, 0, 300], seededRandom(1))
    const inSecond = (s: number): number => at.filter((t) => t >= s * 1000 && t < (s + 1) * 1000).length
    expect([inSecond(0), inSecond(2)]).toEqual([0, 0])
    expect(Math.abs(inSecond(1) - 100)).toBeLessThan(40)
    expect(Math.abs(inSecond(3) - 300)).toBeLessThan(70)
    expect([...at]).toEqual([...at].sort((a, b) => a - b))
  })

  test('every synthetic scene is made, and no other', () => {
    expect(SYNTHETIC.length).toBeGreaterThanOrEqual(11)
    for (const name of SYNTHETIC) {
      const made = syntheticScene(name, 1)!
      expect(made.serviceMs.length).toBe(made.arrivalsMs.length)
      expect(made.arrivalsMs.length + made.stored.length).toBeGreaterThan(0)
    }
    expect(syntheticScene('nonsense', 1)).toBeNull()
  })
})

describe('traces', () => {
  const settings = {
    name: 't',
    seed: 1,
    serviceMs: 100,
    variation: 1,
    limit: 10,
    maxScale: 0,
    fromMinute: 0,
    minutes: 60,
    scale: 1,
  }
  test('counts a minute become a rate; a minute that stands twice is added', () => {
    const made = sceneFromTrace(
      'period,count\n1998-06-08 00:00:00,300\n1998-06-08 00:00:00,300\n1998-06-08 00:01:00,600\n',
      settings,
    )
    expect(made.endMs).toBe(120_000)
    expect(Math.abs(made.arrivalsMs.length - 1_200)).toBeLessThan(120)
  })
  test('tokens become service times, 100 ns are kept', () => {
    const csv =
      'TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,400,10\r\n2023-11-16 18:15:47.6806900,0,0\r\n'
    const made = sceneFromTrace(csv, settings)
    expect([...made.arrivalsMs].map((t) => t.toFixed(1))).toEqual(['0.0', '1000.1'])
    expect([...made.serviceMs]).toEqual([300, 1])
  })
  test('another file is refused with what is allowed', () => {
    expect(() => sceneFromTrace('a,b\n', settings)).toThrow('period,count')
  })
})

describe('the verdict', () => {
  const numbers = (more: Partial<Numbers> = {}): Numbers => ({
    requests: 1_000,
    waited: 100,
    waitedPercent: 10,
    p99Ms: 1_000,
    podS: 1_000,
    busyStopped: 0,
    overLimit: 0,
    lost: 0,
    drainedS: [],
    ...more,
  })
  const cell = (ours: Partial<Numbers>, group: Cell['group'] = 'flowing'): Cell => ({
    scene: 's',
    group,
    coldStartMs: 2_000,
    minScale: 0,
    ours: numbers(ours),
    theirs: numbers(),
  })
  const good = { waited: 20, waitedPercent: 2, p99Ms: 100, podS: 900 }

  test('passes where all is reached', () => {
    expect(verdictOf([cell(good)]).passed).toBe(true)
  })
  test.each<[string, Cell]>([
    ['waits too often', cell({ ...good, waited: 60, waitedPercent: 6 })],
    ['takes too many pods', cell({ ...good, podS: 990 })],
    ['stops a busy pod', cell({ ...good, busyStopped: 1 })],
    ['is over a limit', cell({ ...good, overLimit: 1 })],
    ['drains too late', cell({ ...good, drainedS: [61] }, 'stored')],
    ['never drains', cell({ ...good, drainedS: [Infinity] }, 'stored')],
    ['a jump that costs as much', cell({ ...good, podS: 800 }, 'jump')],
  ])('fails where it %s', (_what, wrong) => {
    expect(verdictOf([wrong]).passed).toBe(false)
  })
  test('weak spots are shown, not judged', () => {
    expect(verdictOf([cell({ podS: 5_000 }, 'beyond')]).passed).toBe(true)
  })
  test('ratios are geometric over cells, and sums by request', () => {
    const r = ratiosOf([
      cell({ waited: 25, waitedPercent: 2.4925, podS: 500 }),
      cell({ waited: 400, waitedPercent: 40.03, podS: 2_000 }),
    ])
    expect(r.podS).toBeCloseTo(1, 6)
    expect(r.waited).toBeCloseTo(1, 3)
    expect(r.waitedByRequest).toBeCloseTo(425 / 200, 6)
  })
})

test('table and plot show every policy', () => {
  const load = scene([1_000, 2_000, 3_000], 500)
  const runs = ['xpa', 'kpa'].map((name) => simulate(load, POLICIES[name]!, setup))
  expect(runTable(runs).split('\n').filter(Boolean)).toHaveLength(3)
  const svg = plotSvg('a <b> & c', 2, runs)
  expect(svg.match(/<polyline/g)).toHaveLength(4)
  expect(svg).toContain('a &lt;b&gt; &amp; c')
  expect(numbersOf(runs[0]!).requests).toBe(3)
})

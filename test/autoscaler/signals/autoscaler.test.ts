import { afterEach, describe, expect, test } from 'vitest'
import { DECIDERS } from '../../../src/autoscaler/kits.ts'
import { runAutoscaler, type Autoscaler, type Told } from '../../../src/autoscaler/signals/autoscaler.ts'
import { NO_LOAD, type Reading } from '../../../src/autoscaler/signals/reading.ts'
import { NOBODY, type Scaler } from '../../../src/autoscaler/signals/scalers.ts'
import type { Heard } from '../../../src/autoscaler/signals/signals.ts'
import type { ScaleSpec } from '../../../src/contract/decider.ts'
import { SILENT_LOG } from '../../../src/runtime/log.ts'
import { specOf } from '../spec.ts'
import { steppedClock } from './stepped.ts'

const KEY = 'service/shop/worker'
const open: Autoscaler[] = []
afterEach(async () => {
  for (const a of open.splice(0)) await a.close()
})

function setUp(spec: Partial<ScaleSpec>, scaler: Partial<Scaler> = {}, policy: 'xpa' | 'kpa' | 'hpa' = 'xpa') {
  const clock = steppedClock()
  let load: Reading | null = null
  let missing = ''
  let samples = 0
  let live = true
  const scaled: { desired: number; reason: string; atMs: number }[] = []
  const told: Told[] = []
  open.push(
    runAutoscaler({
      services: [{ key: KEY, spec: specOf({ gcTimeMs: 3_000, initialScale: 1, ...spec }), kit: DECIDERS[policy] }],
      signals: {
        poll() {
          if (live && load !== null) samples++
        },
        heard: (): Heard => ({ load, samples, missing }),
        close() {},
      },
      scaler: {
        ...NOBODY,
        scale(_service, desired, reason) {
          scaled.push({ desired, reason, atMs: clock.now() })
          return Promise.resolve()
        },
        ...scaler,
      },
      everyMs: 500,
      clock,
      log: SILENT_LOG,
      tell: (t) => told.push(t),
    }),
  )
  return {
    clock,
    scaled,
    told,
    sizes: () => scaled.map((s) => s.desired),
    say: (more: Partial<Reading>) => (load = { ...NO_LOAD, ...more }),
    /** No new samples. */
    still: (yes: boolean) => (live = !yes),
    silent: (why: string) => (missing = why),
    pass: async (ms: number): Promise<void> => {
      for (let left = ms; left > 0; left -= 500) {
        clock.step(500)
        await new Promise((done) => setImmediate(done))
      }
    },
  }
}

describe('decides and scales', () => {
  test('up at once by the decider of the gateway, down after gc-time, to zero', async () => {
    const { say, pass, sizes, scaled } = setUp({})
    say({ inFlight: 35 })
    await pass(1_500)
    expect(sizes()).toEqual([4])
    expect(scaled[0]?.reason).toMatch(/35 in flight/)
    say({ inFlight: 0 })
    await pass(2_000)
    expect(sizes()).toEqual([4])
    await pass(70_000)
    expect(sizes().at(-1)).toBe(0)
  })

  test('work packed into the first pods keeps them; the rest goes', async () => {
    const { say, pass, sizes } = setUp({})
    say({ inFlight: 50 })
    await pass(1_500)
    say({ inFlight: 15 })
    await pass(30_000)
    expect(sizes()[0]).toBe(5)
    expect(sizes().at(-1)).toBe(2)
  })

  test('bounds of the spec', async () => {
    const { say, pass, sizes } = setUp({ minScale: 2, maxScale: 3 })
    say({ inFlight: 500 })
    await pass(2_000)
    expect(sizes()).toEqual([3])
    say({})
    await pass(90_000)
    expect(sizes().at(-1)).toBe(2)
  })

  test('kpa averages over its window, hpa has its own pace', async () => {
    const kpa = setUp({}, {}, 'kpa')
    kpa.say({ inFlight: 35 })
    await kpa.pass(10_000)
    // 35 against a target of 7.
    expect(kpa.sizes().at(-1)).toBe(5)
    const hpa = setUp({}, {}, 'hpa')
    hpa.say({ inFlight: 14 })
    await hpa.pass(16_000)
    expect(hpa.sizes().at(-1)).toBe(2)
  })

  test('a busy service is not asked again, and a failure is tried again later', async () => {
    let fail = true
    const tries: number[] = []
    const { say, pass, told } = setUp(
      {},
      {
        scale(_s, desired) {
          tries.push(desired)
          return fail ? Promise.reject(new Error('forbidden')) : Promise.resolve()
        },
      },
    )
    say({ inFlight: 35 })
    await pass(4_000)
    expect(tries.length).toBeGreaterThan(1)
    expect(tries.length).toBeLessThan(4)
    expect(told).toEqual([])
    fail = false
    await pass(10_000)
    expect(told.map((t) => [t.before, t.desired])).toEqual([[1, 4]])
  })

  test('a size somebody else set is seen', async () => {
    let size = 6
    const { say, pass, sizes } = setUp({ minScale: 4, maxScale: 4 }, { size: () => Promise.resolve(size) })
    say({ inFlight: 39 })
    await pass(20_000)
    expect(sizes().at(-1)).toBe(4)
    size = 2
    await pass(20_000)
    expect(sizes().at(-1)).toBe(4)
    expect(sizes().length).toBeGreaterThan(1)
  })
})

describe('missing data', () => {
  test('never shrinks anything, says so, and recovers', async () => {
    const { say, pass, sizes, told, silent, still } = setUp({})
    say({ inFlight: 35 })
    await pass(1_500)
    silent('gateway http://g0 has said nothing new for 6 s')
    still(true)
    say({ inFlight: 0 })
    await pass(120_000)
    expect(sizes()).toEqual([4])
    expect(told.at(-1)).toMatchObject({
      before: 4,
      desired: 4,
      held: true,
      reason: expect.stringMatching(/^held at 4: gateway http:\/\/g0 has said nothing new for 6 s/),
    })
    // Said once, not twice a second.
    expect(told.length).toBe(2)
    silent('')
    still(false)
    await pass(90_000)
    expect(told[2]).toMatchObject({ held: false })
    expect(sizes().at(-1)).toBe(0)
  })

  test('what is still heard may grow it, not shrink it', async () => {
    const { say, pass, sizes, silent, scaled } = setUp({})
    say({ inFlight: 35 })
    await pass(1_500)
    silent('gateway http://g1 has said nothing new for 6 s')
    say({ inFlight: 75 })
    await pass(1_500)
    expect(sizes()).toEqual([4, 8])
    expect(scaled[1]?.reason).toMatch(/not less, for gateway http:\/\/g1/)
    say({ inFlight: 1 })
    await pass(120_000)
    expect(sizes()).toEqual([4, 8])
  })

  test('nothing heard, nothing done', async () => {
    const { pass, sizes, told } = setUp({ minScale: 3 })
    await pass(30_000)
    expect(sizes()).toEqual([])
    expect(told).toEqual([])
  })

  test('old samples alone decide nothing, whatever time passes', async () => {
    const { say, pass, sizes, still } = setUp({})
    say({ inFlight: 35 })
    await pass(1_500)
    say({ inFlight: 0 })
    still(true)
    await pass(120_000)
    expect(sizes()).toEqual([4])
  })
})

test('a lease is renewed while nothing changes', async () => {
  const { say, pass, sizes } = setUp({ gcTimeMs: 60_000 }, { seesPods: true, renewMs: 5_000 })
  say({ inFlight: 15, ready: 2 })
  await pass(21_000)
  expect(sizes().length).toBeGreaterThanOrEqual(4)
  expect(new Set(sizes())).toEqual(new Set([2]))
})

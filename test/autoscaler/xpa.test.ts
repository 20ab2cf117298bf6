import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { xpa, type XpaState } from '../../src/autoscaler/xpa.ts'
import type { Decision, Observation, ScaleSpec } from '../../src/contract/decider.ts'
import { pod, seenOf, specOf, starting } from './spec.ts'

const PLAIN = ['trend', 'staffing', 'cold-start', 'keep-alive']
const plain = (more: Partial<ScaleSpec> = {}): ScaleSpec => specOf({ without: PLAIN, ...more })
const first = (spec: ScaleSpec, seen: Observation, nowMs = 0): Decision<XpaState> =>
  xpa.decide(spec, xpa.init(spec, 0), seen, nowMs)

/** Plays seconds of a steady flow, so that the decider has a history. */
function flowing(
  spec: ScaleSpec,
  seconds: number,
  perS: number,
  more: Partial<Observation>,
): { state: XpaState; arrivals: number } {
  let state = xpa.init(spec, 0)
  let arrivals = 0
  for (let ms = 0; ms <= seconds * 1000; ms += 500) {
    state = xpa.decide(spec, state, seenOf({ arrivals, ...more }), ms).next
    arrivals += perS / 2
  }
  return { state, arrivals: arrivals - perS / 2 }
}

describe('the formula of the design', () => {
  test.each<[string, Partial<Observation>, Partial<ScaleSpec>, number]>([
    ['in flight and queued over the limit', { inFlight: 52, queued: 9 }, {}, 7],
    ['nothing needs nothing', {}, {}, 0],
    ['the buffer is added', { inFlight: 52, queued: 9 }, { podBufferSize: 3 }, 10],
    ['an idle service keeps its buffer', {}, { podBufferSize: 2 }, 2],
    ['an idle service keeps its least scale', {}, { minScale: 3, podBufferSize: 2 }, 3],
    ['never above the greatest scale', { inFlight: 52, queued: 900 }, { maxScale: 8 }, 8],
    ['rate times service time', { arrivalsPerS: 100, serviceMs: 500 }, {}, 5],
    ['a small backlog of unknown service time is one pod', { backlog: 90 }, {}, 1],
    ['a large one asks for a few: one more each time it is ten times as large', { backlog: 1_000_000 }, {}, 6],
    ['a backlog is drained in the target', { backlog: 30_000, serviceMs: 100 }, {}, 10],
    ['a small backlog takes no more slots than it has events', { backlog: 3, serviceMs: 1_000_000 }, { limit: 1 }, 3],
    ['what ran when the backlog came is counted beside it', { inFlight: 20, backlog: 3_000, serviceMs: 200 }, {}, 4],
  ])('%s', (_what, seen, more, desired) => {
    expect(first(plain(more), seenOf(seen)).desired).toBe(desired)
  })

  test('busy pods stay whatever is wanted', () => {
    const pods = [pod('a', 1), pod('b', 1), pod('c', 1)]
    const decision = first(plain({ maxScale: 2 }), seenOf({ inFlight: 3, pods }))
    expect(decision).toMatchObject({ desired: 3, remove: [] })
  })

  test('what is worked off the backlog orders no more pods', () => {
    const spec = plain()
    const seen = seenOf({ backlog: 30_000, serviceMs: 100, coldStartMs: 1_000 })
    const before = first(spec, seen)
    const pods = Array.from({ length: 10 }, (_, i) => pod(`p${i}`, 10))
    const after = xpa.decide(spec, before.next, { ...seen, inFlight: 100, backlog: 29_000, pods }, 1_000)
    expect(after.desired).toBe(10)
  })

  test('stored work that appears is no flow, and leaving the stream is none either', () => {
    const spec = plain()
    let state = first(spec, seenOf({ serviceMs: 20 })).next
    let arrivals = 0
    for (let s = 1; s <= 10; s++) {
      arrivals += 1_000
      const behind = 1_000_000 - arrivals
      state = xpa.decide(spec, state, seenOf({ serviceMs: 20, arrivals, backlog: behind, behindGate: behind }), s * 1000).next
    }
    const end = xpa.decide(spec, state, seenOf({ serviceMs: 20, arrivals, behindGate: 0 }), 10_500)
    // Ten seconds of a thousand a second would want 20 slots; the flow was what the first step cannot tell from it.
    expect(end.reason.terms['offered']).toBeLessThan(10)
  })

  test('events that wait behind the gate because pods are full are flow', () => {
    const spec = plain()
    let state = first(spec, seenOf({ serviceMs: 200 })).next
    let decision = first(spec, seenOf())
    for (let s = 1; s <= 6; s++) {
      const behind = 300 * s
      decision = xpa.decide(
        spec,
        state,
        seenOf({ serviceMs: 200, arrivals: 150 * s, inFlight: 30, backlog: behind, behindGate: behind }),
        s * 1000,
      )
      state = decision.next
    }
    expect(decision.reason.terms['offered']).toBeCloseTo(90, 0)
  })
})

describe('the estimate', () => {
  const steady = { serviceMs: 200, coldStartMs: 2_000 }
  test('staffing holds a margin over a steady flow, shown in the reason', () => {
    const spec = specOf()
    const { state, arrivals } = flowing(spec, 30, 100, { ...steady, inFlight: 20 })
    const decision = xpa.decide(spec, state, seenOf({ ...steady, inFlight: 20, arrivals: arrivals + 50 }), 30_500)
    expect(decision.desired).toBe(3)
    expect(decision.reason.text).toContain('margin')
    const without = specOf({ without: ['staffing', 'trend'] })
    expect(xpa.decide(without, state, seenOf({ ...steady, inFlight: 20, arrivals: arrivals + 50 }), 30_500).desired).toBe(2)
  })

  test('a buffer counts towards the margin', () => {
    const spec = specOf({ podBufferSize: 3 })
    const { state, arrivals } = flowing(spec, 30, 450, { ...steady, inFlight: 90 })
    expect(xpa.decide(spec, state, seenOf({ ...steady, inFlight: 90, arrivals: arrivals + 225 }), 30_500).desired).toBe(13)
  })

  test('a rising flow is met one start ahead, and not without the trend', () => {
    const ramp = (spec: ScaleSpec): number => {
      let state = xpa.init(spec, 0)
      let arrivals = 0
      let desired = 0
      for (let s = 0; s <= 40; s++) {
        arrivals += 20 * s
        const decision = xpa.decide(spec, state, seenOf({ arrivals, serviceMs: 200, coldStartMs: 10_000 }), s * 1000)
        state = decision.next
        desired = decision.desired
      }
      return desired
    }
    expect(ramp(specOf())).toBeGreaterThan(ramp(specOf({ without: ['trend'] })))
  })

  test('a queue that the ready slots drain before a start could help wants no pod', () => {
    const pods = Array.from({ length: 4 }, (_, i) => pod(`p${i}`, 10))
    const seen = { ...steady, inFlight: 40, queued: 20, pods }
    const short = (spec: ScaleSpec): number => {
      const { state, arrivals } = flowing(spec, 30, 100, { ...steady, inFlight: 20, pods })
      return xpa.decide(spec, state, seenOf({ ...seen, arrivals: arrivals + 50 }), 30_500).desired
    }
    expect(short(specOf())).toBe(4)
    expect(short(specOf({ without: ['cold-start'] }))).toBe(6)
  })

  test('a wait target takes as many slots as Erlang asks', () => {
    const many = flowing(specOf({ waitTargetMs: 1 }), 30, 100, { ...steady, inFlight: 20 })
    const decision = xpa.decide(
      specOf({ waitTargetMs: 1 }),
      many.state,
      seenOf({ ...steady, arrivals: many.arrivals + 50 }),
      30_500,
    )
    const lax = specOf({ waitTargetMs: 5_000 })
    const loose = xpa.decide(lax, many.state, seenOf({ ...steady, arrivals: many.arrivals + 50 }), 30_500)
    expect(decision.reason.terms['keep']).toBeGreaterThan(loose.reason.terms['keep'] ?? Infinity)
    expect(loose.reason.terms['keep']).toBeGreaterThan(20)
  })

  test('a service time that jumps while pods start does not order more of them at once', () => {
    const spec = specOf({ podBufferSize: 3 })
    const { state, arrivals } = flowing(spec, 30, 100, { serviceMs: 200, inFlight: 20 })
    const jumped = xpa.decide(spec, state, seenOf({ serviceMs: 2_000, inFlight: 30, arrivals: arrivals + 50 }), 30_500)
    expect(jumped.desired).toBeLessThanOrEqual(6)
  })

  test('a silence in which five were to be expected ends a small flow too', () => {
    const spec = specOf()
    const { state, arrivals } = flowing(spec, 30, 2, { serviceMs: 200 })
    const silent = (ms: number): number =>
      xpa.decide(spec, state, seenOf({ serviceMs: 200, arrivals }), ms).reason.terms['offered'] ?? -1
    expect(silent(31_000)).toBeGreaterThan(0.3)
    let decision = xpa.decide(spec, state, seenOf({ serviceMs: 200, arrivals }), 30_500)
    for (let ms = 31_000; ms <= 34_000; ms += 500)
      decision = xpa.decide(spec, decision.next, seenOf({ serviceMs: 200, arrivals }), ms)
    expect(decision.reason.terms['offered']).toBe(0)
    expect(decision.desired).toBe(0)
  })

  test('when a flow ends, its pods are not held for the window of the rate', () => {
    const spec = specOf({ podBufferSize: 3, gcTimeMs: 5_000 })
    const { state, arrivals } = flowing(spec, 30, 450, { serviceMs: 200, inFlight: 90 })
    const pods = Array.from({ length: 12 }, (_, i) => pod(`p${i}`, 0, i, 30_000))
    let decision = xpa.decide(spec, state, seenOf({ serviceMs: 200, arrivals, pods }), 30_500)
    for (let ms = 31_000; ms <= 36_000; ms += 500)
      decision = xpa.decide(spec, decision.next, seenOf({ serviceMs: 200, arrivals, pods }), ms)
    expect(decision.desired).toBe(3)
    expect(decision.remove).toHaveLength(9)
  })
})

describe('whom it lets go', () => {
  test('pods idle for gc-time, the newest first, never a busy one', () => {
    const pods = [pod('old', 0, 0, 0), pod('new', 0, 9_000, 9_000), pod('busy', 1, 12_000), pod('fresh', 0, 0, 40_000)]
    const decision = first(plain({ minScale: 1 }), seenOf({ inFlight: 1, pods }), 70_000)
    expect(decision.remove).toEqual(['new', 'old'])
  })

  test('at the instant gc-time is over, and it wakes for it', () => {
    const pods = [pod('a', 0, 0, 1_000)]
    const early = first(plain(), seenOf({ pods }), 60_500)
    expect(early).toMatchObject({ desired: 1, remove: [], wakeAtMs: 61_000 })
    expect(first(plain(), seenOf({ pods }), 61_000).remove).toEqual(['a'])
  })

  test('above everything lately needed they go sooner, and not without keep-alive', () => {
    const pods = [pod('a', 0), pod('b', 0)]
    expect(first(specOf(), seenOf({ pods }), 10_000).remove).toHaveLength(2)
    expect(first(plain(), seenOf({ pods }), 10_000).remove).toHaveLength(0)
  })

  test('a starting pod is cancelled only after ten seconds in which it was not needed', () => {
    const spec = plain()
    const seen = seenOf({ pods: [starting('s')] })
    let decision = first(spec, seen)
    for (let ms = 1_000; ms < 10_000; ms += 1_000) {
      decision = xpa.decide(spec, decision.next, seen, ms)
      expect(decision.remove).toEqual([])
    }
    // One moment of need starts the ten seconds anew.
    decision = xpa.decide(spec, decision.next, seenOf({ queued: 1, pods: [starting('s')] }), 9_500)
    decision = xpa.decide(spec, decision.next, seen, 10_500)
    expect(decision.remove).toEqual([])
    expect(xpa.decide(spec, decision.next, seen, 20_500).remove).toEqual(['s'])
  })

  test('a draining or failed pod is no capacity and is not named', () => {
    const pods = [
      { ...pod('d', 3), phase: 'draining' as const },
      { ...pod('f', 0), phase: 'failed' as const },
    ]
    expect(first(plain(), seenOf({ inFlight: 3, pods }), 90_000)).toMatchObject({ desired: 1, remove: [] })
  })
})

describe('what cannot be read moves nothing', () => {
  test.each<[string, Partial<Observation>]>([
    ['NaN in flight', { inFlight: Number.NaN }],
    ['a negative queue', { queued: -1 }],
    ['an infinite backlog', { backlog: Infinity }],
    ['a negative service time', { serviceMs: -5 }],
    ['arrivals that are no number', { arrivals: Number.NaN }],
  ])('%s', (_what, wrong) => {
    const spec = specOf()
    const before = first(spec, seenOf({ inFlight: 12, pods: [pod('a', 10), pod('b', 2)] }))
    const bad = xpa.decide(spec, before.next, seenOf({ pods: [pod('a', 10), pod('b', 2)], ...wrong }), 90_000)
    expect(bad).toMatchObject({ valid: false, desired: 2, remove: [] })
    expect(bad.next).toBe(before.next)
  })

  test('an observation from the past, and one that comes twice', () => {
    const spec = specOf()
    const pods = [pod('a', 10)]
    const now = first(spec, seenOf({ inFlight: 10, arrivals: 100, serviceMs: 100, pods }), 5_000)
    expect(xpa.decide(spec, now.next, seenOf({ inFlight: 900, pods }), 4_000)).toMatchObject({ valid: false, desired: 1 })
    const again = xpa.decide(spec, now.next, seenOf({ inFlight: 10, arrivals: 100, serviceMs: 100, pods }), 5_000)
    expect(again.desired).toBe(now.desired)
  })

  test('a total of arrivals that falls back counts as nothing new', () => {
    const spec = specOf()
    const { state } = flowing(spec, 30, 100, { serviceMs: 200 })
    const decision = xpa.decide(spec, state, seenOf({ serviceMs: 200, arrivals: 0 }), 30_500)
    expect(decision.valid).toBe(true)
    expect(decision.reason.terms['offered']).toBeLessThanOrEqual(20)
  })
})

describe('for every load', () => {
  const pods = fc.array(fc.record({ inFlight: fc.integer({ min: 0, max: 10 }), idleMs: fc.integer({ min: 0, max: 200_000 }) }), {
    maxLength: 40,
  })
  test('bounds hold, busy pods stay, and more load never wants less', () => {
    const n = fc.integer({ min: 0, max: 5_000 })
    fc.assert(
      fc.property(pods, n, n, fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 30 }), (list, queued, more, min, max) => {
        const spec = specOf({ minScale: Math.min(min, max === 0 ? min : max), maxScale: max })
        const seenPods = list.map((p, i) => pod(`p${i}`, p.inFlight, i, 200_000 - p.idleMs))
        const inFlight = list.reduce((sum, p) => sum + p.inFlight, 0)
        const busy = list.filter((p) => p.inFlight > 0).length
        const seen = seenOf({ inFlight, queued, pods: seenPods, serviceMs: 100 })
        const decision = first(spec, seen, 200_000)
        expect(Number.isInteger(decision.desired)).toBe(true)
        expect(decision.desired).toBeGreaterThanOrEqual(Math.max(busy, spec.minScale))
        if (max > 0) expect(decision.desired).toBeLessThanOrEqual(Math.max(max, list.length))
        for (const name of decision.remove) expect(seenPods.find((p) => p.name === name)?.inFlight).toBe(0)
        expect(list.length - decision.remove.length).toBeGreaterThanOrEqual(Math.min(list.length, Math.max(busy, spec.minScale)))
        const higher = first(spec, { ...seen, queued: queued + more }, 200_000)
        expect(higher.desired).toBeGreaterThanOrEqual(decision.desired)
      }),
    )
  })

  test('a step is no trend: pods for what flows, not for twice of it', () => {
    const spec = specOf({ podBufferSize: 3 })
    const rest = flowing(spec, 30, 1, { serviceMs: 200 })
    let { state, arrivals } = rest
    let most = 0
    for (let ms = 30_500; ms < 60_000; ms += 500) {
      arrivals += 225
      const decision = xpa.decide(spec, state, seenOf({ arrivals, inFlight: 90, serviceMs: 200, coldStartMs: 1_000 }), ms)
      state = decision.next
      most = Math.max(most, decision.desired)
    }
    expect(most).toBe(13)
  })

  test('constant load does not flap', () => {
    const spec = specOf()
    let state = xpa.init(spec, 0)
    let arrivals = 0
    const wanted = new Set<number>()
    for (let ms = 0; ms < 300_000; ms += 500) {
      const decision = xpa.decide(spec, state, seenOf({ arrivals, inFlight: 20, serviceMs: 200, coldStartMs: 2_000 }), ms)
      state = decision.next
      if (ms > 30_000) wanted.add(decision.desired)
      arrivals += 50
    }
    expect([...wanted]).toHaveLength(1)
  })
})

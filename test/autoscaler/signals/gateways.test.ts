import { describe, expect, test } from 'vitest'
import { gatewaySignals, type GatewaySource } from '../../../src/autoscaler/signals/gateways.ts'
import { NO_LOAD, type Reading, type Sample } from '../../../src/autoscaler/signals/reading.ts'
import { steppedClock } from './stepped.ts'

const KEY = 'service/shop/worker'
const sample = (atMs: number, more: Partial<Reading> | null): Sample => ({
  atMs,
  services: new Map([[KEY, more === null ? null : { ...NO_LOAD, ...more }]]),
})

/** Gateways that answer what a test puts there. */
function setUp(count: number) {
  const answers: (Sample | string | Error)[] = Array.from({ length: count }, () => new Error('refused'))
  const sources = answers.map((_, i): GatewaySource => ({
    url: `http://g${i}`,
    ask() {
      const answer = answers[i] ?? ''
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer)
    },
  }))
  const clock = steppedClock()
  const signals = gatewaySignals(sources, 5_000, clock)
  return {
    answers,
    clock,
    heard: () => signals.heard(KEY),
    poll: async (...now: (Sample | string | Error)[]) => {
      answers.splice(0, now.length, ...now)
      signals.poll()
      await new Promise((done) => setImmediate(done))
      return signals.heard(KEY)
    },
  }
}

describe('gateways are added up', () => {
  test('one sum, service times by their arrivals', async () => {
    const { poll } = setUp(2)
    const { load, missing } = await poll(
      sample(1, { inFlight: 3, arrivalsPerS: 10, serviceMs: 100 }),
      sample(1, { inFlight: 4, arrivalsPerS: 30, serviceMs: 200 }),
    )
    expect(load).toMatchObject({ inFlight: 7, arrivalsPerS: 40 })
    expect(load?.serviceMs).toBeCloseTo(175, 3)
    expect(missing).toBe('')
  })

  test('arrivals only grow, also when a gateway begins anew', async () => {
    const { poll } = setUp(1)
    expect((await poll(sample(1, { arrivals: 1_000 }))).load?.arrivals).toBe(0)
    expect((await poll(sample(2, { arrivals: 1_010 }))).load?.arrivals).toBe(10)
    expect((await poll(sample(3, { arrivals: 4 }))).load?.arrivals).toBe(14)
  })

  test('who has no such Service has no part in it', async () => {
    const { poll } = setUp(2)
    expect(await poll(sample(1, { inFlight: 3 }), { atMs: 1, services: new Map() })).toMatchObject({
      load: { inFlight: 3 },
      missing: '',
    })
  })

  test('nobody has it: nothing is known', async () => {
    const { poll } = setUp(1)
    expect(await poll({ atMs: 1, services: new Map() })).toMatchObject({ load: null, missing: 'no gateway has such a service' })
  })
})

describe('what is not new does not count', () => {
  test('a duplicate and an older sample', async () => {
    const { poll } = setUp(1)
    const first = await poll(sample(10, { inFlight: 3 }))
    expect((await poll(sample(10, { inFlight: 99 }))).load?.inFlight).toBe(3)
    const last = await poll(sample(9, { inFlight: 99 }))
    expect(last.load?.inFlight).toBe(3)
    expect(last.samples).toBe(first.samples)
  })

  test('a gateway that began anew is believed with its second sample', async () => {
    const { poll } = setUp(1)
    await poll(sample(1_000, { inFlight: 3 }))
    expect((await poll(sample(1, { inFlight: 5 }))).load?.inFlight).toBe(3)
    expect((await poll(sample(2, { inFlight: 6 }))).load?.inFlight).toBe(6)
  })

  test('what is no reading leaves the last one', async () => {
    const { poll } = setUp(1)
    const first = await poll(sample(1, { inFlight: 3 }))
    expect(await poll(sample(2, null))).toEqual(first)
  })
})

describe('silence', () => {
  test('keeps the last words in the sum and says who, since when and why', async () => {
    const { poll, clock } = setUp(2)
    await poll(sample(1, { inFlight: 3 }), sample(1, { inFlight: 4 }))
    clock.step(6_000)
    const heard = await poll(sample(2, { inFlight: 5 }), new Error('ECONNREFUSED'))
    expect(heard.load?.inFlight).toBe(9)
    expect(heard.missing).toBe('gateway http://g1 has said nothing new for 6 s (ECONNREFUSED)')
  })

  test('begins only after the time for it, and ends with the next word', async () => {
    const { poll, clock } = setUp(1)
    await poll(sample(1, { inFlight: 3 }))
    clock.step(5_000)
    expect((await poll(new Error('gone'))).missing).toBe('')
    clock.step(1)
    expect((await poll(new Error('gone'))).missing).toMatch(/nothing new/)
    expect((await poll(sample(2, { inFlight: 1 }))).missing).toBe('')
  })

  test('a stream of duplicates, bad readings or other pages is silence', async () => {
    for (const bad of [sample(1, { inFlight: 9 }), sample(2, null), 'the answer is no snapshot of a gateway']) {
      const { poll, clock } = setUp(1)
      await poll(sample(1, { inFlight: 3 }))
      clock.step(6_000)
      expect((await poll(bad)).missing).toMatch(/nothing new for 6 s/)
    }
  })

  test('one that was never heard is missing from the beginning', async () => {
    const { poll } = setUp(2)
    expect((await poll(sample(1, { inFlight: 3 }), new Error('refused'))).missing).toBe(
      'gateway http://g1 has not been heard yet (refused)',
    )
  })
})

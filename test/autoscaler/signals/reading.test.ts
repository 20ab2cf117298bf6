import { describe, expect, test } from 'vitest'
import { sampleFromMetrics, sampleFromSnapshot, type Sample } from '../../../src/autoscaler/signals/reading.ts'
import { renderExposition } from '../../../src/observe/exposition.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { emptyReadings } from '../../observe/readings.ts'

const revision = (more: Record<string, unknown> = {}, gate: Record<string, unknown> = {}, key = 'service/shop/worker') => ({
  key,
  revision: 'r1',
  desired: 1,
  gate: { inFlight: 3, abandoned: 0, queuedRequests: 2, queuedEvents: 4, limit: 10, pods: [], ...gate },
  observation: {
    inFlight: 3,
    queued: 2,
    backlog: 7,
    arrivals: 100,
    arrivalsPerS: 5,
    serviceMs: 200,
    coldStartMs: null,
    stable: null,
    panic: null,
    pods: [
      { name: 'a', phase: 'ready' },
      { name: 'b', phase: 'starting' },
      { name: 'c', phase: 'draining' },
    ],
    ...more,
  },
})
const snapshot = (...services: unknown[]): unknown => ({ atMs: 1_000, services, streams: [], subscriptions: [] })
function sampleOf(s: Sample | string): Sample {
  if (typeof s === 'string') throw new Error(s)
  return s
}
const worker = (s: Sample | string): unknown => sampleOf(s).services.get('service/shop/worker')
const WORKER = {
  inFlight: 3,
  queued: 2,
  queuedEvents: 4,
  backlog: 7,
  arrivals: 100,
  arrivalsPerS: 5,
  serviceMs: 200,
  ready: 1,
  starting: 1,
}

async function metricsText(...services: unknown[]): Promise<string> {
  const readings = { ...emptyReadings(), snapshot: { subscriptions: [], streams: [], services } }
  readings.process = { ...readings.process, uptimeS: 12.5 }
  let text = ''
  for await (const lines of renderExposition(readings as unknown as ReturnType<typeof emptyReadings>, 'prometheus', systemClock))
    text += lines
  return text
}

describe('a snapshot', () => {
  test('is read Service by Service, draining pods left out', () => {
    expect(worker(sampleFromSnapshot(snapshot(revision())))).toEqual(WORKER)
  })

  test('adds up revisions, service times by their arrivals', () => {
    const both = worker(sampleFromSnapshot(snapshot(revision(), revision({ arrivalsPerS: 15, serviceMs: 400 }))))
    expect(both).toMatchObject({ inFlight: 6, arrivals: 200, ready: 2 })
    expect((both as { serviceMs: number }).serviceMs).toBeCloseTo(350, 3)
  })

  test('no service time is null, not 0', () => {
    expect(worker(sampleFromSnapshot(snapshot(revision({ serviceMs: null }))))).toMatchObject({ serviceMs: null })
  })

  test.each(['inFlight', 'queued', 'backlog', 'arrivals', 'arrivalsPerS', 'serviceMs'])(
    'a bad %s spoils that Service alone',
    (field) => {
      for (const bad of [Number.NaN, -1, Infinity, 'x', undefined]) {
        const s = sampleFromSnapshot(snapshot(revision({ [field]: bad }), revision(), revision({}, {}, 'service/shop/other')))
        expect(worker(s), String(bad)).toBeNull()
        expect(sampleOf(s).services.get('service/shop/other')).toEqual(WORKER)
      }
    },
  )

  test.each([null, 'text', {}, { atMs: 1 }, { atMs: Number.NaN, services: [] }, { atMs: 1, services: [null] }])(
    '%j is none',
    (body) => {
      expect(sampleFromSnapshot(body)).toMatch(/no snapshot/)
    },
  )
})

describe('the text of /metrics', () => {
  test('says the same as the snapshot', async () => {
    expect(worker(sampleFromMetrics(await metricsText(revision())))).toEqual(WORKER)
    expect(sampleOf(sampleFromMetrics(await metricsText(revision()))).atMs).toBe(12_500)
  })

  test('adds up revisions, and NaN is no service time yet', async () => {
    const text = await metricsText(revision({ serviceMs: null }), { ...revision({ serviceMs: 100 }), revision: 'r2' })
    expect(worker(sampleFromMetrics(text))).toMatchObject({ inFlight: 6, serviceMs: 100 })
  })

  test('a number that is none spoils that Service', async () => {
    const text = (await metricsText(revision())).replace(/(sluice_revision_in_flight\{[^}]*\}) 3/, '$1 NaN')
    expect(worker(sampleFromMetrics(text))).toBeNull()
  })

  test('Services that went into the overflow row make it no sample', async () => {
    const many = Array.from({ length: 1_100 }, (_, i) => revision({}, {}, `service/shop/s${i}`))
    expect(sampleFromMetrics(await metricsText(...many))).toMatch(/without \/metrics/)
    expect(sampleOf(sampleFromSnapshot(snapshot(...many))).services.size).toBe(1_100)
  })

  test('something else is refused', () => {
    expect(sampleFromMetrics('node_load1 0.5\n')).toMatch(/no \/metrics of a gateway/)
  })
})

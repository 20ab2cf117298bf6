import { describe, expect, test } from 'vitest'
import type { DeciderKit } from '../../src/contract/decider.ts'
import { SILENT } from '../../src/contract/observer.ts'
import { xpa } from '../../src/autoscaler/xpa.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { createServices, type Services } from '../../src/services/services.ts'
import { VirtualClock } from '../simulation/virtual-clock.ts'
import { fakePods, scaleSpec, servicePlan, wish, type FakePod } from './parts.ts'

const KEY = 'service/default/worker'
const KIT = { decider: xpa as DeciderKit['decider'], tickMs: 0, windows: () => null }

function rig(): { clock: VirtualClock; services: Services; started: FakePod[]; ready: () => void } {
  const clock = new VirtualClock()
  const pods = fakePods()
  const services = createServices({
    clock,
    log: SILENT_LOG,
    observer: SILENT,
    pods,
    deciders: { xpa: KIT, kpa: KIT, hpa: KIT },
    maxQueuedRequests: 10,
    graceMs: 1_000,
  })
  let told = 0
  return {
    clock,
    services,
    started: pods.started,
    ready() {
      for (; told < pods.started.length; told++) pods.started[told]?.ready()
    },
  }
}

const phases = (services: Services): string[] => services.revisions(KEY)[0]?.observation.pods.map((p) => p.phase) ?? []

describe('pods of a service', () => {
  test('starts minScale, grows with what waits up to maxScale, never beyond', () => {
    const { clock, services, started, ready } = rig()
    services.apply(1, servicePlan())
    clock.advance(50)
    expect(started.length).toBe(1)
    ready()
    const wishes = Array.from({ length: 9 }, () => wish())
    for (const w of wishes) services.acquire(KEY, '', w)
    expect(wishes.filter((w) => w.credit !== null).length).toBe(2)
    // The service time is unknown: a backlog asks for one pod at a time.
    for (let i = 0; i < 10; i++) {
      clock.advance(200)
      ready()
    }
    expect(wishes.filter((w) => w.credit !== null).length).toBe(9)
    expect(started.length).toBe(5)
    const over = wish()
    services.acquire(KEY, '', over)
    clock.advance(500)
    ready()
    expect(started.length).toBe(5)
  })

  test('an idle pod is cordoned, drained and stopped after gc-time, the newest first; a busy one never', () => {
    const { clock, services, started, ready } = rig()
    services.apply(1, servicePlan())
    clock.advance(50)
    ready()
    const wishes = Array.from({ length: 6 }, () => wish())
    for (const w of wishes) services.acquire(KEY, '', w)
    for (let i = 0; i < 10; i++) {
      clock.advance(200)
      ready()
    }
    expect(started.length).toBe(3)
    const busy = wishes.find((w) => w.credit?.pod === started[1]?.name)
    for (const w of wishes) if (w !== busy) w.credit?.release({ ms: 10, ok: true })
    clock.advance(60_000)
    expect(started[2]?.stopped).toBe(true)
    expect(started[1]?.stopped).toBe(false)
    busy?.credit?.release({ ms: 60_000, ok: true })
    clock.advance(400_000)
    expect(started.filter((p) => !p.stopped).length).toBe(1)
  })

  test('a pod that ends before it is ready is replaced with growing pauses, and the reason is told', () => {
    const { clock, services, started } = rig()
    services.apply(1, servicePlan())
    clock.advance(50)
    started[0]?.exit('exited with 3')
    expect(services.revisions(KEY)[0]?.trouble).toMatch(/exited with 3/)
    clock.advance(900)
    expect(started.length).toBe(1)
    clock.advance(300)
    expect(started.length).toBe(2)
    started[1]?.exit('exited with 3')
    clock.advance(1_900)
    expect(started.length).toBe(2)
    clock.advance(400)
    expect(started.length).toBe(3)
    started[2]?.ready()
    expect(services.revisions(KEY)[0]?.trouble).toBe('')
  })

  test('a pod that never becomes ready counts as failed after a minute and is killed', () => {
    const { clock, services, started } = rig()
    services.apply(1, servicePlan())
    clock.advance(50)
    clock.advance(61_000)
    expect(started[0]?.killed).toBe(true)
    expect(services.revisions(KEY)[0]?.trouble).toMatch(/not ready after 60 s/)
    clock.advance(2_000)
    expect(started.length).toBe(2)
  })

  test('a pod whose abandoned work does not end within another time-out is replaced as stuck', () => {
    const { clock, services, started, ready } = rig()
    services.apply(1, servicePlan())
    clock.advance(50)
    ready()
    const w = wish()
    services.acquire(KEY, '', w)
    let gone = false
    w.credit?.onGone(() => (gone = true))
    w.credit?.abandon()
    clock.advance(9_000)
    expect(started[0]?.killed).toBe(false)
    clock.advance(3_000)
    expect(started[0]?.killed).toBe(true)
    expect(gone).toBe(true)
  })

  test('a killed pod tells whoever holds its credits, and a new one takes what waits', () => {
    const { clock, services, started, ready } = rig()
    services.apply(1, servicePlan())
    clock.advance(50)
    ready()
    const w = wish()
    services.acquire(KEY, '', w)
    let gone = 0
    w.credit?.onGone(() => gone++)
    started[0]?.exit('ended by SIGKILL')
    expect(gone).toBe(1)
    const next = wish()
    services.acquire(KEY, '', next)
    expect(next.credit).toBeNull()
    clock.advance(2_000)
    ready()
    expect(next.credit?.pod).toBe(started[1]?.name)
  })
})

describe('revisions', () => {
  test('traffic moves when the new revision has a ready pod; what waits moves with it; the old one drains', () => {
    const { clock, services, started, ready } = rig()
    services.apply(1, servicePlan({ scale: scaleSpec({ maxScale: 1 }) }))
    clock.advance(50)
    ready()
    const held = [wish(), wish()]
    for (const w of held) services.acquire(KEY, '', w)
    const waiting = wish()
    services.acquire(KEY, '', waiting)
    services.apply(1, servicePlan({ revision: 'worker-2' }))
    clock.advance(50)
    expect(started.map((p) => p.revision)).toEqual(['worker-1', 'worker-2'])
    expect(waiting.credit).toBeNull()
    ready()
    expect(waiting.credit?.pod).toBe(started[1]?.name)
    expect(started[0]?.stopped).toBe(false)
    for (const w of held) w.credit?.release({ ms: 1, ok: true })
    clock.advance(1_000)
    expect(started[0]?.stopped).toBe(true)
    expect(services.revisions(KEY).map((r) => r.revision)).toEqual(['worker-2'])
  })

  test('a revision that never serves is replaced by the next one; the old one goes on', () => {
    const { clock, services, started, ready } = rig()
    services.apply(1, servicePlan())
    clock.advance(50)
    ready()
    services.apply(1, servicePlan({ revision: 'worker-2' }))
    clock.advance(50)
    services.apply(1, servicePlan({ revision: 'worker-3' }))
    clock.advance(50)
    expect(started.find((p) => p.revision === 'worker-2')?.stopped).toBe(true)
    const w = wish()
    services.acquire(KEY, '', w)
    expect(w.credit?.pod).toBe(started[0]?.name)
  })

  test('percents are kept between revisions that the traffic names, and a tag leads to its own', () => {
    const { clock, services, started, ready } = rig()
    services.apply(1, servicePlan({ limit: 0 }))
    clock.advance(50)
    ready()
    const traffic = [
      { revision: 'worker-1', percent: 75, tag: 'old' },
      { revision: '', percent: 25, tag: '' },
    ]
    services.apply(1, servicePlan({ limit: 0, revision: 'worker-2', traffic }))
    clock.advance(50)
    ready()
    const wishes = Array.from({ length: 100 }, () => wish())
    for (const w of wishes) services.acquire(KEY, '', w)
    const old = started[0]?.name
    expect(wishes.filter((w) => w.credit?.pod === old).length).toBe(75)
    const tagged = wish()
    services.acquire(KEY, 'old', tagged)
    expect(tagged.credit?.pod).toBe(old)
    const unknown = wish()
    services.acquire(KEY, 'nobody', unknown)
    expect(unknown.refusal).toBe('gone')
  })

  test('what waits for a service that is removed is refused', async () => {
    const { clock, services } = rig()
    services.apply(1, servicePlan())
    const w = wish()
    services.acquire(KEY, '', w)
    const removed = services.remove(KEY)
    expect(w.refusal).toBe('gone')
    clock.advance(10_000)
    await removed
    expect(services.revisions(KEY)).toEqual([])
    expect(phases(services)).toEqual([])
  })
})

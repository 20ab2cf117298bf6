import { expect, test } from 'vitest'
import { xpa } from '../../src/autoscaler/xpa.ts'
import type { DeciderKit } from '../../src/contract/decider.ts'
import { SILENT } from '../../src/contract/observer.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { createServices } from '../../src/services/services.ts'
import { VirtualClock } from '../simulation/virtual-clock.ts'
import { fakePods, servicePlan, wish } from './parts.ts'

const KEY = 'service/default/worker'
const KIT = { decider: xpa as DeciderKit['decider'], tickMs: 0, windows: () => null }

test('a size from outside holds until its lease runs out, within the bounds, and stops no busy pod', () => {
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
  const most = servicePlan().scale.maxScale
  const least = servicePlan().scale.minScale
  services.apply(1, servicePlan())
  clock.advance(50)
  let told = 0
  const ready = (): void => {
    for (; told < pods.started.length; told++) pods.started[told]?.ready()
  }
  const size = (): number =>
    services.revisions(KEY)[0]?.observation.pods.filter((p) => p.phase === 'ready' || p.phase === 'starting').length ?? -1
  ready()
  expect(services.override(KEY, 3, 10_000, 'by hand')).toBe(true)
  clock.advance(50)
  ready()
  expect(size()).toBe(3)
  expect(services.revisions(KEY)[0]?.reason).toBe('3, told from outside: by hand')
  // Idle for longer than gc-time: the own decider would take them, the lease keeps them.
  for (let i = 0; i < 8; i++) {
    clock.advance(9_000)
    services.override(KEY, 3, 10_000, 'by hand')
  }
  expect(size()).toBe(3)
  // What is busy stays until it is done.
  const busy = wish()
  services.acquire(KEY, '', busy)
  services.override(KEY, 0, 60_000, 'less')
  clock.advance(5_000)
  expect(busy.credit).not.toBeNull()
  expect(size()).toBe(Math.max(1, least))
  services.override(KEY, 10_000, 1_000, 'more')
  clock.advance(50)
  ready()
  expect(size()).toBe(most)
  expect(services.revisions(KEY)[0]?.reason).toMatch(/\(10000 was asked for\)/)
  // The lease is over: the own decider shrinks what nobody needs.
  clock.advance(200_000)
  expect(size()).toBe(Math.max(1, least))
  expect(services.override('service/default/nobody', 1, 1_000, '')).toBe(false)
})

test('watchers are told soon after a load changed, many changes once', () => {
  const clock = new VirtualClock()
  const services = createServices({
    clock,
    log: SILENT_LOG,
    observer: SILENT,
    pods: fakePods(),
    deciders: { xpa: KIT, kpa: KIT, hpa: KIT },
    maxQueuedRequests: 10,
    graceMs: 1_000,
  })
  services.apply(1, servicePlan())
  clock.advance(50)
  let told = 0
  const unwatch = services.watch(() => told++)
  for (let i = 0; i < 5; i++) services.acquire(KEY, '', wish())
  clock.advance(20)
  expect(told).toBe(1)
  unwatch()
  services.acquire(KEY, '', wish())
  clock.advance(20)
  expect(told).toBe(1)
})

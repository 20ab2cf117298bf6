import { Buffer } from 'node:buffer'
import { describe, expect, test } from 'vitest'
import { WireReader, WireWriter } from '../../../src/event/wire.ts'
import { kedaService, type DemandView } from '../../../src/observe/keda/scaler.ts'
import type { Clock } from '../../../src/runtime/clock.ts'

function refBytes(metadata: Readonly<Record<string, string>>, namespace = 'shop'): Uint8Array {
  const w = new WireWriter()
  w.begin()
  w.text(1, 'scaled')
  w.text(2, namespace)
  for (const [key, value] of Object.entries(metadata)) {
    const at = w.open(3)
    w.text(1, key)
    w.text(2, value)
    w.close(at)
  }
  return w.done()
}

function metricsBytes(metadata: Readonly<Record<string, string>>, metricName: string): Uint8Array {
  const w = new WireWriter()
  w.begin()
  w.bytes(1, refBytes(metadata))
  w.text(2, metricName)
  return w.done()
}

/** Name, whole number and number of the one entry of an answer. */
function entryOf(bytes: Uint8Array): { name: string; whole: number; number: number } {
  const outer = new WireReader(bytes)
  expect(outer.next()).toBe(true)
  const r = new WireReader(outer.bytes())
  const entry = { name: '', whole: 0, number: 0 }
  while (r.next()) {
    if (r.field === 1) entry.name = r.text()
    else if (r.field === 2) entry.whole = r.signed()
    else entry.number = r.double()
  }
  expect(r.broken).toBe(false)
  return entry
}

/** A gateway with one Service and one trigger whose numbers a test sets; time passes when it says `look`. */
function setUp() {
  const state = { demand: 0, limit: 10, backlog: 0, there: true }
  const timers = new Set<() => void>()
  const watchers = new Set<() => void>()
  const view: DemandView = {
    service: (key) => (key === 'service/shop/worker' && state.there ? state : undefined),
    backlog: (key) => (['trigger/shop/orders', 'kafkasource/shop/in'].includes(key) ? state.backlog : undefined),
    keys: () => ({ services: ['service/shop/worker'], backlogs: ['trigger/shop/orders'] }),
    watch(f) {
      watchers.add(f)
      return () => watchers.delete(f)
    },
  }
  const clock: Clock = {
    now: () => 0,
    wall: () => 0,
    after: () => ({ cancel() {} }),
    every(_ms, f) {
      timers.add(f)
      return { cancel: () => timers.delete(f) }
    },
    soon: (f) => f(),
  }
  const { unary, streams } = kedaService(view, clock)
  const call = (method: string, bytes: Uint8Array): Uint8Array => {
    const f = unary[method]
    if (f === undefined) throw new Error(`no ${method}`)
    return f(bytes)
  }
  return { state, timers, watchers, call, streams }
}

const SERVICE = { service: 'shop/worker' }
const active = (bytes: Uint8Array): boolean => Buffer.from(bytes).equals(Buffer.from([8, 1]))

describe('a service', () => {
  test('asks for its demand against the credits of a pod', () => {
    const { state, call } = setUp()
    state.demand = 23
    expect(entryOf(call('GetMetricSpec', refBytes(SERVICE)))).toEqual({ name: 'service-shop-worker', whole: 10, number: 10 })
    expect(entryOf(call('GetMetrics', metricsBytes(SERVICE, 'service-shop-worker')))).toEqual({
      name: 'service-shop-worker',
      whole: 23,
      number: 23,
    })
  })

  test('takes the target of the trigger, and the namespace of the ScaledObject', () => {
    const { call } = setUp()
    expect(entryOf(call('GetMetricSpec', refBytes({ service: 'worker', target: '2.5' }))).number).toBe(2.5)
  })

  test('without limit the target is 100', () => {
    const { state, call } = setUp()
    state.limit = 0
    expect(entryOf(call('GetMetricSpec', refBytes(SERVICE))).number).toBe(100)
  })

  test('is active over its activation target', () => {
    const { state, call } = setUp()
    expect(active(call('IsActive', refBytes(SERVICE)))).toBe(false)
    state.demand = 1
    expect(active(call('IsActive', refBytes(SERVICE)))).toBe(true)
    expect(active(call('IsActive', refBytes({ ...SERVICE, activationTarget: '1' })))).toBe(false)
  })
})

describe('a backlog', () => {
  test.each([
    [{ subscription: 'Trigger/shop/orders' }, 'backlog-trigger-shop-orders', 10],
    [{ source: 'kafkasource/shop/in', lagThreshold: '50' }, 'backlog-kafkasource-shop-in', 50],
  ])('%o is lag against a threshold', (metadata, name, target) => {
    const { state, call } = setUp()
    state.backlog = 1_000_000
    expect(entryOf(call('GetMetricSpec', refBytes(metadata)))).toEqual({ name, whole: target, number: target })
    expect(entryOf(call('GetMetrics', metricsBytes(metadata, name))).number).toBe(1_000_000)
    expect(active(call('IsActive', refBytes(metadata)))).toBe(true)
    expect(active(call('IsActive', refBytes({ ...metadata, activationLagThreshold: '1000000' })))).toBe(false)
  })
})

describe('activity is pushed', () => {
  test('as it is at the start, at once when it turns, and only then', () => {
    const { state, watchers, timers, streams } = setUp()
    const seen: boolean[] = []
    const left = streams['StreamIsActive']?.(refBytes(SERVICE), (b) => seen.push(active(b)))
    expect(seen).toEqual([false])
    state.demand = 3
    for (const f of watchers) f()
    expect(seen).toEqual([false, true])
    for (const f of [...watchers, ...timers]) f()
    expect(seen).toEqual([false, true])
    // A backlog grows without a word: the timer sees it, as it sees this end.
    state.demand = 0
    for (const f of timers) f()
    expect(seen).toEqual([false, true, false])
    left?.()
    expect([watchers.size, timers.size]).toEqual([0, 0])
  })

  test('a service that leaves the plan changes nothing', () => {
    const { state, timers, streams } = setUp()
    state.demand = 3
    const seen: boolean[] = []
    streams['StreamIsActive']?.(refBytes(SERVICE), (b) => seen.push(active(b)))
    state.there = false
    for (const f of timers) f()
    expect(seen).toEqual([true])
  })

  test('specs are streamed too, and again when the limit changes', () => {
    const { state, timers, streams } = setUp()
    const seen: number[] = []
    streams['StreamMetricSpec']?.(refBytes(SERVICE), (b) => seen.push(entryOf(b).number))
    state.limit = 20
    for (const f of timers) f()
    expect(seen).toEqual([10, 20])
  })
})

describe('what cannot be answered is refused in words', () => {
  test.each([
    [{}, 'INVALID_ARGUMENT', /has none of them; it must have one of service/],
    [{ service: 'a/b', subscription: 'trigger/a/b' }, 'INVALID_ARGUMENT', /has service and subscription/],
    [{ service: 'shop/other' }, 'NOT_FOUND', /no service service\/shop\/other .* there are: service\/shop\/worker/],
    [{ service: 'a/b/c' }, 'INVALID_ARGUMENT', /service is "a\/b\/c"; it must be ns\/name/],
    [{ subscription: 'shop/orders' }, 'INVALID_ARGUMENT', /it must be kind\/ns\/name/],
    [{ source: 'kafkasource/shop/none' }, 'NOT_FOUND', /there are: trigger\/shop\/orders/],
    [{ ...SERVICE, target: '0' }, 'INVALID_ARGUMENT', /target is "0"; it must be a number over 0/],
    [{ ...SERVICE, target: 'NaN' }, 'INVALID_ARGUMENT', /target is "NaN"/],
    [{ ...SERVICE, activationTarget: '-1' }, 'INVALID_ARGUMENT', /activationTarget is "-1"; it must be a number of at least 0/],
  ])('%o', (metadata, code, words) => {
    const { call, streams } = setUp()
    for (const method of ['IsActive', 'GetMetricSpec'])
      expect(() => call(method, refBytes(metadata as Record<string, string>))).toThrow(
        expect.objectContaining({ code, message: expect.stringMatching(words) }),
      )
    expect(() => streams['StreamIsActive']?.(refBytes(metadata as Record<string, string>), () => {})).toThrow(words)
  })

  test('a metric of another trigger, and bytes that are none', () => {
    const { call } = setUp()
    expect(() => call('GetMetrics', metricsBytes(SERVICE, 's0-other'))).toThrow(/this trigger has "service-shop-worker"/)
    expect(() => call('IsActive', Buffer.from([0x0a, 0x7f]))).toThrow(/no ScaledObjectRef/)
    expect(() => call('GetMetrics', Buffer.from([0x0a, 0x7f]))).toThrow(/no GetMetricsRequest/)
  })
})

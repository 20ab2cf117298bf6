import { describe, expect, test } from 'vitest'
import { SILENT_DELIVERY, type Delivery } from '../../src/contract/delivery.ts'
import { SILENT, type Observer } from '../../src/contract/observer.ts'
import { ACCEPTED } from '../../src/contract/outcome.ts'
import { CloudEvent, NEW_ENVELOPE } from '../../src/event/event.ts'
import { Histogram, LATENCY_BOUNDS_S, sumOf } from '../../src/observe/histogram.ts'
import { combineObservers, createRecorder, type Recorder } from '../../src/observe/recorder.ts'

const NAMES = {
  sub: (id: number) => `trigger/default/t${id}`,
  target: (id: number) => `trigger/default/t${id}#subscriber`,
  stream: (id: number) => `broker/default/b${id}`,
  ingress: (id: number) => (id < 0 ? '' : `broker/default/b${id}`),
  service: (id: number) => `service/default/s${id}`,
}
const event = new CloudEvent({ id: '1', source: '/s', type: 't', envelope: { ...NEW_ENVELOPE, receivedMs: 1_000 } })
const delivery = (sub: number): Delivery => ({ ...SILENT_DELIVERY, event, sub })

function recorder(detail = false): Recorder {
  return createRecorder({ names: NAMES, originOf: () => 'broker/default/origin', wall: () => 1_250, detail })
}

describe('the recorder', () => {
  test('received is accepted and refused, counted one by one', () => {
    const r = recorder()
    const o = r.observer
    o.received(0, event)
    o.received(0, event)
    o.deduplicated(0, event)
    o.accepted(0, 3, 2)
    o.refused(0, 'ingress.full')
    o.refused(0, 'ingress.full')
    o.refused(0, 'ingress.bad-event')
    o.refused(-1, 'ingress.not-found')
    const [[key, row], [nowhere, other]] = r.copy().ingresses as [[string, RowOf], [string, RowOf]]
    expect(key).toBe('broker/default/b0')
    expect(row).toMatchObject({ received: 6, accepted: 3, deduplicated: 1 })
    expect(Object.fromEntries(row.refused)).toEqual({ 'ingress.full': 2, 'ingress.bad-event': 1 })
    expect(row.seconds.count).toBe(1)
    expect(nowhere).toBe('(unknown address)')
    expect(other).toMatchObject({ received: 1, accepted: 0 })
  })

  test('attempts count by the target they went to, and what was no attempt does not', () => {
    const r = recorder()
    r.observer.attempted(delivery(1), 1, 'pod', ACCEPTED, 5, 20, 1)
    r.observer.attempted(delivery(1), 2, 'pod', { kind: 'retryable', status: 503, why: '' }, 5, 20, 1)
    r.observer.attempted(delivery(1), 2, 'pod', { kind: 'retryable', status: 429, why: 'full', unattempted: true }, 5, 20, 1)
    r.observer.attempted(delivery(1), 3, 'pod', { kind: 'rejected', status: 400, why: '' }, 0, 40, 9)
    const attempts = new Map(r.copy().attempts)
    expect(attempts.get('trigger/default/t1#subscriber')?.outcomes).toEqual({
      accepted: 1,
      retryable: 1,
      rejected: 0,
      pending: 0,
    })
    expect(attempts.get('trigger/default/t1#subscriber')?.wait).toMatchObject({ count: 2, sumS: 0.01 })
    expect(attempts.get('trigger/default/t9#subscriber')?.seconds).toMatchObject({ count: 1, sumS: 0.04 })
  })

  test('from receipt to delivered, by origin, or by subscription in detail; other ends and unknown receipts are no time', () => {
    for (const [detail, keys] of [
      [false, ['broker/default/origin']],
      [true, ['trigger/default/t1', 'trigger/default/t2']],
    ] as const) {
      const r = recorder(detail)
      r.observer.settled(delivery(1), 'delivered', 0)
      r.observer.settled(delivery(2), 'delivered', 0)
      r.observer.settled(delivery(2), 'parked', 0)
      r.observer.settled({ ...delivery(2), event: event.with({ envelope: NEW_ENVELOPE }) }, 'delivered', 0)
      const { endToEnd } = r.copy()
      expect(endToEnd.map(([key]) => key)).toEqual(keys)
      expect(endToEnd.reduce((n, [, d]) => n + d.count, 0)).toBe(2)
      expect(endToEnd.reduce((n, [, d]) => n + d.sumS, 0)).toBe(0.5)
    }
  })

  test('the rest by its key', () => {
    const r = recorder()
    const o = r.observer
    o.appended(3, 2, 100, 1, [event, event])
    o.appended(3, 1, 50, 3, [event])
    o.filterFailed(1, event, 'why')
    o.undecodable(1, 'why')
    o.replied(delivery(1), event)
    o.looped(delivery(1), 'why')
    o.proxied(4, 'pod', 204, 1, 2)
    o.proxied(4, 'pod', 0, 1, 2)
    o.pod(4, 'pod', 'ready', '')
    o.pod(4, 'pod', 'gone', '')
    o.pod(4, 'other', 'ready', '')
    const c = r.copy()
    expect(c.appended).toMatchObject([['broker/default/b3', { events: 3, bytes: 150, seconds: { count: 2, sumS: 0.004 } }]])
    for (const counts of [c.filterFailures, c.undecodable, c.replies, c.loops])
      expect(counts).toEqual([['trigger/default/t1', 1]])
    expect(c.proxied).toMatchObject([
      [
        'service/default/s4',
        {
          statuses: [
            ['2xx', 1],
            ['0xx', 1],
          ],
          wait: { count: 2 },
        },
      ],
    ])
    expect(c.podChanges).toEqual([
      [
        'service/default/s4',
        [
          ['ready', 2],
          ['gone', 1],
        ],
      ],
    ])
  })

  test('a copy stays what it was', () => {
    const r = recorder()
    r.observer.accepted(0, 1, 1)
    const before = r.copy()
    r.observer.accepted(0, 1, 1)
    r.observer.refused(0, 'ingress.full')
    expect(before.ingresses[0]?.[1]).toMatchObject({ accepted: 1, refused: [], seconds: { count: 1 } })
    expect(r.copy().ingresses[0]?.[1]).toMatchObject({ accepted: 2, seconds: { count: 2 } })
  })
})

type RowOf = ReturnType<Recorder['copy']>['ingresses'][number][1]

describe('a histogram', () => {
  test('puts a value that is a bound below it, and what is over all bounds in the last bucket', () => {
    for (const [i, bound] of LATENCY_BOUNDS_S.entries()) {
      const h = new Histogram()
      h.add(bound * 1_000)
      h.add(bound * 1_000 * 1.000001)
      const { counts } = h.copy()
      expect(counts[i], `at ${bound}`).toBe(1)
      expect(counts[i + 1], `over ${bound}`).toBe(1)
    }
    const h = new Histogram()
    h.add(0)
    h.add(1e9)
    expect(h.copy().counts[0]).toBe(1)
    expect(h.copy().counts.at(-1)).toBe(1)
    expect(LATENCY_BOUNDS_S).toEqual(LATENCY_BOUNDS_S.toSorted((a, b) => a - b))
  })

  test('adds to another', () => {
    const [a, b] = [new Histogram(), new Histogram()]
    a.add(1)
    b.add(1)
    b.add(70_000)
    const sum = sumOf(a.copy(), b.copy())
    expect(sum.count).toBe(3)
    expect(sum.sumS).toBeCloseTo(70.002, 9)
    expect(sum.counts.reduce((x, y) => x + y)).toBe(3)
    expect(a.copy().count).toBe(1)
  })
})

describe('combined observers', () => {
  test('every one hears every hook, in order, with every argument', () => {
    const heard: string[] = []
    const listening = (name: string): Observer =>
      Object.fromEntries(
        Object.keys(SILENT).map((hook) => [
          hook,
          (...args: unknown[]) => heard.push(`${name} ${hook} ${args.length} ${String(args.at(-1))}`),
        ]),
      ) as unknown as Observer
    const combined = combineObservers([listening('a'), SILENT, listening('b'), listening('c')])
    combined.attempted(delivery(1), 1, 'pod', ACCEPTED, 1, 2, 77)
    combined.received(1, event)
    expect(heard.filter((h) => h.includes('attempted'))).toEqual(['a', 'b', 'c'].map((n) => `${n} attempted 7 77`))
    expect(heard.filter((h) => h.includes('received')).map((h) => h.split(' ')[0])).toEqual(['a', 'b', 'c'])
    expect(Object.keys(combined).toSorted()).toEqual(Object.keys(SILENT).toSorted())
    expect(combineObservers([combined])).toBe(combined)
  })

  test('a hook only one listens to is that one itself', () => {
    const settled = (): void => {}
    const combined = combineObservers([SILENT, { ...SILENT, settled }, { ...SILENT, received() {} }])
    const hook = (o: Observer, name: string): unknown => (o as unknown as Record<string, unknown>)[name]
    expect(hook(combined, 'settled')).toBe(settled)
    expect(hook(combined, 'proxied')).toBe(hook(SILENT, 'proxied'))
    expect(hook(combineObservers([]), 'settled')).toBe(hook(SILENT, 'settled'))
  })
})

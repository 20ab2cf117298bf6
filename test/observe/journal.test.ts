import { describe, expect, test } from 'vitest'
import { SILENT_DELIVERY, type Delivery } from '../../src/contract/delivery.ts'
import { ACCEPTED } from '../../src/contract/outcome.ts'
import { CloudEvent } from '../../src/event/event.ts'
import { createJournal, MOST_DATA_BYTES, type Journal } from '../../src/observe/journal.ts'
import { VirtualClock } from '../simulation/virtual-clock.ts'

const NAMES = {
  sub: (id: number) => `trigger/default/t${id}`,
  target: (id: number) => `target/${id}`,
  stream: (id: number) => `broker/default/b${id}`,
  ingress: () => '',
  service: () => '',
}
const eventOf = (id: string, bytes = 3): CloudEvent =>
  new CloudEvent({ id, source: '/s', type: 't', data: new Uint8Array(bytes).fill(7) })
const deliveryOf = (event: CloudEvent, sub = 1): Delivery => ({ ...SILENT_DELIVERY, event, sub })
const FAIL = { kind: 'retryable', status: 503, why: 'answered 503' } as const

function rig(bounds: { mostEvents?: number; mostBytes?: number } = {}): { clock: VirtualClock; journal: Journal } {
  const clock = new VirtualClock()
  return { clock, journal: createJournal({ names: NAMES, clock, ...bounds }) }
}
/** So many all the way, ten a second: every one is remembered. */
function passMany({ clock, journal }: ReturnType<typeof rig>, many: readonly CloudEvent[], well = true): void {
  for (const event of many) {
    clock.advance(100)
    pass(journal, event, well)
  }
}
/** One event all the way: in, matched, attempted, out. */
function pass(journal: Journal, event: CloudEvent, well = true): void {
  const o = journal.observer
  const d = deliveryOf(event)
  o.appended(0, 1, 10, 1, [event])
  o.matched(d)
  o.waiting(d, 5)
  o.attempted(d, 1, 'pod-1', well ? ACCEPTED : FAIL, 3.6, 12.2, 5)
  o.settled(d, well ? 'delivered' : 'parked', 20)
}

describe('the journal', () => {
  test('remembers where an event was stored, who took it, each attempt and how it ended', () => {
    const { clock, journal } = rig()
    const event = eventOf('one')
    const o = journal.observer
    const [slow, quick] = [deliveryOf(event, 1), deliveryOf(event, 2)]
    o.appended(0, 1, 10, 1, [event])
    o.matched(slow)
    o.matched(quick)
    o.deduplicated(0, event)
    o.waiting(slow, 5)
    expect(journal.find('one')[0]?.deliveries.get('trigger/default/t1')?.state).toBe('asking')
    o.attempted(slow, 1, 'pod-1', FAIL, 0, 12, 5)
    o.retrying(slow, 1, 2_000)
    const [entry] = journal.find('one')
    const of = entry?.deliveries.get('trigger/default/t1')
    expect(of).toMatchObject({ state: 'resting', dueMs: clock.wall() + 2_000 })
    clock.advance(2_000)
    o.attempted(slow, 2, 'pod-2', ACCEPTED, 4, 7, 5)
    o.replied(slow, eventOf('answer'))
    o.settled(slow, 'delivered', 2_030)
    expect(entry?.streams).toMatchObject([{ stream: 'broker/default/b0' }])
    expect(entry?.repeats).toBe(1)
    expect(of?.attempts).toMatchObject([
      { attempt: 1, pod: 'pod-1', target: 'target/5', outcome: 'retryable', status: 503, why: 'answered 503', tookMs: 12 },
      { attempt: 2, pod: 'pod-2', outcome: 'accepted', status: 202, waitedMs: 4, atMs: clock.wall() },
    ])
    expect(of).toMatchObject({ state: 'delivered', dueMs: 0, replies: ['answer'], sinceMs: clock.wall() })
    expect(entry?.deliveries.get('trigger/default/t2')).toMatchObject({ state: 'waiting', attempts: [] })
    expect(journal.find('another')).toEqual([])
  })

  test('events of one id from two sources are two', () => {
    const { journal } = rig()
    pass(journal, eventOf('same'))
    pass(journal, eventOf('same').with({ source: '/other' }))
    expect(journal.find('same').map((e) => e.event.source)).toEqual(['/s', '/other'])
  })

  test('a delivery that comes back from an earlier process brings its story', () => {
    const { journal } = rig()
    const story = [{ attempt: 1, atMs: 5, tookMs: 2, to: 'http://x', status: 503, error: 'no' }]
    const d = { ...deliveryOf(eventOf('back')), story }
    journal.observer.restored(d)
    journal.observer.attempted(d, 2, 'p', ACCEPTED, 0, 1, 5)
    journal.observer.settled(d, 'delivered', 1)
    const of = journal.find('back')[0]?.deliveries.get('trigger/default/t1')
    expect(of?.attempts).toMatchObject([
      { attempt: 1, target: 'http://x', why: 'no' },
      { attempt: 2, outcome: 'accepted' },
    ])
    expect(of?.state).toBe('delivered')
  })

  test('when it is hot only some are remembered, but whatever fails is; when it is calm again all are', () => {
    const { clock, journal } = rig()
    for (let i = 0; i < 20_000; i++) pass(journal, eventOf(`e${i}`), i % 1_000 !== 999)
    expect(journal.oneOf()).toBeGreaterThan(16)
    for (let i = 999; i < 20_000; i += 1_000)
      expect(journal.find(`e${i}`)[0]?.deliveries.get('trigger/default/t1')).toMatchObject({
        state: 'parked',
        attempts: [{ status: 503 }],
      })
    expect(journal.size().events).toBeLessThan(4_000)
    clock.advance(20_000)
    expect(journal.oneOf()).toBe(1)
    pass(journal, eventOf('calm'))
    expect(journal.find('calm')).toHaveLength(1)
  })

  test('what is remembered is bounded in events and in bytes, and success never pushes failure out', () => {
    const few = rig({ mostEvents: 20 })
    pass(few.journal, eventOf('bad'), false)
    const hundred = (name: string, bytes = 3): CloudEvent[] =>
      Array.from({ length: 100 }, (_, i) => eventOf(`${name}${i}`, bytes))
    passMany(few, hundred('good'))
    expect(few.journal.size().events).toBe(11)
    expect(few.journal.find('bad')).toHaveLength(1)
    expect(few.journal.find('good0')).toEqual([])
    expect(few.journal.find('good99')).toHaveLength(1)
    passMany(few, hundred('bad'), false)
    expect(few.journal.find('bad')).toEqual([])
    // One that fails is first among the others: it takes the place of one of them.
    expect(few.journal.size().events).toBe(19)
    const small = rig({ mostBytes: 100_000 })
    passMany(small, hundred('e', 10_000))
    expect(small.journal.size().bytes).toBeLessThanOrEqual(50_000)
    expect(small.journal.size().events).toBeGreaterThan(2)
  })

  test('data is copied, so that no big buffer is held, and left out where it is large', () => {
    const { journal } = rig()
    const big = Buffer.alloc(1 << 20, 1)
    const event = new CloudEvent({ id: 'slice', source: '/s', type: 't', data: big.subarray(10, 20) })
    pass(journal, event)
    const kept = journal.find('slice')[0]?.event.data
    expect(kept?.buffer.byteLength).toBe(10)
    expect(kept).toEqual(new Uint8Array(10).fill(1))
    pass(journal, eventOf('large', MOST_DATA_BYTES + 1))
    expect(journal.find('large')[0]).toMatchObject({ dataLeftOut: true, event: { data: null } })
    pass(journal, eventOf('fits', MOST_DATA_BYTES))
    expect(journal.find('fits')[0]?.dataLeftOut).toBe(false)
  })

  test('a delivery with endless attempts keeps the last fifty', () => {
    const { journal } = rig()
    const d = deliveryOf(eventOf('endless'))
    journal.observer.matched(d)
    for (let i = 1; i <= 120; i++) journal.observer.attempted(d, i, 'p', FAIL, 0, 1, 5)
    const attempts = journal.find('endless')[0]?.deliveries.get('trigger/default/t1')?.attempts
    expect(attempts?.map((a) => a.attempt)).toEqual(Array.from({ length: 50 }, (_, i) => 71 + i))
  })
})

import { describe, expect, test } from 'vitest'
import { SILENT_DELIVERY, type Delivery, type DetachedState, type Settlement } from '../../src/contract/delivery.ts'
import type { Feed } from '../../src/contract/feed.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { CUSTODY_LANE, openCustody } from '../../src/store/custody.ts'
import { VirtualClock } from '../simulation/virtual-clock.ts'
import { RecordingIntake } from '../streams/recording-intake.ts'
import { event } from '../streams/rig.ts'
import { FaultyKv } from './faulty-kv.ts'

const STORY = [{ attempt: 1, atMs: 1, tookMs: 2, to: 'sink', status: 500, error: 'no' }]
const KEYS = ['', 'source/a/one', 'source/a/two']

function stateOf(change: Partial<DetachedState> = {}): DetachedState {
  return { dueMs: 0, story: STORY, phase: 'subscriber', reason: '', ...change }
}

/** A feed that keeps nothing itself and remembers what it was told. */
class Inner implements Partial<Feed> {
  /** Its own system keeps what waits. */
  keeps = false
  readonly settled: [lane: number, position: number, how: Settlement][] = []
  readonly calls: string[] = []
  readonly can = { seek: true, release: true, lease: false, ordered: true, exactBacklog: false }
  attach(sub: number, key: string): void {
    this.calls.push(`attach ${sub} ${key}`)
  }
  detach(sub: number, forget: boolean): void {
    this.calls.push(`detach ${sub} ${forget}`)
  }
  forget(key: string): boolean {
    this.calls.push(`forget ${key}`)
    return false
  }
  resume(sub: number, lane: number): void {
    this.calls.push(`resume ${sub} ${lane}`)
  }
  settle(d: Delivery, how: Settlement): void {
    this.settled.push([d.lane, d.position, how])
  }
  detachDelivery(d: Delivery, _state: DetachedState, done: (ok: boolean) => void): void {
    if (this.keeps) this.settle(d, 'detached')
    done(this.keeps)
  }
  flush(): Promise<void> {
    this.calls.push('flush')
    return Promise.resolve()
  }
}

async function begin(clock: VirtualClock, kv: FaultyKv, persistent = true) {
  const fatal: string[] = []
  const custody = await openCustody({
    dir: '/nowhere',
    persistent,
    clock,
    log: SILENT_LOG,
    kv,
    onFatal: (f) => fatal.push(f.code),
  })
  const inner = new Inner()
  const intake = new RecordingIntake()
  const feed = custody.wrap(inner as unknown as Feed, intake, (sub) => KEYS[sub]!)
  intake.feed = feed
  return { custody, inner, intake, feed, fatal }
}

function delivery(id: string, position: number, sub = 1, lane = 7): Delivery {
  return { ...SILENT_DELIVERY, event: event(id), sub, lane, position }
}

const LATEST = { at: 'latest' } as const

describe('what waits long', () => {
  test('is settled in its own system only once it is durable here, and is offered again when due', async () => {
    const clock = new VirtualClock()
    const kv = new FaultyKv(clock)
    const { inner, intake, feed } = await begin(clock, kv)
    const p = intake.attach(1, KEYS[1]!, LATEST)
    const seen: string[] = []
    kv.fate = () => {
      seen.push(`written, settled ${inner.settled.length}`)
      return 'durable'
    }
    feed.detachDelivery(delivery('a', 41), stateOf({ dueMs: clock.wall() + 500, phase: 'dead-letter' }), (ok) =>
      seen.push(`done ${ok}`),
    )
    clock.advance(100)
    expect(seen).toEqual(['written, settled 0', 'done true'])
    expect(inner.settled).toEqual([[7, 41, 'detached']])
    expect(p.offered).toHaveLength(0)
    clock.advance(400)
    expect(p.offered).toHaveLength(1)
    expect(p.offered[0]).toMatchObject({ lane: CUSTODY_LANE, phase: 'dead-letter', story: STORY, redelivery: 1 })
    expect(p.offered[0]!.event.id).toBe('a')
    feed.settle(p.offered[0]!, 'delivered')
    feed.settle(p.offered[0]!, 'delivered')
    clock.advance(100)
    expect(inner.settled).toHaveLength(1)
    const after = await begin(clock, new FaultyKv(clock, kv.disk))
    const q = after.intake.attach(1, KEYS[1]!, LATEST)
    clock.advance(10_000)
    expect(q.offered).toHaveLength(0)
  })

  test('stays in its own system where that can keep it, and comes here where it cannot', async () => {
    const clock = new VirtualClock()
    const { intake, feed, inner } = await begin(clock, new FaultyKv(clock))
    const p = intake.attach(1, KEYS[1]!, LATEST)
    inner.keeps = true
    const done: boolean[] = []
    feed.detachDelivery(delivery('a', 1), stateOf({ dueMs: clock.wall() + 50 }), (ok) => done.push(ok))
    inner.keeps = false
    feed.detachDelivery(delivery('b', 2), stateOf({ dueMs: clock.wall() + 50 }), (ok) => done.push(ok))
    clock.advance(1_000)
    expect(done).toEqual([true, true])
    expect(inner.settled).toEqual([
      [7, 1, 'detached'],
      [7, 2, 'detached'],
    ])
    expect(p.ids).toEqual(['b'])
  })

  test('is found after a restart, whoever owns its partition, and belongs to its subscription alone', async () => {
    const clock = new VirtualClock()
    const kv = new FaultyKv(clock)
    const { intake, feed } = await begin(clock, kv)
    intake.attach(1, KEYS[1]!, LATEST)
    feed.detachDelivery(delivery('a', 1), stateOf({ dueMs: clock.wall() + 50 }), () => {})
    feed.detachDelivery(delivery('b', 2, 2), stateOf({ dueMs: clock.wall() + 50 }), () => {})
    clock.advance(10)
    kv.fate = () => 'lost'
    const after = await begin(clock, new FaultyKv(clock, kv.disk))
    const p = after.intake.attach(1, KEYS[1]!, LATEST)
    clock.advance(1_000)
    expect(p.ids).toEqual(['a'])
    after.intake.lost()
    const again: boolean[] = []
    after.feed.detachDelivery(p.offered[0]!, stateOf({ dueMs: clock.wall() + 50 }), (ok) => again.push(ok))
    after.feed.detachDelivery(p.offered[0]!, stateOf({ dueMs: clock.wall() + 50 }), (ok) => again.push(ok))
    clock.advance(1_000)
    expect(again).toEqual([true, true])
    expect(p.ids).toEqual(['a', 'a'])
    expect(p.offered[1]!.redelivery).toBe(2)
    expect(after.inner.settled).toEqual([])
  })

  test('waits for room in its own lane, and comes back after it was handed back', async () => {
    const clock = new VirtualClock()
    const { intake, feed, inner } = await begin(clock, new FaultyKv(clock))
    const p = intake.attach(1, KEYS[1]!, LATEST)
    p.lane = 2
    for (let i = 0; i < 5; i++) feed.detachDelivery(delivery(`d${i}`, i), stateOf({ dueMs: clock.wall() + i }), () => {})
    clock.advance(100)
    expect(p.ids).toEqual(['d0', 'd1'])
    feed.resume(1, 7)
    clock.advance(100)
    expect(p.offered).toHaveLength(2)
    expect(inner.calls).toContain('resume 1 7')
    feed.settle(p.of('d0'), 'handed-back')
    p.lane = 100
    intake.done(p, p.of('d0'))
    clock.advance(100)
    expect(p.ids).toEqual(['d0', 'd1', 'd0', 'd2', 'd3', 'd4'])
    expect(p.rude).toBe(0)
  })

  test('stays with its system where the folder goes with the process, and what is here already comes back all the same', async () => {
    const clock = new VirtualClock()
    const kv = new FaultyKv(clock)
    const first = await begin(clock, kv)
    first.intake.attach(1, KEYS[1]!, LATEST)
    first.feed.detachDelivery(delivery('old', 1), stateOf({ dueMs: clock.wall() + 50 }), () => {})
    clock.advance(10)
    const { intake, feed, inner } = await begin(clock, new FaultyKv(clock, kv.disk), false)
    const p = intake.attach(1, KEYS[1]!, LATEST)
    const done: boolean[] = []
    const tell = (ok: boolean): number => done.push(ok)
    feed.detachDelivery(delivery('a', 2), stateOf({ dueMs: clock.wall() + 50 }), tell)
    feed.park(delivery('b', 3), stateOf({ reason: 'exhausted' }), tell)
    feed.parkRaw(1, 7, 4, { raw: Buffer.from('x'), headers: [], why: 'no' }, tell)
    clock.advance(100)
    expect(done).toEqual([false, false, false])
    expect(inner.settled).toEqual([])
    expect(p.ids).toEqual(['old'])
    // It is in no other place: this one may keep it on.
    feed.park(p.offered[0]!, stateOf({ reason: 'exhausted' }), tell)
    clock.advance(100)
    expect(done.at(-1)).toBe(true)
    expect(feed.parked.counts(KEYS[1]!).events).toBe(1)
  })

  test('stays with its system when it cannot be stored', async () => {
    const clock = new VirtualClock()
    const kv = new FaultyKv(clock)
    const { inner, intake, feed, fatal } = await begin(clock, kv)
    intake.attach(1, KEYS[1]!, LATEST)
    kv.fate = () => ({ error: new Error('EIO'), visible: false })
    const done: boolean[] = []
    feed.detachDelivery(delivery('a', 1), stateOf({ dueMs: clock.wall() + 50 }), (ok) => done.push(ok))
    feed.park(delivery('b', 2), stateOf(), (ok) => done.push(ok))
    clock.advance(10)
    feed.park(delivery('c', 3), stateOf(), (ok) => done.push(ok))
    expect(done).toEqual([false, false, false])
    expect(inner.settled).toEqual([])
    expect(fatal).toEqual(['store.failed'])
  })
})

describe('what is given up', () => {
  test('is kept by its key with its story, raw bytes as they came, and settled in its system', async () => {
    const clock = new VirtualClock()
    const kv = new FaultyKv(clock)
    const { custody, inner, intake, feed } = await begin(clock, kv)
    intake.attach(1, KEYS[1]!, LATEST)
    const done: boolean[] = []
    feed.park(delivery('a', 1), stateOf({ reason: 'exhausted' }), (ok) => done.push(ok))
    feed.parkRaw(1, 3, 99, { raw: Buffer.from('???'), headers: [['k', 'v']], why: 'no event' }, (ok) => done.push(ok))
    clock.advance(10)
    expect(done).toEqual([true, true])
    expect(inner.settled).toEqual([
      [7, 1, 'parked'],
      [3, 99, 'parked'],
    ])
    const after = await begin(clock, new FaultyKv(clock, kv.disk))
    for (const parked of [custody.parked, after.custody.parked, after.feed.parked]) {
      const [a, b] = parked.list(KEYS[1]!, '', 10)
      expect(a).toMatchObject({ state: { reason: 'exhausted', story: STORY } })
      expect(a!.event!.id).toBe('a')
      expect(Buffer.from(b!.undecodable!.raw).toString()).toBe('???')
      expect(parked.keys()).toEqual([KEYS[1]])
    }
  })

  test('goes with its subscription when that is forgotten', async () => {
    const clock = new VirtualClock()
    const kv = new FaultyKv(clock)
    const { inner, intake, feed } = await begin(clock, kv)
    intake.attach(1, KEYS[1]!, LATEST)
    intake.attach(2, KEYS[2]!, LATEST)
    for (let i = 0; i < 600; i++) feed.park(delivery(`p${i}`, i), stateOf(), () => {})
    feed.park(delivery('other', 1, 2), stateOf(), () => {})
    feed.detachDelivery(delivery('d', 1_000), stateOf({ dueMs: clock.wall() + 100 }), () => {})
    clock.advance(10)
    expect(feed.parked.counts(KEYS[1]!).events).toBe(600)
    feed.detach(1, false)
    expect(feed.forget(KEYS[1]!)).toBe(true)
    expect(feed.forget(KEYS[1]!)).toBe(false)
    expect(inner.calls).toContain(`forget ${KEYS[1]}`)
    kv.mostOps = 0
    clock.advance(10)
    expect(kv.mostOps).toBeLessThan(300)
    expect(feed.parked.keys()).toEqual([KEYS[2]])
    const left = kv.disk.keys(Buffer.from('d'), Buffer.from('y'), 10_000).map((k) => String.fromCharCode(k[0]!))
    expect(left.toSorted()).toEqual(['f', 'n', 'p'])
    const p = intake.attach(1, KEYS[1]!, LATEST)
    clock.advance(1_000)
    expect(p.offered).toHaveLength(0)
  })

  test('is finished being deleted by the next process when this one dies', async () => {
    const clock = new VirtualClock()
    const kv = new FaultyKv(clock)
    const { intake, feed } = await begin(clock, kv)
    intake.attach(1, KEYS[1]!, LATEST)
    for (let i = 0; i < 600; i++) feed.park(delivery(`p${i}`, i), stateOf(), () => {})
    clock.advance(10)
    const { commits } = kv
    kv.fate = (n) => (n > commits + 2 ? 'lost' : 'durable')
    feed.detach(1, true)
    clock.advance(10)
    const left = () => kv.disk.keys(Buffer.from('n'), Buffer.from('y'), 10_000).length
    expect(left()).toBeGreaterThan(100)
    const after = await begin(clock, new FaultyKv(clock, kv.disk))
    clock.advance(100)
    expect(left()).toBe(0)
    const p = after.intake.attach(1, KEYS[1]!, LATEST)
    after.feed.park(delivery('new', 1), stateOf(), () => {})
    clock.advance(10)
    expect(after.feed.parked.list(p.key, '', 10).map((e) => e.event!.id)).toEqual(['new'])
  })

  test('is at most 100,000 events a subscription', async () => {
    const clock = new VirtualClock()
    const { intake, feed } = await begin(clock, new FaultyKv(clock))
    intake.attach(1, KEYS[1]!, LATEST)
    const line = feed as unknown as { parked: { line(key: string): { parked: { events: number; bytes: number } } } }
    const done: boolean[] = []
    const park = (n: number): void => {
      for (let i = 0; i < n; i++) feed.park(delivery('p', i), stateOf(), (ok) => done.push(ok))
      clock.advance(10)
    }
    line.parked.line(KEYS[1]!).parked.events = 99_998
    park(3)
    expect(done.filter((ok) => ok)).toHaveLength(2)
    const removed = feed.parked.remove(KEYS[1]!, [feed.parked.list(KEYS[1]!, '', 1)[0]!.id])
    clock.advance(10)
    expect(await removed).toBe(1)
    park(1)
    expect(done.at(-1)).toBe(true)
    line.parked.line(KEYS[1]!).parked.bytes = 2 ** 30 - 10
    line.parked.line(KEYS[1]!).parked.events = 5
    park(1)
    expect(done.at(-1)).toBe(false)
  })
})

test('flushing makes it durable here first, then there', async () => {
  const clock = new VirtualClock()
  const kv = new FaultyKv(clock)
  const { inner, intake, feed } = await begin(clock, kv)
  intake.attach(1, KEYS[1]!, LATEST)
  feed.detachDelivery(delivery('a', 1), stateOf({ dueMs: clock.wall() + 50 }), () => {})
  const flushed = feed.flush(new AbortController().signal)
  expect(inner.calls).not.toContain('flush')
  clock.advance(1)
  await flushed
  expect(inner.calls).toContain('flush')
  expect(inner.settled).toEqual([[7, 1, 'detached']])
  await expect(feed.flush(AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough')
})

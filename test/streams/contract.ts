import { afterAll, afterEach, describe, expect, test } from 'vitest'
import type { DetachedState } from '../../src/contract/delivery.ts'
import type { StreamPlan } from '../../src/contract/plan.ts'
import type { Stream } from '../../src/contract/stream.ts'
import { until as untilWithin } from '../until.ts'
import { append, EARLIEST, event, events, LATEST, run, soon, type Running } from './rig.ts'

/** How the contract reaches a system: every call of `open` is another, empty stream. */
export interface System {
  readonly name: string
  open(plan?: Partial<StreamPlan>): Promise<Stream>
  /** Closes it in order and opens it again; absent where nothing survives the process. */
  reopen?(s: Stream): Promise<Stream>
  /** Whether the system says itself how much may be unsettled. */
  readonly limits: boolean
  /** What only a log of the gateway itself knows: which events were offered before a restart. */
  readonly forgetsOffers?: boolean
  /** What comes back when it is due has a lane of its own, with room of its own. */
  readonly dueLane?: boolean
  /**
   * Each subscription has a queue of its own in the system: nothing is routed for all of them, a place is counted by delivery
   * and not by event, what comes again comes after what is here, figures of what is unread come late.
   */
  readonly queues?: boolean
  /** What was published before a subscription was made cannot be read by it, and nothing is read anew. */
  readonly noHistory?: boolean
  /** What comes again, or when it is due, comes in any order. */
  readonly scrambles?: boolean
  /** Its rows wait more than they work and are run together (`describe.concurrent`): streams are closed after the last. */
  readonly together?: boolean
}

/** What a system has lent and lost (a connection, a lease) comes again only when the lease is over: 20 s and a bit on some. */
function until<T>(what: string, condition: () => T | Promise<T>, deadlineMs = 120_000): Promise<NonNullable<T>> {
  return untilWithin(what, condition, deadlineMs)
}

const STORY = [{ attempt: 1, atMs: 5, tookMs: 7, to: 'http://sink', status: 503, error: 'busy' }]

function stateOf(change: Partial<DetachedState> = {}): DetachedState {
  return { dueMs: 0, story: STORY, phase: 'subscriber', reason: '', ...change }
}

/** What every stream promises, seen through Stream, Feed and Intake alone. */
export function streamContract(system: System): void {
  const opened: Stream[] = []
  const begin = async (plan?: Partial<StreamPlan>): Promise<Running> => {
    const stream = await system.open(plan)
    opened.push(stream)
    return run(stream)
  }
  const again = async (r: Running): Promise<Running> => {
    opened.splice(opened.indexOf(r.stream), 1)
    const stream = await system.reopen!(r.stream)
    opened.push(stream)
    return run(stream)
  }
  /** In the order that this system keeps for what comes again. */
  const kept = (ids: readonly string[]): readonly string[] => (system.scrambles === true ? ids.toSorted() : ids)
  const close = async (): Promise<void> => {
    await Promise.all(opened.splice(0).map((s) => s.close(soon())))
  }
  if (system.together === true) afterAll(close)
  else afterEach(close)

  describe('appending and offering', () => {
    test('every matching subscription is offered every event once, in order', async () => {
      const r = await begin()
      const all = r.intake.attach(1, 'trigger/a/all', LATEST)
      const odd = r.intake.attach(2, 'trigger/a/odd', LATEST, (e) => Number(e.id.slice(1)) % 2 === 1)
      const results = await Promise.all(events(200).map((e) => append(r.stream, [e])))
      expect(results.every((x) => x.kind === 'durable')).toBe(true)
      await until('both are offered theirs', () => all.offered.length >= 200 && odd.offered.length >= 100)
      expect(all.ids).toEqual(events(200).map((e) => e.id))
      expect(odd.ids).toEqual(all.ids.filter((_, i) => i % 2 === 1))
      expect(all.offered.every((d, i) => i === 0 || d.position > all.offered[i - 1]!.position)).toBe(true)
      expect(r.feed.passed(2)).toBe(200)
    })

    if (system.queues !== true)
      test('an event is routed once, however many subscriptions have caught up', async () => {
        const r = await begin()
        const players = Array.from({ length: 50 }, (_, i) => r.intake.attach(i + 1, `trigger/a/${i}`, LATEST, () => i % 10 === 0))
        await append(r.stream, events(40))
        await until('those that match are offered all', () => players[40]!.offered.length === 40)
        for (const p of players) expect(p.offered).toHaveLength((p.sub - 1) % 10 === 0 ? 40 : 0)
        expect(r.intake.asked).toEqual({ route: 40, matches: 0 })
        expect(r.intake.lanes).toEqual([0])
      })

    test('what an event is made of comes out as it went in', async () => {
      const r = await begin()
      const p = r.intake.attach(1, 'trigger/a/all', LATEST)
      const big = Buffer.alloc(2 ** 20, 'x')
      await append(r.stream, [
        event('none', { data: null }),
        event('empty', { data: Buffer.alloc(0) }),
        event('big', { data: big, extensions: [['partitionkey', 'k']], subject: 'ü' }),
      ])
      await until('all are offered', () => p.offered.length === 3)
      expect(p.of('none').event.data).toBeNull()
      expect(p.of('empty').event.data).toHaveLength(0)
      expect(Buffer.compare(p.of('big').event.data!, big)).toBe(0)
      expect(p.of('big').event.attribute('partitionkey')).toBe('k')
      expect(p.of('big').event.subject).toBe('ü')
      expect(p.of('big').bytes).toBeGreaterThan(2 ** 20)
    })

    test('an event over the limit is refused with the limit, with all of its batch', async () => {
      const r = await begin({ maxEventBytes: 1_000 })
      const p = r.intake.attach(1, 'trigger/a/all', LATEST)
      const result = await append(r.stream, [event('small'), event('large', { data: Buffer.alloc(1_001) })])
      expect(result).toEqual({ kind: 'too-large', limitBytes: 1_000 })
      expect((await append(r.stream, [event('edge', { data: Buffer.alloc(1_000) })])).kind).toBe('durable')
      await until('the one at the edge is offered', () => p.offered.length > 0)
      expect(p.ids).toEqual(['edge'])
    })

    test('a closed stream takes nothing', async () => {
      const r = await begin()
      opened.splice(opened.indexOf(r.stream), 1)
      await r.stream.close(soon())
      expect((await append(r.stream, events(1))).kind).toBe('unavailable')
    })
  })

  describe('positions', () => {
    if (system.noHistory === true)
      test('what comes before a subscription is not offered to it', async () => {
        const r = await begin()
        await append(r.stream, events(10))
        const late = r.intake.attach(1, 'trigger/a/late', LATEST)
        await append(r.stream, events(5, 10))
        await until('it has caught up', () => late.offered.length === 5)
        expect(late.ids).toEqual(events(5, 10).map((e) => e.id))
      })
    else
      test('what comes before a subscription is not offered to it, unless it begins at the earliest', async () => {
        const r = await begin()
        expect((await append(r.stream, events(10))).kind).toBe('durable')
        const late = r.intake.attach(1, 'trigger/a/late', LATEST)
        const early = r.intake.attach(2, 'trigger/a/early', EARLIEST)
        await append(r.stream, events(5, 10))
        await until('both have caught up', () => {
          if (early.offered.length === 15 && late.offered.length === 5) return true
          throw new Error(`the early one has ${early.ids.join(' ')}; the late one ${late.ids.join(' ')}`)
        })
        expect(early.ids).toEqual(events(15).map((e) => e.id))
        expect(late.ids).toEqual(events(5, 10).map((e) => e.id))
      })

    test('settling in any order and twice leaves exactly the others', async () => {
      const r = await begin()
      const p = r.intake.attach(1, 'trigger/a/x', LATEST)
      await append(r.stream, events(20))
      await until('all are offered', () => p.offered.length === 20)
      for (const i of [19, 3, 7, 3, 0, 11]) r.feed.settle(p.offered[i]!, 'delivered')
      await r.feed.flush(soon())
      r.feed.detach(1, false)
      const back = r.intake.attach(2, 'trigger/a/x', EARLIEST)
      await until('the others are offered', () => back.offered.length === 15)
      expect(kept(back.ids)).toEqual(kept(p.ids.filter((_, i) => ![19, 3, 7, 0, 11].includes(i))))
      expect(back.offered.every((d) => d.redelivery > 0)).toBe(true)
      r.intake.settleAll(back)
      await append(r.stream, events(1, 20))
      await until('the new one is offered', () => back.offered.length === 16)
    })

    test('what was handed back is offered again after the lane has room, before anything new', async () => {
      const r = await begin()
      const p = r.intake.attach(1, 'trigger/a/x', LATEST)
      p.lane = 4
      await append(r.stream, events(6))
      await until('the lane is full', () => p.full)
      for (const d of [p.of('e2'), p.of('e1')]) r.feed.settle(d, 'handed-back')
      for (const d of p.open) if (d.event.id !== 'e1' && d.event.id !== 'e2') r.feed.settle(d, 'delivered')
      p.open.clear()
      p.full = false
      p.lane = 100
      r.feed.resume(1, 0)
      await until('everything is offered', () => p.offered.length === 8)
      const back = p.ids.slice(4)
      expect(system.queues === true ? back.toSorted() : back).toEqual(['e1', 'e2', 'e4', 'e5'])
    })

    test('forgetting begins anew', async () => {
      const r = await begin()
      r.intake.attach(1, 'trigger/a/x', LATEST)
      await append(r.stream, events(5))
      r.feed.detach(1, true)
      const p = r.intake.attach(2, 'trigger/a/x', LATEST)
      await append(r.stream, events(1, 5))
      await until('the new one is offered', () => p.offered.length > 0)
      expect(p.ids).toEqual(['e5'])
      expect(r.feed.forget('trigger/a/nobody')).toBe(false)
    })

    test('nobody but the laggard waits for a laggard, and it misses nothing', async () => {
      const r = await begin()
      const slow = r.intake.attach(1, 'trigger/a/slow', LATEST)
      const fast = r.intake.attach(2, 'trigger/a/fast', LATEST)
      slow.lane = 8
      fast.settlesAtOnce = true
      for (let i = 0; i < 1_000; i += 100) await append(r.stream, events(100, i))
      await until('the fast one has all', () => fast.offered.length === 1_000)
      expect(slow.offered).toHaveLength(8)
      if (system.queues === true) await until('what is unread is known', () => r.feed.backlog(1).events === 992)
      expect(r.feed.backlog(1).events).toBe(992)
      if (system.queues === true) await until('that nothing is unread is known', () => r.feed.backlog(2).events === 0)
      expect(r.feed.backlog(2)).toEqual({ events: 0, exact: r.feed.can.exactBacklog, oldestMs: 0 })
      slow.settlesSoon = true
      r.intake.settleAll(slow)
      await until('the slow one has all', () => slow.offered.length >= 1_000)
      expect(slow.ids).toEqual(fast.ids)
      expect(slow.rude + fast.rude).toBe(0)
      expect(slow.mostOpen).toBe(8)
    })

    test('a subscription without an end holds back its own reading, not the memory', async () => {
      const r = await begin()
      const p = r.intake.attach(1, 'trigger/a/x', LATEST)
      p.lane = 16
      for (let i = 0; i < 20_000; i += 500) await append(r.stream, events(500, i))
      expect(p.offered).toHaveLength(16)
      expect(p.mostOpen).toBe(16)
      if (system.queues === true) await until('what is unread is known', () => r.feed.backlog(1).events === 19_984)
      const { oldestMs, events: unread } = r.feed.backlog(1)
      expect(unread).toBe(19_984)
      if (system.queues !== true) expect(oldestMs).toBeGreaterThan(0)
    })

    if (system.queues !== true)
      test('reading stops 65,536 positions after the lowest unsettled one, and goes on when it is settled', async () => {
        const r = await begin()
        const p = r.intake.attach(1, 'trigger/a/x', LATEST)
        const tiny = Array.from({ length: 1_000 }, (_, i) => event(`t${i}`, { data: null }))
        for (let i = 0; i < 70; i++) {
          await append(r.stream, tiny)
          for (const d of [...p.open]) if (d.position !== p.offered[0]!.position) r.intake.settle(p, d)
        }
        await until('it has stopped', () => {
          for (const d of [...p.open]) if (d !== p.offered[0]) r.intake.settle(p, d)
          return p.offered.length === 65_536
        })
        expect(r.feed.backlog(1).events).toBe(70_000 - 65_536)
        r.intake.settle(p, p.offered[0]!)
        await until('it has gone on', () => {
          r.intake.settleAll(p)
          return p.offered.length === 70_000
        })
      })

    test('a reply and what it answers are one', async () => {
      const r = await begin()
      const p = r.intake.attach(1, 'trigger/a/x', LATEST, (e) => !e.id.startsWith('reply'))
      await append(r.stream, events(3))
      await until('all are offered', () => p.offered.length === 3)
      expect((await append(r.stream, [event('reply-1')], { settles: p.of('e1') })).kind).toBe('durable')
      await until('the reply has gone past', () => r.feed.passed(1) === 4)
      r.feed.detach(1, false)
      const back = r.intake.attach(2, 'trigger/a/x', EARLIEST)
      await until('the others are offered', () => back.offered.length >= 2 && r.feed.backlog(2).events === 0)
      expect(kept(back.ids)).toEqual(['e0', 'e2'])
    })
  })

  if (system.queues === true && system.noHistory !== true)
    describe('replay', () => {
      test('from a time, from the beginning, and by seeking', async () => {
        const r = await begin()
        const first = r.intake.attach(1, 'trigger/a/x', EARLIEST)
        first.settlesAtOnce = true
        await append(r.stream, events(10))
        const later = Date.now() + 2
        await until('time has passed', () => Date.now() > later)
        await append(r.stream, events(10, 10))
        await until('all are offered', () => first.offered.length === 20)
        const time = r.intake.attach(3, 'replay/2', { at: 'time', timeMs: later })
        const all = r.intake.attach(4, 'replay/3', { at: 'earliest' })
        await until('both are through', () => all.offered.length === 20 && time.offered.length === 10)
        expect(time.ids[0]).toBe('e10')
        expect(first.offered).toHaveLength(20)
        await r.feed.seek(1, { at: 'time', timeMs: later })
        await until('it goes on from there', () => first.offered.length === 30)
        expect(first.ids[20]).toBe('e10')
        await r.feed.seek(1, { at: 'latest' })
        await append(r.stream, events(1, 20))
        await until('and is at the end', () => first.offered.length === 31)
      })
    })

  if (system.queues !== true)
    describe('replay by position', () => {
      test('from a position, from a time, from the beginning, and by seeking', async () => {
        const r = await begin()
        const first = r.intake.attach(1, 'trigger/a/x', EARLIEST)
        first.settlesAtOnce = true
        await append(r.stream, events(10))
        const later = Date.now() + 2
        await until('time has passed', () => Date.now() > later)
        await append(r.stream, events(10, 10))
        await until('all are offered', () => first.offered.length === 20)
        const by = { at: first.of('e7').position, timeMs: later }
        const position = r.intake.attach(2, 'replay/1', { at: 'position', position: by.at })
        const time = r.intake.attach(3, 'replay/2', { at: 'time', timeMs: by.timeMs })
        const all = r.intake.attach(4, 'replay/3', { at: 'earliest' })
        const never = r.intake.attach(5, 'replay/4', { at: 'time', timeMs: Date.now() + 60_000 })
        await until('all replays are through', () => all.offered.length === 20 && time.offered.length === 10)
        expect(position.ids[0]).toBe('e7')
        expect(time.ids[0]).toBe('e10')
        expect(never.offered).toHaveLength(0)
        expect(first.offered).toHaveLength(20)
        await r.feed.seek(1, { at: 'position', position: by.at })
        await until('it goes on from there', () => first.offered.length === 33)
        expect(first.ids[20]).toBe('e7')
        await r.feed.seek(1, { at: 'latest' })
        await append(r.stream, events(1, 20))
        await until('and is at the end', () => first.offered.length === 34)
      })
    })

  if (system.noHistory !== true)
    describe('a seek', () => {
      test('what was offered before a seek settles nothing after it', async () => {
        const r = await begin()
        const p = r.intake.attach(1, 'trigger/a/x', LATEST)
        await append(r.stream, events(3))
        await until('all are offered', () => p.offered.length === 3)
        const old = [...p.offered]
        await r.feed.seek(1, { at: 'earliest' })
        await until('all are offered again', () => p.offered.length === 6)
        for (const d of old) r.feed.settle(d, 'delivered')
        r.feed.detach(1, false)
        const back = r.intake.attach(2, 'trigger/a/x', EARLIEST)
        await until('all are unsettled', () => back.offered.length === 3)
      })
    })

  describe('detached and parked', () => {
    test('a detached delivery comes back when it is due, with its story, and goes when it is settled', async () => {
      const r = await begin()
      const p = r.intake.attach(1, 'trigger/a/x', LATEST)
      await append(r.stream, events(2))
      await until('all are offered', () => p.offered.length === 2)
      const dueMs = Date.now() + 60
      const ok = await new Promise((done) => r.feed.detachDelivery(p.of('e0'), stateOf({ dueMs, phase: 'dead-letter' }), done))
      expect(ok).toBe(true)
      await until('it is back', () => p.offered.length === 3)
      expect(Date.now()).toBeGreaterThanOrEqual(dueMs)
      const back = p.offered[2]!
      expect(back.event.id).toBe('e0')
      expect(Buffer.from(back.event.data!).toString()).toBe('data of e0')
      expect(back).toMatchObject({ story: STORY, phase: 'dead-letter', sub: 1 })
      expect(back.redelivery).toBeGreaterThan(0)
      r.feed.settle(back, 'delivered')
      r.feed.settle(back, 'delivered')
      await r.feed.flush(soon())
      r.feed.detach(1, false)
      const other = r.intake.attach(2, 'trigger/a/x', EARLIEST)
      await until('only the other one is left', () => other.offered.length > 0)
      expect(other.ids).toEqual(['e1'])
    })

    if (system.dueLane !== true)
      test('due deliveries wait for room, come in order of their time, and can be detached again', async () => {
        const r = await begin()
        const p = r.intake.attach(1, 'trigger/a/x', LATEST)
        p.lane = 3
        await append(r.stream, events(3))
        await until('all are offered', () => p.offered.length === 3)
        const now = Date.now()
        const storing = ['e2', 'e0'].map(
          (id, i) => new Promise((done) => r.feed.detachDelivery(p.of(id), stateOf({ dueMs: now - 10 + i }), (ok) => done(ok))),
        )
        expect(await Promise.all(storing)).toEqual([true, true])
        expect(p.offered).toHaveLength(3)
        for (const d of [...p.open]) if (d.event.id !== 'e1') r.intake.done(p, d)
        await until('both are back', () => p.offered.length === 5)
        expect(kept(p.ids.slice(3))).toEqual(kept(['e2', 'e0']))
        expect(p.rude).toBe(0)
        p.lane = 100
        const again = p.offered.findLast((d) => d.event.id === 'e2')!
        const ok = await new Promise((done) => r.feed.detachDelivery(again, stateOf({ dueMs: Date.now() + 20 }), done))
        expect(ok).toBe(true)
        r.intake.done(p, again)
        r.intake.done(p, p.of('e0'))
        await until('it is back once more', () => p.offered.length === 6)
        expect(p.offered[5]!.event.id).toBe('e2')
      })

    test('what is parked is listed in order, counted, read, and goes when it is removed', async () => {
      const r = await begin()
      const p = r.intake.attach(1, 'trigger/a/x', LATEST)
      await append(r.stream, events(5))
      await until('all are offered', () => p.offered.length === 5)
      for (const d of p.offered) {
        expect(await new Promise((done) => r.feed.park(d, stateOf({ reason: 'exhausted' }), done))).toBe(true)
      }
      const { parked } = r.feed
      expect(parked.counts(p.key).events).toBe(5)
      expect(parked.counts(p.key).bytes).toBeGreaterThan(0)
      expect(parked.counts('trigger/a/nobody')).toEqual({ events: 0, bytes: 0 })
      expect(parked.keys()).toEqual([p.key])
      const firstTwo = parked.list(p.key, '', 2)
      const rest = parked.list(p.key, firstTwo[1]!.id, 10)
      expect([...firstTwo, ...rest].map((e) => e.event?.id)).toEqual(p.ids)
      expect(parked.get(p.key, rest[0]!.id)).toMatchObject({ state: { reason: 'exhausted', story: STORY }, undecodable: null })
      expect(parked.get(p.key, 'no such id')).toBeUndefined()
      const ids = rest.map((e) => e.id)
      expect(await Promise.all([parked.remove(p.key, ids), parked.remove(p.key, ids)])).toEqual([3, 0])
      expect(parked.list(p.key, '', 10).map((e) => e.event?.id)).toEqual(['e0', 'e1'])
      r.feed.detach(1, false)
      const back = r.intake.attach(2, 'trigger/a/x', EARLIEST)
      await append(r.stream, events(1, 5))
      await until('only the new one is offered', () => back.offered.length > 0)
      expect(back.ids).toEqual(['e5'])
      r.feed.detach(2, true)
      await r.feed.flush(soon())
      expect(parked.keys()).toEqual([])
    })

    test('bytes that are no event are parked as they came', async () => {
      const r = await begin()
      const p = r.intake.attach(1, 'trigger/a/x', LATEST)
      await append(r.stream, events(1))
      await until('it is offered', () => p.offered.length === 1)
      const bad = { raw: Buffer.from([0, 255, 7]), headers: [['h', 'v']], why: 'no event' } as const
      const { position } = p.offered[0]!
      expect(await new Promise((done) => r.feed.parkRaw(1, 0, position, bad, done))).toBe(true)
      const [entry] = r.feed.parked.list(p.key, '', 1)
      expect(entry).toMatchObject({ event: null, undecodable: { headers: [['h', 'v']], why: 'no event' } })
      expect(Buffer.from(entry!.undecodable!.raw)).toEqual(bad.raw)
    })
  })

  if (system.limits)
    describe('a full stream', () => {
      test('refuses, naming who holds; replies still fit; it takes again once events are settled', async () => {
        const r = await begin({ maxUnsettledBytes: 100_000 })
        const p = r.intake.attach(1, 'trigger/a/holds', LATEST)
        const made = (id: string) => event(id, { data: Buffer.alloc(5_000) })
        let n = 0
        let last = await append(r.stream, [made(`f${n++}`)])
        while (last.kind === 'durable' && n < 100) last = await append(r.stream, [made(`f${n++}`)])
        expect(last).toMatchObject({ kind: 'full' })
        expect(last.kind === 'full' ? last.why : '').toContain('trigger/a/holds')
        expect(n).toBeGreaterThan(15)
        expect(r.stream.stats().refusing).toContain('trigger/a/holds')
        expect((await append(r.stream, [made('reply')], { reserve: true })).kind).toBe('durable')
        expect(p.offered).toHaveLength(n)
        r.intake.settleAll(p)
        await until('it takes again', async () => (await append(r.stream, [made('again')])).kind === 'durable')
        let replies = 0
        while ((await append(r.stream, [made('reply')], { reserve: true })).kind === 'durable' && replies < 100) replies++
        expect(replies).toBeGreaterThan(10)
        expect(replies).toBeLessThan(100)
      })

      test('counts for nobody who is not there', async () => {
        const r = await begin({ maxUnsettledBytes: 50_000 })
        for (let i = 0; i < 30; i++) {
          expect((await append(r.stream, [event(`n${i}`, { data: Buffer.alloc(5_000) })])).kind).toBe('durable')
        }
      })
    })

  if (system.reopen !== undefined)
    describe('a restart', () => {
      test('offers exactly what was matched and not settled, then what is new', async () => {
        const r = await begin()
        const even = (e: { id: string }): boolean => Number(e.id.slice(1)) % 2 === 0
        const p = r.intake.attach(1, 'trigger/a/x', LATEST, even)
        const idle = r.intake.attach(2, 'trigger/a/idle', LATEST, () => false)
        await append(r.stream, events(100))
        await until('all are offered', () => p.offered.length === 50)
        await until('all have gone past', () => r.feed.passed(1) === 100 && r.feed.passed(2) === 100)
        const left = p.offered.filter((_, i) => i % 7 === 0 || i === 49)
        for (const d of p.offered) if (!left.includes(d)) r.feed.settle(d, 'delivered')
        const s = await again(r)
        const back = s.intake.attach(1, 'trigger/a/x', LATEST, even)
        s.intake.attach(2, 'trigger/a/idle', LATEST, () => true)
        await until('they are back', () => back.offered.length >= left.length && s.feed.backlog(1).events === 0)
        await append(s.stream, events(2, 100))
        await until('the new one is offered', () => back.ids.includes('e100'))
        expect(kept(back.ids)).toEqual(kept([...left.map((d) => d.event.id), 'e100']))
        expect(idle.offered).toHaveLength(0)
        await until('the other one has both', () => s.intake.players.get(2)!.offered.length >= 2)
        expect(kept(s.intake.players.get(2)!.ids)).toEqual(['e100', 'e101'])
        expect(back.offered.at(-1)!.position).toBeGreaterThan(p.offered.at(-1)!.position)
      })

      test('keeps what is detached and parked, and what nobody is attached to', async () => {
        const r = await begin()
        const p = r.intake.attach(1, 'trigger/a/x', LATEST)
        r.intake.attach(2, 'trigger/a/gone', LATEST)
        await append(r.stream, events(3))
        await until('all are offered', () => p.offered.length === 3)
        const dueMs = Date.now() + 100
        const detached = new Promise((done) => r.feed.detachDelivery(p.of('e0'), stateOf({ dueMs }), done))
        const parked = new Promise((done) => r.feed.park(p.of('e1'), stateOf({ reason: 'rejected' }), done))
        expect(await Promise.all([detached, parked])).toEqual([true, true])
        r.feed.settle(p.of('e2'), 'delivered')
        r.feed.detach(2, false)
        const s = await again(r)
        const back = s.intake.attach(1, 'trigger/a/x', LATEST)
        await until('the detached one is back', () => back.offered.length > 0)
        expect(back.ids).toEqual(['e0'])
        expect(back.offered[0]).toMatchObject({ story: STORY })
        expect(s.feed.parked.list(p.key, '', 9).map((e) => e.event?.id)).toEqual(['e1'])
        const t = await again(s)
        const gone = t.intake.attach(7, 'trigger/a/gone', LATEST)
        await until('the one that was away has its events', () => gone.offered.length === 3)
        const once = t.intake.attach(8, 'trigger/a/x', LATEST)
        await until('the detached one was not settled', () => once.offered.length === 1)
      })

      test('never gives a position twice, even when nothing is left', async () => {
        const r = await begin({ retentionMs: 0, maxBytes: 0 })
        const p = r.intake.attach(1, 'trigger/a/x', LATEST)
        p.settlesAtOnce = true
        await append(r.stream, events(10))
        await until('all are offered', () => p.offered.length === 10)
        const s = await again(r)
        const q = s.intake.attach(1, 'trigger/a/x', LATEST)
        await append(s.stream, events(1, 10))
        await until('it is offered', () => q.offered.length === 1)
        expect(q.offered[0]!.position).toBeGreaterThan(p.offered[9]!.position)
      })

      test('goes on with a laggard where it was', async () => {
        const r = await begin()
        const p = r.intake.attach(1, 'trigger/a/x', LATEST)
        p.lane = 10
        await append(r.stream, events(300))
        await until('the lane is full', () => p.full)
        for (const d of p.offered.slice(0, 4)) r.feed.settle(d, 'delivered')
        const s = await again(r)
        const q = s.intake.attach(1, 'trigger/a/x', LATEST)
        q.settlesAtOnce = true
        await until('it has the rest', () => q.offered.length === 296)
        expect(kept(q.ids)).toEqual(kept(events(296, 4).map((e) => e.id)))
        const redelivered = q.offered.filter((d) => d.redelivery > 0).length
        if (system.queues === true) expect(redelivered).toBeGreaterThanOrEqual(6)
        else expect(redelivered).toBe(system.forgetsOffers === true ? 0 : 6)
      })
    })
}

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createBudget } from '../../src/flow/budget.ts'
import { ACCEPT, FAIL, REJECT, Rig, SUB, TargetDouble, eventOf } from './rig.ts'

describe('order', () => {
  test('unordered: all at once', () => {
    const rig = new Rig()
    rig.offerAll(5)
    expect(rig.target.under).toEqual(['e1', 'e2', 'e3', 'e4', 'e5'])
  })

  test('ordered: one unsettled a lane, in the order of the lane, lanes side by side', () => {
    const rig = new Rig({ plan: { order: 'ordered' } })
    for (const id of ['a1', 'a2', 'a3']) rig.offer(id, { lane: 0 })
    for (const id of ['b1', 'b2']) rig.offer(id, { lane: 1 })
    expect(rig.target.under).toEqual(['a1', 'b1'])
    rig.target.end('b1', ACCEPT)
    expect(rig.target.under).toEqual(['a1', 'b2'])
    rig.target.end('a1', ACCEPT)
    rig.target.end('a2', ACCEPT)
    rig.target.end('b2', ACCEPT)
    expect(rig.target.ids).toEqual(['a1', 'b1', 'b2', 'a2', 'a3'])
  })

  test('ordered: a retry holds its lane however long it waits, never detached; after park the next goes on', () => {
    const delivery = { ...new Rig().spec.plan.delivery, retry: 1, backoffDelayMs: 60_000 }
    const rig = new Rig({ plan: { order: 'ordered', delivery } })
    rig.offerAll(2)
    rig.target.end('e1', FAIL)
    expect(rig.feed.detached).toEqual([])
    rig.clock.advance(59_999)
    expect(rig.target.ids).toEqual(['e1'])
    rig.clock.advance(1)
    rig.target.end('e1', FAIL)
    expect(rig.feed.parkedOnes).toHaveLength(1)
    expect(rig.target.under).toEqual(['e2'])
  })

  test('ordered: the dead letter is sent before the next goes on', () => {
    const rig = new Rig({ plan: { order: 'ordered', deadLetter: 'd' } })
    rig.offerAll(2)
    rig.target.end('e1', REJECT)
    expect([rig.deadLetter.under, rig.target.under]).toEqual([['e1'], []])
    rig.deadLetter.end('e1', ACCEPT)
    expect(rig.target.under).toEqual(['e2'])
  })

  test('key: one under way a key, over all lanes; partitionkey before the record key; without a key unordered', () => {
    const rig = new Rig({ plan: { order: 'key' } })
    rig.offer('x1', { key: 'x' })
    rig.offer('x2', { key: 'x', lane: 1 })
    rig.offer('y1', { key: 'x', partitionkey: 'y' })
    rig.offer('n1')
    rig.offer('n2')
    rig.offer('x3', { partitionkey: 'x' })
    expect(rig.target.under).toEqual(['x1', 'y1', 'n1', 'n2'])
    rig.target.end('x1', ACCEPT)
    expect(rig.target.under).toContain('x2')
    expect(rig.target.under).not.toContain('x3')
    rig.target.end('x2', FAIL)
    expect(rig.target.under).not.toContain('x3')
    rig.clock.advance(1_000)
    rig.target.end('x2', ACCEPT)
    expect(rig.target.under).toContain('x3')
  })

  test('key: with a key never detached, without one it is', () => {
    const delivery = { ...new Rig().spec.plan.delivery, backoffDelayMs: 60_000 }
    const rig = new Rig({ plan: { order: 'key', delivery } })
    rig.offer('k', { key: 'k' })
    rig.offer('n')
    rig.target.endAll(FAIL)
    expect(rig.feed.detached.map((x) => x.d.event.id)).toEqual(['n'])
  })

  test('a key that is done is forgotten', () => {
    const rig = new Rig({ plan: { order: 'key' } })
    for (let i = 0; i < 3; i++) {
      rig.offer(`a${i}`, { key: 'a' })
      rig.target.endAll(ACCEPT)
    }
    expect(rig.target.ids).toEqual(['a0', 'a1', 'a2'])
    expect(rig.state.delivered).toBe(3)
  })

  test('the order may change under way: what has begun is waited for', () => {
    const rig = new Rig({ credits: 2 })
    rig.offerAll(5)
    expect(rig.target.under).toEqual(['e1', 'e2'])
    rig.machine.update(SUB, { ...rig.spec, plan: { ...rig.spec.plan, order: 'ordered' } })
    // They stood in the gate's queue already; that much may still run side by side.
    while (rig.target.open_.length > 0) rig.target.end('oldest', ACCEPT)
    expect(rig.target.ids).toEqual(['e1', 'e2', 'e3', 'e4', 'e5'])
    rig.offer('f1')
    rig.offer('f2')
    expect(rig.target.under).toEqual(['f1'])
    rig.machine.update(SUB, { ...rig.spec, plan: { ...rig.spec.plan, order: 'unordered' } })
    expect(rig.target.under).toEqual(['f1', 'f2'])
  })

  test('per lane and per key order holds whatever happens in between', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('ordered' as const, 'key' as const),
        fc.array(
          fc.record({ lane: fc.nat(2), key: fc.constantFrom('', 'a', 'b'), how: fc.constantFrom('ok', 'fail', 'reject') }),
          {
            maxLength: 40,
          },
        ),
        fc.array(fc.nat(5), { maxLength: 80 }),
        (order, events, picks) => {
          const rig = new Rig({ plan: { order, delivery: { ...new Rig().spec.plan.delivery, retry: 2 } } })
          const settledOf = new Map<string, number[]>()
          const ended: string[] = []
          events.forEach((e, i) => rig.offer(`${i}`, { lane: e.lane, key: e.key }))
          const step = (pick: number): void => {
            const id = rig.target.under[pick % Math.max(1, rig.target.under.length)]
            if (id === undefined) return rig.clock.advance(500)
            const { how } = events[Number(id)]!
            rig.target.end(id, how === 'ok' ? ACCEPT : how === 'fail' ? FAIL : REJECT)
          }
          for (const pick of picks) step(pick)
          for (let i = 0; rig.state.waiting > 0 && i < 2_000; i++) step(i)
          ended.push(...rig.feed.settled.map((s) => s.id), ...rig.feed.parkedOnes.map((p) => p.d.event.id))
          expect(ended.toSorted()).toEqual(events.map((_, i) => `${i}`).toSorted())
          for (const id of rig.target.ids) {
            const e = events[Number(id)]!
            const line = order === 'ordered' ? `lane ${e.lane}` : e.key
            if (line !== '') settledOf.set(line, [...(settledOf.get(line) ?? []), Number(id)])
          }
          for (const ids of settledOf.values()) expect(ids).toEqual(ids.toSorted((a, b) => a - b))
        },
      ),
      { numRuns: 60 },
    )
  })
})

describe('bounds', () => {
  const bounds = { events: 8, bytes: 1_000_000, eventsOfAll: 1_000 }

  test('a full lane says so; its neighbour is read on; at half it is resumed', () => {
    const rig = new Rig({ credits: 1, machine: { bounds } })
    const took = Array.from({ length: 10 }, (_, i) => rig.offer(`a${i}`))
    // One runs; eight may wait.
    expect(took).toEqual([true, true, true, true, true, true, true, true, false, false])
    expect(rig.offer('b', { lane: 1 })).toBe(true)
    for (let left = 9; left > 4; left--) {
      expect(rig.feed.resumed).toEqual([])
      rig.target.end('oldest', ACCEPT)
      if (rig.target.under[0] === 'b') rig.target.end('b', ACCEPT)
    }
    expect(rig.feed.resumed).toEqual([0])
    expect(rig.offer('again')).toBe(true)
  })

  test('bytes fill a lane as well', () => {
    const rig = new Rig({ credits: 1, machine: { bounds: { events: 1_000, bytes: 1_000, eventsOfAll: 1_000 } } })
    expect(rig.offer('a', { bytes: 999 })).toBe(true)
    expect(rig.offer('b', { bytes: 600 })).toBe(false)
    rig.target.end('a', ACCEPT)
    expect(rig.feed.resumed).toEqual([])
    rig.target.end('b', ACCEPT)
    expect(rig.feed.resumed).toEqual([0])
  })

  test('all lanes together are bounded too: each keeps its share, one that is behind still gets it', () => {
    const rig = new Rig({ credits: 1, machine: { bounds: { events: 100, bytes: 1_000_000, eventsOfAll: 40 } } })
    const read = (lane: number): number => {
      let n = 1
      while (rig.offer(`${lane}-${n}`, { lane })) n++
      return n
    }
    rig.offer('first', { lane: 9 })
    expect(read(0)).toBe(40)
    // Three lanes by then, 40 wait: the share is 13.
    expect(read(1)).toBe(14)
    expect(rig.state.waiting).toBe(55)
    for (let i = 0; rig.feed.resumed.length === 0 && i < 100; i++) rig.target.end('oldest', ACCEPT)
    // At three quarters of the bound, counting what waits without a credit.
    expect(rig.state.waiting - rig.state.attempting).toBe(30)
  })

  test('what runs does not fill a lane: the credits are its bound', () => {
    const rig = new Rig({ credits: 100, machine: { bounds } })
    const took = Array.from({ length: 107 }, (_, i) => rig.offer(`${i}`))
    expect(took.every(Boolean)).toBe(true)
    expect(rig.offer('over')).toBe(false)
    expect(rig.target.under).toHaveLength(100)
  })

  test('towards a sink without limit at most 512 run at once', () => {
    const rig = new Rig({ credits: 0 })
    rig.offerAll(600)
    expect(rig.target.under).toHaveLength(512)
    rig.target.end('oldest', ACCEPT)
    expect(rig.target.under).toHaveLength(512)
  })

  test('the budget of the shard stops reading, one event a subscription is sure of', () => {
    const budget = createBudget(250)
    const rig = new Rig({ credits: 1, machine: { budget } })
    expect([rig.offer('a'), rig.offer('b'), rig.offer('c')]).toEqual([true, true, false])
    rig.target.end('a', ACCEPT)
    expect(rig.feed.resumed).toEqual([0])
    budget.take(1_000)
    rig.offer('d')
    rig.feed.resumed.length = 0
    for (const id of ['b', 'c', 'd']) rig.target.end(id, ACCEPT)
    // The others hold it full, but nothing of this subscription is in memory: it may read one.
    expect(rig.feed.resumed).toEqual([0])
    expect(rig.offer('e')).toBe(false)
    budget.give(1_000)
    rig.feed.resumed.length = 0
    rig.clock.settle()
    expect(rig.feed.resumed).toEqual([0])
  })

  test('a subscription offers the gate at most 64 jobs or twice its credits', () => {
    const rig = new Rig({ credits: 2 })
    rig.offerAll(300)
    expect(rig.target.gate.state()).toMatchObject({ inFlight: 2, queuedEvents: 64 })
    rig.target.end('oldest', ACCEPT)
    expect(rig.target.gate.state().queuedEvents).toBeLessThanOrEqual(64)
    rig.target.endAll(ACCEPT)
    expect(rig.state).toMatchObject({ delivered: 300, waiting: 0 })
  })

  test('of a target that does not tell its credits the last state counts, and news of more', () => {
    const rig = new Rig({ credits: 0 })
    const plain = new TargetDouble(rig.clock, 9, 'http://plain', 300)
    Object.defineProperty(plain, 'credits', { value: undefined })
    rig.machine.update(SUB, { ...rig.spec, target: plain })
    rig.offerAll(2_000)
    expect(plain.gate.state()).toMatchObject({ inFlight: 300, queuedEvents: 600 })
    plain.gate.add('another', { protocol: 'http:', host: 'h', port: 1, caCerts: '' }, 500)
    expect(plain.gate.state().inFlight).toBe(800)
  })

  test('a gate that refuses is asked again after the time it said, or when it has room; no attempt is counted', () => {
    const rig = new Rig({ credits: 1 })
    let refuse = true
    rig.target.acquire = (job) => (refuse ? job.refused('full', 2_000) : rig.target.gate.acquire(job))
    rig.offerAll(2)
    expect(rig.state).toMatchObject({ waiting: 2, queued: 0, attempts: 0 })
    rig.clock.advance(1_999)
    refuse = false
    rig.offer('e3')
    expect(rig.target.sent).toHaveLength(0)
    rig.clock.advance(1)
    expect(rig.target.under).toEqual(['e1'])
    refuse = true
    rig.target.end('e1', ACCEPT)
    rig.target.end('e2', ACCEPT)
    refuse = false
    rig.offer('e4')
    rig.target.gate.add('another', { protocol: 'http:', host: 'h', port: 1, caCerts: '' }, 5)
    expect(rig.target.under).toEqual(['e3', 'e4'])
  })

  test('what waits in a gate that is closed goes to the target that takes its place', () => {
    const rig = new Rig({ credits: 1 })
    rig.offerAll(3)
    rig.target.gate.close()
    expect(rig.state).toMatchObject({ waiting: 3, queued: 0, attempting: 1 })
    rig.machine.update(SUB, { ...rig.spec, target: new TargetDouble(rig.clock, 9, 'http://heir', 10) })
    rig.target.end('e1', ACCEPT)
    expect(rig.state).toMatchObject({ waiting: 2, attempting: 2, delivered: 1 })
  })

  test('a feed that fills the lane whenever it may does not starve the loop', () => {
    const rig = new Rig({ credits: 100, machine: { bounds } })
    rig.target.answer = () => ACCEPT
    let offered = 0
    let thisTurn = 0
    let mostInATurn = 0
    const event = eventOf('again')
    rig.feed.onResume = () => {
      for (let more = true; more && offered < 5_000;) {
        more = rig.seat.intake.offer(rig.delivery(event))
        offered++
        mostInATurn = Math.max(mostInATurn, ++thisTurn)
      }
    }
    const soon = rig.clock.soon.bind(rig.clock)
    rig.clock.soon = (f) =>
      soon(() => {
        thisTurn = 0
        f()
      })
    rig.target.gate.setOpen(false)
    rig.offer('first')
    rig.target.gate.setOpen(true)
    rig.clock.settle()
    expect(offered).toBe(5_000)
    expect(mostInATurn).toBeLessThan(100)
    expect(rig.state.waiting).toBe(0)
  })
})

describe('limits of the subscription', () => {
  test('max-concurrency holds whatever the pods could do', () => {
    const rig = new Rig({ plan: { limits: { maxConcurrency: 3, ratePerS: 0 } } })
    rig.offerAll(10)
    expect(rig.target.under).toHaveLength(3)
    rig.target.end('e1', FAIL)
    expect(rig.target.under).toEqual(['e2', 'e3', 'e4'])
    rig.machine.update(SUB, { ...rig.spec, plan: { ...rig.spec.plan, limits: { maxConcurrency: 5, ratePerS: 0 } } })
    expect(rig.target.under).toHaveLength(5)
    rig.machine.update(SUB, { ...rig.spec, plan: { ...rig.spec.plan, limits: { maxConcurrency: 1, ratePerS: 0 } } })
    for (let i = 0; i < 4; i++) rig.target.end('oldest', ACCEPT)
    expect(rig.target.under).toHaveLength(1)
  })

  test('rate is kept from the first event on, retries included, and nothing is saved up while no pod is there', () => {
    const rig = new Rig({ plan: { limits: { maxConcurrency: 0, ratePerS: 10 } }, credits: -1 })
    rig.offerAll(50)
    rig.clock.advance(60_000)
    rig.target.gate.add('pod', { protocol: 'http:', host: 'h', port: 1, caCerts: '' }, 100)
    expect(rig.target.sent.length).toBeLessThanOrEqual(2)
    const before = rig.target.sent.length
    rig.clock.advance(1_000)
    expect(rig.target.sent.length - before).toBeGreaterThanOrEqual(9)
    expect(rig.target.sent.length - before).toBeLessThanOrEqual(11)
  })
})

describe('pause, hold and change', () => {
  test('paused: nothing starts, what runs ends, soon nothing is read; resumed: it goes on in order', () => {
    const rig = new Rig({ credits: 1 })
    rig.offerAll(3)
    rig.machine.pause(SUB)
    expect(rig.target.gate.state().queuedEvents).toBe(0)
    rig.target.end('e1', ACCEPT)
    expect(rig.target.under).toEqual([])
    expect(rig.offer('e4')).toBe(false)
    expect(rig.state).toMatchObject({ paused: true, waiting: 3, delivered: 1 })
    rig.machine.resume(SUB)
    expect(rig.feed.resumed).toEqual([0])
    rig.target.answer = () => ACCEPT
    rig.target.endAll(ACCEPT)
    expect(rig.target.ids).toEqual(['e1', 'e2', 'e3', 'e4'])
  })

  test('a target that is not open stops the reading until it is', () => {
    const rig = new Rig()
    rig.target.gate.setOpen(false)
    expect(rig.offer('a')).toBe(false)
    expect(rig.target.sent).toHaveLength(0)
    rig.target.gate.setOpen(true)
    expect(rig.target.under).toEqual(['a'])
    expect(rig.feed.resumed).toEqual([0])
  })

  test('without a target the position is held; with one it goes on', () => {
    const rig = new Rig({ spec: { target: null } })
    expect(rig.offer('a')).toBe(false)
    expect(rig.state).toMatchObject({ held: 'target-unresolved', waiting: 1 })
    rig.machine.update(SUB, { ...rig.spec, target: rig.target })
    expect(rig.target.under).toEqual(['a'])
    expect(rig.state.held).toBe('')
  })

  test('another target: what waits goes there, what runs ends under the old spec', () => {
    const rig = new Rig({ credits: 1 })
    const other = new TargetDouble(rig.clock, 9, 'http://other', 10)
    rig.offerAll(3)
    rig.machine.update(SUB, { ...rig.spec, target: other })
    expect(other.under).toEqual(['e2', 'e3'])
    expect(rig.target.gate.state().queuedEvents).toBe(0)
    rig.target.end('e1', FAIL)
    rig.clock.advance(1_000)
    expect(other.under).toEqual(['e2', 'e3', 'e1'])
    expect(other.sent.at(-1)!.attempt).toBe(2)
    other.endAll(ACCEPT)
    expect(rig.state).toMatchObject({ delivered: 3, attempting: 0, queued: 0 })
  })

  test('another filter counts from the next event on', () => {
    const rig = new Rig()
    const out: number[] = []
    rig.machine.update(SUB, {
      ...rig.spec,
      plan: { ...rig.spec.plan, filter: { dialect: 'exact', attributes: { type: 'other' } } },
    })
    rig.offer('made-before')
    expect(rig.seat.intake.route(rig.target.sent[0]!.event, out)).toBe(0)
    expect(rig.seat.intake.matches(SUB, rig.target.sent[0]!.event.with({ type: 'other' }))).toBe(true)
  })
})

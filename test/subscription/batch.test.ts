import { describe, expect, test } from 'vitest'
import { ACCEPT, FAIL, REJECT, Rig, eventOf } from './rig.ts'

const batch = { batchMax: 3, batchWaitMs: 100 }

const failed = (id: string, retryable: boolean) => ({ source: '/test', id, retryable })

describe('batches', () => {
  test('go when they are full, or when the first has waited long enough; one credit each', () => {
    const rig = new Rig({ plan: batch })
    rig.offerAll(2)
    expect(rig.target.sent).toHaveLength(0)
    rig.offer('e3')
    expect(rig.target.sent).toHaveLength(1)
    expect(rig.target.sent[0]!.batch!.map((e) => e.id)).toEqual(['e1', 'e2', 'e3'])
    rig.offer('e4')
    rig.clock.advance(99)
    expect(rig.target.sent).toHaveLength(1)
    rig.clock.advance(1)
    expect(rig.target.sent[1]!.batch!.map((e) => e.id)).toEqual(['e4'])
    expect(rig.target.gate.state().inFlight).toBe(2)
    rig.target.endAll(ACCEPT)
    expect(rig.feed.hows('delivered')).toEqual(['e1', 'e2', 'e3', 'e4'])
    expect(rig.state).toMatchObject({ delivered: 4, waiting: 0, attempts: 4 })
  })

  test('of some that failed the others are settled; those are retried or given up each by itself', () => {
    const rig = new Rig({ plan: batch })
    rig.offerAll(3)
    rig.target.end('e1', { kind: 'accepted', status: 200, failed: [failed('e2', true), failed('e3', false)] })
    expect(rig.feed.hows('delivered')).toEqual(['e1'])
    expect(rig.feed.parkedOnes.map((p) => p.d.event.id)).toEqual(['e3'])
    rig.clock.advance(1_100)
    expect(rig.target.sent[1]!.batch!.map((e) => e.id)).toEqual(['e2'])
    expect(rig.target.sent[1]!.attempt).toBe(2)
  })

  test('a batch that fails as a whole is a failure of each', () => {
    const rig = new Rig({ plan: batch })
    rig.offerAll(3)
    rig.target.end('e1', FAIL)
    rig.clock.advance(1_000)
    expect(rig.target.sent[1]!.batch!.map((e) => e.id)).toEqual(['e1', 'e2', 'e3'])
    rig.target.end('e1', REJECT)
    expect(rig.state).toMatchObject({ parked: 3, waiting: 0 })
  })

  test('ordered: a batch is a stretch of one lane, and the next goes after it', () => {
    const rig = new Rig({ plan: { ...batch, order: 'ordered' } })
    for (const id of ['a1', 'a2', 'a3', 'a4', 'a5', 'a6']) rig.offer(id)
    rig.offer('b1', { lane: 1 })
    rig.clock.advance(100)
    expect(rig.target.sent.map((s) => s.batch!.map((e) => e.id))).toEqual([['a1', 'a2', 'a3'], ['b1']])
    rig.target.end('a1', ACCEPT)
    rig.clock.advance(100)
    expect(rig.target.sent[2]!.batch!.map((e) => e.id)).toEqual(['a4', 'a5', 'a6'])
  })

  test('one answer, one reply', () => {
    const rig = new Rig({ plan: { ...batch, reply: 'r' } })
    rig.offerAll(3)
    rig.target.end('e1', { kind: 'accepted', status: 200, reply: eventOf('reply') })
    expect(rig.reply.ids).toEqual(['reply'])
    expect(rig.feed.hows('delivered')).toEqual(['e2', 'e3'])
    rig.reply.end('reply', ACCEPT)
    expect(rig.feed.hows('delivered')).toEqual(['e2', 'e3', 'e1'])
  })

  test('a lane that is lost takes its part of a batch with it', () => {
    const rig = new Rig({ plan: batch })
    rig.offer('a', { lane: 0 })
    rig.offer('b', { lane: 1 })
    rig.offer('c', { lane: 0 })
    rig.seat.intake.lost([0])
    rig.target.end('a', ACCEPT)
    expect(rig.feed.settled).toEqual([{ id: 'b', how: 'delivered' }])
    expect(rig.state).toMatchObject({ delivered: 1, handedBack: 2, waiting: 0, attempting: 0 })
  })
})

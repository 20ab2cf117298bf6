import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Outcome } from '../../src/contract/outcome.ts'
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

  test('ordered: settled up to the first that failed; what stands behind it goes again after it and has lost no attempt', () => {
    const rig = new Rig({ plan: { ...batch, order: 'ordered' } })
    for (const id of ['a1', 'a2', 'a3', 'a4']) rig.offer(id)
    rig.target.end('a1', { kind: 'accepted', status: 200, failed: [failed('a2', true)] })
    expect(rig.feed.hows('delivered')).toEqual(['a1'])
    expect(rig.target.sent).toHaveLength(1)
    rig.clock.advance(1_100)
    expect(rig.target.sent[1]!.batch!.map((e) => e.id)).toEqual(['a2', 'a3', 'a4'])
    rig.target.end('a2', { kind: 'accepted', status: 200, failed: [failed('a2', false), failed('a4', true)] })
    expect(rig.feed.parkedOnes.map((p) => p.d.event.id)).toEqual(['a2'])
    rig.clock.advance(100)
    expect(rig.target.sent[2]!.batch!.map((e) => e.id)).toEqual(['a3', 'a4'])
    rig.target.end('a3', ACCEPT)
    expect(rig.feed.hows('delivered')).toEqual(['a1', 'a3', 'a4'])
    expect(rig.state).toMatchObject({ delivered: 3, parked: 1, waiting: 0, attempting: 0, attempts: 5 })
  })

  test('ordered: a batch that fails as a whole is a failure of its first, so that order and retries stay those of one event', () => {
    const rig = new Rig({ plan: { ...batch, order: 'ordered', delivery: { ...ONE_RETRY } } })
    for (const id of ['a1', 'a2', 'a3']) rig.offer(id)
    rig.target.end('a1', FAIL)
    rig.clock.advance(1_100)
    expect(rig.target.sent[1]!.batch!.map((e) => e.id)).toEqual(['a1', 'a2', 'a3'])
    rig.target.end('a1', FAIL)
    expect(rig.feed.parkedOnes.map((p) => p.d.event.id)).toEqual(['a1'])
    rig.clock.advance(100)
    expect(rig.target.sent[2]!.batch!.map((e) => e.id)).toEqual(['a2', 'a3'])
    rig.target.end('a2', ACCEPT)
    expect(rig.state).toMatchObject({ delivered: 2, parked: 1, waiting: 0 })
  })

  test('a batch that has a mebibyte takes no more events', () => {
    const rig = new Rig({ plan: { batchMax: 100, batchWaitMs: 100 } })
    for (let i = 0; i < 5; i++) rig.offer(`big${i}`, { bytes: 400 * 1024 })
    rig.clock.advance(100)
    expect(rig.target.sent[0]!.batch).toHaveLength(3)
  })

  test.each(['unordered', 'ordered', 'key'] as const)('%s: whatever the answers are, every event ends exactly once', (order) => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 2, max: 7 }),
        fc.infiniteStream(fc.nat()),
        (n, most, chance) => {
          const next = (): number => chance.next().value!
          const rig = new Rig({ plan: { batchMax: most, batchWaitMs: 10, order, reply: 'r', delivery: ONE_RETRY } })
          rig.reply.answer = () => (next() % 4 === 0 ? FAIL : ACCEPT)
          for (let i = 0; i < n; i++) rig.offer(`e${i}`, { lane: i % 2, key: `k${i % 3}` })
          for (let round = 0; round < 400 && rig.state.waiting > 0; round++) {
            for (const { attempt } of [...rig.target.open_])
              rig.target.end(
                attempt,
                anAnswer(
                  attempt.batch!.map((e) => e.id),
                  next,
                ),
              )
            rig.clock.advance(1_000)
          }
          const ends = [...rig.feed.settled.map((s) => s.id), ...rig.feed.parkedOnes.map((p) => p.d.event.id)]
          expect(ends.toSorted()).toEqual(Array.from({ length: n }, (_, i) => `e${i}`).toSorted())
          expect(rig.state).toMatchObject({ waiting: 0, attempting: 0, queued: 0 })
          expect(rig.target.gate.state().inFlight).toBe(0)
        },
      ),
      { numRuns: 60 },
    )
  })
})

const ONE_RETRY = {
  retry: 1,
  backoffPolicy: 'linear',
  backoffDelayMs: 1_000,
  backoffMaxMs: 600_000,
  timeoutMs: 30_000,
  retryAfterMaxMs: 0,
  format: 'binary',
} as const

function anAnswer(ids: readonly string[], next: () => number): Outcome {
  const kind = next() % 6
  if (kind === 0) return FAIL
  if (kind === 1) return REJECT
  if (kind === 2) return { kind: 'accepted', status: 200, reply: eventOf(`reply to ${ids[0]}`) }
  return { kind: 'accepted', status: 200, failed: ids.filter(() => next() % 3 === 0).map((id) => failed(id, next() % 2 === 0)) }
}

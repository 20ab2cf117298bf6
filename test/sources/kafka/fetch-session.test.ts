import { expect, test } from 'vitest'
import { FetchSession, type Wanted } from '../../../src/sources/kafka/fetch-session.ts'

const want = (lane: number, offset: number, topicId = 'a'): Wanted => ({ lane, topicId, partition: lane, offset, maxBytes: 100 })

test('the first request names everything, the following only what changed and what is left out', () => {
  const s = new FetchSession()
  expect(s.plan([want(0, 5), want(1, 7)])).toMatchObject({
    sessionId: 0,
    sessionEpoch: 0,
    partitions: [want(0, 5), want(1, 7)],
    forgotten: [],
  })
  s.answered(99)
  expect(s.plan([want(0, 6), want(1, 7)])).toEqual({ sessionId: 99, sessionEpoch: 1, partitions: [want(0, 6)], forgotten: [] })
  s.answered(99)
  expect(s.plan([want(1, 7)])).toEqual({ sessionId: 99, sessionEpoch: 2, partitions: [], forgotten: [want(0, 6)] })
  s.answered(99)
  expect(s.plan([want(0, 6), want(1, 7)])).toMatchObject({ sessionEpoch: 3, partitions: [want(0, 6)], forgotten: [] })
})

test('a request that was not answered changes nothing of what the broker is thought to hold', () => {
  const s = new FetchSession()
  s.plan([want(0, 5)])
  s.answered(7)
  s.plan([want(0, 6)])
  expect(s.plan([want(0, 8)])).toEqual({ sessionId: 7, sessionEpoch: 1, partitions: [want(0, 8)], forgotten: [] })
})

test('a topic made anew is forgotten under its old id and named under the new one', () => {
  const s = new FetchSession()
  s.plan([want(0, 5, 'a')])
  s.answered(7)
  expect(s.plan([want(0, 0, 'b')])).toMatchObject({ partitions: [want(0, 0, 'b')], forgotten: [want(0, 5, 'a')] })
})

test('a broker that keeps no session, or lost it, is told everything again', () => {
  const s = new FetchSession()
  s.plan([want(0, 5)])
  s.answered(0)
  expect(s.plan([want(0, 5)])).toMatchObject({ sessionId: 0, sessionEpoch: 0, partitions: [want(0, 5)] })
  s.answered(7)
  s.reset()
  expect(s.plan([want(0, 5)])).toMatchObject({ sessionId: 0, sessionEpoch: 0, partitions: [want(0, 5)] })
})

test('a new session begins at its first epoch', () => {
  const s = new FetchSession()
  s.plan([want(0, 5)])
  s.answered(7)
  s.plan([want(0, 6)])
  s.answered(7)
  s.plan([want(0, 7)])
  s.answered(8)
  expect(s.plan([want(0, 7)])).toMatchObject({ sessionId: 8, sessionEpoch: 1, partitions: [] })
})

import { createRecordsBatch } from '@platformatic/kafka'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Feed } from '../../../src/contract/feed.ts'
import type { Clock } from '../../../src/runtime/clock.ts'
import { SILENT_LOG } from '../../../src/runtime/log.ts'
import { kafkaFeed } from '../../../src/sources/kafka/feed.ts'
import { Offering } from '../../../src/sources/kafka/offering.ts'
import { Partition } from '../../../src/sources/kafka/partition.ts'
import { kafkaOptions } from '../../../src/sources/kafka/settings.ts'
import { PositionTracker, WINDOW } from '../../../src/sources/kafka/tracker.ts'
import { RecordCursor } from '../../../src/vendor/kafka/records.ts'
import { RecordingIntake } from '../kafka-intake.ts'
import { loadKafkaLibrary } from '../../../src/vendor/kafka/library.ts'

beforeAll(loadKafkaLibrary)

const options = kafkaOptions({
  bootstrapServers: ['b'],
  topics: ['t'],
  consumerGroup: 'g',
  initialOffset: 'earliest',
  namespace: 'n',
  name: 'm',
})

function records(base: number, count: number): Buffer {
  const made = createRecordsBatch(
    Array.from({ length: count }, (_, i) => ({
      topic: 't',
      value: Buffer.from(`e${base + i}`),
      timestamp: BigInt(5_000 + base + i),
    })),
    { compression: 'none', producerId: -1n },
  )
  const bytes = Buffer.from(made.buffer)
  bytes.writeBigInt64BE(BigInt(base), 0)
  return bytes
}

describe('offering what was fetched', () => {
  let turns: (() => void)[]
  let intake: RecordingIntake
  let offering: Offering
  let feed: Feed
  let partitions: Map<number, Partition>
  let forgotten: number
  const turn = (): void => turns.splice(0).forEach((f) => f())
  const idle = (): void => {
    while (turns.length > 0) turn()
  }
  const clock: Clock = {
    now: () => 0,
    wall: () => 1_000,
    after: () => ({ cancel() {} }),
    every: () => ({ cancel() {} }),
    soon: (f) => void turns.push(f),
  }
  const partition = (lane: number): Partition => {
    const p = new Partition(lane, 't', lane, new PositionTracker(0, []), '', 0)
    partitions.set(lane, p)
    return p
  }
  const receive = (p: Partition, bytes: Buffer): void => {
    p.received(new RecordCursor(bytes, p.fetchOffset, null))
    offering.ready(p)
  }

  beforeEach(() => {
    turns = []
    partitions = new Map()
    forgotten = 0
    intake = new RecordingIntake()
    offering = new Offering(intake, { options, clock, log: SILENT_LOG, hungry: () => {} })
    const wake = (p: Partition): void => offering.ready(p)
    feed = kafkaFeed(
      {
        partitions,
        offering,
        start: (sub) => offering.attach(sub),
        resume(lane) {
          const p = partitions.get(lane)
          if (p === undefined) return
          p.open = true
          wake(p)
        },
        settled(p) {
          p.stalled = false
          wake(p)
        },
        released() {},
        seek: () => Promise.resolve(),
        flush: () => Promise.resolve(),
      },
      () => forgotten++,
    )
    intake.feed = feed
    feed.attach(1, 'sub', { at: 'earliest' })
  })

  test('goes round the partitions and gives the loop back after a bounded number', () => {
    const [a, b] = [partition(0), partition(1)]
    receive(a, records(0, 300))
    receive(b, records(0, 300))
    expect(intake.offered).toEqual([])
    turn()
    expect(intake.offered).toHaveLength(256)
    expect([intake.texts(0).length, intake.texts(1).length]).toEqual([128, 128])
    idle()
    expect(intake.texts(0)).toEqual(Array.from({ length: 300 }, (_, i) => `e${i}`))
    expect(feed.passed(1)).toBe(600)
    expect([a.tracker.committable, a.cursors.length, a.waitingBytes]).toEqual([300, 0, 0])
  })

  test('a lane that says no is offered nothing more until it has room', () => {
    const p = partition(0)
    intake.onOffer = () => {}
    intake.room = () => 3
    receive(p, records(0, 10))
    idle()
    expect(intake.offered).toHaveLength(3)
    receive(p, records(10, 5))
    idle()
    expect(intake.offered).toHaveLength(3)
    expect(p.wantsFetch(0, 10)).toBe(false)
    intake.room = () => 6
    feed.resume(2, 0)
    idle()
    expect(intake.offered).toHaveLength(3)
    feed.resume(1, 0)
    idle()
    expect(intake.texts()).toEqual(['e0', 'e1', 'e2', 'e3', 'e4', 'e5'])
  })

  test('what the filter does not want is settled and counted as gone past', () => {
    const p = partition(0)
    intake.wants = (e) => e.id.endsWith('7')
    receive(p, records(0, 10))
    idle()
    expect(intake.texts()).toEqual(['e7'])
    expect([feed.passed(1), p.tracker.committable]).toEqual([10, 10])
  })

  test('stops at a full window and goes on when it is half settled', () => {
    const p = partition(0)
    intake.onOffer = () => {}
    for (let base = 0; base < WINDOW + 100; base += 1_024) receive(p, records(base, 1_024))
    idle()
    expect(intake.offered).toHaveLength(WINDOW)
    expect([p.stalled, p.wantsFetch(0, 1e9)]).toEqual([true, false])
    for (const d of intake.offered.slice(1)) feed.settle(d, 'delivered')
    idle()
    expect(intake.offered).toHaveLength(WINDOW)
    feed.settle(intake.offered[0]!, 'delivered')
    idle()
    expect(intake.offered.length).toBeGreaterThan(WINDOW)
    expect(p.stalled).toBe(false)
  })

  test('bytes that cannot be read are handed over once, and settled by their place', () => {
    const p = partition(0)
    const broken = records(1, 2)
    broken[16] = 0
    receive(p, Buffer.concat([records(0, 1), broken, records(3, 1)]))
    idle()
    expect(intake.texts()).toEqual(['e0', 'e3'])
    expect(intake.bad.map((b) => [b.lane, b.at])).toEqual([[0, 1]])
    expect(p.tracker.committable).toBe(1)
    const [first] = intake.offered
    feed.settle({ ...first!, position: 1 }, 'parked')
    expect(p.tracker.committable).toBe(4)
  })

  test('settling what belongs to another life of the partition changes nothing', () => {
    const p = partition(0)
    intake.onOffer = () => {}
    receive(p, records(0, 2))
    idle()
    const before = [...intake.offered]
    p.restart(new PositionTracker(0, []))
    receive(p, records(0, 2))
    idle()
    for (const d of before) feed.settle(d, 'delivered')
    expect(p.tracker.committable).toBe(0)
    partitions.delete(0)
    for (const d of intake.offered) feed.settle(d, 'delivered')
    expect(p.tracker.committable).toBe(0)
  })

  test('tells the unread and the oldest unsettled, and keeps nothing itself', () => {
    const p = partition(0)
    p.end = 50
    intake.onOffer = () => {}
    receive(p, records(0, 5))
    idle()
    expect(feed.backlog(1)).toEqual({ events: 45, exact: false, oldestMs: 5_000 })
    const answers: boolean[] = []
    const state = { dueMs: 0, story: [], phase: 'subscriber', reason: '' } as const
    feed.park(intake.offered[0]!, state, (ok) => answers.push(ok))
    feed.detachDelivery(intake.offered[0]!, state, (ok) => answers.push(ok))
    feed.parkRaw(1, 0, 0, { raw: Buffer.alloc(0), headers: [], why: '' }, (ok) => answers.push(ok))
    expect(answers).toEqual([false, false, false])
    expect([feed.parked.keys(), feed.parked.counts('sub')]).toEqual([[], { events: 0, bytes: 0 }])
  })

  test('offers nothing once detached, and the group goes only when that is asked for', () => {
    const p = partition(0)
    feed.detach(1, false)
    receive(p, records(0, 5))
    idle()
    expect(intake.offered).toEqual([])
    expect([feed.forget('other'), forgotten, feed.forget('sub'), forgotten]).toEqual([false, 0, true, 1])
  })

  test('a second subscription is a mistake of the caller', () => {
    expect(() => feed.attach(2, 'other', { at: 'earliest' })).toThrow('one subscription')
  })
})

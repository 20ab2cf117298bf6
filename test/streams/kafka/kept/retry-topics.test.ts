import { beforeAll, describe, expect, test } from 'vitest'
import type { DetachedState } from '../../../../src/contract/delivery.ts'
import type { Feed } from '../../../../src/contract/feed.ts'
import { SILENT_LOG } from '../../../../src/runtime/log.ts'
import type { KeptPartition } from '../../../../src/streams/kafka/kept/reader.ts'
import { retryRecord } from '../../../../src/streams/kafka/kept/record.ts'
import { RETRY_LANE, RetryDelivery, type RetrySeat, type RetryStart } from '../../../../src/streams/kafka/kept/retry-seat.ts'
import { RetryTopics } from '../../../../src/streams/kafka/kept/retry-topics.ts'
import { Follower } from '../../../../src/streams/kafka/seat.ts'
import { loadKafkaLibrary } from '../../../../src/vendor/kafka/library.ts'
import { encodeBatch, type OutRecord } from '../../../../src/vendor/kafka/produce.ts'
import { RecordCursor } from '../../../../src/vendor/kafka/records.ts'
import { VirtualClock } from '../../../simulation/virtual-clock.ts'
import { RecordingIntake } from '../../recording-intake.ts'
import { event, LATEST } from '../../rig.ts'

beforeAll(async () => void (await loadKafkaLibrary()))

const STORY = [{ attempt: 1, atMs: 1, tookMs: 2, to: 'sink', status: 503, error: 'busy' }]
const WRAP = { namespace: 'ns', name: 'n', topic: 'main', keyType: 'string' } as const

/** A retry topic of two partitions, the gateway that reads it, and a subscription that takes what it says. */
class Rig {
  readonly clock = new VirtualClock()
  readonly intake = new RecordingIntake()
  readonly logs: (OutRecord | null)[][] = [[], []]
  readonly committed = new Map<number, RetryStart>()
  readonly follower = new Follower('trigger/a/x', 'g', LATEST)
  readonly retry: RetryTopics
  topicId = 'one'
  fetches = 0
  kicks = 0
  /** Brokers do not answer. */
  silent = false
  /** The first offset that is left. */
  begins = 0

  constructor() {
    const reader = {
      kick: () => void this.kicks++,
      fetchAt: (p: KeptPartition, offset: number) => {
        this.fetches++
        if (offset < this.begins) return Promise.resolve('outside' as const)
        return Promise.resolve(this.silent ? null : this.#cursor(p.partition, offset))
      },
      first: () => Promise.resolve(this.begins),
    }
    this.retry = new RetryTopics(this.intake, {
      cluster: { topic: () => ({ name: 'main', id: '', code: 0, partitions: [1, 1].map((leader) => ({ leader, code: 0 })) }) },
      positions: {
        read: (_f, _topic, partitions) => Promise.resolve(new Map(partitions.map((q) => [q, this.committed.get(q) ?? START]))),
        tick: () => {},
        now: () => Promise.resolve(true),
      },
      topics: { get: (name) => ({ name, id: this.topicId, leaders: [1, 1] }), watch: () => {}, lookSoon: () => {} },
      clock: this.clock,
      log: SILENT_LOG,
      wrap: WRAP,
      main: 'main',
      reader: () => reader,
    })
    this.intake.feed = {
      attach: (sub: number) => {
        this.follower.sub = sub
        this.follower.attached = true
        this.retry.attached(this.follower)
      },
      settle: (d: RetryDelivery, how: string) => this.retry.settle(d, how === 'handed-back'),
      resume: (_sub: number, lane: number) => this.retry.resume(this.follower, lane),
    } as unknown as Feed
  }

  /** Due so many ms from now. */
  add(partition: number, id: string, inMs: number): void {
    const dueMs = this.clock.wall() + inMs
    const state: DetachedState = { dueMs, story: STORY, phase: 'subscriber', reason: '' }
    this.logs[partition]?.push(retryRecord(event(id), state, { topic: 'main', partition, offset: 7, redelivery: 1 }, false))
  }

  get seats(): RetrySeat[] {
    return this.retry.seats()
  }

  /** What the shared reader does: everything that stands in the log is shown to the seats. */
  scan(): void {
    for (const seat of this.seats) if (seat.wanted) seat.took(this.#cursor(seat.partition, seat.fetchOffset))
  }

  async pass(ms: number): Promise<void> {
    for (let i = 0; i < 20; i++) {
      this.clock.advance(ms / 20)
      for (let n = 0; n < 20; n++) await Promise.resolve()
    }
  }

  #cursor(partition: number, from: number): RecordCursor {
    const records = this.logs[partition] ?? []
    const parts: Buffer[] = []
    for (let at = from; at < records.length; at++) {
      const run: OutRecord[] = []
      for (let r = records[at]; r !== null && r !== undefined; r = records[at + run.length]) run.push(r)
      if (run.length === 0) continue
      const batch = encodeBatch(run, 5)
      batch.writeBigInt64BE(BigInt(at), 0)
      parts.push(batch)
      at += run.length
    }
    return new RecordCursor(Buffer.concat(parts), from, null)
  }
}

const START: RetryStart = { offset: 0, settled: [], text: '', atMs: 0 }

async function begin(partitions: readonly number[] = [0, 1]) {
  const rig = new Rig()
  const p = rig.intake.attach(1, 'trigger/a/x', LATEST)
  rig.retry.taken(partitions)
  await rig.pass(1)
  return { rig, p }
}

describe('a retry topic', () => {
  test('offers each delivery when it is due, with its story, in a lane of its partition, and fetches nothing before', async () => {
    const { rig, p } = await begin()
    rig.add(0, 'late', 60_000)
    rig.add(0, 'soon', 10_000)
    rig.add(1, 'other', 20_000)
    rig.scan()
    await rig.pass(9_000)
    expect([p.ids, rig.fetches]).toEqual([[], 0])
    await rig.pass(2_000)
    expect(p.ids).toEqual(['soon'])
    expect(p.offered[0]).toMatchObject({ lane: RETRY_LANE, position: 1, story: STORY, redelivery: 2, phase: 'subscriber' })
    await rig.pass(10_000)
    expect(p.offered[1]).toMatchObject({ lane: RETRY_LANE + 1, position: 0 })
    await rig.pass(60_000)
    expect(p.ids).toEqual(['soon', 'other', 'late'])
  })

  test('offers what is overdue at once, in order of its time', async () => {
    const { rig, p } = await begin([0])
    for (const [i, id] of ['b', 'a', 'c'].entries()) rig.add(0, id, [-20, -30, -10][i] as number)
    rig.scan()
    await rig.pass(20)
    expect(p.ids).toEqual(['a', 'b', 'c'])
  })

  test('is read by the owner of its partition alone, and handed over whole', async () => {
    const { rig, p } = await begin([1])
    expect(rig.seats.map((s) => s.partition)).toEqual([1])
    rig.add(1, 'one', 10)
    rig.scan()
    expect(rig.retry.leaving([1])).toEqual([RETRY_LANE + 1])
    await rig.pass(100)
    expect(p.ids).toEqual([])
    rig.retry.gone()
    expect(rig.seats).toEqual([])
    // It comes back: the machine is told that the lane is ours again.
    rig.retry.taken([1])
    await rig.pass(1)
    expect(rig.intake.lanes).toEqual([RETRY_LANE + 1])
    rig.scan()
    await rig.pass(100)
    expect(p.ids).toEqual(['one'])
  })

  test('goes on where the group stood, without what was settled above', async () => {
    const rig = new Rig()
    for (let i = 0; i < 6; i++) rig.add(0, `e${i}`, 0)
    rig.committed.set(0, { offset: 2, settled: [3, 5], text: '', atMs: 0 })
    const p = rig.intake.attach(1, 'trigger/a/x', LATEST)
    rig.retry.taken([0])
    await rig.pass(1)
    rig.scan()
    await rig.pass(10)
    expect(p.ids).toEqual(['e2', 'e5'])
    rig.intake.settleAll(p)
    expect(rig.seats[0]?.tracker.committable).toBe(6)
  })

  test('waits for room, and brings back what was handed back when there is some', async () => {
    const { rig, p } = await begin([0])
    p.lane = 2
    for (let i = 0; i < 5; i++) rig.add(0, `e${i}`, i)
    rig.scan()
    await rig.pass(100)
    expect(p.ids).toEqual(['e0', 'e1'])
    rig.retry.settle(p.offered[0] as RetryDelivery, true)
    await rig.pass(100)
    expect(p.ids).toHaveLength(2)
    p.lane = 100
    p.full = false
    rig.retry.resume(rig.follower, RETRY_LANE)
    await rig.pass(100)
    expect(p.ids.slice(2).toSorted()).toEqual(['e0', 'e2', 'e3', 'e4'])
    expect(p.rude).toBe(0)
  })

  test('settles once, and nothing of the time before it was attached again', async () => {
    const { rig, p } = await begin([0])
    rig.add(0, 'a', 0)
    rig.add(0, 'b', 0)
    rig.scan()
    await rig.pass(10)
    const [a, b] = p.offered as RetryDelivery[]
    rig.retry.settle(a!, false)
    rig.retry.settle(a!, false)
    const back = rig.intake.attach(2, 'trigger/a/x', LATEST)
    rig.retry.settle(b!, false)
    rig.scan()
    await rig.pass(10)
    expect(back.ids).toEqual(['b'])
    expect(rig.seats[0]?.tracker.committable).toBe(1)
  })

  test('tries again when brokers do not answer', async () => {
    const { rig, p } = await begin([0])
    rig.add(0, 'a', 0)
    rig.scan()
    rig.silent = true
    await rig.pass(2_000)
    expect(p.ids).toEqual([])
    expect(rig.fetches).toBeLessThan(10)
    rig.silent = false
    await rig.pass(1_000)
    expect(p.ids).toEqual(['a'])
  })

  test('counts what somebody deleted and goes on behind it', async () => {
    const { rig, p } = await begin([0])
    for (let i = 0; i < 4; i++) rig.add(0, `e${i}`, 10)
    rig.scan()
    rig.begins = 2
    rig.logs[0]![2] = null
    await rig.pass(100)
    expect(p.ids).toEqual(['e3'])
    expect(rig.retry.lost).toBe(3)
    rig.intake.settleAll(p)
    expect(rig.seats[0]?.tracker.committable).toBe(4)
  })

  test('is read from its beginning when it was made anew', async () => {
    const { rig, p } = await begin([0])
    rig.add(0, 'old', 0)
    rig.scan()
    await rig.pass(10)
    rig.logs[0] = []
    rig.topicId = 'two'
    rig.add(0, 'new', 0)
    rig.retry.topicsChanged()
    rig.scan()
    await rig.pass(10)
    expect(p.ids).toEqual(['old', 'new'])
  })

  test('stops reading 65,536 records after the lowest unsettled one, and goes on when it is settled', async () => {
    const { rig, p } = await begin([0])
    p.settlesAtOnce = true
    const seat = rig.seats[0]!
    rig.add(0, 'first', 3_600_000)
    const record = rig.logs[0]![0]!
    rig.logs[0] = Array.from({ length: 70_000 }, () => record)
    rig.scan()
    expect([seat.waiting.size, seat.wanted]).toEqual([65_536, false])
    seat.settleAt(0)
    expect(seat.wanted).toBe(true)
    rig.scan()
    expect(seat.waiting.size).toBe(65_537)
  })

  test('stopped, it offers nothing more', async () => {
    const { rig, p } = await begin([0])
    rig.add(0, 'a', 50)
    rig.scan()
    rig.retry.stop()
    await rig.pass(1_000)
    expect(p.ids).toEqual([])
  })
})

import type { Clock, Timer } from '../../runtime/clock.ts'
import type { Random } from '../../runtime/random.ts'
import type { AbortedTransaction } from '../../vendor/kafka/aborted.ts'
import { CODE, codeName } from '../../vendor/kafka/codes.ts'
import { type FetchAnswer, type FetchedPartition, fetchRecords, type TopicId } from '../../vendor/kafka/fetch.ts'
import { type BrokerAddress, type KafkaLink, troubleOf } from '../../vendor/kafka/link.ts'
import { RecordCursor } from '../../vendor/kafka/records.ts'
import { REASONS } from './cluster.ts'
import { FetchSession, type Wanted } from './fetch-session.ts'
import { Backoff, type Health } from './health.ts'
import { fetchWaitMs, FetchPace } from './pace.ts'
import type { Partition } from './partition.ts'
import type { KafkaOptions } from './settings.ts'

export interface ReaderParts {
  readonly link: KafkaLink
  readonly clock: Clock
  readonly random: Random
  readonly health: Health
  readonly options: KafkaOptions
  /** Those this broker leads now. */
  partitions(): readonly Partition[]
  find(topicId: TopicId, partition: number): Partition | undefined
  address(): BrokerAddress | undefined
  /** There is something to read. */
  received(p: Partition): void
  /** The broker refused this partition. */
  refused(p: Partition, code: number): void
  /** An answer has been taken in whole. */
  answered(): void
  /** The leaders may be others. */
  stale(): void
}

/** A partition that was refused is asked for again after so long. */
const PARTITION_PAUSE_MS = 200

/**
 * Fetches from one broker, one request at a time, naming only the partitions that want more. Callbacks, not promises:
 * at low rates every event is a fetch of its own. It rests when no partition wants anything; `kick` wakes it.
 */
export class BrokerReader {
  readonly #o: ReaderParts
  readonly #node: number
  readonly #session = new FetchSession()
  readonly #pace = new FetchPace()
  readonly #backoff: Backoff
  readonly #each: FetchedPartition
  #busy = false
  #closed = false
  #timer: Timer | null = null
  /** Records of the answer that is being taken in. */
  #events = 0

  constructor(node: number, o: ReaderParts) {
    this.#node = node
    this.#o = o
    this.#backoff = new Backoff(50, 2_000, o.random)
    this.#each = (topicId, partition, code, end, _logStart, aborted, records) =>
      this.#took(topicId, partition, code, end, aborted, records)
  }

  kick(): void {
    if (this.#busy || this.#closed) return
    this.#busy = true
    this.#turn()
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#o.health.good(this.#part)
  }

  get #part(): string {
    return `broker ${this.#node}`
  }

  #turn(): void {
    const o = this.#o
    if (this.#closed) return
    const nowMs = o.clock.now()
    const wanted: Wanted[] = []
    let leftOut = false
    let wakeMs = Infinity
    const led = o.partitions()
    for (const p of led) {
      if (p.wantsFetch(nowMs, o.options.partitionFetchBytes)) {
        p.asked = p.fetchOffset
        wanted.push({
          lane: p.lane,
          topicId: p.topicId,
          partition: p.partition,
          offset: p.fetchOffset,
          maxBytes: o.options.partitionFetchBytes,
        })
      } else {
        if (p.leftOutWithBacklog) leftOut = true
        if (p.notBeforeMs > nowMs) wakeMs = Math.min(wakeMs, p.notBeforeMs - nowMs)
      }
    }
    if (wanted.length === 0) {
      this.#busy = false
      // Whatever is wrong with a broker that leads nothing of ours is no trouble of ours.
      if (led.length === 0) o.health.good(this.#part)
      if (wakeMs < Infinity) this.#timer = o.clock.after(wakeMs, () => this.kick())
      return
    }
    const address = o.address()
    if (address === undefined) {
      o.stale()
      this.#again(this.#backoff.nextMs())
      return
    }
    const connection = o.link.established(address)
    if (connection === undefined) this.#connect(address)
    else this.#fetch(connection, wanted, leftOut)
  }

  #connect(address: BrokerAddress): void {
    this.#session.reset()
    this.#o.link.connection(address).then(
      () => this.#turn(),
      (e: unknown) => this.#failed(e),
    )
  }

  #fetch(connection: Parameters<typeof fetchRecords>[0], wanted: readonly Wanted[], leftOut: boolean): void {
    const o = this.#o.options
    const s = this.#session.plan(wanted)
    this.#events = 0
    const request = {
      maxWaitMs: fetchWaitMs(leftOut),
      minBytes: 1,
      maxBytes: o.fetchBytes,
      committedOnly: o.isolation === 'read_committed',
      sessionId: s.sessionId,
      sessionEpoch: s.sessionEpoch,
      partitions: s.partitions,
      forgotten: s.forgotten,
    }
    fetchRecords(connection, request, this.#each, (error, answer) => {
      if (error !== null || answer === undefined) this.#failed(error)
      else this.#answered(answer)
    })
  }

  #answered(answer: FetchAnswer): void {
    const o = this.#o
    if (this.#closed) return
    if (answer.code !== CODE.none) {
      this.#session.reset()
      const ended =
        answer.code === CODE.fetchSessionIdNotFound ||
        answer.code === CODE.invalidFetchSessionEpoch ||
        answer.code === CODE.fetchSessionTopicIdError
      if (!ended) o.health.bad(this.#part, 'KafkaRefused', `broker ${this.#node} refuses to be read: ${codeName(answer.code)}`)
      o.stale()
      this.#again(ended ? 0 : this.#backoff.nextMs())
      return
    }
    this.#session.answered(answer.sessionId)
    this.#backoff.reset()
    o.health.good(this.#part)
    o.answered()
    this.#again(this.#pace.pauseMs(this.#events, o.clock.now()))
  }

  #took(
    topicId: TopicId,
    partition: number,
    code: number,
    end: number,
    aborted: readonly AbortedTransaction[] | null,
    records: Buffer,
  ): void {
    const p = this.#o.find(topicId, partition)
    if (p === undefined) return
    if (code !== CODE.none) {
      p.notBeforeMs = this.#o.clock.now() + PARTITION_PAUSE_MS
      this.#o.refused(p, code)
      return
    }
    if (end >= 0) p.end = end
    // The question was put before the partition was rewound or given back: the answer is not for us any more.
    if (p.asked !== p.fetchOffset || p.held || records.length === 0) return
    const cursor = new RecordCursor(ofItsOwn(records), p.fetchOffset, aborted)
    if (cursor.end === p.fetchOffset) return
    this.#events += cursor.count
    p.received(cursor)
    p.asked = -1
    this.#o.received(p)
  }

  #failed(e: unknown): void {
    if (this.#closed) return
    const trouble = troubleOf(e)
    this.#session.reset()
    this.#o.health.bad(this.#part, REASONS[trouble.reason], trouble.message)
    this.#o.stale()
    this.#again(this.#backoff.nextMs())
  }

  #again(ms: number): void {
    if (this.#closed) return
    if (ms > 0) this.#timer = this.#o.clock.after(ms, () => this.#turn())
    else this.#turn()
  }
}

/** What else may be in the memory of an answer before a partition's part of it gets memory of its own. */
const SHARED_BYTES = 4_096

/**
 * The records of one partition apart from those of its neighbours: a lane that stands for minutes must not hold the
 * megabytes that came along with it. Copying 64 KB costs less than 0.1 µs a record.
 */
function ofItsOwn(records: Buffer): Buffer {
  if (records.buffer.byteLength <= 2 * records.length + SHARED_BYTES) return records
  const own = Buffer.allocUnsafeSlow(records.length)
  records.copy(own)
  return own
}

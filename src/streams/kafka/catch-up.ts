import type { Intake } from '../../contract/feed.ts'
import type { CloudEvent } from '../../event/event.ts'
import type { WrapOptions } from '../../event/kafka.ts'
import { type Clock, sleep } from '../../runtime/clock.ts'
import type { Log } from '../../runtime/log.ts'
import { WINDOW } from '../../sources/kafka/tracker.ts'
import type { AbortedTransaction } from '../../vendor/kafka/aborted.ts'
import { CODE } from '../../vendor/kafka/codes.ts'
import { fetchRecords } from '../../vendor/kafka/fetch.ts'
import type { BrokerAddress, KafkaLink } from '../../vendor/kafka/link.ts'
import { RecordCursor } from '../../vendor/kafka/records.ts'
import { warnStuck } from './head.ts'
import { eventOf } from './record.ts'
import { type HeadPartition, type KafkaSeat, StreamDelivery } from './seat.ts'

export interface CatchUpParts {
  readonly link: KafkaLink
  readonly clock: Clock
  readonly log: Log
  readonly wrap: WrapOptions
  /** Who leads the partition, undefined = nobody at the moment. */
  leader(p: HeadPartition): BrokerAddress | undefined
  /** First offset that is left. */
  first(p: HeadPartition): Promise<number>
  stale(): void
  /** Nothing is left for the seat before the head, or it was let go: it is to be placed anew. */
  place(seat: KafkaSeat): void
  /** Events that were gone before they could be read. */
  missed(events: number): void
}

/** More laggards than these wait their turn (DESIGN §2). */
const MOST_READERS = 4
/** Laggards of a partition at most this many offsets apart share a reader. */
const NEAR = 4_096
const FETCH_BYTES = 262_144
/** Records looked at in one turn of the loop, so that a cold replay disturbs nobody. */
const RECORDS_A_TURN = 64
/** After so many fetches a reader makes room for laggards that wait. */
const FETCHES_A_LEASE = 8
const RETRY_MS = 250

/** Serves the subscriptions that are behind the head, by few readers with fetches of their own, near ones together. */
export class CatchUp {
  readonly #o: CatchUpParts
  readonly #intake: Intake
  readonly #stop = new AbortController()
  #waiting: KafkaSeat[] = []
  #readers = 0

  constructor(intake: Intake, o: CatchUpParts) {
    this.#intake = intake
    this.#o = o
  }

  want(seat: KafkaSeat): void {
    if (seat.queued || this.#stop.signal.aborted) return
    seat.queued = true
    this.#waiting.push(seat)
    this.#start()
  }

  stop(): void {
    this.#stop.abort()
    this.#waiting = []
  }

  #start(): void {
    while (this.#readers < MOST_READERS) {
      const first = this.#waiting.shift()
      if (first === undefined) return
      this.#readers++
      void this.#serve([first])
        .catch((error: unknown) => this.#o.log.error('a catch-up reader ended', { error }))
        .finally(() => {
          this.#readers--
          this.#start()
        })
    }
  }

  /** Reads one partition on for a group of seats until none of them needs it any more. */
  async #serve(group: KafkaSeat[]): Promise<void> {
    const p = (group[0] as KafkaSeat).partition
    const { signal } = this.#stop
    for (let fetches = 0; !signal.aborted; fetches++) {
      this.#letGo(group)
      this.#adopt(group, p)
      if (group.length === 0) return
      if (fetches >= FETCHES_A_LEASE && this.#waiting.length > 0) {
        this.#waiting.push(...group)
        return
      }
      const at = Math.min(...group.map((s) => s.readAt))
      const cursor = await this.#fetch(group, p, at).catch(() => null)
      if (cursor === null || cursor.end === at) {
        if (cursor === null) this.#o.stale()
        await sleep(this.#o.clock, RETRY_MS, signal).catch(() => {})
      } else await this.#read(group, p, cursor)
    }
  }

  /** Those that are blocked, gone or caught up leave; who may read on is placed anew. */
  #letGo(group: KafkaSeat[]): void {
    for (let i = group.length - 1; i >= 0; i--) {
      const seat = group[i] as KafkaSeat
      if (seat.ready && seat.behind) continue
      group.splice(i, 1)
      seat.queued = false
      if (seat.ready) this.#o.place(seat)
    }
  }

  #adopt(group: KafkaSeat[], p: HeadPartition): void {
    const at = group[0]?.readAt
    if (at === undefined) return
    this.#waiting = this.#waiting.filter((s) => {
      const near = s.partition === p && Math.abs(s.readAt - at) <= NEAR
      if (near) group.push(s)
      return !near
    })
  }

  #fetch(group: readonly KafkaSeat[], p: HeadPartition, offset: number): Promise<RecordCursor | null> {
    const o = this.#o
    const leader = o.leader(p)
    if (leader === undefined) return Promise.resolve(null)
    return o.link.connection(leader).then(
      (connection) =>
        new Promise((resolve, reject) => {
          let found: RecordCursor | null = null
          let refused: number = CODE.none
          const each = (
            _topic: string,
            _partition: number,
            code: number,
            end: number,
            _first: number,
            aborted: readonly AbortedTransaction[] | null,
            records: Buffer,
          ): void => {
            refused = code
            if (code !== CODE.none) return
            p.end = Math.max(p.end, end)
            found = new RecordCursor(records, offset, aborted)
          }
          const wanted = { topicId: p.topicId, partition: p.partition, offset, maxBytes: FETCH_BYTES }
          const request = {
            maxWaitMs: 0,
            minBytes: 0,
            maxBytes: FETCH_BYTES,
            committedOnly: false,
            sessionId: 0,
            sessionEpoch: -1,
          }
          fetchRecords(connection, { ...request, partitions: [wanted], forgotten: [] }, each, (error) => {
            if (error !== null) reject(error)
            else if (refused === CODE.offsetOutOfRange) this.#toFirst(group, p, offset).then(() => resolve(null), reject)
            else resolve(found)
          })
        }),
    )
  }

  /** The log begins above: goes on there, says so, and counts what was missed. */
  async #toFirst(group: readonly KafkaSeat[], p: HeadPartition, at: number): Promise<void> {
    const first = await this.#o.first(p)
    if (first <= at) return
    const where = { topic: p.topic, partition: p.partition, position: at, first, missed: first - at }
    this.#o.log.error('events were deleted before they could be read; reading goes on at the first that is left', where)
    this.#o.missed(first - at)
    for (const seat of group) {
      if (seat.atHead || seat.readAt >= first) continue
      this.#passTo(seat, first)
      seat.touched = true
    }
  }

  async #read(group: readonly KafkaSeat[], p: HeadPartition, c: RecordCursor): Promise<void> {
    const { clock, wrap } = this.#o
    // A seat may be sent further back while the fetch is under way: it is not read across the gap, but with the next fetch.
    let from = c.position
    for (let n = 1; !this.#stop.signal.aborted && !p.held; n++) {
      from = c.position
      const found = c.next()
      if (found === 'end') break
      let event: CloudEvent | null = null
      let wanted = false
      for (const seat of group) {
        if (!seat.ready || !seat.behind) continue
        wanted = true
        if (seat.readAt < from || seat.readAt > c.offset) continue
        if (found === 'corrupt') this.#corrupt(seat, c)
        else {
          event ??= eventOf(c, p.topic, p.partition, wrap, clock.wall())
          this.#offer(seat, c, event)
        }
      }
      if (!wanted) return
      if (n % RECORDS_A_TURN === 0) await new Promise<void>((resolve) => clock.soon(resolve))
    }
    for (const seat of group) {
      if (!seat.ready || !seat.behind || seat.readAt < from || seat.readAt >= c.position) continue
      this.#passTo(seat, c.position)
    }
  }

  #offer(seat: KafkaSeat, c: RecordCursor, event: CloudEvent): void {
    const { tracker } = seat
    const { offset } = c
    const again = offset < tracker.position
    const matches = this.#intake.matches(seat.follower.sub, event)
    seat.passedOne()
    if (!again && !matches) return this.#passTo(seat, offset + 1)
    if (!again && tracker.window >= WINDOW) {
      seat.stuck = true
      return warnStuck(this.#o.log, seat)
    }
    const ordinal = tracker.take(offset, c.timestampMs)
    seat.readAt = offset + 1
    if (again) tracker.endReread(offset)
    if (ordinal < 0) return
    if (!matches) {
      tracker.settle(ordinal)
      seat.touched = true
      return
    }
    const bytes = (c.value?.length ?? 0) + (c.key?.length ?? 0)
    if (!this.#intake.offer(new StreamDelivery(seat, event, offset, bytes, ordinal, again))) seat.blocked = true
  }

  #corrupt(seat: KafkaSeat, c: RecordCursor): void {
    const { offset, raw, why } = c
    const ordinal = seat.tracker.take(offset, this.#o.clock.wall())
    seat.readAt = c.position
    if (ordinal >= 0) this.#intake.undecodable(seat.follower.sub, seat.lane, offset, { raw, headers: [], why })
  }

  /** What was awaited below and did not come by is no longer in the log. */
  #passTo(seat: KafkaSeat, offset: number): void {
    seat.tracker.endReread(offset)
    seat.tracker.passTo(offset)
    seat.readAt = Math.max(seat.readAt, offset)
    if (!seat.touched && seat.partition.head - offset > NEAR) seat.touched = true
  }
}

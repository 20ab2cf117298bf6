import type { Intake } from '../../../contract/feed.ts'
import type { LaneId } from '../../../contract/ids.ts'
import type { WrapOptions } from '../../../event/kafka.ts'
import type { Clock, Timer } from '../../../runtime/clock.ts'
import type { Log } from '../../../runtime/log.ts'
import type { Cluster } from '../../../sources/kafka/cluster.ts'
import type { Follower } from '../seat.ts'
import type { KeptReader } from './reader.ts'
import { readRetry } from './record.ts'
import type { RetryCommits } from './retry-commits.ts'
import { RETRY_LANE, RetryDelivery, RetrySeat, type SeatHooks } from './retry-seat.ts'
import { type KeptTopics, retryTopicOf } from './topics.ts'

export interface RetryParts {
  readonly cluster: Pick<Cluster, 'topic'>
  readonly positions: Pick<RetryCommits, 'read' | 'tick' | 'now'>
  readonly topics: Pick<KeptTopics, 'get' | 'watch' | 'lookSoon'>
  readonly clock: Clock
  readonly log: Log
  readonly wrap: WrapOptions
  readonly main: string
  reader(): Pick<KeptReader, 'kick' | 'fetchAt' | 'first'>
}

/** Due deliveries of one partition brought at a time, and their bytes. */
const BROUGHT = 64
const BROUGHT_BYTES = 2 ** 20
const COMMIT_MS = 1_000
const AGAIN_MS = 500
/** Asked again at the latest after a minute: the wall clock may have been set forward meanwhile. */
const LONGEST_WAIT_MS = 60_000

interface Line {
  readonly follower: Follower
  readonly seats: Map<number, RetrySeat>
  loading: boolean
}

/**
 * Reads the retry topics of all subscriptions, as far as they belong to partitions of the main topic that are ours: whoever
 * owns a partition of the main topic reads the partition of the same number of every retry topic.
 */
export class RetryTopics {
  readonly #o: RetryParts
  readonly #intake: Intake
  readonly #lines = new Map<string, Line>()
  /** Partitions of the main topic. */
  readonly #owned = new Set<number>()
  /** Lanes that were given away: the machine has to be told when they come back. */
  readonly #away = new Set<LaneId>()
  readonly #hooks: SeatHooks
  readonly #tick: Timer
  #timer: Timer | null = null
  #timerMs = Infinity
  #stopped = false
  /** Records that were gone before they could be read. */
  lost = 0

  constructor(intake: Intake, o: RetryParts) {
    this.#intake = intake
    this.#o = o
    this.#hooks = {
      corrupt: (seat, offset, raw, why) =>
        this.#intake.undecodable(seat.follower.sub, seat.lane, offset, { raw: Uint8Array.from(raw), headers: [], why }),
      schedule: () => this.#schedule(),
      nowMs: () => o.clock.wall(),
      missed: (seat, count) => this.#missed(seat, count),
      stuck: (seat) => {
        const { topic, partition, tracker } = seat
        const where = { topic, partition, unsettled: tracker.committable, read: tracker.position }
        o.log.warn('too many deliveries wait behind the oldest unsettled one of a retry topic; it is not read on for now', where)
      },
    }
    this.#tick = o.clock.every(COMMIT_MS, () => this.#everySecond())
  }

  // ---- subscriptions

  attached(f: Follower): void {
    let line = this.#lines.get(f.group)
    if (line?.follower !== f) this.#lines.set(f.group, (line = { follower: f, seats: new Map(), loading: false }))
    for (const seat of line.seats.values()) seat.comeBack()
    this.#o.topics.watch([retryTopicOf(f.group)])
    this.#load(line)
    this.#o.reader().kick()
  }

  forget(group: string): void {
    this.#lines.delete(group)
  }

  resume(f: Follower, lane: LaneId): void {
    this.#lines
      .get(f.group)
      ?.seats.get(lane - RETRY_LANE)
      ?.unblock()
    this.#schedule()
  }

  settle(d: RetryDelivery, handedBack: boolean): void {
    if (handedBack) return d.seat.giveBack(d)
    const full = !d.seat.wanted
    d.seat.settle(d)
    if (full && d.seat.wanted) this.#o.reader().kick()
  }

  /** The seat that has that place. */
  seatOf(f: Follower | undefined, lane: LaneId): RetrySeat | undefined {
    return f === undefined ? undefined : this.#lines.get(f.group)?.seats.get(lane - RETRY_LANE)
  }

  seats(): RetrySeat[] {
    return [...this.#lines.values()].flatMap((l) => [...l.seats.values()])
  }

  // ---- what is ours

  taken(partitions: readonly number[]): void {
    for (const p of partitions) this.#owned.add(p)
    this.#loadAll()
  }

  /** About to be given back: nothing more is offered. The lanes whose deliveries are to be finished. */
  leaving(partitions: readonly number[]): LaneId[] {
    for (const p of partitions) this.#owned.delete(p)
    const lanes = new Set<LaneId>()
    for (const seat of this.#notOwned()) {
      seat.held = true
      lanes.add(seat.lane)
    }
    return [...lanes]
  }

  /** They are given back, or lost. */
  gone(): void {
    for (const seat of this.#notOwned()) {
      this.#away.add(seat.lane)
      this.#lines.get(seat.follower.group)?.seats.delete(seat.partition)
    }
  }

  #notOwned(): RetrySeat[] {
    return this.seats().filter((seat) => !this.#owns(seat.partition))
  }

  #owns(partition: number): boolean {
    const count = this.#o.cluster.topic(this.#o.main)?.partitions.length ?? 0
    return this.#owned.has(count > 0 ? partition % count : partition)
  }

  /** A topic may have come, gone, or been made anew. */
  topicsChanged(): void {
    for (const line of this.#lines.values()) {
      const topic = this.#o.topics.get(retryTopicOf(line.follower.group))
      for (const seat of line.seats.values()) {
        if (topic === undefined || topic.id === seat.topicId) continue
        seat.topicId = topic.id
        seat.restart(0, [])
      }
    }
    this.#loadAll()
    this.#o.reader().kick()
  }

  #loadAll(): void {
    for (const line of this.#lines.values()) this.#load(line)
  }

  #load(line: Line): void {
    const topic = this.#o.topics.get(retryTopicOf(line.follower.group))
    if (line.loading || topic === undefined || this.#stopped || !line.follower.attached) return
    const missing = topic.leaders.map((_, q) => q).filter((q) => this.#owns(q) && !line.seats.has(q))
    if (missing.length === 0) return
    line.loading = true
    void this.#begin(line, missing)
      .catch(() => this.#o.topics.lookSoon())
      .finally(() => (line.loading = false))
  }

  /** Where the group stands is where it goes on; what it never committed is read from its beginning. */
  async #begin(line: Line, partitions: readonly number[]): Promise<void> {
    const { positions, topics } = this.#o
    const f = line.follower
    const name = retryTopicOf(f.group)
    const found = await positions.read(f, name, partitions)
    const topic = topics.get(name)
    if (topic === undefined || this.#lines.get(f.group) !== line) return
    for (const [q, start] of found) {
      if (!this.#owns(q) || line.seats.has(q)) continue
      const seat = new RetrySeat(f, { topic: name, partition: q, topicId: topic.id }, start, this.#hooks)
      line.seats.set(q, seat)
      if (this.#away.delete(seat.lane)) this.#intake.assigned([seat.lane])
    }
    this.#o.reader().kick()
  }

  // ---- what is due

  #schedule(): void {
    if (this.#stopped) return
    let atMs = Infinity
    for (const seat of this.seats()) if (seat.ready && seat.waiting.nextMs < atMs) atMs = seat.waiting.nextMs
    if (atMs === this.#timerMs) return
    this.#timer?.cancel()
    this.#timerMs = atMs
    if (atMs === Infinity) return
    const waitMs = Math.min(Math.max(0, atMs - this.#o.clock.wall()), LONGEST_WAIT_MS)
    this.#timer = this.#o.clock.after(waitMs, () => {
      this.#timerMs = Infinity
      const nowMs = this.#o.clock.wall()
      for (const seat of this.seats()) if (seat.ready && seat.waiting.nextMs <= nowMs) void this.#bring(seat)
      this.#schedule()
    })
  }

  async #bring(seat: RetrySeat): Promise<void> {
    const { clock } = this.#o
    const { tracker } = seat
    const nowMs = clock.wall()
    const due: number[] = []
    while (due.length < BROUGHT && seat.waiting.nextMs <= nowMs) due.push(seat.waiting.pop())
    due.sort((a, b) => a - b)
    seat.bringing = true
    const found: RetryDelivery[] = []
    const left = await this.#fetch(seat, due, found).catch(() => null)
    seat.bringing = false
    // Restarted meanwhile: it is read anew.
    if (seat.tracker !== tracker) return this.#schedule()
    found.sort((a, b) => a.dueMs - b.dueMs || a.position - b.position)
    let next = 0
    while (next < found.length && seat.ready) if (!this.#intake.offer(found[next++] as RetryDelivery)) seat.blocked = true
    for (const d of found.slice(next)) seat.waiting.push(d.dueMs, d.position)
    const again = left ?? due.filter((offset) => !found.some((d) => d.position === offset))
    for (const offset of again) seat.waiting.push(left === null ? nowMs + AGAIN_MS : nowMs, offset)
    this.#schedule()
  }

  /** Reads the records at `due`, ascending, into `found`; answers those it did not come to. Throws when there is no answer. */
  async #fetch(seat: RetrySeat, due: readonly number[], found: RetryDelivery[]): Promise<number[]> {
    let bytes = 0
    let i = 0
    while (i < due.length && bytes < BROUGHT_BYTES) {
      const asked = due[i] as number
      const c = await this.#o.reader().fetchAt(seat, asked)
      if (c === null) throw new Error('not now')
      const first = c === 'outside' ? await this.#o.reader().first(seat) : asked
      const from = i
      const skipTo = (offset: number): void => {
        for (; i < due.length && (due[i] as number) < offset; i++) this.#gone(seat, due[i] as number)
      }
      skipTo(first)
      if (c === 'outside') {
        if (i === from) throw new Error('not now')
        continue
      }
      while (i < due.length && bytes < BROUGHT_BYTES) {
        const what = c.next()
        if (what === 'end') break
        skipTo(c.offset)
        if (due[i] !== c.offset) continue
        i++
        if (what === 'corrupt') {
          this.#hooks.corrupt(seat, c.offset, c.raw, c.why)
          continue
        }
        const kept = readRetry(c, { topic: this.#o.main, partition: seat.partition }, this.#o.wrap, this.#o.clock.wall())
        const d = new RetryDelivery(seat, c.offset, kept)
        bytes += d.bytes
        found.push(d)
      }
      skipTo(c.position)
      if (i === from) throw new Error('not now')
    }
    return due.slice(i)
  }

  /** Somebody deleted it. */
  #gone(seat: RetrySeat, offset: number): void {
    this.#missed(seat, 1)
    seat.settleAt(offset)
  }

  #missed(seat: RetrySeat, count: number): void {
    this.lost += count
    const where = { topic: seat.topic, partition: seat.partition, missed: count }
    this.#o.log.error('deliveries that waited were deleted from their topic before they were due', where)
  }

  // ---- positions

  #everySecond(): void {
    this.#loadAll()
    this.#o.positions.tick(this.seats())
  }

  /** Resolves true once everything settled before the call is committed. */
  commit(): Promise<boolean> {
    return this.#o.positions.now(this.seats())
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
    this.#tick.cancel()
    for (const seat of this.seats()) seat.held = true
  }
}

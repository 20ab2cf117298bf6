import type { Intake, Start } from '../../contract/feed.ts'
import type { Key, LaneId, SubId } from '../../contract/ids.ts'
import { type Clock, sleep, type Timer } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import type { Cluster } from '../../sources/kafka/cluster.ts'
import { Fetching } from '../../sources/kafka/fetching.ts'
import { Backoff, type Health } from '../../sources/kafka/health.ts'
import { Lanes } from '../../sources/kafka/lanes.ts'
import { GroupMember } from '../../sources/kafka/member.ts'
import { type KafkaOptions, revokeWaitMs } from '../../sources/kafka/settings.ts'
import { firstStart, offsetsAt, startOffsets, type StartParts } from '../../sources/kafka/starts.ts'
import { PositionTracker } from '../../sources/kafka/tracker.ts'
import { type ClusterView, EARLIEST, LATEST } from '../../vendor/kafka/calls.ts'
import { CODE, codeName, isStaleLeader } from '../../vendor/kafka/codes.ts'
import { topicIdOf } from '../../vendor/kafka/fetch.ts'
import type { KafkaLink } from '../../vendor/kafka/link.ts'
import { CatchUp } from './catch-up.ts'
import { GroupCommits, nobodyOf } from './commits.ts'
import { Head } from './head.ts'
import { Follower, HeadPartition, KafkaSeat } from './seat.ts'

export interface ReadingParts {
  readonly options: KafkaOptions
  readonly topic: string
  readonly cluster: Cluster
  /** For calls, for joins, for the head's fetches and for those of the laggards: what waits long holds up nobody else. */
  readonly links: { readonly call: KafkaLink; readonly join: KafkaLink; readonly head: KafkaLink; readonly laggards: KafkaLink }
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly health: Health
  groupOf(key: Key): string
  /** A start is being looked for: what is appended from now on must come after it. Called in pairs. */
  starting(): void
  started(): void
}

const LAST_COMMIT_MS = 2_000
const COMMIT_MS = 1_000
const ENDS_EVERY_MS = 3_000
/** Appends wait so long for the start of a subscription that came before them. */
const START_MS = 5_000

/**
 * What the gateways of one group read of a topic:
 *
 *   member (which partitions are ours) ─▶ head partitions ─▶ head ─▶ seats that are caught up
 *                                                        └▶ catch-up readers ─▶ seats that are not
 *   followers (a subscription, its own consumer group) ─▶ starts, commits
 */
export class Reading {
  readonly lanes = new Lanes()
  readonly followers = new Map<Key, Follower>()
  readonly #o: ReadingParts
  readonly #intake: Intake
  readonly #bySub: (Follower | undefined)[] = []
  readonly #partitions = new Map<LaneId, HeadPartition>()
  readonly #member: GroupMember
  readonly #fetching: Fetching
  readonly #head: Head
  readonly #catchUp: CatchUp
  readonly #commits: GroupCommits
  readonly #starts: StartParts
  readonly #stop = new AbortController()
  #timers: readonly Timer[] = []
  #running: Promise<void> | null = null
  #partitionCount = 0
  /** Groups that are being deleted: one of the same name begins after that. */
  readonly #forgetting = new Set<Promise<void>>()
  /** Events that were gone from the log before they could be read. */
  lost = 0

  constructor(intake: Intake, o: ReadingParts) {
    this.#o = o
    this.#intake = intake
    const { options, clock, log, links, cluster } = o
    const wrap = { namespace: options.namespace, name: options.name, topic: o.topic, keyType: 'string' } as const
    this.#starts = { link: links.call, cluster, lanes: this.lanes, options }
    this.#member = new GroupMember({
      ...o,
      lanes: this.lanes,
      joinLink: links.join,
      link: links.call,
      assigned: (lanes) => this.#takeOver(lanes),
      revoked: (lanes) => this.#giveBack(lanes),
      lost: (lanes) => this.#lose(lanes),
    })
    this.#fetching = new Fetching({
      ...o,
      link: links.head,
      received: (p) => this.#head.ready(p as HeadPartition),
      refused: (p, code) => this.#refused(p as HeadPartition, code),
      answered: () => this.#head.run(),
    })
    this.#head = new Head(intake, {
      clock,
      log,
      wrap,
      follower: (sub) => this.#bySub[sub],
      followers: () => this.followers.values(),
      hungry: (p) => this.#fetching.wake(p),
      place: (seat) => this.place(seat),
    })
    this.#catchUp = new CatchUp(intake, {
      link: links.laggards,
      clock,
      log,
      wrap,
      leader: (p) => cluster.view?.brokers.get(cluster.leader(p.topic, p.partition)),
      first: async (p) => (await offsetsAt(this.#starts, [p.lane], EARLIEST)).get(p.lane) ?? 0,
      stale: () => cluster.refreshSoon(),
      place: (seat) => this.place(seat),
      missed: (events) => (this.lost += events),
    })
    this.#commits = new GroupCommits({
      link: links.call,
      clock,
      health: o.health,
      anyBroker: () => cluster.anyBroker(),
      owner: () => this.#member.membership !== null,
    })
  }

  // ---- subscriptions

  follower(sub: SubId): Follower | undefined {
    return this.#bySub[sub]
  }

  follow(sub: SubId, key: Key, from: Start): void {
    this.#begin()
    let f = this.followers.get(key)
    const fresh = f === undefined
    if (f === undefined) this.followers.set(key, (f = new Follower(key, this.#o.groupOf(key), from)))
    f.sub = sub
    f.from = from
    f.attached = true
    f.passed = 0
    this.#bySub[sub] = f
    if (!fresh)
      for (const seat of f.seats) {
        if (seat === undefined) continue
        seat.catchUp()
        seat.restart(seat.tracker.committable, seat.tracker.settledAbove())
        seat.blocked = false
        this.place(seat)
      }
    if (from.at === 'committed') this.#load(f)
    else void this.seek(sub, from)
  }

  unfollow(sub: SubId): Follower | undefined {
    const f = this.#bySub[sub]
    if (f === undefined) return undefined
    this.#bySub[sub] = undefined
    f.attached = false
    for (const seat of f.seats) seat?.leave()
    return f
  }

  /** Position and group of a subscription that is not attached. */
  forget(key: Key): boolean {
    const f = this.followers.get(key)
    if (f === undefined || f.attached) return false
    this.followers.delete(key)
    const gone = this.#commits
      .forget(f)
      .catch((error: unknown) => this.#o.log.warn('a consumer group stays', { group: f.group, error }))
      .finally(() => this.#forgetting.delete(gone))
    this.#forgetting.add(gone)
    return true
  }

  /** Everything of it that is ours goes on from another place; what was offered before counts for nothing. */
  async seek(sub: SubId, to: Start): Promise<void> {
    const f = this.#bySub[sub]
    if (f === undefined) return
    this.#o.starting()
    try {
      await this.#loadOnce(f)
      const lanes = [...this.#partitions.keys()]
      const at = to.at === 'time' ? to.timeMs : to.at === 'earliest' ? EARLIEST : LATEST
      const offsets =
        to.at === 'position' ? new Map(lanes.map((l) => [l, to.position])) : await offsetsAt(this.#starts, lanes, at)
      for (const [lane, offset] of offsets) {
        const seat = f.seats[lane]
        if (seat === undefined || to.at === 'committed') continue
        seat.restart(offset, [])
        this.place(seat)
      }
    } finally {
      this.#o.started()
    }
    await this.#commits.now([f])
  }

  resume(sub: SubId, lane: LaneId): void {
    const seat = this.#bySub[sub]?.seats[lane]
    if (seat === undefined) return
    seat.blocked = false
    this.place(seat)
  }

  settled(seat: KafkaSeat): void {
    seat.touched = true
    if (!seat.stuck || seat.tracker.window > STUCK_UNTIL) return
    seat.stuck = false
    this.place(seat)
  }

  released(seat: KafkaSeat): void {
    // Several are given back in one go; they are read again together.
    this.#o.clock.soon(() => this.place(seat))
  }

  /** Puts a seat where it is read from now on: with the head, or by a reader of those who are behind. */
  place(seat: KafkaSeat): void {
    if (!seat.ready || this.#head.postpone(seat)) return
    const p = seat.partition
    if (this.#partitions.get(seat.lane) !== p || seat.follower.seats[seat.lane] !== seat) return
    if (seat.tracker.released > 0) {
      seat.leave()
      const from = seat.tracker.beginReread()
      if (from >= 0) seat.readAt = Math.min(from, seat.readAt)
    }
    if (seat.atHead) return
    if (seat.readAt < p.head) return this.#catchUp.want(seat)
    if (p.heads === 0 && seat.readAt > p.head) p.moveHead(seat.readAt)
    seat.join()
    p.open = true
    if (p.cursors.length > 0) this.#head.ready(p)
    else this.#fetching.wake(p)
  }

  // ---- positions

  commitAll(): Promise<boolean> {
    return this.#commits.now(this.followers.values())
  }

  async flush(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(100, 1_000, this.#o.random)
    while (this.#partitions.size > 0 && !(await this.commitAll())) await sleep(this.#o.clock, backoff.nextMs(), signal)
  }

  /** The partition ends there or later. */
  ended(partition: number, end: number): void {
    const p = this.#partitions.get(this.lanes.of(this.#o.topic, partition))
    if (p !== undefined && p.end < end) p.end = end
  }

  async close(signal: AbortSignal): Promise<void> {
    this.stop()
    for (const p of this.#partitions.values()) p.held = true
    for (const t of this.#timers) t.cancel()
    const fetched = this.#fetching.close()
    if (this.#running !== null) {
      const last = this.flush(signal).then(() => this.#member.leave())
      await Promise.race([last.catch(() => {}), aborted(signal)])
    }
    this.#stop.abort()
    const { call, join, laggards } = this.#o.links
    await Promise.allSettled([fetched, call.close(), join.close(), laggards.close()])
    await this.#running
  }

  /** Nothing is offered any more. */
  stop(): void {
    this.#head.stop()
    this.#catchUp.stop()
  }

  // ---- what is ours

  /** The first subscription makes this gateway a member: who only appends reads nothing. */
  #begin(): void {
    if (this.#running !== null) return
    const { clock } = this.#o
    this.#running = this.#member.run(this.#stop.signal)
    this.#timers = [
      clock.every(COMMIT_MS, () => this.#commits.tick(this.followers.values())),
      clock.every(ENDS_EVERY_MS, () => void this.#readEnds()),
    ]
  }

  #takeOver(lanes: readonly LaneId[]): void {
    for (const f of this.followers.values()) if (f.attached) this.#load(f)
    // Without any subscription they are ours all the same.
    if (this.followers.size === 0) this.#intake.assigned(lanes)
  }

  /** Looks where the follower's group stands in what is ours, until it is known. */
  #load(f: Follower): void {
    f.loadAgain = true
    if (f.loading) return
    f.loading = true
    let held = true
    this.#o.starting()
    const release = (): void => {
      if (held) this.#o.started()
      held = false
    }
    const backoff = new Backoff(50, 3_000, this.#o.random)
    const sinceMs = this.#o.clock.now()
    const work = async (): Promise<void> => {
      while (f.loadAgain && f.attached && !this.#stop.signal.aborted) {
        f.loadAgain = false
        const ok = await this.#loadOnce(f).catch((e: unknown) => {
          this.#o.health.bad(`start ${f.key}`, 'OffsetsUnavailable', messageOf(e))
          this.#o.cluster.refreshSoon()
          return false
        })
        if (ok || f.taken || this.#o.clock.now() - sinceMs > START_MS) release()
        if (ok) this.#o.health.good(`start ${f.key}`)
        else {
          f.loadAgain = true
          await sleep(this.#o.clock, backoff.nextMs(), this.#stop.signal).catch(() => {})
        }
      }
    }
    void work().finally(() => {
      f.loading = false
      release()
    })
  }

  /** false = not now. What is not begun yet begins, and that is committed before anything is read. */
  async #loadOnce(f: Follower): Promise<boolean> {
    const o = this.#o
    const partitions = o.cluster.topic(o.topic)?.partitions.map((_, i) => i) ?? []
    if (partitions.length === 0) {
      await o.cluster.refresh()
      return false
    }
    await Promise.all(this.#forgetting)
    const all = [...this.lanes.all([{ topic: o.topic, partitions }])]
    const at = await this.#commits.coordinator(f)
    if (at === null) return false
    const starts = await startOffsets(this.#starts, at, nobodyOf(f.group), all, firstStart(f.from, 'latest'), new Set()).catch(
      (e: unknown) => {
        f.coordinator = null
        throw e
      },
    )
    const ours = starts.filter((s) => this.#member.owned.has(s.lane) && f.seats[s.lane] === undefined)
    if (ours.length === 0) return true
    // Said once more: this renews them, and a group that has members refuses it.
    const entries = ours.map((s) => ({
      topic: o.topic,
      partition: this.lanes.partition(s.lane),
      offset: s.offset,
      metadata: s.text,
    }))
    const codes = await this.#commits.commit(f, entries)
    if (codes.some((c) => c !== CODE.none)) return false
    const nowMs = o.clock.now()
    const still = ours.filter((s) => this.#member.owned.has(s.lane) && f.seats[s.lane] === undefined && f.attached)
    const fresh: LaneId[] = []
    for (const s of still) {
      const p = this.#partitions.get(s.lane) ?? this.#open(s.lane, s.offset, fresh)
      f.seats[s.lane] = new KafkaSeat(f, p, s, nowMs)
    }
    if (fresh.length > 0) {
      this.#fetching.index(this.#partitions.values())
      this.#intake.assigned(fresh)
    }
    for (const s of still) {
      const seat = f.seats[s.lane]
      if (seat !== undefined) this.place(seat)
    }
    return true
  }

  #open(lane: LaneId, offset: number, fresh: LaneId[]): HeadPartition {
    const { topic, clock, cluster } = this.#o
    const p = new HeadPartition(lane, topic, this.lanes.partition(lane), new PositionTracker(offset, []), '', clock.now())
    p.open = false
    p.topicId = idIn(cluster.view, topic)
    this.#partitions.set(lane, p)
    fresh.push(lane)
    return p
  }

  async #giveBack(lanes: readonly LaneId[]): Promise<void> {
    const { clock, options } = this.#o
    const mine = lanes.flatMap((lane) => this.#partitions.get(lane) ?? [])
    for (const p of mine) p.held = true
    if (mine.length > 0) {
      const waitMs = revokeWaitMs(options)
      const finished = this.#intake.revoking(
        mine.map((p) => p.lane),
        clock.now() + waitMs,
      )
      await within(clock, waitMs, finished)
      await within(clock, LAST_COMMIT_MS, this.commitAll())
    }
    this.#drop(lanes)
  }

  #lose(lanes: readonly LaneId[]): void {
    const mine = lanes.filter((lane) => this.#partitions.has(lane))
    this.#drop(lanes)
    if (mine.length === 0) return
    this.#o.log.warn('partitions were lost to the group; what ran is delivered again by whoever has them now', {
      partitions: mine.length,
    })
    this.#intake.lost(mine)
  }

  #drop(lanes: readonly LaneId[]): void {
    for (const lane of lanes) {
      const p = this.#partitions.get(lane)
      if (p !== undefined) p.held = true
      this.#partitions.delete(lane)
      for (const f of this.followers.values()) {
        f.passed += f.seats[lane]?.passed ?? 0
        f.seats[lane] = undefined
      }
    }
    this.#fetching.index(this.#partitions.values())
  }

  // ---- the cluster

  viewed(view: ClusterView): void {
    const count = view.topics.get(this.#o.topic)?.partitions.length ?? 0
    if (this.#partitionCount > 0 && count !== this.#partitionCount) this.#member.rejoin()
    this.#partitionCount = count
    for (const p of this.#partitions.values()) {
      const id = idIn(view, p.topic)
      if (id === '' || id === p.topicId) continue
      const anew = p.topicId !== ''
      p.topicId = id
      if (anew) this.#beginAnew(p, 0, 'a topic was made anew; it is read from its beginning')
    }
    this.#fetching.index(this.#partitions.values())
    this.#fetching.wakeAll()
  }

  /** Its offsets mean nothing any more. */
  #beginAnew(p: HeadPartition, offset: number, why: string): void {
    this.#o.log.error(why, { topic: p.topic, partition: p.partition, offset })
    this.#intake.lost([p.lane])
    const seats = [...this.followers.values()].flatMap((f) => f.seats[p.lane] ?? [])
    for (const seat of seats) {
      seat.restart(offset, [])
      seat.blocked = false
    }
    p.moveHead(offset)
    p.end = -1
    this.#intake.assigned([p.lane])
    for (const seat of seats) this.place(seat)
  }

  #refused(p: HeadPartition, code: number): void {
    if (code === CODE.offsetOutOfRange) void this.#backInRange(p).catch(() => this.#o.cluster.refreshSoon())
    else if (isStaleLeader(code)) this.#o.cluster.refreshSoon()
    else
      this.#o.log.warn('a partition cannot be read for the moment', {
        topic: p.topic,
        partition: p.partition,
        error: codeName(code),
      })
  }

  /** The log begins above the head, or ends below: goes on at that end, says so, and counts what was missed. */
  async #backInRange(p: HeadPartition): Promise<void> {
    const at = p.head
    const first = (await offsetsAt(this.#starts, [p.lane], EARLIEST)).get(p.lane)
    const last = (await offsetsAt(this.#starts, [p.lane], LATEST)).get(p.lane)
    if (first === undefined || last === undefined || p.head !== at || p.held) return
    if (at > last) return this.#beginAnew(p, last, 'the log was cut below what was read already; reading goes on at its end')
    if (at >= first) return
    this.lost += first - at
    const where = { topic: p.topic, partition: p.partition, position: at, first, missed: first - at }
    this.#o.log.error('events were deleted before they could be read; reading goes on at the first that is left', where)
    p.rewind(first)
    p.tracker.passTo(first)
    this.#fetching.wake(p)
  }

  /** Where a partition ends, while no head asks. */
  async #readEnds(): Promise<void> {
    const still = [...this.#partitions.values()].filter((p) => p.heads === 0).map((p) => p.lane)
    if (still.length === 0) return
    const ends = await offsetsAt(this.#starts, still, LATEST).catch(() => null)
    for (const [lane, end] of ends ?? []) {
      const p = this.#partitions.get(lane)
      if (p !== undefined && p.end < end) p.end = end
    }
  }
}

/** A window that was full is read on when half of it is settled. */
const STUCK_UNTIL = 32_768

function idIn(view: ClusterView | null, topic: string): string {
  const t = view?.topics.get(topic)
  return t === undefined || t.code !== CODE.none ? '' : topicIdOf(t.id)
}

/** Waits for `work` so long at most; never rejects. */
async function within(clock: Clock, ms: number, work: Promise<unknown>): Promise<void> {
  const over = new AbortController()
  await Promise.race([work.catch(() => {}), sleep(clock, ms, over.signal).catch(() => {})])
  over.abort()
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

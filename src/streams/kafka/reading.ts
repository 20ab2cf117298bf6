import type { Intake, Start } from '../../contract/feed.ts'
import type { Key, LaneId, SubId } from '../../contract/ids.ts'
import type { WrapOptions } from '../../event/kafka.ts'
import { sleep, type Timer } from '../../runtime/clock.ts'
import { Fetching } from '../../sources/kafka/fetching.ts'
import { Backoff } from '../../sources/kafka/health.ts'
import { Lanes } from '../../sources/kafka/lanes.ts'
import { GroupMember } from '../../sources/kafka/member.ts'
import { revokeWaitMs } from '../../sources/kafka/settings.ts'
import type { StartOffset, StartParts } from '../../sources/kafka/starts.ts'
import { PositionTracker } from '../../sources/kafka/tracker.ts'
import type { ClusterView } from '../../vendor/kafka/calls.ts'
import { CatchUp } from './catch-up.ts'
import { Bounds, topicIdIn } from './bounds.ts'
import { GroupCommits } from './commits.ts'
import { Head } from './head.ts'
import type { ReadingParts } from './reading-parts.ts'
import { Replays } from './replays.ts'
import { Follower, HeadPartition, KafkaSeat, type ReplayOf } from './seat.ts'
import { Starter } from './starter.ts'
import { aborted, within } from '../../runtime/ending.ts'

const LAST_COMMIT_MS = 2_000
const COMMIT_MS = 1_000
const LOOK_EVERY_MS = 3_000

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
  readonly replays: Replays
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
  readonly #starter: Starter
  readonly #bounds: Bounds
  readonly #wrap: WrapOptions
  readonly #stop = new AbortController()
  #timers: readonly Timer[] = []
  #running: Promise<void> | null = null
  /** -1 = not known yet; a topic that is missing has none. */
  #partitionCount = -1
  /** Events that were gone from the log before they could be read. */
  lost = 0

  constructor(intake: Intake, o: ReadingParts) {
    this.#o = o
    this.#intake = intake
    const { options, log, links, cluster } = o
    this.#wrap = { namespace: options.namespace, name: options.name, topic: o.topic, keyType: 'string' }
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
      refused: (p, code) => this.#bounds.refused(p as HeadPartition, code),
      answered: () => this.#head.run(),
    })
    this.#head = this.#newHead()
    this.#catchUp = this.#newCatchUp()
    this.#commits = new GroupCommits({
      ...o,
      link: links.call,
      anyBroker: () => cluster.anyBroker(),
      owner: () => this.#member.membership !== null,
    })
    this.#starter = new Starter({
      ...o,
      starts: this.#starts,
      commits: this.#commits,
      signal: this.#stop.signal,
      owns: (lane) => this.#member.owned.has(lane),
      begins: (lane) => this.#member.membership === null || this.#member.owned.has(lane),
      begin: (f, starts) => this.#seat(f, starts),
    })
    this.#bounds = new Bounds({
      starts: this.#starts,
      log,
      stale: () => cluster.refreshSoon(),
      beginAnew: (p, offset, why) => this.#beginAnew(p, offset, why),
      missed: (events) => (this.lost += events),
      wake: (p) => this.#fetching.wake(p),
    })
    this.replays = new Replays({
      ...o,
      starts: this.#starts,
      commits: this.#commits,
      bounds: this.#bounds,
      followers: this.followers,
      owned: () => this.#member.owned,
    })
  }

  #newHead(): Head {
    return new Head(this.#intake, {
      ...this.#o,
      wrap: this.#wrap,
      follower: (sub) => this.#bySub[sub],
      followers: () => this.followers.values(),
      hungry: (p) => this.#fetching.wake(p),
      place: (seat) => this.place(seat),
    })
  }

  #newCatchUp(): CatchUp {
    const { links, cluster } = this.#o
    return new CatchUp(this.#intake, {
      ...this.#o,
      link: links.laggards,
      wrap: this.#wrap,
      leader: (p) => cluster.view?.brokers.get(cluster.leader(p.topic, p.partition)),
      first: (p) => this.#bounds.first(p),
      stale: () => cluster.refreshSoon(),
      place: (seat) => this.place(seat),
      missed: (events) => (this.lost += events),
    })
  }

  // ---- subscriptions

  follower(sub: SubId): Follower | undefined {
    return this.#bySub[sub]
  }

  /** `replay`: it is a second reader of another subscription, which was begun before. */
  follow(sub: SubId, key: Key, from: Start, replay: ReplayOf | null = null): void {
    this.#begin()
    let f = this.followers.get(key)
    const group = replay === null ? this.#o.groupOf(key) : this.replays.groupOf(key, replay.of)
    if (f === undefined) this.followers.set(key, (f = new Follower(key, group, from)))
    f.replay ??= replay
    f.sub = sub
    f.from = from
    f.attached = true
    f.passed = 0
    this.#bySub[sub] = f
    for (const seat of f.seats) {
      if (seat === undefined) continue
      seat.comeBack()
      this.place(seat)
    }
    if (from.at === 'committed') this.#starter.load(f, replay === null)
    else void this.seek(sub, from).catch(() => {})
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
    this.replays.ended(f)
    this.#commits.forget(f)
    return true
  }

  /** Everything of it that is ours goes on from another place; what was offered before counts for nothing. */
  async seek(sub: SubId, to: Start): Promise<void> {
    const f = this.#bySub[sub]
    if (f === undefined) return
    this.#o.starting()
    f.seeking = true
    try {
      await this.#starter.surely(f)
      const offsets = await this.#bounds.at(to, [...this.#partitions.keys()])
      for (const [lane, offset] of offsets) f.seats[lane]?.restart(offset, [])
    } finally {
      f.seeking = false
      for (const seat of f.seats) if (seat !== undefined) this.place(seat)
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
    if (seat.settled()) this.place(seat)
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
    if (seat.behind) return this.#catchUp.want(seat)
    if (seat.atHead || seat.until < Infinity) return
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
      clock.every(LOOK_EVERY_MS, () => {
        void this.#bounds.readEnds([...this.#partitions.values()])
        void this.replays.tick()
      }),
    ]
  }

  #takeOver(lanes: readonly LaneId[]): void {
    for (const f of this.followers.values()) if (f.attached) this.#starter.load(f, false)
    // Without any subscription they are ours all the same.
    if (this.followers.size === 0) this.#intake.assigned(lanes)
  }

  #seat(f: Follower, starts: readonly StartOffset[]): void {
    const nowMs = this.#o.clock.now()
    const still = starts.filter((s) => this.#member.owned.has(s.lane) && f.seats[s.lane] === undefined && f.attached)
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
  }

  #open(lane: LaneId, offset: number, fresh: LaneId[]): HeadPartition {
    const { topic, clock, cluster } = this.#o
    const p = new HeadPartition(lane, topic, this.lanes.partition(lane), new PositionTracker(offset, []), '', clock.now())
    p.open = false
    p.topicId = topicIdIn(cluster.view, topic)
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
    if (this.#partitionCount >= 0 && count !== this.#partitionCount) this.#member.rejoin()
    this.#partitionCount = count
    for (const p of this.#partitions.values()) {
      const id = topicIdIn(view, p.topic)
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
    for (const seat of seats) seat.beginAnew(offset)
    p.moveHead(offset)
    p.end = -1
    this.#intake.assigned([p.lane])
    for (const seat of seats) this.place(seat)
  }
}

import { isIP } from 'node:net'
import type { Intake, Start } from '../../contract/feed.ts'
import type { LaneId, SubId } from '../../contract/ids.ts'
import { type Clock, sleep, type Timer } from '../../runtime/clock.ts'
import { within } from '../../runtime/ending.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import { type ClusterView, deleteGroup, EARLIEST, LATEST } from '../../vendor/kafka/calls.ts'
import { CODE, codeName, isStaleLeader } from '../../vendor/kafka/codes.ts'
import { type TopicId, topicIdOf } from '../../vendor/kafka/fetch.ts'
import { KafkaLink, parseBootstrap } from '../../vendor/kafka/link.ts'
import { Cluster } from './cluster.ts'
import { Commits } from './commits.ts'
import { watchEnds } from './ends.ts'
import { Fetching } from './fetching.ts'
import { Backoff, type Health } from './health.ts'
import { Lanes } from './lanes.ts'
import { GroupMember } from './member.ts'
import type { MemberNote } from './memberships.ts'
import { Offering } from './offering.ts'
import { Partition } from './partition.ts'
import { type KafkaOptions, revokeWaitMs } from './settings.ts'
import { firstStart, offsetsAt, type StartOffset, startOffsets, type StartParts } from './starts.ts'
import { PositionTracker, WINDOW } from './tracker.ts'

export interface ConsumptionParts {
  readonly options: KafkaOptions
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly health: Health
  readonly note: MemberNote
}

const REQUEST_TIMEOUT_MS = 10_000

/** A broker answers a join when all members are there; some more for the way. */
const JOIN_EXTRA_MS = 10_000

/** The last word to a group we give a partition of to others must not keep them waiting. */
const LAST_COMMIT_MS = 2_000

/**
 * One member that reads its share of the topics:
 *
 *   cluster (who leads what) ─┐            ┌─> broker readers ─> partitions (cursor, tracker, gate) ─> offering ─> intake
 *   member (what is ours) ────┴─> here ────┤
 *                                          └─> commits <─ settled positions
 */
export class Consumption {
  readonly lanes = new Lanes()
  readonly offering: Offering
  /** Events that were gone from the log before they could be read. */
  lostAtSource = 0
  readonly #o: ConsumptionParts
  readonly #intake: Intake
  readonly #joinLink: KafkaLink
  readonly #link: KafkaLink
  readonly #cluster: Cluster
  readonly #member: GroupMember
  readonly #commits: Commits
  readonly #starts: StartParts
  readonly #partitions = new Map<LaneId, Partition>()
  readonly #fetching: Fetching
  readonly #stop = new AbortController()
  /** Topics that were missing or being read when last looked at: what is new in them is read from its beginning. */
  readonly #seen = new Set<string>()
  #counts = ''
  #timer: Timer | null = null
  #ends: Timer | null = null
  #from: Start = { at: 'committed', otherwise: { at: 'latest' } }
  #running: Promise<void> = Promise.resolve()
  #started = false
  /** It has had an assignment since it began. */
  assignedOnce = false

  constructor(intake: Intake, o: ConsumptionParts) {
    this.#o = o
    this.#intake = intake
    const { options, clock, random, health, log } = o
    const bootstrap = options.bootstrapServers.map(parseBootstrap)
    const clientId = `sluice-${options.namespace}-${options.name}`
    const login = { clientId, sasl: options.sasl, tls: options.tls, byName: bootstrap.every((b) => isIP(b.host) === 0) }
    this.#link = new KafkaLink(login, REQUEST_TIMEOUT_MS)
    this.#joinLink = new KafkaLink(login, options.rebalanceTimeoutMs + JOIN_EXTRA_MS)
    const { topics, metadataMs } = options
    this.#cluster = new Cluster({
      link: this.#link,
      bootstrap,
      topics,
      everyMs: metadataMs,
      clock,
      random,
      health,
      onView: (v) => this.#viewed(v),
    })
    this.#member = new GroupMember({
      ...o,
      cluster: this.#cluster,
      lanes: this.lanes,
      joinLink: this.#joinLink,
      link: this.#link,
      assigned: (lanes) => void this.#takeOver(lanes),
      revoked: (lanes) => this.#giveBack(lanes),
      lost: (lanes) => this.#lose(lanes),
    })
    this.#fetching = new Fetching({
      ...o,
      link: new KafkaLink(login, REQUEST_TIMEOUT_MS),
      cluster: this.#cluster,
      received: (p) => this.offering.ready(p),
      refused: (p, code) => this.#refused(p, code),
      answered: () => this.offering.run(),
    })
    this.#commits = new Commits({
      link: this.#link,
      clock,
      health,
      member: this.#member,
      partitions: () => [...this.#partitions.values()],
    })
    this.#starts = { link: this.#link, cluster: this.#cluster, lanes: this.lanes, options }
    this.offering = new Offering(intake, { options, clock, log, hungry: (p) => this.#fetching.wake(p) })
  }

  get partitions(): ReadonlyMap<LaneId, Partition> {
    return this.#partitions
  }

  start(sub: SubId, from: Start): void {
    this.offering.attach(sub)
    if (this.#started) {
      for (const lane of this.#partitions.keys()) this.resume(lane)
      return
    }
    this.#started = true
    this.#from = from
    this.#cluster.start()
    const { clock, options } = this.#o
    this.#timer = clock.every(options.commitMs, () => this.#commits.tick())
    this.#ends = watchEnds(clock, this.#starts, () => this.#partitions.values(), options.partitionFetchBytes)
    this.#running = this.#member.run(this.#stop.signal)
  }

  /** Commits, leaves and closes; what Kafka does not answer until `signal` aborts is left. */
  async close(signal: AbortSignal, forget: boolean): Promise<void> {
    this.offering.detach()
    for (const p of this.#partitions.values()) p.held = true
    const fetched = this.#fetching.close()
    this.#timer?.cancel()
    this.#ends?.cancel()
    this.#cluster.close()
    if (this.#started) await until(signal, this.#lastWords(signal, forget))
    this.#stop.abort()
    await Promise.allSettled([fetched, this.#joinLink.close(), this.#link.close()])
    await this.#running
  }

  async #lastWords(signal: AbortSignal, forget: boolean): Promise<void> {
    await this.flush(signal)
    const at = this.#member.coordinator
    await this.#member.leave()
    if (!forget || at === null) return
    const code = await deleteGroup(this.#link, at, this.#o.options.consumerGroup)
    if (code !== CODE.none)
      this.#o.log.warn('the consumer group stays: it cannot be deleted', {
        group: this.#o.options.consumerGroup,
        error: codeName(code),
      })
  }

  /** Resolves when everything settled so far is committed; rejects when the signal aborts first. */
  async flush(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(100, 1_000, this.#o.random)
    while (this.#partitions.size > 0 && !(await this.#commits.now())) await sleep(this.#o.clock, backoff.nextMs(), signal)
  }

  /** The lane has room again. */
  resume(lane: LaneId): void {
    const p = this.#partitions.get(lane)
    if (p === undefined) return
    p.open = true
    if (p.tracker.released > 0) this.#reread(p)
    if (p.cursors.length > 0) this.offering.ready(p)
    else this.#fetching.wake(p)
  }

  settled(p: Partition): void {
    if (!p.stalled || p.tracker.window > WINDOW / 2) return
    p.stalled = false
    if (p.open) this.resume(p.lane)
  }

  released(p: Partition): void {
    if (p.mayRead) this.#reread(p)
  }

  /** Everything that is ours begins at another place; what runs is dropped, what is settled there counts again. */
  async seek(to: Start): Promise<void> {
    if (to.at === 'committed') return
    const lanes = [...this.#partitions.keys()]
    const offsets =
      to.at === 'position' ? new Map(lanes.map((l) => [l, to.position])) : await offsetsAt(this.#starts, lanes, momentOf(to))
    for (const [lane, offset] of offsets) {
      const p = this.#partitions.get(lane)
      if (p !== undefined) this.#restart(p, offset)
    }
    await this.#commits.now()
  }

  #restart(p: Partition, offset: number): void {
    this.#intake.lost([p.lane])
    p.restart(new PositionTracker(offset, []))
    this.#intake.assigned([p.lane])
    this.#fetching.wake(p)
  }

  #reread(p: Partition): void {
    const from = p.tracker.beginReread()
    if (from < 0) return
    p.rewind(from)
    this.#fetching.wake(p)
  }

  // ---- what is ours

  async #takeOver(lanes: readonly LaneId[]): Promise<void> {
    const o = this.#o
    const backoff = new Backoff(100, 3_000, o.random)
    const { signal } = this.#stop
    for (;;) {
      const ours = lanes.filter((lane) => this.#member.owned.has(lane) && !this.#partitions.has(lane))
      const { membership, coordinator } = this.#member
      if (ours.length === 0 || signal.aborted) return
      try {
        if (membership !== null && coordinator !== null) {
          const starts = await startOffsets(
            this.#starts,
            coordinator,
            membership,
            ours,
            firstStart(this.#from, o.options.initialOffset),
            this.#seen,
          )
          this.#begin(starts.filter((s) => this.#member.owned.has(s.lane) && !this.#partitions.has(s.lane)))
          o.health.good('start')
          return
        }
      } catch (e) {
        o.health.bad('start', 'OffsetsUnavailable', messageOf(e))
        this.#cluster.refreshSoon()
      }
      await sleep(o.clock, backoff.nextMs(), signal).catch(() => {})
    }
  }

  #begin(starts: readonly StartOffset[]): void {
    const nowMs = this.#o.clock.now()
    for (const s of starts) {
      const tracker = new PositionTracker(s.offset, s.settled)
      const p = new Partition(s.lane, this.lanes.topic(s.lane), this.lanes.partition(s.lane), tracker, s.text, nowMs)
      p.topicId = idOf(this.#cluster.view, p.topic)
      this.#partitions.set(s.lane, p)
      this.#seen.add(p.topic)
    }
    this.#fetching.index(this.#partitions.values())
    this.assignedOnce = true
    this.#intake.assigned(starts.map((s) => s.lane))
    this.#fetching.wakeAll()
  }

  async #giveBack(lanes: readonly LaneId[]): Promise<void> {
    const o = this.#o
    const mine = lanes.flatMap((lane) => this.#partitions.get(lane) ?? [])
    for (const p of mine) p.held = true
    if (mine.length > 0) {
      const waitMs = revokeWaitMs(o.options)
      const finished = this.#intake.revoking(
        mine.map((p) => p.lane),
        o.clock.now() + waitMs,
      )
      await within(o.clock, waitMs, finished)
      await within(o.clock, LAST_COMMIT_MS, this.#commits.now())
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
    }
    this.#fetching.index(this.#partitions.values())
  }

  // ---- the cluster

  #viewed(view: ClusterView): void {
    this.#adoptNewTopics(view)
    for (const t of this.#o.options.topics) if (view.topics.get(t)?.code === CODE.unknownTopicOrPartition) this.#seen.add(t)
    const counts = this.#o.options.topics.map((t) => view.topics.get(t)?.partitions.length ?? 0).join()
    if (this.#counts !== '' && counts !== this.#counts) this.#member.rejoin()
    this.#counts = counts
    this.#fetching.index(this.#partitions.values())
    this.#fetching.wakeAll()
  }

  /** A topic that was deleted and made anew: its offsets mean nothing any more. */
  #adoptNewTopics(view: ClusterView): void {
    for (const p of this.#partitions.values()) {
      const id = idOf(view, p.topic)
      if (id === '' || id === p.topicId) continue
      const known = p.topicId !== ''
      p.topicId = id
      if (!known) continue
      this.#o.log.warn('a topic was made anew; it is read from its beginning', { topic: p.topic, partition: p.partition })
      this.#restart(p, 0)
    }
  }

  #refused(p: Partition, code: number): void {
    if (code === CODE.offsetOutOfRange) void this.#backInRange(p)
    else if (isStaleLeader(code)) this.#cluster.refreshSoon()
    else
      this.#o.log.warn('a partition cannot be read for the moment', {
        topic: p.topic,
        partition: p.partition,
        error: codeName(code),
      })
  }

  /** The log begins above where we are, or ends below: goes on at that end, says so, and counts what was missed. */
  async #backInRange(p: Partition): Promise<void> {
    const asked = p.fetchOffset
    const ends = await Promise.all([
      offsetsAt(this.#starts, [p.lane], EARLIEST),
      offsetsAt(this.#starts, [p.lane], LATEST),
    ]).catch(() => null)
    const [first, last] = (ends ?? []).map((m) => m.get(p.lane) ?? -1)
    if (first === undefined || last === undefined || p.fetchOffset !== asked || p.held) return
    const where = { topic: p.topic, partition: p.partition, position: asked, first, last }
    if (asked < first) {
      this.lostAtSource += first - asked
      this.#o.log.error(
        'events were deleted at the source before they could be read; reading goes on at the first that is left',
        { ...where, missed: first - asked },
      )
      p.rewind(first)
      p.tracker.endReread(first)
      p.tracker.passTo(first)
    } else if (asked > last) {
      this.#o.log.error('the log was cut below what was read already; reading goes on at its end', where)
      this.#restart(p, last)
    }
    this.#fetching.wake(p)
  }
}

function idOf(view: ClusterView | null, topic: string): TopicId {
  const t = view?.topics.get(topic)
  return t === undefined || t.code !== CODE.none ? '' : topicIdOf(t.id)
}

function momentOf(to: Start): number {
  return to.at === 'time' ? to.timeMs : to.at === 'latest' ? LATEST : EARLIEST
}

function until(signal: AbortSignal, work: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
    work.then(resolve, () => resolve())
  })
}

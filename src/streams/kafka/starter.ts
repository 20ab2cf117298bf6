import type { LaneId } from '../../contract/ids.ts'
import { type Clock, sleep } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Random } from '../../runtime/random.ts'
import type { Cluster } from '../../sources/kafka/cluster.ts'
import { Backoff, type Health } from '../../sources/kafka/health.ts'
import { firstStart, type StartOffset, startOffsets, type StartParts } from '../../sources/kafka/starts.ts'
import { readCommitted } from '../../vendor/kafka/calls.ts'
import { CODE } from '../../vendor/kafka/codes.ts'
import type { BrokerAddress } from '../../vendor/kafka/link.ts'
import { type GroupCommits, nobodyOf } from './commits.ts'
import { replayStarts } from './replay-end.ts'
import type { Follower, ReplayOf } from './seat.ts'

export interface StarterParts {
  readonly topic: string
  readonly cluster: Cluster
  readonly starts: StartParts
  readonly commits: GroupCommits
  readonly clock: Clock
  readonly random: Random
  readonly health: Health
  readonly signal: AbortSignal
  owns(lane: LaneId): boolean
  /** Whether we are the one of the group who lets new subscriptions begin: the owner of this lane; anybody before there is a group. */
  begins(lane: LaneId): boolean
  /** The follower is read from there. */
  begin(f: Follower, starts: readonly StartOffset[]): void
  /** A start is being looked for: what is appended from now on must come after it. Called in pairs. */
  starting(): void
  started(): void
}

/** Appends wait so long for the start of a subscription that came before them. */
const START_MS = 5_000

/** Finds out where the group of a subscription stands, and lets a new one begin, durably, before anything is read. */
export class Starter {
  readonly #o: StarterParts

  constructor(o: StarterParts) {
    this.#o = o
  }

  /** Looks until it is known for everything that is ours. `isNew`: it has just come, and appends wait for its start. */
  load(f: Follower, isNew: boolean): void {
    f.loadAgain = true
    if (f.loading) return
    f.loading = true
    let held = isNew
    if (isNew) this.#o.starting()
    const release = (): void => {
      if (held) this.#o.started()
      held = false
    }
    void this.#work(f, release).finally(() => {
      f.loading = false
      release()
    })
  }

  async #work(f: Follower, release: () => void): Promise<void> {
    const o = this.#o
    const backoff = new Backoff(50, 3_000, o.random)
    const sinceMs = o.clock.now()
    while (f.loadAgain && f.attached && !o.signal.aborted) {
      f.loadAgain = false
      const ok = await this.once(f).catch((e: unknown) => {
        o.health.bad(`start ${f.key}`, 'OffsetsUnavailable', messageOf(e))
        o.cluster.refreshSoon()
        return false
      })
      if (ok || f.taken || o.clock.now() - sinceMs > START_MS) release()
      if (ok) o.health.good(`start ${f.key}`)
      else {
        f.loadAgain = true
        await sleep(o.clock, backoff.nextMs(), o.signal).catch(() => {})
      }
    }
  }

  /** Looks until it is known once; rejects when the stream is closed. */
  async surely(f: Follower): Promise<void> {
    const { clock, random, signal } = this.#o
    const backoff = new Backoff(50, 1_000, random)
    while (f.attached && !(await this.once(f).catch(() => false))) await sleep(clock, backoff.nextMs(), signal)
  }

  /** One look; false = not now. */
  async once(f: Follower): Promise<boolean> {
    const { topic, cluster, starts, commits } = this.#o
    const partitions = cluster.topic(topic)?.partitions.map((_, i) => i) ?? []
    if (partitions.length === 0) {
      await cluster.refresh()
      // What will be in it comes after the subscription, all of it.
      if (cluster.topic(topic)?.code === CODE.unknownTopicOrPartition) f.beforeTopic = true
      return false
    }
    await Promise.all(commits.forgetting)
    const all = [...starts.lanes.all([{ topic, partitions }])]
    const at = await commits.coordinator(f)
    if (at === null) return false
    if (f.replay !== null) return this.#replay(f, f.replay, at)
    if (!this.#o.begins(starts.lanes.of(topic, 0)) && !(await this.#begun(at, f, partitions))) return false
    const nobody = nobodyOf(f.group)
    const seen = new Set(f.beforeTopic ? [topic] : [])
    const found = await startOffsets(starts, at, nobody, all, firstStart(f.from, 'latest'), seen).catch((e: unknown) => {
      f.coordinator = null
      throw e
    })
    const ours = found.filter((s) => this.#o.owns(s.lane) && f.seats[s.lane] === undefined)
    if (ours.length === 0) return true
    // Said once more: this renews them, and a group that has members refuses it.
    const entries = ours.map((s) => ({ topic, partition: starts.lanes.partition(s.lane), offset: s.offset, metadata: s.text }))
    const codes = await commits.commit(f, entries)
    if (codes.some((c) => c !== CODE.none)) return false
    this.#o.begin(f, ours)
    return true
  }

  /** Its beginning was settled by whoever began it; without one it is over already. */
  async #replay(f: Follower, replay: ReplayOf, at: BrokerAddress): Promise<boolean> {
    const found = await replayStarts(this.#o.starts, at, f.group, replay.begunMs)
    if (found.length === 0) replay.over = true
    for (const { lane, end } of found) replay.ends.set(lane, end)
    this.#o.begin(
      f,
      found.filter((s) => this.#o.owns(s.lane) && f.seats[s.lane] === undefined),
    )
    return true
  }

  /** Whether the group stands anywhere. */
  async #begun(at: BrokerAddress, f: Follower, partitions: readonly number[]): Promise<boolean> {
    const { topic, starts } = this.#o
    const { offsets } = await readCommitted(starts.link, at, f.group, [{ topic, partitions }])
    return offsets.some((o) => o.offset >= 0)
  }
}

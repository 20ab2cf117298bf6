import type { FoundReplay, Start } from '../../contract/feed.ts'
import type { Key, LaneId } from '../../contract/ids.ts'
import { Fault } from '../../runtime/errors.ts'
import type { Clock } from '../../runtime/clock.ts'
import { offsetsAt, type StartParts } from '../../sources/kafka/starts.ts'
import {
  type CommitEntry,
  commitOffsets,
  deleteGroup,
  EARLIEST,
  findCoordinator,
  LATEST,
  readCommitted,
} from '../../vendor/kafka/calls.ts'
import { CODE, codeName } from '../../vendor/kafka/codes.ts'
import { type BrokerAddress, troubleOf } from '../../vendor/kafka/link.ts'
import type { Bounds } from './bounds.ts'
import { type GroupCommits, nobodyOf } from './commits.ts'
import { encodeEnd, replayStarts } from './replay-end.ts'
import type { Follower } from './seat.ts'
import { sharedGroup } from './settings.ts'

export interface ReplaysParts {
  readonly topic: string
  readonly starts: StartParts
  readonly commits: GroupCommits
  readonly bounds: Bounds
  readonly clock: Clock
  readonly followers: ReadonlyMap<Key, Follower>
  /** Partitions that are ours. */
  owned(): ReadonlySet<LaneId>
  groupOf(key: Key): string
}

/** What the gateways tell each other of one replay: its key is the subscription's and the name. */
type Told = readonly [of: Key, name: string, begunMs: number]

/** Whether a replay is over everywhere is asked of Kafka at most so often. */
const LOOK_MS = 1_000
/** Brokers refuse longer metadata. */
const MOST_TOLD = 4_000

/**
 * Second readers of single subscriptions, each with a consumer group of its own: `<group>.replay-<n>`. Its offsets hold the
 * position and the end of every partition, so that whoever owns a partition reads its part, also after a rebalance:
 *
 *   begin ─▶ offsets of all partitions ─▶ told in `sluice.<topic>.replays` ─▶ found by the others of the group
 *     each reads what it owns ─▶ every partition is at its end ─▶ through ─▶ the group is deleted
 */
export class Replays {
  readonly #o: ReplaysParts
  readonly #told: string
  #found: readonly Told[] = []
  /** Those that have ended here: what others still tell of them is old. */
  readonly #over = new Set<string>()
  #telling = false

  constructor(o: ReplaysParts) {
    this.#o = o
    this.#told = `${sharedGroup(o.topic)}.replays`
  }

  groupOf(key: Key, of: Key): string {
    return `${this.#o.groupOf(of)}.${key.slice(of.length + 1)}`
  }

  found(): readonly FoundReplay[] {
    return this.#found.map(([of, name, begunMs]) => ({ key: `${of}~${name}`, of, end: String(begunMs) }))
  }

  async begin(key: Key, of: Key, from: Start): Promise<{ readonly end: string; readonly events: number } | null> {
    const o = this.#o
    const { starts, topic } = o
    const refuse = (why: string): never => {
      throw new Fault('admin.refused', `${of} cannot be replayed: ${why}`)
    }
    const partitions = starts.cluster.topic(topic)?.partitions.map((_, i) => i) ?? []
    if (partitions.length === 0) return refuse(`topic ${topic} is not there`)
    if (o.owned().size === 0)
      return refuse('this gateway reads no partition at the moment; begin it at another gateway, or in a moment')
    try {
      const group = this.groupOf(key, of)
      const at = await this.#coordinator(group)
      if ((await replayStarts(starts, at, group, 0)).length > 0) return null
      const lanes = [...starts.lanes.all([{ topic, partitions }])]
      const first = await offsetsAt(starts, lanes, EARLIEST)
      const ends = await offsetsAt(starts, lanes, LATEST)
      const wished = await o.bounds.at(from, lanes)
      const begunMs = o.clock.wall()
      let events = 0
      const entries = lanes.map((lane): CommitEntry => {
        const end = ends.get(lane) ?? 0
        const offset = Math.min(end, Math.max(first.get(lane) ?? 0, wished.get(lane) ?? end))
        events += end - offset
        return { topic, partition: starts.lanes.partition(lane), offset, metadata: encodeEnd(end, begunMs, '') }
      })
      const bad = (await commitOffsets(starts.link, at, nobodyOf(group), entries)).find((c) => c !== CODE.none)
      if (bad !== undefined) return refuse(`its beginning cannot be committed to group ${group}: ${codeName(bad)}`)
      return { end: String(begunMs), events }
    } catch (e) {
      if (e instanceof Fault) throw e
      return refuse(troubleOf(e).message)
    }
  }

  /** `end` is what `begin` said of a replay: when it was begun. */
  through(f: Follower | undefined): boolean {
    const replay = f?.replay
    if (f === undefined || replay == null || replay.over) return true
    for (const seat of f.seats) if (seat !== undefined && seat.tracker.committable < seat.until) return false
    const nowMs = this.#o.clock.now()
    if (nowMs - replay.lookedMs > LOOK_MS) {
      replay.lookedMs = nowMs
      void this.#isOver(f).then(
        (over) => (replay.over ||= over),
        () => {},
      )
    }
    return false
  }

  /** Its group is about to be deleted. */
  ended(f: Follower): void {
    if (f.replay !== null) this.#over.add(idOf(f))
  }

  /** Every few seconds: hears what others began, tells what runs here. Only owners tell, each in the places of its partitions. */
  async tick(): Promise<void> {
    const o = this.#o
    const partitions = o.starts.cluster.topic(o.topic)?.partitions.map((_, i) => i) ?? []
    if (this.#telling || partitions.length === 0 || o.owned().size === 0) return
    this.#telling = true
    try {
      const at = await this.#coordinator(this.#told)
      const { offsets } = await readCommitted(o.starts.link, at, this.#told, [{ topic: o.topic, partitions }])
      const said = offsets.filter((c) => c.code === CODE.none && c.offset >= 0)
      this.#found = [...new Map(said.flatMap((c) => readTold(c.metadata)).map((t) => [t.join(' '), t])).values()].filter(
        (t) => o.followers.has(t[0]) && !this.#over.has(t.join(' ')),
      )
      await this.#tell(at, said)
    } catch {
      // Kafka is away: reading says so already.
    } finally {
      this.#telling = false
    }
  }

  async #tell(at: BrokerAddress, said: readonly { readonly partition: number; readonly metadata: string }[]): Promise<void> {
    const o = this.#o
    const { lanes, link } = o.starts
    const wanted = new Map(this.#found.map((t) => [t.join(' '), t]))
    for (const f of o.followers.values()) {
      if (f.replay === null || !f.attached || f.replay.over) continue
      wanted.set(idOf(f), [f.replay.of, f.key.slice(f.replay.of.length + 1), f.replay.begunMs])
    }
    if (wanted.size === 0) {
      if (said.length > 0 && said.every((c) => readTold(c.metadata).every((t) => this.#over.has(t.join(' '))))) {
        await deleteGroup(link, at, this.#told)
        this.#over.clear()
      }
      return
    }
    const text = JSON.stringify([...wanted.keys()].toSorted().map((id) => wanted.get(id)))
    if (text.length > MOST_TOLD) return
    const stands = new Map(said.map((c) => [c.partition, c.metadata]))
    const mine = lanes.grouped(o.owned()).flatMap((t) => (t.topic === o.topic ? t.partitions : []))
    const entries = mine
      .filter((partition) => stands.get(partition) !== text)
      .map((partition) => ({ topic: o.topic, partition, offset: 0, metadata: text }))
    if (entries.length > 0) await commitOffsets(link, at, nobodyOf(this.#told), entries)
  }

  async #isOver(f: Follower): Promise<boolean> {
    const o = this.#o
    if (f.replay === null || !(await o.commits.now([f]))) return false
    const at = await o.commits.coordinator(f)
    if (at === null) return false
    const all = await replayStarts(o.starts, at, f.group, f.replay.begunMs)
    return all.every((s) => s.offset >= s.end)
  }

  async #coordinator(group: string): Promise<BrokerAddress> {
    const { link, cluster } = this.#o.starts
    const found = await findCoordinator(link, cluster.anyBroker(), group)
    if (found.code !== CODE.none) throw new Error(`nobody coordinates group ${group}: ${codeName(found.code)}`)
    return found.at
  }
}

function idOf(f: Follower): string {
  return f.replay === null ? '' : [f.replay.of, f.key.slice(f.replay.of.length + 1), f.replay.begunMs].join(' ')
}

function readTold(text: string): readonly Told[] {
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) ? value.filter(isTold) : []
  } catch {
    return []
  }
}

function isTold(value: unknown): value is Told {
  if (!Array.isArray(value) || value.length !== 3) return false
  return typeof value[0] === 'string' && typeof value[1] === 'string' && Number.isSafeInteger(value[2])
}

import type { Clock } from '../../../runtime/clock.ts'
import type { Log } from '../../../runtime/log.ts'
import { decodeRuns, encodeRuns } from '../../../sources/kafka/settled-runs.ts'
import { type CommitEntry, readCommitted } from '../../../vendor/kafka/calls.ts'
import { CODE, codeName, isForbidden } from '../../../vendor/kafka/codes.ts'
import type { KafkaLink } from '../../../vendor/kafka/link.ts'
import { deleteRecords } from '../../../vendor/kafka/topics.ts'
import type { GroupCommits } from '../commits.ts'
import type { Follower } from '../seat.ts'
import type { RetrySeat, RetryStart } from './retry-seat.ts'
import type { KeptTopics } from './topics.ts'

export interface RetryCommitParts {
  readonly link: KafkaLink
  readonly commits: GroupCommits
  readonly topics: KeptTopics
  readonly clock: Clock
  readonly log: Log
}

/** Offsets of a group without members expire after a week (`offsets.retention.minutes`), also where nothing happens. */
const RENEW_MS = 6 * 3_600_000
/** What is settled is deleted so often: the topic keeps no history, and a group whose offsets have expired begins behind it. */
const DELETE_MS = 30_000

interface Said {
  readonly seat: RetrySeat
  readonly version: number
  readonly entry: CommitEntry
}

/** Tells the group of each subscription what is settled of its retry topic, and empties the topic up to there. */
export class RetryCommits {
  readonly #o: RetryCommitParts
  readonly #running = new Map<Follower, Promise<boolean>>()
  #deletedMs = -Infinity
  #mayDelete = true
  #offsetsOnly = false

  constructor(o: RetryCommitParts) {
    this.#o = o
  }

  /** Where the group stands in its retry topic, by partition; what it never committed begins at the beginning. Rejects when not now. */
  async read(f: Follower, topic: string, partitions: readonly number[]): Promise<ReadonlyMap<number, RetryStart>> {
    const { commits, link, clock } = this.#o
    const at = await commits.coordinator(f)
    if (at === null) throw new Error(`nobody coordinates group ${f.group}`)
    const { code, offsets } = await readCommitted(link, at, f.group, [{ topic, partitions }])
    const bad = [code, ...offsets.map((o) => o.code)].find((c) => c !== CODE.none)
    if (bad !== undefined) throw new Error(`offsets of ${topic} cannot be read: ${codeName(bad)}`)
    return new Map(
      offsets.map((o) => {
        const offset = Math.max(0, o.offset)
        return [o.partition, { offset, settled: decodeRuns(offset, o.metadata), text: o.metadata, atMs: clock.now() }]
      }),
    )
  }

  tick(seats: readonly RetrySeat[]): void {
    for (const [f, list] of byFollower(seats)) if (!this.#running.has(f)) void this.#start(f, list)
    const nowMs = this.#o.clock.now()
    if (nowMs - this.#deletedMs < DELETE_MS) return
    this.#deletedMs = nowMs
    void this.#empty(seats).catch(() => {})
  }

  async now(seats: readonly RetrySeat[]): Promise<boolean> {
    const all = [...byFollower(seats)].map(async ([f, list]) => {
      while (this.#running.has(f)) await this.#running.get(f)
      return this.#start(f, list)
    })
    return (await Promise.all(all)).every((ok) => ok)
  }

  #start(f: Follower, seats: readonly RetrySeat[]): Promise<boolean> {
    const said = this.#collect(seats)
    if (said.length === 0) return Promise.resolve(true)
    const running = this.#commit(f, said)
      .catch(() => false)
      .finally(() => this.#running.delete(f))
    this.#running.set(f, running)
    return running
  }

  #collect(seats: readonly RetrySeat[]): Said[] {
    const nowMs = this.#o.clock.now()
    const said: Said[] = []
    for (const seat of seats) {
      const { tracker } = seat
      const renew = nowMs - seat.committedAtMs > RENEW_MS
      // What was merely read is no news: the position moves when something is settled.
      if (!renew && (!seat.touched || tracker.version === seat.committedVersion)) continue
      seat.touched = false
      const offset = tracker.committable
      const metadata = this.#offsetsOnly ? '' : encodeRuns(offset, tracker.settledAbove())
      const entry = { topic: seat.topic, partition: seat.partition, offset, metadata }
      if (!renew && offset === seat.committed && metadata === seat.committedText) seat.committedVersion = tracker.version
      else said.push({ seat, version: tracker.version, entry })
    }
    return said
  }

  async #commit(f: Follower, said: readonly Said[]): Promise<boolean> {
    const { commits, clock } = this.#o
    for (const s of said) s.seat.touched = true
    const codes = await commits.commit(
      f,
      said.map((s) => s.entry),
    )
    let ok = true
    for (const [i, { seat, entry, version }] of said.entries()) {
      const code = codes[i] ?? CODE.none
      if (code === CODE.offsetMetadataTooLarge) this.#offsetsOnly = true
      ok &&= code === CODE.none
      if (code !== CODE.none) continue
      seat.committed = entry.offset
      seat.committedText = entry.metadata
      seat.committedVersion = version
      seat.committedAtMs = clock.now()
    }
    return ok
  }

  async #empty(seats: readonly RetrySeat[]): Promise<void> {
    const { topics, link, log } = this.#o
    for (const seat of seats) {
      const below = seat.committed
      const address = topics.broker(topics.leader(seat.topic, seat.partition))
      if (!this.#mayDelete || below <= seat.deletedBelow || address === undefined) continue
      const code = await deleteRecords(link, address, [{ topic: seat.topic, partitions: [seat.partition], offsets: [below] }])
      if (code === CODE.none) seat.deletedBelow = below
      else if (isForbidden(code)) {
        this.#mayDelete = false
        log.warn('what is settled of the retry topics stays in them: it may not be deleted', { error: codeName(code) })
      }
    }
  }
}

function byFollower(seats: readonly RetrySeat[]): Map<Follower, RetrySeat[]> {
  const map = new Map<Follower, RetrySeat[]>()
  for (const seat of seats) {
    const list = map.get(seat.follower)
    if (list === undefined) map.set(seat.follower, [seat])
    else list.push(seat)
  }
  return map
}

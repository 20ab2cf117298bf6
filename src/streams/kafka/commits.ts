import type { Clock } from '../../runtime/clock.ts'
import type { Log } from '../../runtime/log.ts'
import { REASONS } from '../../sources/kafka/cluster.ts'
import type { Health } from '../../sources/kafka/health.ts'
import { encodeRuns } from '../../sources/kafka/settled-runs.ts'
import { type CommitEntry, commitOffsets, deleteGroup, findCoordinator, type Membership } from '../../vendor/kafka/calls.ts'
import { CODE, codeName, isLostCoordinator, isLostMembership } from '../../vendor/kafka/codes.ts'
import { type BrokerAddress, type KafkaLink, troubleOf } from '../../vendor/kafka/link.ts'
import { encodeEnd } from './replay-end.ts'
import type { Follower, KafkaSeat } from './seat.ts'

export interface GroupCommitParts {
  readonly link: KafkaLink
  readonly clock: Clock
  readonly health: Health
  readonly log: Log
  anyBroker(): BrokerAddress
  /** The partitions are ours at this moment: nobody else commits them. */
  owner(): boolean
}

/** Offsets of a group without members expire after a week (`offsets.retention.minutes`), also where nothing happens. */
const RENEW_MS = 6 * 3_600_000
/** What only passed by is told so often: nobody loses anything by reading it once more. */
const PASSED_EVERY = 5

interface Said {
  readonly seat: KafkaSeat
  readonly version: number
  readonly entry: CommitEntry
}

/** Nobody: Kafka takes such a commit only for a group that has no members. */
export function nobodyOf(group: string): Membership {
  return { group, memberId: '', generation: -1 }
}

/** Tells the group of every subscription what is settled, as Knative's dispatcher would, so that either can go on after the other. */
export class GroupCommits {
  /** Groups that are being deleted: one of the same name begins after that. */
  readonly forgetting = new Set<Promise<void>>()
  readonly #o: GroupCommitParts
  #ticks = 0
  #offsetsOnly = false

  constructor(o: GroupCommitParts) {
    this.#o = o
  }

  /** Every second. */
  tick(followers: Iterable<Follower>): void {
    const all = ++this.#ticks % PASSED_EVERY === 0
    for (const f of followers) if (f.committing === null) void this.#start(f, all)
  }

  /** Resolves true once everything settled before the call is committed, for all of them. */
  async now(followers: Iterable<Follower>): Promise<boolean> {
    const all = await Promise.all([...followers].map((f) => this.#settled(f)))
    return all.every((ok) => ok)
  }

  async #settled(f: Follower): Promise<boolean> {
    while (f.committing !== null) await f.committing
    return this.#start(f, true)
  }

  #start(f: Follower, all: boolean): Promise<boolean> {
    const said = this.#collect(f, all)
    if (said.length === 0) return Promise.resolve(true)
    const running = this.#commit(f, said).finally(() => {
      f.committing = null
    })
    f.committing = running
    return running
  }

  #collect(f: Follower, all: boolean): Said[] {
    const nowMs = this.#o.clock.now()
    const said: Said[] = []
    for (const seat of f.seats) {
      if (seat === undefined || !(all || seat.touched)) continue
      seat.catchUp()
      seat.touched = false
      const { tracker, partition: p } = seat
      const renew = nowMs - seat.committedAtMs > RENEW_MS
      if (tracker.version === seat.committedVersion && !renew) continue
      const offset = tracker.committable
      const runs = this.#offsetsOnly ? '' : encodeRuns(offset, tracker.settledAbove())
      const metadata = f.replay === null ? runs : encodeEnd(seat.until, f.replay.begunMs, runs)
      if (offset === seat.committed && metadata === seat.committedText && !renew) seat.committedVersion = tracker.version
      else said.push({ seat, version: tracker.version, entry: { topic: p.topic, partition: p.partition, offset, metadata } })
    }
    return said
  }

  async #commit(f: Follower, said: readonly Said[]): Promise<boolean> {
    const o = this.#o
    if (!o.owner()) return this.#failed(said)
    let codes: readonly number[]
    try {
      codes = await this.commit(
        f,
        said.map((s) => s.entry),
      )
    } catch (e) {
      const trouble = troubleOf(e)
      o.health.bad('commit', REASONS[trouble.reason], `offsets cannot be committed: ${trouble.message}`)
      return this.#failed(said)
    }
    let ok = true
    for (const [i, s] of said.entries()) {
      const code = codes[i] ?? CODE.none
      if (code === CODE.none) this.#done(s)
      else {
        ok = false
        s.seat.touched = true
        if (code === CODE.offsetMetadataTooLarge) this.#offsetsOnly = true
      }
    }
    if (ok) o.health.good('commit')
    return ok
  }

  #failed(said: readonly Said[]): false {
    for (const s of said) s.seat.touched = true
    return false
  }

  #done({ seat, entry, version }: Said): void {
    seat.committed = entry.offset
    seat.committedText = entry.metadata
    seat.committedVersion = version
    seat.committedAtMs = this.#o.clock.now()
  }

  /** One request in the name of nobody. A group that has members refuses it; throws when there is no answer. */
  async commit(f: Follower, entries: readonly CommitEntry[]): Promise<readonly number[]> {
    const at = await this.coordinator(f)
    if (at === null) return entries.map(() => CODE.coordinatorNotAvailable)
    const codes = await commitOffsets(this.#o.link, at, nobodyOf(f.group), entries).catch((e: unknown) => {
      f.coordinator = null
      throw e
    })
    const bad = codes.find((c) => c !== CODE.none) ?? CODE.none
    if (isLostCoordinator(bad)) f.coordinator = null
    this.#tell(f, bad)
    return codes
  }

  /** Whether others are in the group is known from how it answers a commit. */
  #tell(f: Follower, code: number): void {
    const part = `group ${f.group}`
    const { health } = this.#o
    f.taken = isLostMembership(code) || code === CODE.rebalanceInProgress
    if (f.taken) {
      const message = `group ${f.group} of ${f.key} has members, so another dispatcher delivers it: stop that one, and Sluice goes on where it stood`
      health.bad(part, 'GroupHasMembers', message)
    } else if (code === CODE.none || isLostCoordinator(code) || code === CODE.offsetMetadataTooLarge) health.good(part)
    else health.bad(part, 'CommitRefused', `offsets of ${f.key} cannot be committed: ${codeName(code)}`)
  }

  async coordinator(f: Follower): Promise<BrokerAddress | null> {
    if (f.coordinator !== null) return f.coordinator
    const found = await findCoordinator(this.#o.link, this.#o.anyBroker(), f.group)
    if (found.code !== CODE.none) return null
    f.coordinator = found.at
    return found.at
  }

  /** The group goes with the subscription. */
  forget(f: Follower): void {
    const gone = this.#delete(f)
      .catch((error: unknown) => this.#o.log.warn('a consumer group stays', { group: f.group, error }))
      .finally(() => this.forgetting.delete(gone))
    this.forgetting.add(gone)
  }

  async #delete(f: Follower): Promise<void> {
    while (f.committing !== null) await f.committing
    const at = await this.coordinator(f)
    if (at !== null) await deleteGroup(this.#o.link, at, f.group)
  }
}

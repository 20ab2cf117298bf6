import type { Clock } from '../../runtime/clock.ts'
import { type CommitEntry, commitOffsets } from '../../vendor/kafka/calls.ts'
import { CODE, codeName, isLostCoordinator, isLostMembership } from '../../vendor/kafka/codes.ts'
import { type KafkaLink, troubleOf } from '../../vendor/kafka/link.ts'
import { REASONS } from './cluster.ts'
import type { Health } from './health.ts'
import type { GroupMember } from './member.ts'
import type { Partition } from './partition.ts'
import { encodeRuns } from './settled-runs.ts'

/** Offsets of a group expire after a week (`offsets.retention.minutes`), also of partitions where nothing happens. */
const RENEW_MS = 6 * 3_600_000

export interface CommitParts {
  readonly link: KafkaLink
  readonly clock: Clock
  readonly health: Health
  readonly member: GroupMember
  /** Those that are ours at this moment. */
  partitions(): readonly Partition[]
}

interface Said {
  readonly p: Partition
  readonly entry: CommitEntry
  readonly version: number
}

/** Tells the group what is settled: one request for all partitions, one at a time, naming only what is owned. */
export class Commits {
  readonly #o: CommitParts
  #running: Promise<boolean> | null = null
  /** The broker takes less metadata than we want to say; then it is told offsets alone. */
  #offsetsOnly = false

  constructor(o: CommitParts) {
    this.#o = o
  }

  /** Every second. Does nothing while the one before has not been answered. */
  tick(): void {
    if (this.#running === null) void this.#start()
  }

  /** Resolves true once everything settled before the call is committed, false when that could not be had now. */
  async now(): Promise<boolean> {
    // The one under way was put together before the call.
    while (this.#running !== null) await this.#running
    return this.#start()
  }

  #start(): Promise<boolean> {
    this.#running = this.#commit().finally(() => {
      this.#running = null
    })
    return this.#running
  }

  async #commit(): Promise<boolean> {
    const o = this.#o
    const said = this.#collect()
    if (said.length === 0) return true
    const membership = o.member.membership
    const at = o.member.coordinator
    if (membership === null || at === null) return false
    let codes: readonly number[]
    try {
      codes = await commitOffsets(
        o.link,
        at,
        membership,
        said.map((s) => s.entry),
      )
    } catch (e) {
      const trouble = troubleOf(e)
      o.health.bad('commit', REASONS[trouble.reason], `offsets cannot be committed: ${trouble.message}`)
      if (at === o.member.coordinator) o.member.coordinatorSilent()
      return false
    }
    let ok = true
    for (const [i, s] of said.entries()) {
      const code = codes[i] ?? CODE.none
      if (code === CODE.none) this.#done(s)
      else {
        ok = false
        this.#refused(code)
      }
    }
    const bad = codes.find((c) => c !== CODE.none)
    if (bad === undefined) o.health.good('commit')
    else o.member.report(bad, membership)
    return ok
  }

  #collect(): Said[] {
    const nowMs = this.#o.clock.now()
    const said: Said[] = []
    for (const p of this.#o.partitions()) {
      const version = p.tracker.version
      const renew = nowMs - p.committedAtMs > RENEW_MS
      if (version === p.committedVersion && !renew) continue
      const offset = p.tracker.committable
      const metadata = this.#offsetsOnly ? '' : encodeRuns(offset, p.tracker.settledAbove())
      if (offset === p.committed && metadata === p.committedText && !renew) p.committedVersion = version
      else said.push({ p, version, entry: { topic: p.topic, partition: p.partition, offset, metadata } })
    }
    return said
  }

  #done({ p, entry, version }: Said): void {
    p.committed = entry.offset
    p.committedText = entry.metadata
    p.committedVersion = version
    p.committedAtMs = this.#o.clock.now()
  }

  #refused(code: number): void {
    if (code === CODE.offsetMetadataTooLarge) this.#offsetsOnly = true
    // A group that is on the move, or that we have to join again, is not trouble but its daily life.
    else if (code !== CODE.rebalanceInProgress && !isLostMembership(code) && !isLostCoordinator(code))
      this.#o.health.bad('commit', 'CommitRefused', `offsets cannot be committed: ${codeName(code)}`)
  }
}

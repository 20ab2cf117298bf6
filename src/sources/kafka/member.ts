import type { LaneId } from '../../contract/ids.ts'
import { type Clock, sleep, type Timer } from '../../runtime/clock.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import { assign, COOPERATIVE_STICKY, decodeAssignment, encodeSubscription } from '../../vendor/kafka/assignment.ts'
import { findCoordinator, heartbeat, joinGroup, leaveGroup, type Membership, syncGroup } from '../../vendor/kafka/calls.ts'
import { CODE, codeName, isLostCoordinator, isLostMembership } from '../../vendor/kafka/codes.ts'
import { type BrokerAddress, type KafkaLink, troubleOf } from '../../vendor/kafka/link.ts'
import { type Cluster, REASONS } from './cluster.ts'
import { Backoff, type Health } from './health.ts'
import type { Lanes } from './lanes.ts'
import type { MemberNote } from './memberships.ts'
import type { KafkaOptions } from './settings.ts'

export interface MemberParts {
  readonly options: KafkaOptions
  readonly cluster: Cluster
  readonly lanes: Lanes
  /** For joins, which the broker answers only when all members are there. */
  readonly joinLink: KafkaLink
  readonly link: KafkaLink
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly health: Health
  readonly note: MemberNote
  /** Ours from now on. */
  assigned(lanes: readonly LaneId[]): void
  /** Wanted by others: they get them when this has resolved. Heartbeats go on meanwhile. */
  revoked(lanes: readonly LaneId[]): Promise<void>
  /** Somebody else's already. */
  lost(lanes: readonly LaneId[]): void
}

/** Why a member stops being content with its assignment. */
type Unrest = 'rejoin' | 'lost' | 'coordinator'

/**
 * Membership of one consumer group, cooperative (KIP-429):
 *
 *   apart ──join, sync──> settled ──(rebalance, new partitions)──> apart, owning what it owns
 *     ^                      │ assignment takes some away: give them back, then join again
 *     └──(membership lost: nothing is owned any more)
 *
 * Written here rather than taken from the library, because only so heartbeats go on while a revoke waits for what runs,
 * and a commit never joins a group on its own.
 */
export class GroupMember {
  /** What a commit names; null while the member belongs to no generation. */
  membership: Membership | null = null
  readonly #o: MemberParts
  readonly #backoff: Backoff
  #coordinator: BrokerAddress | null = null
  #memberId = ''
  #predecessor: string
  #owned = new Set<LaneId>()
  #generation = -1
  #beat: Timer | null = null
  #unrest: Unrest | null = null
  /** The last join was carried through; false also while one is under way. */
  #settled = false
  #stir: (() => void) | null = null

  constructor(o: MemberParts) {
    this.#o = o
    this.#backoff = new Backoff(200, 3_000, o.random)
    this.#predecessor = o.note.predecessor
  }

  get owned(): ReadonlySet<LaneId> {
    return this.#owned
  }

  get coordinator(): BrokerAddress | null {
    return this.#coordinator
  }

  /** Stays a member until the signal aborts; never gives up, never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const wake = (): void => this.#stir?.()
    signal.addEventListener('abort', wake)
    while (!signal.aborted) {
      const waitMs = await this.#round(signal)
      if (waitMs > 0) await sleep(this.#o.clock, waitMs, signal).catch(() => {})
    }
    signal.removeEventListener('abort', wake)
    this.#beat?.cancel()
  }

  /** The partitions of a topic are others than the assignment knew. */
  rejoin(): void {
    this.#disturb('rejoin')
  }

  /** The answer to a call that named `as`. What an older generation is told says nothing about this one. */
  report(code: number, as: Membership): void {
    if (as !== this.membership || !this.#settled) return
    if (isLostMembership(code)) this.#disturb('lost')
    else if (isLostCoordinator(code)) this.#disturb('coordinator')
    else if (code === CODE.rebalanceInProgress) this.#disturb('rejoin')
  }

  coordinatorSilent(): void {
    this.#disturb('coordinator')
  }

  async leave(): Promise<void> {
    const m = this.membership
    const at = this.#coordinator
    this.membership = null
    if (m === null || at === null) return
    await leaveGroup(this.#o.link, at, m)
    this.#o.note.write('')
  }

  /** One step of the drawing above; returns how long to wait before the next. */
  async #round(signal: AbortSignal): Promise<number> {
    const o = this.#o
    try {
      if (o.cluster.view === null) {
        if (!(await o.cluster.refresh())) return this.#backoff.nextMs()
        // How long the cluster was away says nothing about how soon its group answers.
        this.#backoff.reset()
      }
      if (this.#coordinator === null && !(await this.#find())) return this.#backoff.nextMs()
      if (!this.#settled || this.#unrest === 'rejoin') {
        this.#unrest = null
        const code = (await this.#succeed()) || (await this.#join(signal))
        if (code !== CODE.none) return this.#refused(code)
      } else this.#unrest = null
      o.health.good('group')
      this.#backoff.reset()
      await this.#untilUnrest(signal)
      return 0
    } catch (e) {
      if (signal.aborted) return 0
      const trouble = troubleOf(e)
      this.#coordinator = null
      o.health.bad('group', REASONS[trouble.reason], trouble.message)
      return this.#backoff.nextMs()
    }
  }

  async #find(): Promise<boolean> {
    const o = this.#o
    const found = await findCoordinator(o.link, o.cluster.anyBroker(), o.options.consumerGroup)
    if (found.code === CODE.none) {
      this.#coordinator = found.at
      return true
    }
    this.#refused(found.code)
    return false
  }

  /** Takes a member out that a process before this one has left in the group: it would hold its partitions until its session is over. */
  async #succeed(): Promise<number> {
    const at = this.#coordinator
    if (this.#predecessor === '' || at === null) return CODE.none
    const dead = { group: this.#o.options.consumerGroup, memberId: this.#predecessor, generation: -1 }
    const code = await leaveGroup(this.#o.link, at, dead)
    if (isLostCoordinator(code)) return code
    this.#predecessor = ''
    return CODE.none
  }

  /** Joins and applies the assignment; joins again at once after giving partitions back. */
  async #join(signal: AbortSignal): Promise<number> {
    const o = this.#o
    const at = this.#coordinator
    if (at === null) return CODE.coordinatorNotAvailable
    this.#settled = false
    this.#beat?.cancel()
    const group = o.options.consumerGroup
    const subscription = encodeSubscription(o.options.topics, o.lanes.grouped(this.#owned), this.#generation)
    const { sessionTimeoutMs, rebalanceTimeoutMs } = o.options
    const ask = {
      group,
      memberId: this.#memberId,
      sessionTimeoutMs,
      rebalanceTimeoutMs,
      protocol: COOPERATIVE_STICKY,
      subscription,
    }
    const joined = await joinGroup(o.joinLink, at, ask)
    if (joined.code === CODE.memberIdRequired) {
      this.#called(joined.memberId)
      return this.#join(signal)
    }
    if (joined.code !== CODE.none || signal.aborted) return joined.code
    this.#called(joined.memberId)
    this.#generation = joined.generation
    const membership = { group, memberId: joined.memberId, generation: joined.generation }
    const plans = joined.leader ? await this.#plan(joined.members) : []
    const synced = await syncGroup(o.joinLink, at, membership, joined.protocol, plans)
    if (synced.code !== CODE.none || signal.aborted) return synced.code
    this.membership = membership
    this.#beat = o.clock.every(o.options.heartbeatMs, () => void this.#heartbeat())
    return this.#apply(o.lanes.all(decodeAssignment(synced.assignment)), signal)
  }

  #called(memberId: string): void {
    this.#memberId = memberId
    this.#o.note.write(memberId)
  }

  async #plan(
    members: readonly { readonly memberId: string; readonly subscription: Buffer }[],
  ): Promise<ReturnType<typeof assign>> {
    // The leader decides by the partitions there are now; an old view only makes new ones wait for the next round.
    await this.#o.cluster.refresh()
    return assign(members, (topic) => this.#o.cluster.topic(topic)?.partitions.length ?? 0)
  }

  async #apply(now: ReadonlySet<LaneId>, signal: AbortSignal): Promise<number> {
    const o = this.#o
    const away = [...this.#owned].filter((lane) => !now.has(lane))
    const fresh = [...now].filter((lane) => !this.#owned.has(lane))
    o.log.info('the group has a new assignment', {
      generation: this.#generation,
      partitions: now.size,
      taken: fresh.length,
      given: away.length,
    })
    // What goes is not ours from here on: a take-over of it that is still under way ends by itself.
    this.#owned = new Set([...this.#owned].filter((lane) => now.has(lane)))
    if (away.length > 0) await o.revoked(away)
    if (this.membership === null) return CODE.illegalGeneration
    this.#owned = new Set(now)
    if (fresh.length > 0) o.assigned(fresh)
    if (away.length > 0 && !signal.aborted) return this.#join(signal)
    this.#settled = true
    return CODE.none
  }

  async #heartbeat(): Promise<void> {
    const m = this.membership
    const at = this.#coordinator
    if (m === null || at === null) return
    try {
      const code = await heartbeat(this.#o.link, at, m)
      this.report(code, m)
    } catch {
      // The broker may only be slow: the group decides by the session time-out. Somebody else may coordinate it now.
      if (at === this.#coordinator) this.#disturb('coordinator')
    }
  }

  #disturb(why: Unrest): void {
    if (why === 'lost') this.#loseAll()
    if (why === 'coordinator') this.#coordinator = null
    // A rejoin that is due must not be forgotten over the search for the coordinator.
    if (this.#unrest !== 'rejoin') this.#unrest = why
    this.#stir?.()
  }

  #untilUnrest(signal: AbortSignal): Promise<void> {
    if (this.#unrest !== null || signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      this.#stir = () => {
        this.#stir = null
        resolve()
      }
    })
  }

  #loseAll(): void {
    this.#beat?.cancel()
    this.#settled = false
    this.membership = null
    this.#generation = -1
    const lost = [...this.#owned]
    this.#owned = new Set()
    if (lost.length > 0) this.#o.lost(lost)
  }

  /** A join or a search was refused. Returns how long to wait. */
  #refused(code: number): number {
    if (code === CODE.rebalanceInProgress) {
      this.#unrest = 'rejoin'
      return 20
    }
    if (isLostMembership(code)) {
      if (code !== CODE.illegalGeneration) this.#memberId = ''
      this.#loseAll()
      return 20
    }
    this.#unrest = 'rejoin'
    const waitMs = this.#backoff.nextMs()
    if (isLostCoordinator(code)) {
      this.#coordinator = null
      // A new cluster takes a second to have its first coordinator; only what lasts is worth a word.
      if (waitMs > 1_000)
        this.#o.health.bad(
          'group',
          'GroupUnavailable',
          `nobody coordinates group ${this.#o.options.consumerGroup}: ${codeName(code)}`,
        )
    } else if (code === CODE.inconsistentGroupProtocol)
      this.#o.health.bad(
        'group',
        'GroupProtocol',
        `group ${this.#o.options.consumerGroup} has members that do not know the assignment protocol ${COOPERATIVE_STICKY}: stop them, or use another group`,
      )
    else if (code === CODE.groupAuthorizationFailed)
      this.#o.health.bad(
        'group',
        'GroupForbidden',
        `group ${this.#o.options.consumerGroup} may not be used with these credentials`,
      )
    else this.#o.health.bad('group', 'GroupRefused', `group ${this.#o.options.consumerGroup} cannot be joined: ${codeName(code)}`)
    return waitMs
  }
}

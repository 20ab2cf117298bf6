import type { Delivery, DetachedState, Undecodable } from '../../../contract/delivery.ts'
import type { Intake } from '../../../contract/feed.ts'
import type { Key, LaneId } from '../../../contract/ids.ts'
import type { CloudEvent } from '../../../event/event.ts'
import type { WrapOptions } from '../../../event/kafka.ts'
import { type Clock, sleep } from '../../../runtime/clock.ts'
import type { Log } from '../../../runtime/log.ts'
import type { Random } from '../../../runtime/random.ts'
import type { Cluster } from '../../../sources/kafka/cluster.ts'
import { Backoff, type Health } from '../../../sources/kafka/health.ts'
import type { Kv } from '../../../vendor/lmdb/kv.ts'
import type { KafkaLink } from '../../../vendor/kafka/link.ts'
import { GroupCommits } from '../commits.ts'
import type { Follower } from '../seat.ts'
import { aborted, within } from '../../../runtime/ending.ts'
import { Leftovers } from './leftovers.ts'
import { ParkedIndex } from './parked-index.ts'
import { type Parked, ParkedTopics } from './parked-topics.ts'
import { KeptReader } from './reader.ts'
import { type Origin, retryRecord } from './record.ts'
import { RetryCommits } from './retry-commits.ts'
import { RetryDelivery } from './retry-seat.ts'
import { RetryTopics } from './retry-topics.ts'
import { KeptTopics, parkedTopicOf, retryTopicOf } from './topics.ts'
import { KeptWriter } from './writer.ts'

export interface KeepingParts {
  /** For calls and appends, and for fetches, which may wait at the broker. */
  readonly links: { readonly call: KafkaLink; readonly fetch: KafkaLink }
  readonly cluster: Cluster
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly health: Health
  readonly main: string
  readonly wrap: WrapOptions
  readonly structured: boolean
  /** Of a batch of the main topic; 0 = as the broker has it for all. */
  readonly maxBatchBytes: number
  /** Names of groups of subscriptions of this stream begin with one of these. */
  readonly groupPrefixes: readonly string[]
  /** A store for the copy of what is parked; called when there is something. */
  readonly openIndex: () => Kv
}

/** How a wish to keep something ended: `refused` = this cluster does not let us have such topics. */
export type KeptHow = Parked | 'kept'

/** What waits long and what was given up, in topics of its own beside the main one. */
export class Keeping {
  readonly retry: RetryTopics
  readonly parked: ParkedTopics
  readonly #o: KeepingParts
  readonly #stop = new AbortController()
  readonly #topics: KeptTopics
  readonly #writer: KeptWriter
  readonly #reader: KeptReader
  readonly #index: ParkedIndex
  readonly #commits: GroupCommits
  readonly #leftovers: Leftovers

  constructor(intake: Intake, o: KeepingParts) {
    this.#o = o
    const { links, cluster, clock, log } = o
    const { signal } = this.#stop
    const link = links.call
    const changed = (): void => {
      this.retry.topicsChanged()
      this.parked.topicsChanged()
    }
    const topics = new KeptTopics({ ...o, link, signal, changed })
    this.#topics = topics
    this.#writer = new KeptWriter({ ...o, link, topics })
    this.#reader = new KeptReader({
      link: links.fetch,
      topics,
      clock,
      log,
      signal,
      partitions: () => [...this.retry.seats(), ...this.parked.partitions()],
    })
    this.#commits = new GroupCommits({
      link,
      clock,
      log,
      health: o.health,
      anyBroker: () => cluster.anyBroker(),
      owner: () => true,
    })
    this.#index = new ParkedIndex(o.openIndex, log)
    const reader = (): KeptReader => this.#reader
    const positions = new RetryCommits({ link, commits: this.#commits, topics, clock, log })
    this.retry = new RetryTopics(intake, { ...o, positions, topics, reader })
    this.parked = new ParkedTopics({ ...o, topics, writer: this.#writer, index: this.#index, reader })
    this.#leftovers = new Leftovers({ ...o, link, signal, found: (group) => void this.parked.follow(group, '') })
  }

  start(): void {
    this.#leftovers.start()
  }

  attached(f: Follower): void {
    this.#leftovers.taken(f.group)
    this.retry.attached(f)
    this.parked.follow(f.group, f.key)
  }

  /** Stores a delivery until it is due; `done` once. */
  keep(f: Follower, d: Delivery, state: DetachedState, done: (how: KeptHow) => void): void {
    const topic = retryTopicOf(f.group)
    const origin = this.#originOf(d)
    const record = retryRecord(d.event, state, origin, this.#o.structured)
    void this.#topics.ensure(topic, 'retry').then((wish) => {
      const partitions = this.#topics.get(topic)?.leaders.length ?? 0
      if (wish === 'refused') return done('refused')
      if (wish !== 'ready' || partitions === 0) return done('not now')
      this.#writer.append(topic, Math.max(0, origin.partition) % partitions, record, (w) => {
        if (w.kind === 'written') this.#reader.kick()
        done(w.kind === 'written' ? 'kept' : w.kind === 'refused' ? 'refused' : 'not now')
      })
    })
  }

  /** `key`: of the subscription it is parked for. */
  park(
    group: string,
    key: Key,
    what: { readonly event: CloudEvent | null; readonly undecodable: Undecodable | null; readonly state: DetachedState },
    origin: Origin,
    done: (how: Parked) => void,
  ): void {
    this.parked.park(group, { ...what, origin, subscription: key, parkedMs: this.#o.clock.wall() }, done)
  }

  parkDelivery(group: string, key: Key, d: Delivery, state: DetachedState, done: (how: Parked) => void): void {
    this.park(group, key, { event: d.event, undecodable: null, state }, this.#originOf(d), done)
  }

  /** Where a delivery was read first. */
  #originOf(d: Delivery): Origin {
    const { main: topic, cluster } = this.#o
    if (d instanceof RetryDelivery) return { ...d.origin, redelivery: d.redelivery }
    const { position: offset, redelivery } = d
    const partitions = cluster.topic(topic)?.partitions.length ?? 0
    // Lanes are partitions; what comes from the data folder has none and tells itself apart by the event.
    if (d.lane < partitions) return { topic, partition: d.lane, offset, redelivery }
    return { topic: `${d.event.source} ${d.event.id}`, partition: -1, offset: 0, redelivery }
  }

  originAt(lane: LaneId, offset: number): Origin {
    return { topic: this.#o.main, partition: lane, offset, redelivery: 0 }
  }

  /** Both topics go; the group as well unless somebody else deletes it. false = nothing was known of it. */
  forget(group: string, known: boolean): boolean {
    this.retry.forget(group)
    const had = this.parked.forget(group)
    const left = this.#leftovers.forget(group)
    if (!known && !had && !left) return false
    const names = [retryTopicOf(group), parkedTopicOf(group)]
    void this.#topics.delete(names).then(() => (known ? undefined : this.#leftovers.deleteGroup(group)))
    return true
  }

  // ---- partitions of the main topic

  taken(lanes: readonly LaneId[]): void {
    this.retry.taken(lanes)
  }

  leaving(lanes: readonly LaneId[]): LaneId[] {
    return this.retry.leaving(lanes)
  }

  async commitWithin(ms: number): Promise<void> {
    await within(this.#o.clock, ms, this.retry.commit())
  }

  gone(): void {
    this.retry.gone()
  }

  // ---- the end

  /** Resolves when everything settled so far is committed; rejects when the signal aborts first. */
  async flush(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(100, 1_000, this.#o.random)
    while (!(await this.retry.commit())) await sleep(this.#o.clock, backoff.nextMs(), signal)
  }

  /** Nothing is offered any more. */
  stop(): void {
    this.retry.stop()
  }

  async close(signal: AbortSignal): Promise<void> {
    this.stop()
    await this.#writer.close(signal)
    await Promise.race([this.flush(signal).catch(() => {}), aborted(signal)])
    this.#stop.abort()
    this.#topics.close()
    await this.#index.close().catch(() => {})
    await Promise.allSettled([this.#o.links.call.close(), this.#o.links.fetch.close()])
  }
}

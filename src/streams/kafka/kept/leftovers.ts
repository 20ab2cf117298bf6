import { type Clock, sleep } from '../../../runtime/clock.ts'
import type { Log } from '../../../runtime/log.ts'
import type { Random } from '../../../runtime/random.ts'
import type { Cluster } from '../../../sources/kafka/cluster.ts'
import { Backoff } from '../../../sources/kafka/health.ts'
import { deleteGroup, findCoordinator, type TopicPartitions } from '../../../vendor/kafka/calls.ts'
import { CODE, codeName } from '../../../vendor/kafka/codes.ts'
import type { BrokerAddress, KafkaLink } from '../../../vendor/kafka/link.ts'
import { groupsIn, listGroups } from '../../../vendor/kafka/topics.ts'

export interface LeftoverParts {
  readonly link: KafkaLink
  readonly cluster: Cluster
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly main: string
  readonly groupPrefixes: readonly string[]
  readonly signal: AbortSignal
  /** A group that stands in the main topic though no subscription of it is here. */
  found(group: string): void
}

/** Those of replays are no subscriptions. */
const OF_REPLAYS = /\.replay(s|-[^.]*)$/
/** Looked at, a broker; a cluster with more groups of other Brokers than this is searched no further. */
const MOST_GROUPS = 10_000
const GROUPS_AT_ONCE = 200
/** The subscriptions of the plan are attached by then: what nobody took is left over. */
const START_MS = 500

/**
 * Subscriptions that were removed while no gateway looked: their groups still stand in the main topic. What is parked of them
 * stays in sight, and `sluice purge` finds them.
 */
export class Leftovers {
  readonly #o: LeftoverParts
  readonly #groups = new Set<string>()
  readonly #attached = new Set<string>()
  #started = false

  constructor(o: LeftoverParts) {
    this.#o = o
  }

  start(): void {
    if (this.#started) return
    this.#started = true
    void this.#search().catch(() => {})
  }

  /** Its subscription is here. */
  taken(group: string): void {
    this.#attached.add(group)
    this.#groups.delete(group)
  }

  /** false = it is not left over. */
  forget(group: string): boolean {
    this.#attached.delete(group)
    return this.#groups.delete(group)
  }

  async deleteGroup(group: string): Promise<void> {
    const { link, cluster, log } = this.#o
    try {
      const { code, at } = await findCoordinator(link, cluster.anyBroker(), group)
      const deleted = code === CODE.none ? await deleteGroup(link, at, group) : code
      if (deleted !== CODE.none) log.warn('a consumer group stays', { group, error: codeName(deleted) })
    } catch (error) {
      log.warn('a consumer group stays', { group, error })
    }
  }

  async #search(): Promise<void> {
    const { clock, random, signal } = this.#o
    const backoff = new Backoff(START_MS, 30_000, random)
    while (!signal.aborted) {
      await sleep(clock, backoff.nextMs(), signal)
      if (await this.#look().catch(() => false)) return
    }
  }

  /** false = not now. */
  async #look(): Promise<boolean> {
    const { cluster, main } = this.#o
    const partitions = cluster.topic(main)?.partitions.map((_, i) => i) ?? []
    const brokers = [...(cluster.view?.brokers.values() ?? [])]
    if (partitions.length === 0 || brokers.length === 0) return false
    const found = await Promise.all(brokers.map((b) => this.#at(b, { topic: main, partitions })))
    for (const group of found.flat()) {
      if (this.#attached.has(group) || this.#groups.has(group)) continue
      this.#groups.add(group)
      this.#o.found(group)
    }
    return true
  }

  /** A broker lists the groups it coordinates: it is the one to ask for their offsets. */
  async #at(broker: BrokerAddress, topic: TopicPartitions): Promise<string[]> {
    const { link, groupPrefixes } = this.#o
    const { groups } = await listGroups(link, broker)
    const ours = groups.filter((g) => groupPrefixes.some((p) => g.startsWith(p)) && !OF_REPLAYS.test(g) && !this.#attached.has(g))
    const standing: string[] = []
    for (let i = 0; i < Math.min(ours.length, MOST_GROUPS); i += GROUPS_AT_ONCE)
      standing.push(...(await groupsIn(link, broker, ours.slice(i, i + GROUPS_AT_ONCE), topic)))
    return standing
  }
}

import { type Clock, sleep, type Timer } from '../../../runtime/clock.ts'
import { messageOf } from '../../../runtime/errors.ts'
import type { Log } from '../../../runtime/log.ts'
import type { Cluster } from '../../../sources/kafka/cluster.ts'
import { readMetadata } from '../../../vendor/kafka/calls.ts'
import { CODE, codeName, isForbidden } from '../../../vendor/kafka/codes.ts'
import { type TopicId, topicIdOf } from '../../../vendor/kafka/fetch.ts'
import type { BrokerAddress, KafkaLink } from '../../../vendor/kafka/link.ts'
import { deleteTopics, makeTopic } from '../../../vendor/kafka/topics.ts'

/** Topics that stand beside the main one. */
export type KeptKind = 'retry' | 'parked'

export function retryTopicOf(group: string): string {
  return `${group}.retry`
}
export function parkedTopicOf(group: string): string {
  return `${group}.parked`
}

export interface KeptTopic {
  readonly name: string
  readonly id: TopicId
  /** Node by partition, -1 = nobody at the moment. */
  readonly leaders: readonly number[]
}

export interface KeptTopicsParts {
  readonly link: KafkaLink
  readonly cluster: Cluster
  readonly clock: Clock
  readonly log: Log
  readonly main: string
  /** Of a batch of the main topic; 0 = as the broker has it for all. */
  readonly maxBatchBytes: number
  readonly signal: AbortSignal
  /** After each look: a topic may have come, gone, or moved. */
  changed(): void
}

/** How a wish for a topic ended. `refused`: nobody may make it or write it; `unavailable`: not now. */
export type Wish = 'ready' | 'refused' | 'unavailable'

const LOOK_MS = 10_000
const SOON_MS = 100
/** After a refusal it is tried again: rights are given while a gateway runs. */
const REFUSED_MS = 60_000
const APPEAR_MS = 5_000
/** More partitions spread the load no better: what waits long is little. */
const MOST_RETRY_PARTITIONS = 10
const DAY_MS = 86_400_000

/** Which topics beside the main one there are, who leads them, and the making and deleting of them. */
export class KeptTopics {
  readonly #o: KeptTopicsParts
  /** Those looked for; null = not there. */
  readonly #watched = new Map<string, KeptTopic | null>()
  readonly #refusedUntil = new Map<string, number>()
  readonly #making = new Map<string, Promise<Wish>>()
  readonly #deleting = new Map<string, Promise<void>>()
  #brokers: ReadonlyMap<number, BrokerAddress> = new Map()
  #timer: Timer | null = null
  #looking: Promise<void> | null = null
  #lookAgain = false
  #soon = false

  constructor(o: KeptTopicsParts) {
    this.#o = o
  }

  get(name: string): KeptTopic | undefined {
    return this.#watched.get(name) ?? undefined
  }

  broker(node: number): BrokerAddress | undefined {
    return this.#brokers.get(node) ?? this.#o.cluster.view?.brokers.get(node)
  }

  leader(name: string, partition: number): number {
    return this.get(name)?.leaders[partition] ?? -1
  }

  watch(names: readonly string[]): void {
    const fresh = names.filter((name) => !this.#watched.has(name))
    for (const name of fresh) this.#watched.set(name, null)
    if (fresh.length > 0) this.lookSoon()
  }

  lookSoon(): void {
    this.#soon = true
    if (this.#looking === null) this.#schedule()
  }

  /** A broker does not let us write it. */
  refuse(name: string, why: string): void {
    if (!this.#refused(name)) this.#o.log.warn('a topic for what waits long or is given up cannot be used', { topic: name, why })
    this.#refusedUntil.set(name, this.#o.clock.now() + REFUSED_MS)
  }

  /** Makes the topic unless it is there. */
  ensure(name: string, kind: KeptKind): Promise<Wish> {
    if (this.#refused(name)) return Promise.resolve('refused')
    if (this.get(name) !== undefined && !this.#deleting.has(name)) return READY
    let making = this.#making.get(name)
    if (making === undefined) {
      making = this.#make(name, kind)
        .catch((e: unknown): Wish => {
          this.#o.log.warn('a topic cannot be made at the moment', { topic: name, error: messageOf(e) })
          return 'unavailable'
        })
        .finally(() => this.#making.delete(name))
      this.#making.set(name, making)
    }
    return making
  }

  /** Those that are there go; resolves when the cluster has them no more, or does not let us. Never rejects. */
  async delete(names: readonly string[]): Promise<void> {
    const gone = this.#delete(names).catch((error: unknown) =>
      this.#o.log.warn('topics stay that were to be deleted', { topics: names, error }),
    )
    for (const name of names) this.#deleting.set(name, gone)
    await gone
    for (const name of names) this.#deleting.delete(name)
  }

  /** Until the deletion under way is over. */
  async settled(name: string): Promise<void> {
    await this.#deleting.get(name)
  }

  isDeleting(name: string): boolean {
    return this.#deleting.has(name)
  }

  close(): void {
    this.#timer?.cancel()
  }

  #refused(name: string): boolean {
    return (this.#refusedUntil.get(name) ?? 0) > this.#o.clock.now()
  }

  async #make(name: string, kind: KeptKind): Promise<Wish> {
    const { clock, cluster, link, log, signal } = this.#o
    this.#watched.set(name, this.#watched.get(name) ?? null)
    await this.#deleting.get(name)
    const partitions = cluster.topic(this.#o.main)?.partitions ?? []
    if (partitions.length === 0) return 'unavailable'
    const { code, message } = await makeTopic(link, cluster.anyBroker(), {
      name,
      partitions: kind === 'parked' ? 1 : Math.min(partitions.length, MOST_RETRY_PARTITIONS),
      replication: partitions[0]?.replicas ?? -1,
      configs: this.#configs(kind),
    })
    if (isForbidden(code)) {
      this.refuse(name, `it cannot be made: ${codeName(code)} ${message}`.trim())
      return 'refused'
    }
    if (code !== CODE.none && code !== CODE.topicAlreadyExists) throw new Error(`${codeName(code)} ${message}`)
    if (code === CODE.none) log.info('a topic was made for what waits long or is given up', { topic: name })
    const untilMs = clock.now() + APPEAR_MS
    for (; clock.now() < untilMs; await sleep(clock, SOON_MS / 2, signal)) {
      await this.look()
      const topic = this.get(name)
      if (topic !== undefined && topic.leaders.every((l) => l >= 0)) return 'ready'
    }
    return 'unavailable'
  }

  #configs(kind: KeptKind): Record<string, string> {
    const { maxBatchBytes } = this.#o
    const size = maxBatchBytes > 0 ? { 'max.message.bytes': String(maxBatchBytes) } : {}
    if (kind === 'retry') return { 'retention.ms': '-1', 'retention.bytes': '-1', 'cleanup.policy': 'delete', ...size }
    // Only closed segments are compacted, so that a removed entry is gone a day later.
    return { 'cleanup.policy': 'compact', 'segment.ms': String(DAY_MS), ...size }
  }

  async #delete(names: readonly string[]): Promise<void> {
    const { link, cluster, log } = this.#o
    for (const name of names) if (this.#watched.has(name)) this.#watched.set(name, null)
    const codes = await deleteTopics(link, cluster.anyBroker(), names)
    for (const [i, code] of codes.entries()) {
      if (code !== CODE.none && code !== CODE.unknownTopicOrPartition)
        log.warn('a topic stays that was to be deleted', { topic: names[i], error: codeName(code) })
    }
  }

  /** One look at all of them. Never rejects. */
  async look(): Promise<void> {
    this.#lookAgain = true
    this.#looking ??= this.#lookAll().finally(() => {
      this.#looking = null
      this.#schedule()
    })
    await this.#looking
  }

  async #lookAll(): Promise<void> {
    const { link, cluster, signal } = this.#o
    while (this.#lookAgain && !signal.aborted) {
      this.#lookAgain = this.#soon = false
      const names = [...this.#watched.keys()]
      const view = names.length === 0 ? null : await readMetadata(link, cluster.anyBroker(), names).catch(() => null)
      if (view === null) continue
      this.#brokers = view.brokers
      for (const name of names) {
        const t = view.topics.get(name)
        const there = t !== undefined && t.code === CODE.none && !this.#deleting.has(name)
        const leaders = there ? t.partitions.map((p) => p.leader) : []
        if (this.#watched.has(name)) this.#watched.set(name, there ? { name, id: topicIdOf(t.id), leaders } : null)
      }
      this.#o.changed()
    }
  }

  #schedule(): void {
    this.#timer?.cancel()
    if (this.#o.signal.aborted) return
    this.#timer = this.#o.clock.after(this.#soon ? SOON_MS : LOOK_MS, () => void this.look())
  }
}

const READY: Promise<Wish> = Promise.resolve('ready')

import type { Clock } from '../../runtime/clock.ts'
import type { Random } from '../../runtime/random.ts'
import type { TopicId } from '../../vendor/kafka/fetch.ts'
import type { KafkaLink } from '../../vendor/kafka/link.ts'
import { BrokerReader } from './broker-reader.ts'
import type { Cluster } from './cluster.ts'
import type { Health } from './health.ts'
import type { Partition } from './partition.ts'
import type { KafkaOptions } from './settings.ts'

export interface FetchingParts {
  readonly link: KafkaLink
  readonly cluster: Cluster
  readonly options: KafkaOptions
  readonly clock: Clock
  readonly random: Random
  readonly health: Health
  received(p: Partition): void
  refused(p: Partition, code: number): void
  answered(): void
}

/** One reader a broker, each with the partitions that broker leads at the moment. */
export class Fetching {
  readonly #o: FetchingParts
  readonly #readers = new Map<number, BrokerReader>()
  readonly #led = new Map<number, Partition[]>()
  readonly #byTopicId = new Map<TopicId, Partition[]>()
  #closed = false

  constructor(o: FetchingParts) {
    this.#o = o
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const r of this.#readers.values()) r.close()
    await this.#o.link.close()
  }

  /** What is ours, or who leads it, has changed. */
  index(partitions: Iterable<Partition>): void {
    this.#byTopicId.clear()
    for (const list of this.#led.values()) list.length = 0
    for (const p of partitions) {
      const node = this.#o.cluster.leader(p.topic, p.partition)
      if (p.topicId === '' || node < 0) continue
      this.#ledBy(node).push(p)
      let byNumber = this.#byTopicId.get(p.topicId)
      if (byNumber === undefined) this.#byTopicId.set(p.topicId, (byNumber = []))
      byNumber[p.partition] = p
    }
  }

  /** The partition may want more. */
  wake(p: Partition): void {
    const node = this.#o.cluster.leader(p.topic, p.partition)
    if (node >= 0) this.#reader(node).kick()
  }

  wakeAll(): void {
    for (const [node, list] of this.#led) if (list.length > 0) this.#reader(node).kick()
    // Readers that lead nothing any more take a turn too: that ends what they complain about.
    for (const [node, reader] of this.#readers) if (this.#ledBy(node).length === 0) reader.kick()
  }

  #ledBy(node: number): Partition[] {
    let list = this.#led.get(node)
    if (list === undefined) this.#led.set(node, (list = []))
    return list
  }

  #reader(node: number): BrokerReader {
    let reader = this.#readers.get(node)
    if (reader !== undefined) return reader
    const o = this.#o
    reader = new BrokerReader(node, {
      ...o,
      partitions: () => this.#ledBy(node),
      find: (topicId, partition) => this.#byTopicId.get(topicId)?.[partition],
      address: () => o.cluster.view?.brokers.get(node),
      stale: () => o.cluster.refreshSoon(),
    })
    if (this.#closed) reader.close()
    this.#readers.set(node, reader)
    return reader
  }
}

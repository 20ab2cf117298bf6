import type { LaneId } from '../../contract/ids.ts'
import type { TopicPartitions } from '../../vendor/kafka/calls.ts'

/** Numbers the partitions of all topics of a source, in the order they are first seen; a number is never reused. */
export class Lanes {
  readonly #byTopic = new Map<string, LaneId[]>()
  readonly #topics: string[] = []
  readonly #partitions: number[] = []

  of(topic: string, partition: number): LaneId {
    let lanes = this.#byTopic.get(topic)
    if (lanes === undefined) this.#byTopic.set(topic, (lanes = []))
    const known = lanes[partition]
    if (known !== undefined) return known
    const lane = this.#topics.length
    this.#topics.push(topic)
    this.#partitions.push(partition)
    lanes[partition] = lane
    return lane
  }

  topic(lane: LaneId): string {
    return this.#topics[lane] ?? ''
  }

  partition(lane: LaneId): number {
    return this.#partitions[lane] ?? -1
  }

  all(list: readonly TopicPartitions[]): Set<LaneId> {
    return new Set(list.flatMap((t) => t.partitions.map((p) => this.of(t.topic, p))))
  }

  grouped(lanes: Iterable<LaneId>): TopicPartitions[] {
    const topics = new Map<string, number[]>()
    for (const lane of lanes) {
      const list = topics.get(this.topic(lane))
      if (list === undefined) topics.set(this.topic(lane), [this.partition(lane)])
      else list.push(this.partition(lane))
    }
    return [...topics].map(([topic, partitions]) => ({ topic, partitions }))
  }
}

import type { Start } from '../../contract/feed.ts'
import type { LaneId } from '../../contract/ids.ts'
import type { Log } from '../../runtime/log.ts'
import { offsetsAt, type StartParts } from '../../sources/kafka/starts.ts'
import { type ClusterView, EARLIEST, LATEST } from '../../vendor/kafka/calls.ts'
import { type TopicId, topicIdOf } from '../../vendor/kafka/fetch.ts'
import { CODE, codeName, isStaleLeader } from '../../vendor/kafka/codes.ts'
import type { HeadPartition } from './seat.ts'

export interface BoundsParts {
  readonly starts: StartParts
  readonly log: Log
  /** The leaders may be others. */
  stale(): void
  /** The partition's offsets mean nothing any more: everybody begins there. */
  beginAnew(p: HeadPartition, offset: number, why: string): void
  /** Events that were gone before they could be read. */
  missed(events: number): void
  wake(p: HeadPartition): void
}

/** Where the logs of partitions begin and end, and what is done when a position lies outside. */
export class Bounds {
  readonly #o: BoundsParts

  constructor(o: BoundsParts) {
    this.#o = o
  }

  /** The broker refused to let the head read. */
  refused(p: HeadPartition, code: number): void {
    if (code === CODE.offsetOutOfRange) void this.#backInRange(p).catch(() => this.#o.stale())
    else if (isStaleLeader(code)) this.#o.stale()
    else {
      const where = { topic: p.topic, partition: p.partition, error: codeName(code) }
      this.#o.log.warn('a partition cannot be read for the moment', where)
    }
  }

  async first(p: HeadPartition): Promise<number> {
    return (await offsetsAt(this.#o.starts, [p.lane], EARLIEST)).get(p.lane) ?? 0
  }

  /** Offsets of a moment or a place; none for where the group stands. */
  at(to: Start, lanes: readonly LaneId[]): Promise<ReadonlyMap<LaneId, number>> {
    if (to.at === 'committed') return Promise.resolve(new Map())
    if (to.at === 'position') return Promise.resolve(new Map(lanes.map((lane) => [lane, to.position])))
    return offsetsAt(this.#o.starts, lanes, to.at === 'time' ? to.timeMs : to.at === 'earliest' ? EARLIEST : LATEST)
  }

  /** Where partitions end that no head asks about; whoever is behind in them wants to know how far. */
  async readEnds(partitions: readonly HeadPartition[]): Promise<void> {
    const still = new Map(partitions.filter((p) => p.heads === 0).map((p) => [p.lane, p]))
    if (still.size === 0) return
    const ends = await offsetsAt(this.#o.starts, [...still.keys()], LATEST).catch(() => null)
    for (const [lane, end] of ends ?? []) {
      const p = still.get(lane)
      if (p !== undefined && p.end < end) p.end = end
    }
  }

  /** The log begins above the head, or ends below: goes on at that end, says so, and counts what was missed. */
  async #backInRange(p: HeadPartition): Promise<void> {
    const o = this.#o
    const at = p.head
    const first = await this.first(p)
    const last = (await offsetsAt(o.starts, [p.lane], LATEST)).get(p.lane)
    if (last === undefined || p.head !== at || p.held) return
    if (at > last) return o.beginAnew(p, last, 'the log was cut below what was read already; reading goes on at its end')
    if (at >= first) return
    o.missed(first - at)
    const where = { topic: p.topic, partition: p.partition, position: at, first, missed: first - at }
    o.log.error('events were deleted before they could be read; reading goes on at the first that is left', where)
    p.rewind(first)
    p.tracker.passTo(first)
    o.wake(p)
  }
}

/** '' = the topic is not there at the moment. */
export function topicIdIn(view: ClusterView | null, topic: string): TopicId {
  const t = view?.topics.get(topic)
  return t === undefined || t.code !== CODE.none ? '' : topicIdOf(t.id)
}

import type { Start } from '../../contract/feed.ts'
import type { LaneId } from '../../contract/ids.ts'
import {
  type CommitEntry,
  commitOffsets,
  EARLIEST,
  LATEST,
  listOffsets,
  type Membership,
  readCommitted,
  type TopicPartitions,
} from '../../vendor/kafka/calls.ts'
import { CODE, codeName } from '../../vendor/kafka/codes.ts'
import type { BrokerAddress, KafkaLink } from '../../vendor/kafka/link.ts'
import type { Cluster } from './cluster.ts'
import type { Lanes } from './lanes.ts'
import type { KafkaOptions } from './settings.ts'
import { decodeRuns } from './settled-runs.ts'

export interface StartParts {
  readonly link: KafkaLink
  readonly cluster: Cluster
  readonly lanes: Lanes
  readonly options: KafkaOptions
}

/** Where a partition is taken up. */
export interface StartOffset {
  readonly lane: LaneId
  readonly offset: number
  /** Flat runs [from, to) settled above `offset` already. */
  readonly settled: readonly number[]
  readonly text: string
}

/** Kafka did not answer a question about offsets; ask again. */
class NotNow extends Error {}

/** The moment a group that has committed nothing yet begins at; wall-clock ms, EARLIEST or LATEST. */
export function firstStart(from: Start, initialOffset: 'earliest' | 'latest'): number {
  const wish = from.at === 'committed' ? from.otherwise : from
  if (wish.at === 'time') return wish.timeMs
  if (wish.at === 'earliest') return EARLIEST
  return initialOffset === 'earliest' ? EARLIEST : LATEST
}

/**
 * Where the given partitions go on. A topic of which the group has committed nothing begins, all its partitions at once,
 * at `first`, and that is committed before anything is read: so a restart before the first commit loses nothing. A
 * partition without an offset in a topic that has some was added later and begins at its earliest record, and so does a
 * topic in `seen`: it came, or came again, under our eyes.
 */
export async function startOffsets(
  o: StartParts,
  at: BrokerAddress,
  as: Membership,
  lanes: readonly LaneId[],
  first: number,
  seen: ReadonlySet<string>,
): Promise<StartOffset[]> {
  const topics = o.lanes.grouped(lanes).map((t) => t.topic)
  const every = topics.map((topic) => ({ topic, partitions: o.cluster.topic(topic)?.partitions.map((_, i) => i) ?? [] }))
  const { code, offsets } = await readCommitted(o.link, at, as.group, every)
  if (code !== CODE.none) throw new NotNow(`committed offsets cannot be read: ${codeName(code)}`)
  const known = new Map<LaneId, StartOffset>()
  const begun = new Set(seen)
  for (const c of offsets) {
    if (c.code !== CODE.none) throw new NotNow(`committed offsets of ${c.topic} cannot be read: ${codeName(c.code)}`)
    if (c.offset < 0) continue
    begun.add(c.topic)
    const lane = o.lanes.of(c.topic, c.partition)
    known.set(lane, { lane, offset: c.offset, settled: decodeRuns(c.offset, c.metadata), text: c.metadata })
  }
  const fresh = [...o.lanes.all(every.filter((t) => !begun.has(t.topic)))]
  const later = lanes.filter((lane) => !known.has(lane) && begun.has(o.lanes.topic(lane)))
  const resolved = new Map([...(await offsetsAt(o, fresh, first)), ...(await offsetsAt(o, later, EARLIEST))])
  await commitStarts(o, at, as, resolved)
  for (const [lane, offset] of resolved) known.set(lane, { lane, offset, settled: [], text: '' })
  return lanes.flatMap((lane) => known.get(lane) ?? [])
}

async function commitStarts(
  o: StartParts,
  at: BrokerAddress,
  as: Membership,
  resolved: ReadonlyMap<LaneId, number>,
): Promise<void> {
  if (resolved.size === 0) return
  const entries: CommitEntry[] = [...resolved].map(([lane, offset]) => ({
    topic: o.lanes.topic(lane),
    partition: o.lanes.partition(lane),
    offset,
    metadata: '',
  }))
  const codes = await commitOffsets(o.link, at, as, entries)
  const bad = codes.find((c) => c !== CODE.none)
  if (bad !== undefined) throw new NotNow(`the start of group ${as.group} cannot be committed: ${codeName(bad)}`)
}

/** The offset of each partition at that moment; nothing at or after a time means the end. */
export async function offsetsAt(o: StartParts, lanes: readonly LaneId[], at: number): Promise<Map<LaneId, number>> {
  const found = new Map<LaneId, number>()
  const none: LaneId[] = []
  for (const [node, led] of byLeader(o, lanes)) {
    const broker = o.cluster.view?.brokers.get(node)
    if (broker === undefined) throw new NotNow(`partitions of ${o.options.topics.join(', ')} have no leader`)
    for (const r of await listOffsets(o.link, broker, led, at, o.options.isolation === 'read_committed')) {
      if (r.code !== CODE.none) {
        o.cluster.refreshSoon()
        throw new NotNow(`offsets of ${r.topic}/${r.partition} cannot be read: ${codeName(r.code)}`)
      }
      const lane = o.lanes.of(r.topic, r.partition)
      if (r.offset < 0) none.push(lane)
      else found.set(lane, r.offset)
    }
  }
  if (none.length > 0 && at !== LATEST) for (const [lane, offset] of await offsetsAt(o, none, LATEST)) found.set(lane, offset)
  return found
}

function byLeader(o: StartParts, lanes: readonly LaneId[]): Map<number, TopicPartitions[]> {
  const nodes = new Map<number, LaneId[]>()
  for (const lane of lanes) {
    const node = o.cluster.leader(o.lanes.topic(lane), o.lanes.partition(lane))
    const list = nodes.get(node)
    if (list === undefined) nodes.set(node, [lane])
    else list.push(lane)
  }
  return new Map([...nodes].map(([node, list]) => [node, o.lanes.grouped(list)]))
}

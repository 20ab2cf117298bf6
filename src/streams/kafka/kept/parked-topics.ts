import type { ParkedEntry } from '../../../contract/feed.ts'
import type { Key } from '../../../contract/ids.ts'
import type { WrapOptions } from '../../../event/kafka.ts'
import { Fault } from '../../../runtime/errors.ts'
import type { Log } from '../../../runtime/log.ts'
import { MOST_PARKED } from '../../../store/kept.ts'
import type { TopicId } from '../../../vendor/kafka/fetch.ts'
import { type OutRecord, recordSize } from '../../../vendor/kafka/produce.ts'
import type { RecordCursor } from '../../../vendor/kafka/records.ts'
import { inCommits, type ParkedChange, ParkedIndex, type ParkedLine } from './parked-index.ts'
import type { KeptPartition, KeptReader } from './reader.ts'
import { parkedKey, parkedRecord, type ParkedRecord, readParked } from './record.ts'
import { type KeptTopics, parkedTopicOf, type Wish } from './topics.ts'
import type { KeptWriter, Written } from './writer.ts'

export interface ParkedParts {
  readonly topics: Pick<KeptTopics, 'get' | 'watch' | 'ensure'>
  readonly writer: Pick<KeptWriter, 'append'>
  readonly index: ParkedIndex
  readonly log: Log
  readonly wrap: WrapOptions
  readonly main: string
  readonly structured: boolean
  /** Per subscription; beyond either nothing more is parked. `MOST_PARKED` unless said. */
  readonly most?: { readonly events: number; readonly bytes: number }
  reader(): Pick<KeptReader, 'kick'>
}

/** How a wish to park ended. */
export type Parked = 'parked' | 'refused' | 'not now'

/** Tombstones a turn: a purge of everything must not fill the memory. */
const REMOVES_AT_ONCE = 1_000

type Take = (p: ParkedTopic, changes: readonly ParkedChange[], subscription: Key) => void

/** The parked topic of one group, followed from its beginning by every gateway. */
class ParkedTopic implements KeptPartition {
  readonly topic: string
  readonly partition = 0
  line: ParkedLine
  topicId: TopicId = ''
  fetchOffset = 0
  /** Of the subscription; '' = it is gone, and its entries will tell. */
  key: Key
  /** What was read is being taken over. */
  busy = false
  /** Records on their way into the topic: they count already. */
  parking = { events: 0, bytes: 0 }
  /** Removed by us, by key, with the offset that says so: what is read below it is old. */
  readonly removed = new Map<string, number>()
  readonly #take: Take
  readonly #wrap: WrapOptions

  constructor(topic: string, key: Key, line: ParkedLine, wrap: WrapOptions, take: Take) {
    this.topic = topic
    this.key = key
    this.line = line
    this.#wrap = wrap
    this.#take = take
  }

  get wanted(): boolean {
    return this.topicId !== '' && !this.busy
  }

  took(c: RecordCursor): void {
    const changes: ParkedChange[] = []
    let subscription: Key = ''
    for (let found = c.next(); found !== 'end'; found = c.next()) {
      if (found === 'corrupt' || c.key === null) continue
      const key = Buffer.from(c.key).toString()
      const value = readParked(c, this.topic, this.#wrap)
      // What neither is ours nor says that something is gone is somebody else's.
      if (value === null && c.value !== null) continue
      if (value !== null) subscription = value.subscription
      if (value === null || c.offset > (this.removed.get(key) ?? -1)) changes.push({ offset: c.offset, key, value })
    }
    this.fetchOffset = Math.max(this.fetchOffset, c.position)
    for (const [key, offset] of this.removed) if (offset < this.fetchOffset) this.removed.delete(key)
    this.#take(this, changes, subscription)
  }

  outside(first: number): void {
    this.fetchOffset = first
  }
}

/** What was given up, in a compacted topic a subscription, with a copy at hand for whoever looks at it. */
export class ParkedTopics {
  readonly #o: ParkedParts
  readonly #byGroup = new Map<string, ParkedTopic>()
  readonly #most: { readonly events: number; readonly bytes: number }
  readonly #removing = new Set<string>()

  constructor(o: ParkedParts) {
    this.#o = o
    this.#most = o.most ?? MOST_PARKED
  }

  /** Follows the topic of a group from now on; `key` '' where only the group is known. */
  follow(group: string, key: Key): ParkedTopic {
    let p = this.#byGroup.get(group)
    if (p === undefined) {
      const { index, wrap } = this.#o
      p = new ParkedTopic(parkedTopicOf(group), key, index.line(), wrap, (...args) => this.#take(...args))
      this.#byGroup.set(group, p)
      this.#o.topics.watch([p.topic])
      this.#adopt(p)
    }
    if (key !== '') p.key = key
    return p
  }

  forget(group: string): boolean {
    const p = this.#byGroup.get(group)
    this.#byGroup.delete(group)
    return p !== undefined && (p.topicId !== '' || p.line.events > 0)
  }

  partitions(): KeptPartition[] {
    return [...this.#byGroup.values()]
  }

  topicsChanged(): void {
    for (const p of this.#byGroup.values()) this.#adopt(p)
    this.#o.reader().kick()
  }

  /** `done` once; `refused` = nobody lets us. */
  park(group: string, r: ParkedRecord, done: (how: Parked) => void): void {
    const p = this.follow(group, r.subscription)
    const record = parkedRecord(r, this.#o.structured)
    const bytes = recordSize(record)
    const { line, parking } = p
    const full = line.events + parking.events >= this.#most.events || line.bytes + parking.bytes + bytes > this.#most.bytes
    if (full) return done('not now')
    parking.events++
    parking.bytes += bytes
    const end = (how: Parked): void => {
      parking.events--
      parking.bytes -= bytes
      done(how)
    }
    void this.#o.topics.ensure(p.topic, 'parked').then((wish) => this.#produce(p, r, record, wish, end))
  }

  #produce(p: ParkedTopic, r: ParkedRecord, record: OutRecord, wish: Wish, end: (how: Parked) => void): void {
    if (wish !== 'ready') return end(wish === 'refused' ? 'refused' : 'not now')
    this.#o.writer.append(p.topic, 0, record, (w: Written) => {
      if (w.kind !== 'written') return end(w.kind === 'refused' ? 'refused' : 'not now')
      const change = { offset: w.offset, key: parkedKey(r.origin), value: r }
      void this.#o.index.apply(p.line, [change]).then(() => end('parked'))
    })
  }

  /** What is parked of a subscription tells its group, also when it is gone. */
  groupOf(key: Key): string | undefined {
    for (const [group, p] of this.#byGroup) if (p.key === key) return group
    return undefined
  }

  // ---- what a person sees

  counts(key: Key): { readonly events: number; readonly bytes: number } {
    const { events, bytes } = this.#of(key)?.line ?? { events: 0, bytes: 0 }
    return { events, bytes }
  }

  keys(): Key[] {
    return [...this.#byGroup.values()].filter((p) => p.line.events > 0 && p.key !== '').map((p) => p.key)
  }

  list(key: Key, after: string, most: number): ParkedEntry[] {
    const p = this.#of(key)
    return p === undefined ? [] : this.#o.index.list(p.line, after, most)
  }

  get(key: Key, id: string): ParkedEntry | undefined {
    const p = this.#of(key)
    return p === undefined ? undefined : this.#o.index.get(p.line, id)
  }

  async remove(key: Key, ids: readonly string[]): Promise<number> {
    const p = this.#of(key)
    if (p === undefined) return 0
    let removed = 0
    for (let i = 0; i < ids.length; i += REMOVES_AT_ONCE) {
      const gone = ids.slice(i, i + REMOVES_AT_ONCE).map((id) => this.#remove(p, id))
      removed += (await Promise.all(gone)).filter((ok) => ok).length
    }
    return removed
  }

  /** false = there is none, or somebody removes it already. */
  async #remove(p: ParkedTopic, id: string): Promise<boolean> {
    const { index, writer, topics } = this.#o
    const name = `${p.line.number}/${id}`
    const key = this.#removing.has(name) ? undefined : index.keyOf(p.line, id)
    if (key === undefined) return false
    this.#removing.add(name)
    try {
      const wish = await topics.ensure(p.topic, 'parked')
      const tombstone = { key: Buffer.from(key), value: null, headers: [] }
      const w = await new Promise<Written>((resolve) => {
        if (wish === 'ready') writer.append(p.topic, 0, tombstone, resolve)
        else resolve({ kind: 'failed' })
      })
      if (w.kind !== 'written')
        throw new Fault('store.failed', `parked event ${id} of ${p.key} could not be removed from ${p.topic}`)
      if (w.offset >= p.fetchOffset) p.removed.set(key, w.offset)
      await index.apply(p.line, [{ offset: w.offset, key, value: null }])
      return true
    } finally {
      this.#removing.delete(name)
    }
  }

  #of(key: Key): ParkedTopic | undefined {
    for (const p of this.#byGroup.values()) if (p.key === key) return p
    return undefined
  }

  // ---- what the topic says

  #adopt(p: ParkedTopic): void {
    const topic = this.#o.topics.get(p.topic)
    if (topic === undefined || topic.id === p.topicId) return
    const anew = p.topicId !== ''
    p.topicId = topic.id
    p.fetchOffset = 0
    if (anew) this.#clear(p)
  }

  /** The topic was made anew: nothing of the old one is left. */
  #clear(p: ParkedTopic): void {
    this.#o.log.warn('a topic of parked events was made anew', { topic: p.topic, entries: p.line.events })
    p.removed.clear()
    p.line = this.#o.index.line()
  }

  #take(p: ParkedTopic, changes: readonly ParkedChange[], subscription: Key): void {
    if (p.key === '' && subscription !== '') p.key = subscription
    if (changes.length === 0) return
    p.busy = true
    void Promise.all(inCommits(changes).map((part) => this.#o.index.apply(p.line, part))).then(() => {
      p.busy = false
      this.#o.reader().kick()
    })
  }
}

import { type Clock, sleep } from '../../../runtime/clock.ts'
import type { Log } from '../../../runtime/log.ts'
import { EARLIEST, listOffsets } from '../../../vendor/kafka/calls.ts'
import { CODE, codeName, isStaleLeader } from '../../../vendor/kafka/codes.ts'
import { fetchRecords, type TopicId } from '../../../vendor/kafka/fetch.ts'
import type { BrokerAddress, KafkaLink } from '../../../vendor/kafka/link.ts'
import { RecordCursor } from '../../../vendor/kafka/records.ts'
import type { KeptTopics } from './topics.ts'

/** One partition beside the main topic, as far as it has been read. */
export interface KeptPartition {
  readonly topic: string
  readonly partition: number
  readonly topicId: TopicId
  readonly fetchOffset: number
  /** It may be read on. */
  readonly wanted: boolean
  /** Moves `fetchOffset` to where it wants to go on. `end`: where the log ends at the moment. */
  took(c: RecordCursor, end: number): void
  /** The log begins above `fetchOffset`, at `first`, or ends below it. */
  outside(first: number): void
}

export interface ReaderParts {
  readonly link: KafkaLink
  readonly topics: KeptTopics
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
  partitions(): readonly KeptPartition[]
}

/** While nothing comes a broker is asked about once a second: nobody waits for these, and an idle gateway should be idle. */
const IDLE_WAIT_MS = 500
const PAUSE_MS = 500
const RETRY_MS = 500
const FORBIDDEN_MS = 30_000
const PARTITION_BYTES = 262_144
const FETCH_BYTES = 2 ** 20

/** Reads all retry and parked topics of a stream with one fetch a broker and round; rests while there are none. */
export class KeptReader {
  readonly #o: ReaderParts
  #running = false
  #wake: (() => void) | null = null
  #woken = false
  readonly #notBefore = new Map<string, number>()

  constructor(o: ReaderParts) {
    this.#o = o
  }

  /** There may be something to read. */
  kick(): void {
    this.#woken = true
    this.#wake?.()
    if (this.#running || this.#o.signal.aborted) return
    this.#running = true
    void this.#run().finally(() => {
      this.#running = false
      // Whoever kicked while the last round ended is heard.
      if (this.#woken) this.kick()
    })
  }

  /** Records of one partition from an offset on; null = not now. */
  async fetchAt(p: KeptPartition, offset: number): Promise<RecordCursor | 'outside' | null> {
    const { topics, link } = this.#o
    const address = topics.broker(topics.leader(p.topic, p.partition))
    if (address === undefined) return null
    let found: RecordCursor | 'outside' | null = null
    await fetchOnce(link, address, [askFor(p, offset)], 0, (_t, _p, code, _end, records) => {
      if (code === CODE.offsetOutOfRange) found = 'outside'
      else if (code !== CODE.none) topics.lookSoon()
      else found = new RecordCursor(records, offset, null)
    })
    return found
  }

  /** First offset that is left. */
  async first(p: KeptPartition): Promise<number> {
    const { topics, link } = this.#o
    const address = topics.broker(topics.leader(p.topic, p.partition))
    if (address === undefined) throw new Error(`nobody leads ${p.topic}/${p.partition}`)
    const wanted = [{ topic: p.topic, partitions: [p.partition] }]
    const [found] = await listOffsets(link, address, wanted, EARLIEST, false)
    if (found === undefined || found.code !== CODE.none) throw new Error(`the beginning of ${p.topic} cannot be read`)
    return found.offset
  }

  async #run(): Promise<void> {
    const { clock, signal, topics } = this.#o
    let busy = true
    while (!signal.aborted) {
      this.#woken = false
      const { wanted, later } = this.#wanted()
      if (wanted.size === 0) {
        if (later) await this.#pause(RETRY_MS)
        else if (!this.#woken) return
        continue
      }
      const waitMs: number = busy ? 0 : IDLE_WAIT_MS
      const results = await Promise.allSettled([...wanted].map(([node, list]) => this.#fetch(node, list, waitMs)))
      busy = results.some((r) => r.status === 'fulfilled' && r.value)
      const failed = results.some((r) => r.status === 'rejected')
      if (failed) topics.lookSoon()
      if (failed) await sleep(clock, RETRY_MS, signal).catch(() => {})
      else if (!busy) await this.#pause(PAUSE_MS)
      // Nothing here is urgent: everything else has its turn between two rounds.
      else await new Promise<void>((resolve) => clock.soon(resolve))
    }
  }

  /** Until somebody kicks, or so long. */
  async #pause(ms: number): Promise<void> {
    if (this.#woken) return
    const { clock, signal } = this.#o
    const over = new AbortController()
    const kicked = new Promise<void>((resolve) => (this.#wake = resolve))
    await Promise.race([kicked, sleep(clock, ms, AbortSignal.any([over.signal, signal])).catch(() => {})])
    this.#wake = null
    over.abort()
  }

  /** By node; `later` = there are others, which cannot be had at the moment. */
  #wanted(): { readonly wanted: Map<number, KeptPartition[]>; readonly later: boolean } {
    const { topics, clock } = this.#o
    const nowMs = clock.now()
    const wanted = new Map<number, KeptPartition[]>()
    let later = false
    for (const p of this.#o.partitions()) {
      // Somebody deleted the topic: whoever makes it again kicks.
      if (!p.wanted || topics.get(p.topic) === undefined) continue
      const node = topics.leader(p.topic, p.partition)
      if (node < 0) topics.lookSoon()
      if (node < 0 || (this.#notBefore.get(nameOf(p)) ?? 0) > nowMs) later = true
      else if (wanted.has(node)) wanted.get(node)?.push(p)
      else wanted.set(node, [p])
    }
    return { wanted, later }
  }

  /** true = something came. */
  async #fetch(node: number, list: readonly KeptPartition[], waitMs: number): Promise<boolean> {
    const { link, topics } = this.#o
    const address = topics.broker(node)
    if (address === undefined) throw new Error(`node ${node} is not known`)
    const asked = list.map((p) => askFor(p, p.fetchOffset))
    const index = new Map(asked.map((a, i) => [`${a.topicId}${a.partition}`, i]))
    let some = false
    await fetchOnce(link, address, asked, waitMs, (topicId, partition, code, end, records) => {
      const i = index.get(`${topicId}${partition}`) ?? -1
      const p = list[i]
      // It may have been given away, or set back, while the answer was on its way.
      if (p === undefined || !p.wanted || p.topicId !== topicId || p.fetchOffset !== asked[i]?.offset) return
      if (code !== CODE.none) return this.#refused(p, code)
      const cursor = new RecordCursor(records, p.fetchOffset, null)
      if (cursor.end > p.fetchOffset) some = true
      p.took(cursor, end)
    })
    return some
  }

  #refused(p: KeptPartition, code: number): void {
    const { topics, clock, log } = this.#o
    const pause = (ms: number): void => void this.#notBefore.set(nameOf(p), clock.now() + ms)
    pause(RETRY_MS)
    if (code === CODE.offsetOutOfRange) {
      const asked = p.fetchOffset
      this.first(p).then(
        (first) => (p.fetchOffset === asked ? p.outside(first) : undefined),
        () => topics.lookSoon(),
      )
    } else if (isStaleLeader(code)) topics.lookSoon()
    else {
      pause(FORBIDDEN_MS)
      log.warn('a topic of what waits long or was given up cannot be read', { topic: p.topic, error: codeName(code) })
    }
  }
}

function nameOf(p: KeptPartition): string {
  return `${p.topic}/${p.partition}`
}

function askFor(p: KeptPartition, offset: number): Asked {
  return { topicId: p.topicId, partition: p.partition, offset, maxBytes: PARTITION_BYTES }
}

interface Asked {
  readonly topicId: TopicId
  readonly partition: number
  readonly offset: number
  readonly maxBytes: number
}

async function fetchOnce(
  link: KafkaLink,
  address: BrokerAddress,
  partitions: readonly Asked[],
  maxWaitMs: number,
  each: (topicId: TopicId, partition: number, code: number, end: number, records: Buffer) => void,
): Promise<void> {
  const connection = await link.connection(address)
  const request = {
    maxWaitMs,
    minBytes: maxWaitMs === 0 ? 0 : 1,
    maxBytes: FETCH_BYTES,
    committedOnly: false,
    sessionId: 0,
    sessionEpoch: -1,
    partitions,
    forgotten: [],
  }
  await new Promise<void>((resolve, reject) => {
    fetchRecords(
      connection,
      request,
      (topicId, partition, code, end, _first, _aborted, records) => each(topicId, partition, code, end, records),
      (error, answer) => {
        if (error !== null) reject(error)
        else if (answer?.code !== CODE.none) reject(new Error(`a fetch was refused: ${codeName(answer?.code ?? -1)}`))
        else resolve()
      },
    )
  })
}

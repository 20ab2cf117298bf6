import type { Clock } from '../../../runtime/clock.ts'
import type { Random } from '../../../runtime/random.ts'
import { Backoff } from '../../../sources/kafka/health.ts'
import { CODE, codeName, isForbidden, isPassing, isStaleLeader } from '../../../vendor/kafka/codes.ts'
import type { KafkaLink } from '../../../vendor/kafka/link.ts'
import { encodeBatch, type OutRecord, produceBatches, recordSize } from '../../../vendor/kafka/produce.ts'
import { MOST_WAITING_BYTES } from '../../parts.ts'
import type { KeptTopics } from './topics.ts'

/** How an append ended: its offset, not now, or never. */
export type Written =
  | { readonly kind: 'written'; readonly offset: number }
  | { readonly kind: 'failed' }
  | { readonly kind: 'refused'; readonly why: string }

export interface WriterParts {
  readonly link: KafkaLink
  readonly topics: KeptTopics
  readonly clock: Clock
  readonly random: Random
}

const DELIVERY_MS = 10_000
const REQUEST_MS = 5_000
const MOST_BATCH_BYTES = 900_000
const FAILED: Written = Object.freeze({ kind: 'failed' })

interface Entry {
  readonly partition: number
  readonly record: OutRecord
  readonly bytes: number
  readonly atMs: number
  readonly done: (w: Written) => void
}

interface Line {
  readonly topic: string
  queue: Entry[]
  /** Requests under way: the next go out when they have come back, so that batches grow with the load. */
  running: number
}

/** Appends to the topics beside the main one, acknowledged by all replicas in sync; what comes in one turn goes out together. */
export class KeptWriter {
  readonly #o: WriterParts
  readonly #lines = new Map<string, Line>()
  readonly #backoff: Backoff
  #waitingBytes = 0
  #waiting = 0
  #closed = false
  #drained: (() => void) | null = null

  constructor(o: WriterParts) {
    this.#o = o
    this.#backoff = new Backoff(50, 1_000, o.random)
  }

  /** The topic is there; `done` is called once. */
  append(topic: string, partition: number, record: OutRecord, done: (w: Written) => void): void {
    if (this.#closed || this.#waitingBytes > MOST_WAITING_BYTES) return done(FAILED)
    const bytes = recordSize(record)
    let line = this.#lines.get(topic)
    if (line === undefined) this.#lines.set(topic, (line = { topic, queue: [], running: 0 }))
    line.queue.push({ partition, record, bytes, atMs: this.#o.clock.now(), done })
    this.#waitingBytes += bytes
    this.#waiting++
    if (line.queue.length === 1) this.#o.clock.soon(() => this.#flush(line))
  }

  /** Resolves when everything taken has been answered, or the signal aborts. */
  async close(signal: AbortSignal): Promise<void> {
    this.#closed = true
    if (this.#waiting === 0 || signal.aborted) return
    await new Promise<void>((resolve) => {
      this.#drained = resolve
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  #flush(line: Line): void {
    if (line.running > 0 || line.queue.length === 0) return
    const oldMs = this.#o.clock.now() - DELIVERY_MS
    for (const e of line.queue.filter((x) => x.atMs < oldMs)) this.#end(e, FAILED)
    line.queue = line.queue.filter((x) => x.atMs >= oldMs)
    for (const [node, batches] of this.#take(line)) {
      line.running++
      void this.#send(line, node, batches)
    }
  }

  /** What goes out now, by node and partition; what does not fit stays, in its order. */
  #take(line: Line): Map<number, Map<number, Entry[]>> {
    const nodes = new Map<number, Map<number, Entry[]>>()
    const sizes = new Map<number, number>()
    const rest: Entry[] = []
    for (const e of line.queue) {
      const size = sizes.get(e.partition) ?? 0
      sizes.set(e.partition, size + e.bytes)
      if (size > 0 && size + e.bytes > MOST_BATCH_BYTES) {
        rest.push(e)
        continue
      }
      const node = this.#o.topics.leader(line.topic, e.partition)
      const batches = nodes.get(node) ?? new Map<number, Entry[]>()
      nodes.set(node, batches)
      const list = batches.get(e.partition)
      if (list === undefined) batches.set(e.partition, [e])
      else list.push(e)
    }
    line.queue = rest
    return nodes
  }

  async #send(line: Line, node: number, batches: Map<number, Entry[]>): Promise<void> {
    const { link, topics, clock } = this.#o
    const retry: Entry[] = []
    try {
      const address = topics.broker(node)
      if (address === undefined) throw new Error(`node ${node} is not known`)
      const connection = await link.connection(address)
      const timeMs = clock.wall()
      const encoded = [...batches].map(([partition, entries]) => {
        const records = entries.map((e) => e.record)
        return { partition, batch: encodeBatch(records, timeMs) }
      })
      await new Promise<void>((resolve, reject) => {
        const each = (partition: number, code: number, offset: number): void => {
          const entries = batches.get(partition) ?? []
          batches.delete(partition)
          this.#answered(line, entries, code, offset, retry)
        }
        const done = (error: Error | null): void => (error === null ? resolve() : reject(error))
        produceBatches(connection, line.topic, encoded, REQUEST_MS, each, done)
      })
    } catch {
      topics.lookSoon()
    }
    for (const entries of batches.values()) retry.push(...entries)
    this.#ended(line, retry)
  }

  #ended(line: Line, retry: readonly Entry[]): void {
    line.running--
    if (retry.length === 0) this.#backoff.reset()
    line.queue = [...retry, ...line.queue]
    if (line.queue.length === 0 && line.running === 0) this.#lines.delete(line.topic)
    else if (retry.length === 0) this.#flush(line)
    else this.#o.clock.after(this.#backoff.nextMs(), () => this.#flush(line))
  }

  #answered(line: Line, entries: readonly Entry[], code: number, offset: number, retry: Entry[]): void {
    if (code === CODE.none) for (const [i, e] of entries.entries()) this.#end(e, { kind: 'written', offset: offset + i })
    else if (isStaleLeader(code) || isPassing(code)) {
      this.#o.topics.lookSoon()
      retry.push(...entries)
    } else {
      const why = `Kafka refuses records for topic ${line.topic}: ${codeName(code)}`
      if (isForbidden(code)) this.#o.topics.refuse(line.topic, why)
      for (const e of entries) this.#end(e, { kind: 'refused', why })
    }
  }

  #end(e: Entry, w: Written): void {
    this.#waiting--
    this.#waitingBytes -= e.bytes
    e.done(w)
    if (this.#waiting === 0) this.#drained?.()
  }
}

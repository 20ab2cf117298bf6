import type { Delivery } from '../../contract/delivery.ts'
import { type Appended, type AppendOptions, DURABLE } from '../../contract/stream.ts'
import type { CloudEvent } from '../../event/event.ts'
import type { Clock, Timer } from '../../runtime/clock.ts'
import type { Random } from '../../runtime/random.ts'
import { type Cluster, REASONS } from '../../sources/kafka/cluster.ts'
import { Backoff, type Health } from '../../sources/kafka/health.ts'
import { CODE, codeName, isPassing, isStaleLeader } from '../../vendor/kafka/codes.ts'
import { type BrokerAddress, type KafkaLink, troubleOf } from '../../vendor/kafka/link.ts'
import { encodeBatch, type OutRecord, partitionOfKey, produceBatches, recordSize } from '../../vendor/kafka/produce.ts'
import { MOST_WAITING_BYTES, tooLarge } from '../parts.ts'
import { recordOf } from './record.ts'

export interface ProducerParts {
  readonly link: KafkaLink
  readonly cluster: Cluster
  readonly topic: string
  readonly structured: boolean
  readonly maxEventBytes: number
  readonly clock: Clock
  readonly random: Random
  readonly health: Health
  /** The partition ends here or later. */
  ended(partition: number, end: number): void
  /** All events of an append are stored. */
  appended(events: readonly CloudEvent[], bytes: number, ms: number): void
  settle(d: Delivery): void
}

/** An append is answered after so long at the latest: as much as the election of a new leader takes. */
const DELIVERY_MS = 10_000
/** And after so long while nothing was stored for longer than that: a cluster that is away is told at once, not each time anew. */
const AWAY_MS = 1_000
const REQUEST_MS = 5_000
const RETRY_MS = 1_000
/** Most of one partition in one batch: brokers take 1 MiB unless told otherwise. */
const MOST_BATCH_BYTES = 900_000
const MOST_REQUEST_BYTES = 8 * 2 ** 20
const LOOK_EVERY_MS = 250

interface Append {
  readonly events: readonly CloudEvent[]
  readonly done: (r: Appended) => void
  readonly settles: Delivery | undefined
  readonly atMs: number
  readonly bytes: number
  left: number
  /** The first of its events that was not stored, and why. */
  failedAt: number
  failed: Appended
}

interface Entry {
  readonly of: Append
  readonly index: number
  readonly record: OutRecord
  readonly bytes: number
  partition: number
  /** Refused together with others for their size: tried once more by itself. */
  alone: boolean
}

/**
 * Appends to one topic with acks=all. What comes in one turn of the loop goes out together, and while a request to a broker
 * is under way the next one gathers, so batches grow with the load and the order of a partition is kept without numbering.
 */
export class Producer {
  readonly #o: ProducerParts
  readonly #backoff: Backoff
  /** Without a partition yet. */
  #fresh: Entry[] = []
  readonly #byNode = new Map<number, Entry[]>()
  readonly #inFlight = new Set<number>()
  readonly #timer: Timer
  #waiting = 0
  #waitingBytes = 0
  #scheduled = false
  #holds = 0
  #turn = 0
  #pausedUntilMs = 0
  /** Monotonic ms since when no request has succeeded, 0 = the last one did. */
  #brokenMs = 0
  #closed = false
  #drained: (() => void) | null = null

  constructor(o: ProducerParts) {
    this.#o = o
    this.#backoff = new Backoff(50, 1_000, o.random)
    this.#timer = o.clock.every(LOOK_EVERY_MS, () => this.#look())
    this.#turn = Math.floor(o.random.next() * 1_000)
  }

  append(events: readonly CloudEvent[], done: (r: Appended) => void, options: AppendOptions): void {
    const o = this.#o
    if (this.#closed) return done(unavailable('the stream is closed'))
    for (const e of events) if (tooLarge(e, o.maxEventBytes)) return done({ kind: 'too-large', limitBytes: o.maxEventBytes })
    if (this.#waitingBytes > MOST_WAITING_BYTES)
      return done({ kind: 'full', retryAfterMs: RETRY_MS, why: 'Kafka does not keep up with what is appended' })
    const records = events.map((e) => recordOf(e, o.structured))
    let bytes = 0
    for (const r of records) bytes += recordSize(r)
    const { settles } = options
    const append: Append = {
      events,
      done,
      settles,
      atMs: o.clock.now(),
      bytes,
      left: events.length,
      failedAt: events.length,
      failed: DURABLE,
    }
    if (events.length === 0) return done(DURABLE)
    this.#waiting++
    this.#waitingBytes += bytes
    for (const [index, record] of records.entries())
      this.#fresh.push({ of: append, index, record, bytes: recordSize(record), partition: -1, alone: false })
    this.#soon()
  }

  /** Nothing goes out until as many `release`s: what is appended now must come after something else. */
  hold(): void {
    this.#holds++
  }

  release(): void {
    if (--this.#holds === 0) this.#soon()
  }

  /** Resolves when everything taken has been answered, or the signal aborts. */
  async close(signal: AbortSignal): Promise<void> {
    this.#closed = true
    if (this.#waiting > 0 && !signal.aborted)
      await new Promise<void>((resolve) => {
        this.#drained = resolve
        signal.addEventListener('abort', () => resolve(), { once: true })
      })
    this.#timer.cancel()
    this.#failAll('the stream is closed', () => true)
  }

  #soon(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.#o.clock.soon(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  /** Gives what came a partition, and sends to every broker that is free. */
  #flush(): void {
    const o = this.#o
    // A cluster that was never reached takes nothing, whatever is waited for before something goes out.
    if (o.cluster.view === null && o.health.complaint !== undefined) this.#failAll(o.health.complaint.message, () => true)
    if (this.#holds > 0) return
    const partitions = o.cluster.topic(o.topic)?.partitions ?? []
    if (partitions.length > 0) {
      const fresh = this.#fresh
      this.#fresh = []
      // What has no key goes to one partition a turn, so that batches are few and full, as Java's sticky partitioner does it.
      const sticky = this.#turn++ % partitions.length
      for (const e of fresh) {
        if (e.partition < 0) e.partition = e.record.key === null ? sticky : partitionOfKey(e.record.key, partitions.length)
        this.#queueOf(partitions[e.partition]?.leader ?? -1).push(e)
      }
    }
    if (o.clock.now() < this.#pausedUntilMs) return
    for (const node of this.#byNode.keys()) this.#send(node)
  }

  #queueOf(node: number): Entry[] {
    let queue = this.#byNode.get(node)
    if (queue === undefined) this.#byNode.set(node, (queue = []))
    return queue
  }

  #send(node: number): void {
    const o = this.#o
    const queue = this.#byNode.get(node)
    if (queue === undefined || queue.length === 0 || this.#inFlight.has(node)) return
    const address = o.cluster.view?.brokers.get(node)
    if (address === undefined) return this.#again(queue.splice(0))
    const connection = o.link.established(address)
    this.#inFlight.add(node)
    if (connection === undefined) return this.#connect(node, address)
    const batches = this.#take(queue)
    const timeMs = o.clock.wall()
    const encoded = [...batches].map(([partition, entries]) => ({
      partition,
      batch: encodeBatch(
        entries.map((e) => e.record),
        timeMs,
      ),
    }))
    const retry: Entry[] = []
    produceBatches(
      connection,
      o.topic,
      encoded,
      REQUEST_MS,
      (partition, code, offset) => {
        const entries = batches.get(partition) ?? []
        batches.delete(partition)
        this.#answered(entries, code, offset, retry)
      },
      (error) => {
        this.#inFlight.delete(node)
        for (const entries of batches.values()) retry.push(...entries)
        if (error !== null) this.#broken(error)
        else if (retry.length === 0) {
          this.#backoff.reset()
          this.#brokenMs = 0
          o.health.good('produce')
        }
        if (retry.length > 0) this.#again(retry)
        this.#flush()
      },
    )
  }

  #connect(node: number, address: BrokerAddress): void {
    this.#o.link.connection(address).then(
      () => {
        this.#inFlight.delete(node)
        this.#flush()
      },
      (e: unknown) => {
        this.#inFlight.delete(node)
        this.#broken(e)
        this.#again(this.#byNode.get(node)?.splice(0) ?? [])
      },
    )
  }

  /** What one request carries, by partition; what does not fit stays in the queue, in its order. */
  #take(queue: Entry[]): Map<number, Entry[]> {
    const batches = new Map<number, Entry[]>()
    const sizes = new Map<number, number>()
    const full = new Set<number>()
    const rest: Entry[] = []
    let all = 0
    for (const e of queue) {
      const size = sizes.get(e.partition) ?? 0
      const list = batches.get(e.partition)
      const fits = list === undefined || (!e.alone && list[0]?.alone !== true && size + e.bytes <= MOST_BATCH_BYTES)
      if (full.has(e.partition) || !fits || (all > 0 && all + e.bytes > MOST_REQUEST_BYTES)) {
        full.add(e.partition)
        rest.push(e)
        continue
      }
      all += e.bytes
      sizes.set(e.partition, size + e.bytes)
      if (list === undefined) batches.set(e.partition, [e])
      else list.push(e)
    }
    queue.length = 0
    queue.push(...rest)
    return batches
  }

  #answered(entries: readonly Entry[], code: number, offset: number, retry: Entry[]): void {
    const o = this.#o
    if (code === CODE.none) {
      const first = entries[0]
      if (first !== undefined && offset >= 0) o.ended(first.partition, offset + entries.length)
      for (const e of entries) this.#end(e, DURABLE)
    } else if (code === CODE.messageTooLarge || code === CODE.recordListTooLarge) {
      for (const e of entries) {
        if (entries.length === 1) this.#end(e, { kind: 'too-large', limitBytes: o.maxEventBytes })
        else {
          e.alone = true
          retry.push(e)
        }
      }
    } else if (isStaleLeader(code) || isPassing(code)) {
      o.cluster.refreshSoon()
      retry.push(...entries)
    } else {
      const why = `Kafka refuses events for topic ${o.topic}: ${codeName(code)}`
      o.health.bad('produce', 'KafkaRefused', why)
      for (const e of entries) this.#end(e, unavailable(why))
    }
  }

  #broken(e: unknown): void {
    const trouble = troubleOf(e)
    if (this.#brokenMs === 0) this.#brokenMs = this.#o.clock.now()
    this.#o.health.bad('produce', REASONS[trouble.reason], trouble.message)
    this.#o.cluster.refreshSoon()
  }

  /** Tries once more after a moment, in the order they had, with whoever leads their partitions then. */
  #again(entries: readonly Entry[]): void {
    const queued = [...this.#byNode.values()].flatMap((queue) => queue.splice(0))
    this.#fresh = [...entries, ...queued, ...this.#fresh]
    this.#pausedUntilMs = this.#o.clock.now() + this.#backoff.nextMs()
    this.#o.cluster.refreshSoon()
  }

  /** Tries what waits, and answers what has waited too long. */
  #look(): void {
    if (this.#waiting === 0) return
    const { clock, health, topic } = this.#o
    const nowMs = clock.now()
    const away = this.#brokenMs > 0 && nowMs - this.#brokenMs > DELIVERY_MS
    const oldMs = nowMs - (away ? AWAY_MS : DELIVERY_MS)
    this.#failAll(health.complaint?.message ?? `topic ${topic} takes nothing at the moment`, (e) => e.of.atMs < oldMs)
    this.#flush()
  }

  #failAll(why: string, which: (e: Entry) => boolean): void {
    const failed: Entry[] = []
    const keep = (e: Entry): boolean => {
      if (which(e)) failed.push(e)
      return !which(e)
    }
    this.#fresh = this.#fresh.filter(keep)
    for (const [node, queue] of this.#byNode) this.#byNode.set(node, queue.filter(keep))
    for (const e of failed) this.#end(e, unavailable(why))
  }

  #end(e: Entry, how: Appended): void {
    const a = e.of
    if (how.kind !== 'durable' && e.index < a.failedAt) {
      a.failedAt = e.index
      a.failed = how
    }
    if (--a.left > 0) return
    this.#waiting--
    this.#waitingBytes -= a.bytes
    if (a.failed.kind === 'durable') {
      if (a.settles !== undefined) this.#o.settle(a.settles)
      this.#o.appended(a.events, a.bytes, this.#o.clock.now() - a.atMs)
      a.done(DURABLE)
    } else if (a.failed.kind === 'unavailable' && a.failedAt > 0) a.done({ kind: 'partial', durable: a.failedAt })
    else a.done(a.failed)
    if (this.#waiting === 0) this.#drained?.()
  }
}

function unavailable(why: string): Appended {
  return { kind: 'unavailable', retryAfterMs: RETRY_MS, why }
}

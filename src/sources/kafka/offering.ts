import type { Intake } from '../../contract/feed.ts'
import type { SubId } from '../../contract/ids.ts'
import type { CloudEvent, Extension } from '../../event/event.ts'
import { fromKafkaRecord, type RawRecord, wrapKafkaRecord, type WrapOptions } from '../../event/kafka.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Log } from '../../runtime/log.ts'
import type { RecordCursor } from '../../vendor/kafka/records.ts'
import { KafkaDelivery, type Partition } from './partition.ts'
import type { KafkaOptions } from './settings.ts'

export interface OfferingParts {
  readonly options: KafkaOptions
  readonly clock: Clock
  readonly log: Log
  /** Something was read of the partition: it may want more. */
  hungry(p: Partition): void
}

/** Most records read in one turn of the loop, and of one partition before its neighbours have theirs. */
const TURN = 256
const PARTITION_TURN = 64

/**
 * Makes events of what was fetched and offers them, partition by partition in turn, as long as lanes have room. A turn
 * is bounded, so that a full answer of all partitions does not hold the loop.
 */
export class Offering {
  readonly #o: OfferingParts
  readonly #intake: Intake
  readonly #wrap = new Map<string, WrapOptions>()
  readonly #ready: Partition[] = []
  #queued = new Set<Partition>()
  #scheduled = false
  readonly #overrides: readonly Extension[]
  #sub: SubId | null = null
  /** Wall clock at the beginning of the turn; a turn is over in a millisecond or two. */
  #nowMs = 0
  /** Events that went past the subscription. */
  passed = 0

  constructor(intake: Intake, o: OfferingParts) {
    this.#intake = intake
    this.#o = o
    this.#overrides = Object.entries(o.options.extensions)
  }

  attach(sub: SubId): void {
    this.#sub = sub
  }

  /** Nothing is offered any more. */
  detach(): void {
    this.#sub = null
    this.#ready.length = 0
    this.#queued.clear()
  }

  /** The partition has something to read. Nothing is offered before the running callback has ended. */
  ready(p: Partition): void {
    if (this.#queued.has(p)) return
    this.#queued.add(p)
    this.#ready.push(p)
    this.#schedule()
  }

  /** Reads what is ready now, up to a turn's worth. */
  run(): void {
    let left = TURN
    this.#nowMs = this.#o.clock.wall()
    while (left > 0) {
      const p = this.#ready.shift()
      if (p === undefined) return
      const read = this.#read(p, Math.min(left, PARTITION_TURN))
      left -= read
      if (p.cursors.length > 0 && p.mayRead && this.#sub !== null) this.#ready.push(p)
      else this.#queued.delete(p)
      this.#o.hungry(p)
    }
    this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled || this.#ready.length === 0) return
    this.#scheduled = true
    this.#o.clock.soon(() => {
      this.#scheduled = false
      this.run()
    })
  }

  #read(p: Partition, most: number): number {
    let n = 0
    while (n < most && p.mayRead) {
      const sub = this.#sub
      const cursor = p.cursors[0]
      if (sub === null || cursor === undefined) break
      if (p.windowFull) {
        this.#stall(p)
        break
      }
      const found = cursor.next()
      if (found === 'end') this.#finished(p, cursor)
      else {
        n++
        if (found === 'record') this.#offer(p, cursor, sub)
        else this.#corrupt(p, cursor, sub)
      }
    }
    return n
  }

  #offer(p: Partition, c: RecordCursor, sub: SubId): void {
    const tracker = p.tracker
    const ordinal = tracker.take(c.offset, c.timestampMs)
    if (ordinal < 0) return
    this.passed++
    const raw: RawRecord = {
      topic: p.topic,
      partition: p.partition,
      offset: c.offset,
      timestampMs: c.timestampMs,
      key: c.key,
      value: c.value,
      headers: c.headers,
    }
    const event = this.#eventOf(raw)
    if (!this.#intake.matches(sub, event)) {
      tracker.settle(ordinal)
      return
    }
    const bytes = (c.value?.length ?? 0) + (c.key?.length ?? 0)
    if (!this.#intake.offer(new KafkaDelivery(event, sub, p.lane, c.offset, bytes, tracker, ordinal))) p.open = false
  }

  #eventOf(raw: RawRecord): CloudEvent {
    const nowMs = this.#nowMs
    const event = fromKafkaRecord(raw, nowMs) ?? wrapKafkaRecord(raw, this.#wrapOf(raw.topic), nowMs)
    return this.#overrides.length === 0 ? event : overridden(event, this.#overrides)
  }

  #wrapOf(topic: string): WrapOptions {
    let wrap = this.#wrap.get(topic)
    if (wrap === undefined) {
      const { namespace, name, keyType } = this.#o.options
      this.#wrap.set(topic, (wrap = { namespace, name, keyType, topic }))
    }
    return wrap
  }

  #corrupt(p: Partition, c: RecordCursor, sub: SubId): void {
    this.#o.log.error('bytes of a Kafka partition cannot be read; they are parked as they are', {
      topic: p.topic,
      partition: p.partition,
      offset: c.offset,
      why: c.why,
    })
    const ordinal = p.tracker.take(c.offset, this.#o.clock.wall())
    if (ordinal < 0) return
    this.passed++
    this.#intake.undecodable(sub, p.lane, c.offset, { raw: c.raw, headers: [], why: c.why })
  }

  #finished(p: Partition, c: RecordCursor): void {
    p.finished(c)
    const gone = p.tracker.endReread(c.position)
    if (gone > 0)
      this.#o.log.warn('events that were to be read again are no longer in the log', {
        topic: p.topic,
        partition: p.partition,
        events: gone,
      })
  }

  #stall(p: Partition): void {
    p.stalled = true
    this.#o.log.warn('a partition is not read on: too many events behind one that is not settled', {
      topic: p.topic,
      partition: p.partition,
      unsettled: p.tracker.committable,
      read: p.tracker.position,
    })
  }
}

/** What KafkaSource does with `ceOverrides`: the extension is set, whatever it was before. */
function overridden(event: CloudEvent, overrides: readonly Extension[]): CloudEvent {
  const kept = event.extensions.filter(([name]) => !overrides.some(([over]) => over === name))
  return event.with({ extensions: [...kept, ...overrides] })
}

import type { Delivery, Position } from '../contract/delivery.ts'
import type { Feed, Intake } from '../contract/feed.ts'
import { DURABLE, type Appended, type AppendOptions, type StreamStats } from '../contract/stream.ts'
import type { CloudEvent } from '../event/event.ts'
import { assert } from '../runtime/errors.ts'
import { GroupCommit, NO_DISK } from '../store/group-commit.ts'
import { Kept } from '../store/kept.ts'
import { MemoryKv } from '../store/memory-kv.ts'
import { LogFeed } from './log-feed.ts'
import type { LogReader, LogView } from './log-view.ts'
import { PackedEvents } from './packed-events.ts'
import { ROUTED_A_TURN, sizeOf, tooLarge, type Holding, type LogStream, type StreamParts } from './parts.ts'
import { lowestHeld, Seat } from './seat.ts'
import { Tail } from './tail.ts'

/** Unsettled bytes a stream in memory holds unless its plan says less. */
const MOST_UNSETTLED_BYTES = 256 * 2 ** 20
/** Settled history it keeps for replay at most: memory is for what is on its way. */
const MOST_HISTORY_BYTES = 16 * 2 ** 20
/** What is parked is in memory as well. Per subscription. */
const MOST_PARKED = { events: 100_000, bytes: 64 * 2 ** 20 }
/** Part of the room that only replies and dead letters may use. */
const RESERVE = 0.1
const RETENTION_EVERY_MS = 1_000
const FULL_RETRY_MS = 1_000
/** What is too large for the room that is left is refused while something smaller would not be: shown for so long. */
const REFUSED_MS = 5_000

interface Append {
  readonly events: readonly CloudEvent[]
  readonly done: (r: Appended) => void
  readonly settles: Delivery | undefined
  readonly atMs: number
}

/** A stream that lives as long as the process: the embedded one without its disk, with the same order of things. */
export function createMemoryStream(parts: StreamParts): LogStream {
  return new MemoryStream(parts)
}

class MemoryStream implements LogStream, LogView {
  readonly can = { atomicBatch: true, delay: true, seekTime: true } as const
  readonly #p: StreamParts
  /** Times and sizes of all that is kept; the events themselves until they are routed. */
  readonly #tail = new Tail(1)
  readonly #packed = new PackedEvents(1)
  readonly #seats = new Map<string, Seat>()
  readonly #kept: Kept
  readonly #group: GroupCommit
  readonly #retention: { cancel(): void }
  #feed: LogFeed | undefined
  #waiting: Append[] = []
  #waitingBytes = 0
  #head: Position = 0
  #lastMs = 0
  #closed = false
  #refused = { why: '', atMs: -Infinity }
  /** Some of what was taken is to be routed in the next turn. */
  #routing = false

  constructor(parts: StreamParts) {
    this.#p = parts
    const kv = new MemoryKv(parts.clock)
    this.#group = new GroupCommit(kv, parts.clock, (fault) => parts.log.error(fault.message), NO_DISK)
    this.#kept = new Kept(kv, this.#group, parts.log, MOST_PARKED)
    this.#retention = parts.clock.every(RETENTION_EVERY_MS, () => this.#forgetOld())
  }

  // Stream

  append(events: readonly CloudEvent[], done: (r: Appended) => void, options: AppendOptions = {}): void {
    if (this.#closed) return done({ kind: 'unavailable', retryAfterMs: FULL_RETRY_MS, why: 'the stream is closed' })
    const limitBytes = this.#p.plan.maxEventBytes
    let bytes = 0
    for (const e of events) {
      if (tooLarge(e, limitBytes)) return done({ kind: 'too-large', limitBytes })
      bytes += sizeOf(e)
    }
    const why = this.#refusal(bytes, options.reserve === true)
    if (why !== '') {
      this.#refused = { why, atMs: this.#p.clock.now() }
      return done({ kind: 'full', retryAfterMs: FULL_RETRY_MS, why })
    }
    this.#waitingBytes += bytes
    this.#waiting.push({ events, done, settles: options.settles, atMs: this.#p.clock.now() })
    if (this.#waiting.length === 1) this.#p.clock.soon(() => this.#take())
  }

  open(into: Intake, signal: AbortSignal): Feed {
    assert(this.#feed === undefined, 'a stream is opened once')
    this.#feed = new LogFeed(
      {
        log: this,
        kept: this.#kept,
        group: this.#group,
        clock: this.#p.clock,
        out: this.#p.log,
        seats: this.#seats,
        changed: () => {},
        forgotten: () => {},
      },
      into,
    )
    into.assigned([0])
    signal.addEventListener('abort', () => this.#feed?.stop(), { once: true })
    return this.#feed
  }

  stats(): StreamStats {
    const refusedLately = this.#p.clock.now() - this.#refused.atMs < REFUSED_MS ? this.#refused.why : ''
    return {
      events: this.#head + 1 - this.first,
      bytes: this.#tail.bytes,
      oldestMs: this.#tail.timeOf(this.first),
      refusing: this.#closed ? 'the stream is closed' : refusedLately || this.#refusal(0, false),
    }
  }

  close(_signal: AbortSignal): Promise<void> {
    this.#take()
    this.#closed = true
    this.#retention.cancel()
    this.#feed?.stop()
    return Promise.resolve()
  }

  holdings(): readonly Holding[] {
    return [...this.#seats.values()].map((s) => s.holding(this))
  }

  forget(key: string): boolean {
    return this.#feed?.forget(key) ?? false
  }

  // LogView

  get first(): Position {
    return this.#tail.first
  }
  get head(): Position {
    return this.#head
  }
  get end(): Position {
    return this.#tail.next - 1
  }
  positionAt(timeMs: number): Position {
    return Math.min(this.#tail.positionAt(timeMs), this.#head + 1)
  }
  timeAt(position: Position): number {
    return this.#tail.timeOf(position)
  }
  reader(): LogReader {
    return { read: (position) => this.#packed.get(position) ?? 'missing' }
  }

  #take(): void {
    const appends = this.#waiting
    this.#waiting = []
    this.#waitingBytes = 0
    if (appends.length === 0) return
    this.#lastMs = Math.max(this.#lastMs, this.#p.clock.wall())
    for (const a of appends) {
      let bytes = 0
      for (const e of a.events) {
        const size = sizeOf(e)
        this.#tail.push(e, this.#lastMs, size)
        this.#packed.push(e)
        bytes += size
      }
      if (a.settles !== undefined) this.#feed?.settleNow(a.settles)
      this.#p.observer.appended(this.#p.id, a.events.length, bytes, this.#p.clock.now() - a.atMs, a.events)
      a.done(DURABLE)
    }
    if (!this.#routing) this.#route()
    if (this.#tail.bytes > 2 * this.#mostHistory) this.#forgetOld()
  }

  /** A burst is routed over several turns, so that nobody else waits long for his. */
  #route(): void {
    const end = Math.min(this.#tail.next - 1, this.#head + ROUTED_A_TURN)
    while (this.#head < end) {
      const position = ++this.#head
      this.#feed?.route(position, this.#tail.get(position)!, this.#tail.sizeOf(position))
      this.#tail.release(position)
    }
    this.#routing = this.#head < this.#tail.next - 1
    if (this.#routing) this.#p.clock.soon(() => this.#route())
  }

  /** Why no more events are taken, '' = they are. */
  #refusal(bytes: number, reserve: boolean): string {
    const most = this.#p.plan.maxUnsettledBytes || MOST_UNSETTLED_BYTES
    const limit = reserve ? most : most * (1 - RESERVE)
    const soon = this.#waitingBytes + this.#kept.bytes + bytes
    // History is dropped by and by, so that it may be in the way only here: who holds what is asked when it matters.
    if (this.#tail.bytes + soon <= limit) return ''
    const held = lowestHeld(this.#seats, this.#head)
    const unsettled = this.#tail.bytesFrom(held.position) + soon
    if (unsettled <= limit) return ''
    const who =
      held.key === '' ? 'they are delayed, parked or wait to be routed' : `${held.key} holds them since position ${held.position}`
    return `${unsettled} bytes are unsettled, at most ${limit} may be; ${who}`
  }

  /** Drops settled history by time and bytes. */
  #forgetOld(): void {
    const { plan, clock } = this.#p
    const held = lowestHeld(this.#seats, this.#head).position
    const oldMs = clock.wall() - plan.retentionMs
    const most = this.#mostHistory + this.#tail.bytesFrom(held)
    let position = this.first
    while (position < held && (this.#tail.bytesFrom(position) > most || this.#tail.timeOf(position) < oldMs)) position++
    this.#tail.dropBelow(position)
    this.#packed.dropBelow(position)
  }

  get #mostHistory(): number {
    return Math.min(this.#p.plan.maxBytes, MOST_HISTORY_BYTES)
  }
}

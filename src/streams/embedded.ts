import { mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Position } from '../contract/delivery.ts'
import type { Feed, Intake } from '../contract/feed.ts'
import type { Appended, AppendOptions, StreamStats } from '../contract/stream.ts'
import type { CloudEvent } from '../event/event.ts'
import { encodeStored } from '../event/stored.ts'
import type { Timer } from '../runtime/clock.ts'
import { aborted } from '../runtime/ending.ts'
import { assert } from '../runtime/errors.ts'
import { Ballast } from '../store/ballast.ts'
import { diskOf, type Disk } from '../store/disk.ts'
import { formatMember } from '../store/format.ts'
import { GroupCommit } from '../store/group-commit.ts'
import { Kept } from '../store/kept.ts'
import { openLmdb } from '../vendor/lmdb/open.ts'
import type { Kv } from '../vendor/lmdb/kv.ts'
import { DurableLog, type Append } from './durable-log.ts'
import { LogFeed } from './log-feed.ts'
import { MOST_WAITING_BYTES, tooLarge, type Holding, type LogStream, type OnFatal, type StreamParts } from './parts.ts'
import { Room, type Held } from './room.ts'
import { loadSeats, SeatRecords } from './seat-records.ts'
import { lowestHeld, type Seat } from './seat.ts'

export interface EmbeddedParts extends StreamParts {
  /** Folder of this stream alone, made when it is not there. */
  readonly dir: string
  readonly onFatal: OnFatal
  /** For tests: another store, another disk. */
  readonly kv?: Kv
  readonly disk?: () => Disk
}

/** Youngest events kept in memory for those who have just fallen behind. */
const TAIL_BYTES = 4 * 2 ** 20
const RETENTION_EVERY_MS = 1_000
const RETRY_MS = 1_000
/** A refusal is shown for so long. */
const REFUSED_MS = 5_000
/** An event may take this many times its bytes in pages, and the trees take these. */
const FILE_WASTE = 1.5
const FILE_LEAST_BYTES = 2 ** 20
/** After a jump of the wall clock nothing is deleted by age for a while: it may jump back. */
const JUMP_MS = 5_000
const AFTER_JUMP_MS = 30_000

/**
 * A stream in an LMDB environment of its own. What is appended is acknowledged and delivered only after its flush; the
 * events, positions, delayed and parked deliveries are written by the same commits, so none outlives another.
 * Throws a Fault 'store.format' for the data of another version.
 */
export function openEmbeddedStream(parts: EmbeddedParts): Promise<LogStream> {
  return Promise.resolve().then(() => {
    if (parts.kv === undefined) mkdirSync(parts.dir, { recursive: true })
    return new EmbeddedStream(parts, parts.kv ?? openLmdb(parts.dir))
  })
}

class EmbeddedStream implements LogStream {
  readonly can = { atomicBatch: true, delay: true, seekTime: true } as const
  readonly #p: EmbeddedParts
  readonly #kv: Kv
  readonly #group: GroupCommit
  readonly #kept: Kept
  readonly #log: DurableLog
  readonly #records: SeatRecords
  readonly #seats: Map<string, Seat>
  readonly #room: Room
  readonly #ballast: Ballast | undefined
  readonly #retention: Timer
  #feed: LogFeed | undefined
  #closed = false
  #refused = { why: '', atMs: -Infinity }
  /** Wall minus monotonic clock when last looked at, and until when nothing is deleted by age. */
  #offsetMs: number
  #keepUntilMs = 0

  constructor(parts: EmbeddedParts, kv: Kv) {
    this.#p = parts
    this.#kv = kv
    const disk = parts.disk ?? (() => diskOf(parts.dir))
    this.#ballast = parts.kv === undefined ? new Ballast(parts.dir) : undefined
    this.#ballast?.take()
    const makeRoom = (): void => this.#ballast?.drop()
    this.#group = new GroupCommit(kv, parts.clock, parts.onFatal, { freeBytes: () => disk().freeBytes, makeRoom })
    this.#group.join(formatMember(kv, parts.dir))
    // The order in which they write matters: appends and kept deliveries settle positions, the records come last.
    this.#log = this.#openLog()
    this.#kept = new Kept(kv, this.#group, parts.log)
    const { seats, routed } = loadSeats(kv, this.#kept, this.#log.first)
    this.#seats = seats
    this.#records = new SeatRecords(this.#group, parts.clock, routed, () => this.#log.head)
    this.#room = new Room(parts.plan.maxUnsettledBytes, {
      clock: parts.clock,
      held: () => this.#held(),
      disk,
      reusableBytes: () => this.#reusableBytes(),
    })
    this.#offsetMs = this.#clockOffset()
    this.#retention = parts.clock.every(RETENTION_EVERY_MS, () => this.#lookForOld())
  }

  append(events: readonly CloudEvent[], done: (r: Appended) => void, options: AppendOptions = {}): void {
    if (this.#closed || this.#group.broken) {
      return done({
        kind: 'unavailable',
        retryAfterMs: RETRY_MS,
        why: this.#closed ? 'the stream is closed' : 'the store is broken',
      })
    }
    const limitBytes = this.#p.plan.maxEventBytes
    const records: Uint8Array[] = []
    let bytes = 0
    for (const e of events) {
      if (tooLarge(e, limitBytes)) return done({ kind: 'too-large', limitBytes })
      const record = encodeStored(e)
      records.push(record)
      bytes += record.length
    }
    const why = this.#refusal(bytes, options.reserve === true)
    if (why !== '') {
      this.#refused = { why, atMs: this.#p.clock.now() }
      return done({ kind: 'full', retryAfterMs: RETRY_MS, why })
    }
    this.#room.took(bytes)
    this.#p.budget?.take(bytes)
    const { settles } = options
    this.#log.append({ events, records, bytes, done, settles, atMs: this.#p.clock.now(), settled: false })
  }

  #refusal(bytes: number, reserve: boolean): string {
    if (this.#group.outOfSpace) return 'the disk is full'
    if (this.#log.waitingBytes + bytes > MOST_WAITING_BYTES && this.#log.waitingBytes > 0) return 'the disk does not keep up'
    if (!reserve && this.#p.budget?.full === true) return 'the memory for events is used up'
    return this.#room.refusal(bytes, reserve)
  }

  open(into: Intake, signal: AbortSignal): Feed {
    assert(this.#feed === undefined, 'a stream is opened once')
    const feed = new LogFeed(
      {
        log: this.#log,
        kept: this.#kept,
        group: this.#group,
        clock: this.#p.clock,
        out: this.#p.log,
        seats: this.#seats,
        changed: (seat, when) => this.#records.changed(seat, when),
        forgotten: (seat) => this.#records.forgotten(seat),
      },
      into,
    )
    this.#feed = feed
    into.assigned([0])
    signal.addEventListener('abort', () => feed.stop(), { once: true })
    return feed
  }

  stats(): StreamStats {
    const log = this.#log
    const refusing = this.#group.broken
      ? 'the store is broken'
      : this.#closed
        ? 'the stream is closed'
        : this.#refusedLately() || this.#room.refusal(0, false)
    return { events: log.head + 1 - log.first, bytes: log.bytes, oldestMs: log.oldestMs, refusing }
  }

  /** What is too large for the room that is left is refused while something smaller would not be. */
  #refusedLately(): string {
    return this.#p.clock.now() - this.#refused.atMs < REFUSED_MS ? this.#refused.why : ''
  }

  async close(signal: AbortSignal): Promise<void> {
    this.#closed = true
    this.#retention.cancel()
    this.#feed?.stop()
    await this.#drain(signal)
    this.#group.close()
    await Promise.race([this.#kv.close(), aborted(signal)])
  }

  holdings(): readonly Holding[] {
    return [...this.#seats.values()].map((s) => s.holding(this.#log))
  }

  forget(key: string): boolean {
    return this.#feed?.forget(key) ?? false
  }

  #openLog(): DurableLog {
    const { clock, observer, id } = this.#p
    return new DurableLog(this.#kv, this.#group, {
      wall: () => clock.wall(),
      soon: (f) => clock.soon(f),
      over: (a: Append) => this.#p.budget?.give(a.bytes),
      settleNow: (d) => this.#feed?.settleNow(d) ?? false,
      reopen: (d) => this.#feed?.reopen(d),
      appended: (a: Append) => observer.appended(id, a.events.length, a.bytes, clock.now() - a.atMs, a.events),
      route: (position, event, bytes) => this.#feed?.route(position, event, bytes),
      handedOn: () => this.#cutTail(),
      history: () => this.#history(),
      held: () => lowestHeld(this.#seats, this.#log.head).position,
    })
  }

  /**
   * Who is a little behind the head reads on from memory. Who is further back than the tail goes reads blocks, until he has
   * caught up: for him alone nothing is kept.
   */
  #cutTail(): void {
    const { tail, head } = this.#log
    let from: Position = head + 1
    for (const s of this.#seats.values()) {
      if (!s.attached || s.atHead) continue
      if (s.next >= tail.first) from = Math.min(from, s.next)
      const again = s.again[0] ?? from
      if (again >= tail.first) from = Math.min(from, again)
    }
    while (tail.bytesFrom(from) > TAIL_BYTES) from++
    tail.dropBelow(from)
  }

  #held(): Held {
    const { key, position } = lowestHeld(this.#seats, this.#log.head)
    return { key, position, bytes: this.#log.bytesFrom(position) + this.#kept.delayedBytes }
  }

  /** LMDB's file never shrinks: what was deleted is room for what comes. Reckoned with what its pages may waste. */
  #reusableBytes(): number {
    if (this.#p.kv !== undefined) return 0
    const file = statSync(join(this.#p.dir, 'data.mdb'), { throwIfNoEntry: false })
    const live = this.#log.bytes + this.#kept.bytes
    return Math.max(0, (file?.size ?? 0) - FILE_WASTE * live - FILE_LEAST_BYTES)
  }

  #history(): { readonly beforeMs: number; readonly mostBytes: number } {
    const { plan, clock } = this.#p
    return { beforeMs: clock.now() < this.#keepUntilMs ? 0 : clock.wall() - plan.retentionMs, mostBytes: plan.maxBytes }
  }

  #lookForOld(): void {
    const offsetMs = this.#clockOffset()
    if (Math.abs(offsetMs - this.#offsetMs) > JUMP_MS) {
      this.#keepUntilMs = this.#p.clock.now() + AFTER_JUMP_MS
      this.#p.log.warn('the wall clock jumped; no history is deleted by age for 30 s', {
        byMs: Math.round(offsetMs - this.#offsetMs),
      })
    }
    this.#offsetMs = offsetMs
    if (this.#log.deletable()) this.#group.need()
    if (!this.#group.outOfSpace) this.#ballast?.take()
  }

  #clockOffset(): number {
    return this.#p.clock.wall() - this.#p.clock.now()
  }

  /** Brings everything that waits to the disk, the last settlements included; gives up when that cannot be. */
  async #drain(signal: AbortSignal): Promise<void> {
    try {
      do {
        this.#records.all()
        await this.#group.durable(signal)
      } while (this.#log.waiting > 0)
    } catch (error) {
      this.#p.log.error('a stream was closed before everything was on the disk', { stream: this.#p.plan.key, error })
    }
  }
}

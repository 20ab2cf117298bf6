import type { Delivery, Position } from '../contract/delivery.ts'
import { DURABLE, type Appended } from '../contract/stream.ts'
import type { CloudEvent } from '../event/event.ts'
import { Fault } from '../runtime/errors.ts'
import type { GroupCommit, Member } from '../store/group-commit.ts'
import { blockFrom, blockKey, BLOCKS_END, LOG_STATE, readBlockKey, type BlockKey } from '../store/keys.ts'
import type { Batch, Kv } from '../vendor/lmdb/kv.ts'
import { Block, BLOCK_BYTES, BLOCK_EVENTS, BlockArena } from './blocks.ts'
import { LogIndex } from './log-index.ts'
import type { LogReader, LogView } from './log-view.ts'
import { ROUTED_A_TURN } from './parts.ts'
import { Tail } from './tail.ts'

/** One append that waits for its commit. */
export interface Append {
  readonly events: readonly CloudEvent[]
  readonly records: readonly Uint8Array[]
  readonly bytes: number
  readonly done: (r: Appended) => void
  readonly settles: Delivery | undefined
  readonly atMs: number
  /** Whether gathering has settled `settles`. */
  settled: boolean
}

/** What the log asks of the stream around it. */
export interface DurableLogHooks {
  wall(): number
  soon(f: () => void): void
  /** Settles a delivery in the commit that is being gathered. */
  settleNow(d: Delivery): boolean
  reopen(d: Delivery): void
  /** An append does not wait any more, however it ended. */
  over(a: Append): void
  /** An append is durable. */
  appended(a: Append): void
  /** An event is the head of the log. */
  route(position: Position, event: CloudEvent, bytes: number): void
  /** Everything durable has been handed on: the tail may be cut. */
  handedOn(): void
  /** Settled history may be deleted when it is older or bigger than that. */
  history(): { readonly beforeMs: number; readonly mostBytes: number }
  /** Everything below is settled by everybody. */
  held(): Position
}

/** One commit takes no more than this, so that a burst is acknowledged by and by. */
const GROUP_BYTES = 8 * 2 ** 20
/** Blocks deleted in one commit. */
const DELETES_A_COMMIT = 64
/** Blocks read ahead off the thread. */
const READ_AHEAD = 16
const STATE_FORMAT = 1
const RETRY_MS = 1_000

interface State {
  /** Position of the next event; never goes back. */
  readonly next: Position
  /** Wall clock of the last append; never goes back. */
  readonly lastMs: number
  /** Bytes appended since the log began. */
  readonly bytes: number
}

/** The events of one stream in its environment: appended in blocks, read in small slices, deleted from the old end. */
export class DurableLog implements LogView, Member {
  readonly tail: Tail
  readonly #kv: Kv
  readonly #group: GroupCommit
  readonly #hooks: DurableLogHooks
  readonly #index = new LogIndex()
  readonly #arena = new BlockArena()
  #state: State
  #writingState: State
  #first: Position
  /** Beginning of the oldest block, undefined = the log is empty. */
  #oldest: BlockKey | undefined
  #head: Position
  #waiting: Append[] = []
  #waitingBytes = 0
  #writing: Append[] = []
  #writingBlocks: BlockKey[] = []
  /** Some of what is durable is to be routed in the next turn. */
  #routing = false

  constructor(kv: Kv, group: GroupCommit, hooks: DurableLogHooks) {
    this.#kv = kv
    this.#group = group
    this.#hooks = hooks
    this.#state = this.#writingState = readState(kv.get(LOG_STATE))
    this.#head = this.#state.next - 1
    this.#first = this.#state.next
    this.#findOldest()
    this.#index.load(kv, this.#first, this.#state.next)
    this.tail = new Tail(this.#state.next)
    group.join(this)
  }

  // LogView

  get first(): Position {
    return this.#first
  }
  get head(): Position {
    return this.#head
  }
  get end(): Position {
    return this.#state.next - 1
  }
  reader(): LogReader {
    return new BlockReader(this.#kv, this.tail)
  }
  timeAt(position: Position): number {
    return this.tail.timeOf(position) || (this.#index.at(position)?.timeMs ?? 0)
  }

  positionAt(timeMs: number): Position {
    let low = this.#first
    let high = this.#head + 1
    while (low < high) {
      // All events of a block have its time, and times never decrease.
      const middle = Math.floor((low + high) / 2)
      const block = this.#blockWith(middle)
      if (block !== undefined && block.timeMs < timeMs) low = middle + 1
      else high = Math.max(low, block?.first ?? middle)
    }
    return low
  }

  // What it holds

  /** Bytes of the events kept, those that wait to be written included. */
  get bytes(): number {
    return this.#state.bytes - (this.#oldest?.bytesBefore ?? this.#state.bytes) + this.#waitingBytes
  }
  get oldestMs(): number {
    return this.#oldest?.timeMs ?? 0
  }
  get lastMs(): number {
    return this.#state.lastMs
  }
  get waitingBytes(): number {
    return this.#waitingBytes
  }
  get waiting(): number {
    return this.#waiting.length + this.#writing.length
  }
  /** Bytes from about `position` to the end; never too few. */
  bytesFrom(position: Position): number {
    const before = position >= this.#state.next ? this.#state.bytes : (this.#index.at(position)?.bytesBefore ?? this.#state.bytes)
    return this.#state.bytes - before + this.#waitingBytes
  }

  append(a: Append): void {
    this.#waitingBytes += a.bytes
    this.#waiting.push(a)
    this.#group.need()
  }

  /** Whether there is history that may be deleted. */
  deletable(): boolean {
    const { beforeMs, mostBytes } = this.#hooks.history()
    const oldest = this.#oldest
    // Cheap first: this is asked with every commit, and who holds what takes a look at every subscription.
    if (oldest === undefined || (oldest.timeMs >= beforeMs && this.bytes <= mostBytes)) return false
    const below = this.#hooks.held()
    return below > oldest.first && (oldest.timeMs < beforeMs || this.bytes - this.bytesFrom(below) > mostBytes)
  }

  // Member

  write(b: Batch): void {
    this.#writingState = this.#state
    this.#writingBlocks = []
    this.#arena.clear()
    this.#gather()
    if (this.#writing.length > 0) this.#writeBlocks(b)
    const removed = this.#deleteOld(b)
    if (this.#writing.length > 0) b.put(LOG_STATE, writeState(this.#writingState))
    if (removed > 0) this.#group.need()
  }

  flushed(): (() => void) | undefined {
    const appends = this.#writing
    const { timeMs } = this.#writingBlocks[0] ?? { timeMs: 0 }
    this.#writing = []
    this.#state = this.#writingState
    for (const block of this.#writingBlocks) {
      this.#index.add(block)
      this.#oldest ??= block
    }
    for (const a of appends) this.#over(a)
    if (this.#waiting.length > 0) this.#group.need()
    return appends.length === 0 ? undefined : () => this.#handOn(appends, timeMs)
  }

  failed(error: Error): void {
    const appends = this.#group.broken ? [...this.#writing, ...this.#waiting.splice(0)] : this.#writing
    this.#writing = []
    this.#findOldest()
    for (const a of appends) {
      this.#over(a)
      if (a.settled) this.#hooks.reopen(a.settles!)
      const kind = this.#group.broken ? 'unavailable' : 'full'
      a.done({ kind, retryAfterMs: RETRY_MS, why: `could not be stored: ${error.message}` })
    }
  }

  #over(a: Append): void {
    this.#waitingBytes -= a.bytes
    this.#hooks.over(a)
  }

  #gather(): void {
    let bytes = 0
    let n = 0
    while (n < this.#waiting.length && (n === 0 || bytes + this.#waiting[n]!.bytes <= GROUP_BYTES))
      bytes += this.#waiting[n++]!.bytes
    this.#writing = this.#waiting.splice(0, n)
    for (const a of this.#writing) a.settled = a.settles !== undefined && this.#hooks.settleNow(a.settles)
  }

  #writeBlocks(b: Batch): void {
    let { next, bytes } = this.#state
    const timeMs = Math.max(this.#state.lastMs, this.#hooks.wall())
    let records: Uint8Array[] = []
    let size = 0
    const close = (): void => {
      const key = { first: next, timeMs, bytesBefore: bytes }
      b.put(blockKey(key), this.#arena.encode(records))
      this.#writingBlocks.push(key)
      next += records.length
      bytes += size
      records = []
      size = 0
    }
    for (const a of this.#writing) {
      for (const record of a.records) {
        records.push(record)
        size += record.length
        if (size >= BLOCK_BYTES || records.length === BLOCK_EVENTS) close()
      }
    }
    if (records.length > 0) close()
    this.#writingState = { next, lastMs: timeMs, bytes }
  }

  /** Durable means visible to everybody: acknowledge first, then hand on one by one. */
  #handOn(appends: readonly Append[], timeMs: number): void {
    for (const a of appends) {
      for (let i = 0; i < a.events.length; i++) this.tail.push(a.events[i]!, timeMs, a.records[i]!.length)
    }
    for (const a of appends) {
      this.#hooks.appended(a)
      a.done(DURABLE)
    }
    if (!this.#routing) this.#route()
  }

  /** A burst is routed over several turns, so that nobody else waits long for his. */
  #route(): void {
    const end = Math.min(this.tail.next - 1, this.#head + ROUTED_A_TURN)
    while (this.#head < end) {
      const position = ++this.#head
      this.#hooks.route(position, this.tail.get(position)!, this.tail.sizeOf(position))
    }
    this.#routing = this.#head < this.tail.next - 1
    if (this.#routing) this.#hooks.soon(() => this.#route())
    else this.#hooks.handedOn()
  }

  /** Deletes whole blocks from the old end while everything in them is settled and too old or too much. */
  #deleteOld(b: Batch): number {
    if (!this.deletable()) return 0
    const { beforeMs, mostBytes } = this.#hooks.history()
    const below = this.#hooks.held()
    const blocks = this.#kv.keys(blockFrom(0), blockFrom(below + 1), DELETES_A_COMMIT + 1)
    let excess = this.bytes - this.bytesFrom(below) - mostBytes
    let n = 0
    for (; n < blocks.length; n++) {
      const block = readBlockKey(blocks[n]!)
      const end = blocks[n + 1] === undefined ? this.#state : endOf(blocks[n + 1]!)
      if (n === DELETES_A_COMMIT || end.next > below || (block.timeMs >= beforeMs && excess <= 0)) break
      b.remove(blocks[n]!)
      excess -= end.bytes - block.bytesBefore
      this.#first = end.next
    }
    if (n > 0) this.#afterDelete(blocks[n])
    return n
  }

  #afterDelete(oldest: Uint8Array | undefined): void {
    this.#oldest = oldest === undefined ? undefined : readBlockKey(oldest)
    this.#index.dropBelow(this.#first)
  }

  #findOldest(): void {
    const key = this.#kv.keys(blockFrom(0), BLOCKS_END, 1)[0]
    this.#oldest = key === undefined ? undefined : readBlockKey(key)
    this.#first = this.#oldest?.first ?? this.#state.next
  }

  #blockWith(position: Position): BlockKey | undefined {
    const key = this.#kv.keys(blockFrom(0), blockFrom(position + 1), 1, true)[0]
    return key === undefined ? undefined : readBlockKey(key)
  }
}

/** Reads blocks ahead off the thread, then takes events out of them one at a time. */
class BlockReader implements LogReader {
  readonly #kv: Kv
  readonly #tail: Tail
  #block: Block | undefined
  /** Keys of blocks that are in memory by now, in order. */
  #ahead: Uint8Array[] = []
  #loading = false
  /** What was last fetched: asked for again without being found, it is not there. */
  #fetched: Position = 0

  constructor(kv: Kv, tail: Tail) {
    this.#kv = kv
    this.#tail = tail
  }

  read(position: Position, ready: () => void): ReturnType<LogReader['read']> {
    if (this.#block?.has(position)) return this.#block.at(position)
    const event = this.#tail.get(position)
    if (event !== undefined) return event
    if (this.#loading) return 'loading'
    while (this.#ahead.length > 0) {
      const key = this.#ahead[0]!
      const { first } = readBlockKey(key)
      if (first > position) break
      this.#ahead.shift()
      const value = this.#kv.get(key)
      this.#block = value === undefined ? undefined : new Block(first, value)
      if (this.#block?.has(position)) return this.#block.at(position)
    }
    const keys = this.#keysFrom(position)
    if (keys.length === 0 || this.#fetched === position) return 'missing'
    this.#fetched = position
    this.#loading = true
    this.#kv.prefetch(keys, () => {
      this.#loading = false
      this.#ahead = keys
      ready()
    })
    return 'loading'
  }

  /** Keys of the block with `position` and of those after it. */
  #keysFrom(position: Position): Uint8Array[] {
    const holds = this.#kv.keys(blockFrom(0), blockFrom(position + 1), 1, true)
    return [...holds, ...this.#kv.keys(blockFrom(position + 1), BLOCKS_END, READ_AHEAD)]
  }
}

function endOf(key: Uint8Array): { readonly next: Position; readonly bytes: number } {
  const { first, bytesBefore } = readBlockKey(key)
  return { next: first, bytes: bytesBefore }
}

function readState(bytes: Uint8Array | undefined): State {
  if (bytes === undefined) return { next: 1, lastMs: 0, bytes: 0 }
  const b = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (b[0] !== STATE_FORMAT) throw new Fault('store.format', `the stream has format ${b[0]}, this version reads ${STATE_FORMAT}`)
  return { next: b.readUIntBE(1, 6), lastMs: b.readUIntBE(7, 6), bytes: b.readUIntBE(13, 6) }
}

function writeState(s: State): Buffer {
  const b = Buffer.allocUnsafe(19)
  b[0] = STATE_FORMAT
  b.writeUIntBE(s.next, 1, 6)
  b.writeUIntBE(s.lastMs, 7, 6)
  b.writeUIntBE(s.bytes, 13, 6)
  return b
}

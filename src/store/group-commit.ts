import type { Clock, Timer } from '../runtime/clock.ts'
import { Fault, messageOf } from '../runtime/errors.ts'
import { isInputOutput, isOutOfSpace, type Batch, type Kv } from '../vendor/lmdb/kv.ts'
import { COMMITS } from './keys.ts'

/** Somebody who writes into the commits of one environment. The three are called in this order, one commit at a time. */
export interface Member {
  /** Adds what waits to be written. What it wrote stays its own until one of the other two is called. */
  write(b: Batch): void
  /** Everything this member wrote is on the disk. Keeps the books, and returns what follows from it for others. */
  flushed(): (() => void) | undefined
  /** Nothing of it was written, and nothing else of that commit. */
  failed(error: Error): void
}

/** The disk a store is on, as far as a failed commit asks for it. */
export interface GroupDisk {
  freeBytes(): number
  /** Nothing could be written: gives up what was set aside for this. */
  makeRoom(): void
}

/** No disk at all. */
export const NO_DISK: GroupDisk = { freeBytes: () => Infinity, makeRoom() {} }

/** A commit that takes longer than this counts as failed: the disk, or the library, hangs. */
const LONGEST_COMMIT_MS = 120_000
/** Once more after that: a process that was stopped itself runs its timers before it hears of its flush. */
const LAST_LOOK_MS = 1_000
/** Pause before the next commit after one for which the disk had no room. */
const FULL_DISK_PAUSE_MS = 1_000
/** So much a commit writes besides what it was given, at most: pages of its trees. */
const COMMIT_OVERHEAD_BYTES = 2 ** 20

/**
 * Group commit: whatever its members have to write in a turn or two of the loop goes into one transaction and one flush, and
 * while that runs the next group gathers. So a commit costs the same for one event as for hundreds.
 *
 *   idle ── need ──▶ due ── the next turn ──▶ writing ── flushed ──▶ idle, or due again
 *                                                  └── no room: members are told, the next try comes after a pause
 *                                                  └── anything else: broken for good, the gateway stops
 */
export class GroupCommit {
  readonly #kv: Kv
  readonly #clock: Clock
  readonly #onFatal: (fault: Fault) => void
  readonly #disk: GroupDisk
  readonly #members: Member[] = []
  #state: 'idle' | 'due' | 'writing' | 'paused' | 'broken' | 'closed' = 'idle'
  /** Somebody needs another commit after the one that runs. */
  #again = false
  #later: Timer | undefined
  #laterAtMs = Infinity
  #broken: Fault | undefined
  #commits: number
  #waiters: ((error?: Error) => void)[] = []

  constructor(kv: Kv, clock: Clock, onFatal: (fault: Fault) => void, disk: GroupDisk) {
    this.#kv = kv
    this.#clock = clock
    this.#onFatal = onFatal
    this.#disk = disk
    const stored = kv.get(COMMITS)
    this.#commits = stored === undefined ? 0 : readCount(stored)
  }

  get broken(): boolean {
    return this.#broken !== undefined
  }

  /** The disk had no room for the last group; the next try is due in a moment. */
  get outOfSpace(): boolean {
    return this.#state === 'paused'
  }

  join(m: Member): void {
    this.#members.push(m)
  }

  /** Commits in the next turn, or in the one after the running commit has ended. */
  need(): void {
    if (this.#state === 'idle') {
      this.#state = 'due'
      // A turn later: who was answered just now often has his next event here by then, and what arrived along with this one is
      // read. Groups are larger by a fifth for it, and a commit costs as much as twenty events.
      this.#clock.soon(() => this.#clock.soon(() => this.#start()))
    } else this.#again = true
  }

  /** Commits within `ms`, with whatever commit comes first. */
  needWithin(ms: number): void {
    const atMs = this.#clock.now() + ms
    if (this.#state === 'due' || this.#laterAtMs <= atMs) return
    this.#later?.cancel()
    this.#laterAtMs = atMs
    this.#later = this.#clock.after(ms, () => {
      this.#laterAtMs = Infinity
      this.need()
    })
  }

  /** Calls back once everything that waits now is durable, with an error when it never will be. */
  afterNext(f: (error?: Error) => void): void {
    if (this.#broken !== undefined) return f(this.#broken)
    if (this.#state === 'closed') return f(new Fault('store.failed', 'the store is closed'))
    this.#waiters.push(f)
    this.need()
  }

  /** Resolves once everything that waits now is durable; rejects when it never will be, or with the reason of the signal. */
  durable(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error)
      const aborted = (): void => reject(signal?.reason as Error)
      signal?.addEventListener('abort', aborted, { once: true })
      this.afterNext((error) => {
        signal?.removeEventListener('abort', aborted)
        if (error === undefined) resolve()
        else reject(error)
      })
    })
  }

  /** Nothing is committed any more. Only between commits: after `afterNext` has called back. */
  close(): void {
    // What is about to be written still is.
    this.#start()
    this.#state = 'closed'
    this.#later?.cancel()
  }

  #start(): void {
    if (this.#state !== 'due') return
    this.#state = 'writing'
    this.#again = false
    this.#later?.cancel()
    this.#laterAtMs = Infinity
    const waiters = this.#waiters
    this.#waiters = []
    // Gathered before the transaction begins: a member that throws must not leave half a group in it.
    const ops = new Operations()
    try {
      for (const m of this.#members) m.write(ops)
    } catch (e) {
      return this.#break(new Error(`a group could not be gathered: ${messageOf(e)}`, { cause: e }), waiters)
    }
    if (ops.size === 0) return this.#flushed(waiters)
    const commit = ++this.#commits
    ops.put(COMMITS, writeCount(commit))
    const hangs = (): void => this.#break(new Error(`not flushed within ${LONGEST_COMMIT_MS / 1000} s`), waiters)
    let watch = this.#clock.after(LONGEST_COMMIT_MS, () => {
      watch = this.#clock.after(LAST_LOOK_MS, hangs)
    })
    this.#kv.commit(
      (b) => ops.into(b),
      (error) => {
        watch.cancel()
        if (this.#state !== 'writing') return
        if (error === undefined) this.#flushed(waiters)
        else this.#failed(error, commit, ops.bytes, waiters)
      },
    )
  }

  #flushed(waiters: readonly ((error?: Error) => void)[]): void {
    const handOn: (() => void)[] = []
    for (const m of this.#members) {
      const follows = m.flushed()
      if (follows !== undefined) handOn.push(follows)
    }
    this.#state = 'idle'
    for (const f of handOn) f()
    for (const f of waiters) f()
    if (this.#state === 'idle' && (this.#again || this.#waiters.length > 0)) this.need()
  }

  #failed(error: Error, commit: number, bytes: number, waiters: readonly ((error?: Error) => void)[]): void {
    // Out of space before the transaction became visible leaves the store as it was: that is a full stream, not a broken
    // one. Visible but not flushed is broken: nobody can say what a crash would leave.
    if (!this.#noRoom(error, bytes) || this.#visible(commit)) return this.#break(error, waiters)
    this.#commits = commit - 1
    this.#waiters.unshift(...waiters)
    this.#state = 'paused'
    this.#disk.makeRoom()
    for (const m of this.#members) m.failed(error)
    this.#clock.after(FULL_DISK_PAUSE_MS, () => {
      if (this.#state !== 'paused') return
      this.#state = 'idle'
      if (this.#again || this.#waiters.length > 0) this.need()
    })
  }

  #noRoom(error: Error, bytes: number): boolean {
    return isOutOfSpace(error) || (isInputOutput(error) && this.#disk.freeBytes() < 2 * bytes + COMMIT_OVERHEAD_BYTES)
  }

  #visible(commit: number): boolean {
    const stored = this.#kv.get(COMMITS)
    return stored !== undefined && readCount(stored) >= commit
  }

  #break(error: Error, waiters: readonly ((error?: Error) => void)[]): void {
    if (this.#broken !== undefined) return
    this.#state = 'broken'
    this.#broken = new Fault('store.failed', `the store could not make a commit durable: ${messageOf(error)}`, error)
    for (const m of this.#members) m.failed(error)
    for (const f of [...waiters, ...this.#waiters.splice(0)]) f(this.#broken)
    this.#onFatal(this.#broken)
  }
}

class Operations implements Batch {
  readonly #keys: Uint8Array[] = []
  readonly #values: (Uint8Array | undefined)[] = []
  /** Of all values. */
  bytes = 0

  get size(): number {
    return this.#keys.length
  }
  put(key: Uint8Array, value: Uint8Array): void {
    this.bytes += value.length
    this.#keys.push(key)
    this.#values.push(value)
  }
  remove(key: Uint8Array): void {
    this.#keys.push(key)
    this.#values.push(undefined)
  }
  into(b: Batch): void {
    for (let i = 0; i < this.#keys.length; i++) {
      const value = this.#values[i]
      if (value === undefined) b.remove(this.#keys[i]!)
      else b.put(this.#keys[i]!, value)
    }
  }
}

function readCount(bytes: Uint8Array): number {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).readUIntBE(0, 6)
}

function writeCount(n: number): Buffer {
  const b = Buffer.allocUnsafe(6)
  b.writeUIntBE(n, 0, 6)
  return b
}

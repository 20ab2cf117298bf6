import type { ParkedEntry, ParkedStore } from '../contract/feed.ts'
import { Fault } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import type { Batch, Kv } from '../vendor/lmdb/kv.ts'
import type { GroupCommit, Member } from './group-commit.ts'
import { decodeKept, encodeKept, type KeptItem } from './kept-record.ts'
import {
  delayedKey,
  FORGOTTENS,
  forgottenKey,
  LAST_MS,
  lineKey,
  LINES,
  nameOf,
  parkedKey,
  readDelayedKey,
  readForgottenKey,
  readParkedKey,
} from './keys.ts'

/** Per subscription; beyond either of them nothing more is parked and reading stops (DESIGN §5). */
export const MOST_PARKED = { events: 100_000, bytes: 2 ** 30 } as const
/** Deletes a commit, so that no commit holds up the events that wait for the next one. */
const DELETES_A_COMMIT = 256
const ID_DIGITS = 13

/** What is kept for one subscription, delayed and parked. Its number stands for its key in the store. */
export interface Line {
  readonly key: string
  readonly number: number
  delayed: { events: number; bytes: number }
  parked: { events: number; bytes: number }
  lastId: number
}

/** A delayed delivery in the store. */
export interface KeptRef {
  readonly line: Line
  readonly id: number
  readonly dueMs: number
  readonly bytes: number
}

export interface Delayed {
  readonly ref: KeptRef
  readonly item: KeptItem
}

/** What goes on beside the writing of one delivery; `undo` takes back what `apply` did. */
export interface KeepHooks {
  /** The group is being gathered: settle the position now, so that both are one transaction. */
  apply(): void
  undo(): void
  /** Durable, or not stored at all. */
  done(ok: boolean): void
}

/** One delivery's writes: all in one commit. */
interface Op {
  readonly line: Line
  readonly put: { readonly key: Uint8Array; readonly value: Uint8Array } | null
  /** The delayed delivery that `put` is; null = it is parked, or nothing is put. */
  readonly delays: KeptRef | null
  /** A delayed delivery that goes out of the store. */
  readonly was: KeptRef | null
  /** A parked one that goes. */
  readonly unparks: { readonly id: number; readonly bytes: number } | null
  readonly hooks: KeepHooks | null
}

/**
 * Delayed and parked deliveries of one environment, by subscription. Everything is written in the group commit, and is
 * found again after a restart; what is delayed is looked up in order of its due time, never held in memory.
 */
export class Kept implements Member, ParkedStore {
  /** Somebody waits for due deliveries: a delayed one became durable. */
  onDelayed: (ref: KeptRef) => void = () => {}
  /** A delayed one is out of the store. */
  onRemoved: (ref: KeptRef) => void = () => {}

  readonly #kv: Kv
  readonly #group: GroupCommit
  readonly #log: Log
  readonly #mostParked: { readonly events: number; readonly bytes: number }
  readonly #lines = new Map<string, Line>()
  /** Numbers whose deliveries are being deleted, with what the running commit deletes. */
  #forgotten: number[] = []
  /** Lines whose record and mark of deletion are still to be written. */
  #forgetting: Line[] = []
  /** The same, in the running commit. */
  #marked: Line[] = []
  #nextNumber = 1
  #delayedBytes = 0
  #parkedBytes = 0
  #waiting: Op[] = []
  #writing: Op[] = []
  /** What waits to be parked, by line: it counts against the limits already. */
  readonly #parking = new Map<Line, { events: number; bytes: number }>()
  /** Parked ones that are being removed, so that nobody counts them twice. */
  readonly #unparking = new Set<string>()

  constructor(
    kv: Kv,
    group: GroupCommit,
    log: Log,
    mostParked: { readonly events: number; readonly bytes: number } = MOST_PARKED,
  ) {
    this.#mostParked = mostParked
    this.#kv = kv
    this.#group = group
    this.#log = log
    for (const { key, value } of kv.range(LINES.from, LINES.to, Number.MAX_SAFE_INTEGER)) {
      const line = { key: nameOf(key), ...(JSON.parse(Buffer.from(value).toString()) as Omit<Line, 'key'>) }
      this.#lines.set(line.key, line)
      this.#nextNumber = Math.max(this.#nextNumber, line.number + 1)
      this.#delayedBytes += line.delayed.bytes
      this.#parkedBytes += line.parked.bytes
    }
    for (const key of kv.keys(FORGOTTENS.from, FORGOTTENS.to, Number.MAX_SAFE_INTEGER)) {
      const number = readForgottenKey(key)
      this.#forgotten.push(number)
      this.#nextNumber = Math.max(this.#nextNumber, number + 1)
    }
    group.join(this)
    if (this.#forgotten.length > 0) group.need()
  }

  /** Bytes of everything kept, delayed and parked, in all lines. */
  get bytes(): number {
    return this.#delayedBytes + this.#parkedBytes
  }
  get delayedBytes(): number {
    return this.#delayedBytes
  }

  line(key: string): Line {
    let line = this.#lines.get(key)
    if (line === undefined) {
      const none = { events: 0, bytes: 0 }
      line = { key, number: this.#nextNumber++, delayed: { ...none }, parked: { ...none }, lastId: 0 }
      this.#lines.set(key, line)
    }
    return line
  }

  /** Stores a delivery until it is due, in place of `was` when it comes from the store itself. */
  delay(line: Line, item: KeptItem, was: KeptRef | null, hooks: KeepHooks): void {
    const value = this.#encode(item, hooks)
    if (value === null) return
    const id = ++line.lastId
    const ref: KeptRef = { line, id, dueMs: Math.min(item.state.dueMs, LAST_MS), bytes: value.length }
    this.#push({ line, put: { key: delayedKey(line.number, ref.dueMs, id), value }, delays: ref, was, unparks: null, hooks })
  }

  /** Stores a delivery that was given up; refused when the subscription's room for parked ones is used up. */
  park(line: Line, item: KeptItem, was: KeptRef | null, hooks: KeepHooks): void {
    const value = this.#encode(item, hooks)
    if (value === null) return
    const soon = this.#parking.get(line) ?? { events: 0, bytes: 0 }
    const full = line.parked.events + soon.events >= this.#mostParked.events
    if (full || line.parked.bytes + soon.bytes + value.length > this.#mostParked.bytes) return hooks.done(false)
    add(soon, 1, value.length)
    this.#parking.set(line, soon)
    const id = ++line.lastId
    this.#push({ line, put: { key: parkedKey(line.number, id), value }, delays: null, was, unparks: null, hooks })
  }

  /** A delayed delivery has ended. */
  drop(ref: KeptRef): void {
    this.#push({ line: ref.line, put: null, delays: null, was: ref, unparks: null, hooks: null })
  }

  /** Delayed deliveries of a line due by `nowMs`, earliest first, without those in `except`; unreadable ones join it. */
  due(line: Line, nowMs: number, most: number, except: Set<number>): Delayed[] {
    const found: Delayed[] = []
    const keys = this.#kv.keys(delayedKey(line.number, 0, 0), delayedKey(line.number, nowMs + 1, 0), most + except.size)
    for (const key of keys) {
      const { dueMs, id } = readDelayedKey(key)
      if (except.has(id) || found.length === most) continue
      const value = this.#kv.get(key)
      const item = value === undefined ? null : this.#decode(value, line)
      if (value === undefined || item === null) except.add(id)
      else found.push({ ref: { line, id, dueMs, bytes: value.length }, item })
    }
    return found
  }

  /** When the next delayed delivery of a line is due, of those not in `except`; Infinity = none. */
  nextDueMs(line: Line, except: ReadonlySet<number>): number {
    const keys = this.#kv.keys(delayedKey(line.number, 0, 0), delayedKey(line.number, LAST_MS, 2 ** 47), 1 + except.size)
    for (const key of keys) {
      const { dueMs, id } = readDelayedKey(key)
      if (!except.has(id)) return dueMs
    }
    return Infinity
  }

  /** Deletes everything kept for a subscription, in small commits; false = there was nothing. */
  forget(key: string): boolean {
    const line = this.#lines.get(key)
    if (line === undefined) return false
    this.#lines.delete(key)
    this.#delayedBytes -= line.delayed.bytes
    this.#parkedBytes -= line.parked.bytes
    for (const op of this.#waiting) if (op.line === line) op.hooks?.done(false)
    this.#waiting = this.#waiting.filter((op) => op.line !== line)
    this.#forgetting.push(line)
    this.#group.need()
    return line.delayed.events + line.parked.events > 0
  }

  // What a person sees of the parked ones.

  counts(key: string): { readonly events: number; readonly bytes: number } {
    const parked = this.#lines.get(key)?.parked
    return { events: parked?.events ?? 0, bytes: parked?.bytes ?? 0 }
  }

  keys(): readonly string[] {
    return [...this.#lines.values()].filter((l) => l.parked.events > 0).map((l) => l.key)
  }

  list(key: string, after: string, most: number): readonly ParkedEntry[] {
    const line = this.#lines.get(key)
    if (line === undefined) return []
    const from = parkedKey(line.number, after === '' ? 0 : readId(after) + 1)
    const entries = this.#kv.range(from, parkedKey(line.number + 1, 0), most)
    return entries.flatMap((e) => this.#entry(line, readParkedKey(e.key).id, e.value) ?? [])
  }

  get(key: string, id: string): ParkedEntry | undefined {
    const line = this.#lines.get(key)
    if (line === undefined) return undefined
    const value = this.#kv.get(parkedKey(line.number, readId(id)))
    return value === undefined ? undefined : this.#entry(line, readId(id), value)
  }

  async remove(key: string, ids: readonly string[]): Promise<number> {
    let removed = 0
    for (let i = 0; i < ids.length; i += DELETES_A_COMMIT) removed += await this.#remove(key, ids.slice(i, i + DELETES_A_COMMIT))
    return removed
  }

  async #remove(key: string, ids: readonly string[]): Promise<number> {
    const line = this.#lines.get(key)
    if (line === undefined) return 0
    const gone = ids.map((text) => {
      const id = readId(text)
      const name = `${line.number}/${id}`
      const value = this.#unparking.has(name) ? undefined : this.#kv.get(parkedKey(line.number, id))
      if (value === undefined) return null
      this.#unparking.add(name)
      return new Promise<void>((resolve, reject) => {
        const done = (ok: boolean): void => {
          this.#unparking.delete(name)
          if (ok) resolve()
          else reject(new Fault('store.failed', `parked event ${text} of ${key} could not be removed`))
        }
        const hooks = { apply() {}, undo() {}, done }
        this.#push({ line, put: null, delays: null, was: null, unparks: { id, bytes: value.length }, hooks })
      })
    })
    const found = gone.filter((g) => g !== null)
    await Promise.all(found)
    return found.length
  }

  // Written in the group commit.

  write(b: Batch): void {
    this.#writing = this.#waiting
    this.#waiting = []
    const lines = new Set<Line>()
    for (const op of this.#writing) {
      op.hooks?.apply()
      if (op.put !== null) b.put(op.put.key, op.put.value)
      if (op.was !== null) b.remove(delayedKey(op.line.number, op.was.dueMs, op.was.id))
      if (op.unparks !== null) b.remove(parkedKey(op.line.number, op.unparks.id))
      this.#count(op, 1)
      lines.add(op.line)
    }
    for (const line of lines) {
      const { key, ...record } = line
      // A forgotten line has no record any more, and another may have its key.
      if (this.#lines.get(key) === line) b.put(lineKey(key), Buffer.from(JSON.stringify(record)))
    }
    this.#parking.clear()
    this.#writeForgotten(b)
  }

  flushed(): (() => void) | undefined {
    for (const line of this.#marked) this.#forgotten.push(line.number)
    this.#marked = []
    if (this.#forgetting.length > 0 || this.#forgotten.length > 0) this.#group.need()
    const written = this.#writing
    this.#writing = []
    if (written.length === 0) return undefined
    return () => {
      for (const op of written) {
        if (op.was !== null) this.onRemoved(op.was)
        if (op.delays !== null) this.onDelayed(op.delays)
        op.hooks?.done(true)
      }
    }
  }

  failed(): void {
    const failed = this.#writing
    this.#writing = []
    this.#forgetting.unshift(...this.#marked)
    this.#marked = []
    for (const op of failed) {
      this.#count(op, -1)
      // What only takes out of the store is tried again with the next commit; what puts in is given back.
      if (op.hooks === null && !this.#group.broken) this.#waiting.push(op)
      op.hooks?.undo()
      op.hooks?.done(false)
    }
    if (this.#group.broken) for (const op of this.#waiting.splice(0)) op.hooks?.done(false)
    else if (this.#waiting.length + this.#forgetting.length > 0) this.#group.need()
  }

  #writeForgotten(b: Batch): void {
    this.#marked = this.#forgetting
    this.#forgetting = []
    for (const line of this.#marked) {
      b.remove(lineKey(line.key))
      b.put(forgottenKey(line.number), EMPTY)
    }
    const number = this.#forgotten[0]
    if (number === undefined) return
    const delayed = this.#kv.keys(delayedKey(number, 0, 0), delayedKey(number + 1, 0, 0), DELETES_A_COMMIT)
    const parked = this.#kv.keys(parkedKey(number, 0), parkedKey(number + 1, 0), DELETES_A_COMMIT - delayed.length)
    for (const key of [...delayed, ...parked]) b.remove(key)
    if (delayed.length + parked.length > 0) return
    b.remove(forgottenKey(number))
    this.#forgotten.shift()
  }

  /** Counts what an operation puts in and takes out; `sign` -1 takes the counting back. */
  #count(op: Op, sign: 1 | -1): void {
    const { delayed, parked } = op.line
    const before = { delayed: delayed.bytes, parked: parked.bytes }
    if (op.put !== null) add(op.delays === null ? parked : delayed, sign, op.put.value.length)
    if (op.was !== null) add(delayed, -sign, op.was.bytes)
    if (op.unparks !== null) add(parked, -sign, op.unparks.bytes)
    // Of a forgotten line nothing counts any more.
    if (this.#lines.get(op.line.key) !== op.line) return
    this.#delayedBytes += delayed.bytes - before.delayed
    this.#parkedBytes += parked.bytes - before.parked
  }

  #push(op: Op): void {
    this.#waiting.push(op)
    this.#group.need()
  }

  #encode(item: KeptItem, hooks: KeepHooks): Buffer | null {
    if (this.#group.broken) {
      hooks.done(false)
      return null
    }
    return encodeKept(item)
  }

  #decode(value: Uint8Array, line: Line): KeptItem | null {
    try {
      return decodeKept(value)
    } catch (e) {
      this.#log.error('a kept delivery cannot be read and stays where it is', { subscription: line.key, error: e })
      return null
    }
  }

  #entry(line: Line, id: number, value: Uint8Array): ParkedEntry | undefined {
    const item = this.#decode(value, line)
    if (item === null) return undefined
    const { event, undecodable, state } = item
    return { id: writeId(id), event, undecodable, state, parkedMs: item.keptMs, bytes: value.length }
  }
}

const EMPTY = new Uint8Array(0)

function add(to: { events: number; bytes: number }, sign: number, bytes: number): void {
  to.events += sign
  to.bytes += sign * bytes
}

function writeId(id: number): string {
  return id.toString().padStart(ID_DIGITS, '0')
}

/** 0 for what is no id: nothing has it. */
function readId(text: string): number {
  return /^\d{13}$/.test(text) ? Number(text) : 0
}

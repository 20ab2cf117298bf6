import type { ParkedEntry } from '../../../contract/feed.ts'
import { messageOf } from '../../../runtime/errors.ts'
import type { Log } from '../../../runtime/log.ts'
import { decodeKept, encodeKept } from '../../../store/kept-record.ts'
import type { Batch, Kv } from '../../../vendor/lmdb/kv.ts'
import type { ParkedRecord } from './record.ts'

/** What became of one key: an entry at that offset, or (null) none any more. */
export interface ParkedChange {
  readonly offset: number
  readonly key: string
  readonly value: ParkedRecord | null
}

/** The entries of one parked topic. */
export interface ParkedLine {
  readonly number: number
  events: number
  bytes: number
}

interface Waiting {
  readonly line: ParkedLine
  readonly changes: readonly ParkedChange[]
  readonly done: () => void
}

/** What one commit finds out: it counts when the commit has ended. */
interface Counted {
  readonly line: ParkedLine
  events: number
  bytes: number
}

/** The entry of a key; no bytes = it is gone. */
interface Stands {
  readonly offset: number
  readonly bytes: number
}

const NOTHING: Stands = { offset: -1, bytes: 0 }
const ENTRY = 0x65
const PLACE = 0x6b
const OFFSET_BYTES = 6
/** Written at a time, so that a large topic is taken over in small commits. */
const CHANGES_A_COMMIT = 512
/** Longest key of a store is 1,900 bytes; a topic's name has 249 at most, so that no key of ours is cut. */
const MOST_KEY_BYTES = 1_000

/**
 * What the parked topics hold, where a person can look at it: a copy on the disk, so that memory holds counts alone. It is
 * filled from the topics at every start; what is lost with it is read again.
 */
export class ParkedIndex {
  readonly #open: () => Kv
  readonly #log: Log
  #kv: Kv | null = null
  #lines = 0
  #waiting: Waiting[] = []
  #running = false
  #idle: (() => void) | null = null

  /** `open` is called with the first entry: who parks nothing has no store. */
  constructor(open: () => Kv, log: Log) {
    this.#open = open
    this.#log = log
  }

  line(): ParkedLine {
    return { number: ++this.#lines, events: 0, bytes: 0 }
  }

  /** Applied in the order of the calls; can be seen when it resolves. What is older than what is known changes nothing. */
  apply(line: ParkedLine, changes: readonly ParkedChange[]): Promise<void> {
    if (changes.length === 0) return Promise.resolve()
    return new Promise((done) => {
      this.#waiting.push({ line, changes, done })
      if (!this.#running) this.#pump()
    })
  }

  /** Ids are the offsets in the topic, so that all gateways call an entry the same. */
  list(line: ParkedLine, after: string, most: number): ParkedEntry[] {
    if (this.#kv === null) return []
    const from = entryKey(line.number, after === '' ? 0 : readId(after) + 1)
    const found = this.#kv.range(from, entryKey(line.number + 1, 0), most)
    return found.flatMap(({ key, value }) => this.#entry(offsetOf(key), value) ?? [])
  }

  get(line: ParkedLine, id: string): ParkedEntry | undefined {
    const value = readId(id) < 0 ? undefined : this.#kv?.get(entryKey(line.number, readId(id)))
    return value === undefined ? undefined : this.#entry(readId(id), value)
  }

  /** The key of an entry in its topic, undefined = there is none. */
  keyOf(line: ParkedLine, id: string): string | undefined {
    const value = readId(id) < 0 ? undefined : this.#kv?.get(entryKey(line.number, readId(id)))
    return value === undefined ? undefined : readKey(value)
  }

  async close(): Promise<void> {
    if (this.#running) await new Promise<void>((resolve) => (this.#idle = resolve))
    const kv = this.#kv
    this.#kv = null
    await kv?.close()
  }

  #pump(): void {
    const group = this.#waiting
    this.#running = group.length > 0
    if (group.length === 0) return this.#idle?.()
    this.#waiting = []
    const counted: Counted[] = []
    const end = (error: unknown): void => {
      if (error !== undefined)
        this.#log.error('parked events cannot be shown: their copy in the data folder was not written', {
          error: messageOf(error),
        })
      else
        for (const c of counted) {
          c.line.events += c.events
          c.line.bytes += c.bytes
        }
      for (const w of group) w.done()
      this.#pump()
    }
    try {
      this.#kv ??= this.#open()
      this.#kv.commit((b) => {
        const written = new Map<string, Stands>()
        for (const w of group) counted.push(this.#write(b, w, written))
      }, end)
    } catch (e) {
      end(e)
    }
  }

  /** `written`: what this commit has made of keys so far, which the store does not show yet. */
  #write(b: Batch, { line, changes }: Waiting, written: Map<string, Stands>): Counted {
    const counted: Counted = { line, events: 0, bytes: 0 }
    for (const c of changes) {
      const place = placeKey(line.number, c.key)
      const name = place.toString('latin1')
      const before = written.get(name) ?? this.#stands(line, place)
      if (before.offset >= c.offset) continue
      if (before.bytes > 0) {
        counted.events--
        counted.bytes -= before.bytes
        b.remove(entryKey(line.number, before.offset))
      }
      const value = c.value === null ? null : encodeEntry(c.key, c.value)
      written.set(name, { offset: c.offset, bytes: value?.length ?? 0 })
      if (value === null) {
        b.remove(place)
        continue
      }
      counted.events++
      counted.bytes += value.length
      b.put(place, offsetBytes(c.offset))
      b.put(entryKey(line.number, c.offset), value)
    }
    return counted
  }

  #stands(line: ParkedLine, place: Buffer): Stands {
    const found = this.#kv?.get(place)
    if (found === undefined) return NOTHING
    const offset = Buffer.from(found).readUIntBE(0, OFFSET_BYTES)
    return { offset, bytes: this.#kv?.get(entryKey(line.number, offset))?.length ?? 0 }
  }

  #entry(offset: number, bytes: Uint8Array): ParkedEntry | undefined {
    const value = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    try {
      const { event, undecodable, state, keptMs } = decodeKept(value.subarray(2 + value.readUInt16BE(0)))
      return { id: writeId(offset), event, undecodable, state, parkedMs: keptMs, bytes: value.length }
    } catch (e) {
      this.#log.error('a parked event cannot be read', { error: messageOf(e) })
      return undefined
    }
  }
}

/** Cuts changes into commits of a bearable size. */
export function inCommits(changes: readonly ParkedChange[]): ParkedChange[][] {
  const parts: ParkedChange[][] = []
  for (let i = 0; i < changes.length; i += CHANGES_A_COMMIT) parts.push(changes.slice(i, i + CHANGES_A_COMMIT))
  return parts
}

/** Apart from the ids of the data folder's own store, and after them. */
const ID = /^p\d{15}$/

export function writeId(offset: number): string {
  return `p${offset.toString().padStart(15, '0')}`
}

/** -1 = no id of ours. */
export function readId(id: string): number {
  return ID.test(id) ? Number(id.slice(1)) : -1
}

function entryKey(line: number, offset: number): Buffer {
  const key = Buffer.allocUnsafe(5 + OFFSET_BYTES)
  key[0] = ENTRY
  key.writeUInt32BE(line, 1)
  key.writeUIntBE(offset, 5, OFFSET_BYTES)
  return key
}

function offsetOf(key: Uint8Array): number {
  return Buffer.from(key).readUIntBE(5, OFFSET_BYTES)
}

function offsetBytes(offset: number): Buffer {
  const bytes = Buffer.allocUnsafe(OFFSET_BYTES)
  bytes.writeUIntBE(offset, 0, OFFSET_BYTES)
  return bytes
}

function placeKey(line: number, key: string): Buffer {
  const text = Buffer.from(key).subarray(0, MOST_KEY_BYTES)
  const place = Buffer.allocUnsafe(5 + text.length)
  place[0] = PLACE
  place.writeUInt32BE(line, 1)
  text.copy(place, 5)
  return place
}

function encodeEntry(key: string, p: ParkedRecord): Buffer {
  const name = Buffer.from(key)
  const { event, undecodable, state, origin, parkedMs } = p
  const { partition, offset, redelivery } = origin
  const body = encodeKept({ event, undecodable, state, lane: partition, position: offset, redelivery, keptMs: parkedMs })
  const head = Buffer.allocUnsafe(2)
  head.writeUInt16BE(name.length)
  return Buffer.concat([head, name, body])
}

function readKey(bytes: Uint8Array): string {
  const value = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return value.toString('utf8', 2, 2 + value.readUInt16BE(0))
}

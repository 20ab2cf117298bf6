import type { Position } from '../contract/delivery.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Disk } from '../store/disk.ts'

/** Who holds the events of a stream, and how many bytes are held. */
export interface Held {
  readonly key: string
  readonly position: Position
  readonly bytes: number
}

/** What a room looks at. */
export interface RoomParts {
  readonly clock: Clock
  held(): Held
  disk(): Disk
  /** Bytes of the store's file that hold nothing any more and are used again before it grows. */
  reusableBytes(): number
}

const MOST_UNSETTLED_BYTES = 10 * 2 ** 30
/** Part of the room that only replies and dead letters may use, so that a full stream can drain. */
const RESERVE = 0.1
/** Figures older than this, or with a 64th of the room taken since, are asked for again when the stream may be full. */
const FRESH_MS = 20
const DISK_EVERY_MS = 1_000

/**
 * Whether a stream may take more: by the bytes that are unsettled, and by what is left of the disk. The last of it is
 * kept free for settlements and deletes, which need a few pages themselves.
 */
export class Room {
  readonly #mostBytes: number
  readonly #p: RoomParts
  #last: Held = { key: '', position: 0, bytes: 0 }
  #lastMs = -Infinity
  /** Bytes taken since the last look. */
  #since = 0
  #seen: Disk
  #seenMs: number
  #sinceSeen = 0

  /** `mostBytes` 0 = 10 GiB or half of what is free on the disk, whichever is less. */
  constructor(mostBytes: number, parts: RoomParts) {
    this.#p = parts
    this.#seen = this.#look()
    this.#seenMs = parts.clock.now()
    this.#mostBytes = mostBytes || Math.min(MOST_UNSETTLED_BYTES, Math.floor((this.#seen.freeBytes + parts.held().bytes) / 2))
  }

  took(bytes: number): void {
    this.#since += bytes
    this.#sinceSeen += bytes
  }

  /** Why `bytes` more cannot be taken, '' = they can. */
  refusal(bytes: number, reserve: boolean): string {
    const limit = reserve ? this.#mostBytes : this.#mostBytes * (1 - RESERVE)
    const nowMs = this.#p.clock.now()
    const full = this.#fullDisk(nowMs, reserve)
    if (full !== '') return full
    if (this.#last.bytes + this.#since + bytes <= limit) return ''
    if (nowMs - this.#lastMs >= FRESH_MS || this.#since * 64 > limit) {
      this.#last = this.#p.held()
      this.#lastMs = nowMs
      this.#since = 0
    }
    const unsettled = this.#last.bytes + this.#since + bytes
    if (unsettled <= limit) return ''
    const { key, position } = this.#last
    const who = key === '' ? 'they wait to be stored' : `${key} holds them since position ${position}`
    return `${unsettled} bytes are unsettled, at most ${Math.floor(limit)} may be; ${who}`
  }

  #look(): Disk {
    const { freeBytes, totalBytes } = this.#p.disk()
    return { freeBytes: freeBytes + this.#p.reusableBytes(), totalBytes }
  }

  #fullDisk(nowMs: number, reserve: boolean): string {
    const most = keptFree(this.#seen.totalBytes)
    if (nowMs - this.#seenMs >= DISK_EVERY_MS || this.#sinceSeen * 8 > most) {
      this.#seen = this.#look()
      this.#seenMs = nowMs
      this.#sinceSeen = 0
    }
    const { freeBytes } = this.#seen
    const kept = reserve ? most / 2 : most
    return freeBytes >= kept ? '' : `the disk has ${freeBytes} bytes free, ${Math.floor(kept)} are kept for what settles events`
  }
}

/** 2 % of the disk, between 16 MiB and 1 GiB, and never more than an eighth of a small one. */
function keptFree(totalBytes: number): number {
  return Math.min(totalBytes / 8, Math.max(16 * 2 ** 20, Math.min(totalBytes / 50, 2 ** 30)))
}

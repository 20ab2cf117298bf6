import type { Position } from '../contract/delivery.ts'
import type { Clock } from '../runtime/clock.ts'
import type { GroupCommit, Member } from '../store/group-commit.ts'
import type { Kept } from '../store/kept.ts'
import { nameOf, ROUTED, seatKey, SEATS } from '../store/keys.ts'
import type { Batch, Kv } from '../vendor/lmdb/kv.ts'
import type { Urgency } from './log-feed.ts'
import { decodeSeat, encodeSeat } from './seat-record.ts'
import { Seat } from './seat.ts'
import { Window } from './window.ts'

/** A settlement is durable after this at the latest, when no append takes it along before. */
const SETTLED_WITHIN_MS = 50
/** So many changed seats go along with every commit; more of them only every `SETTLED_WITHIN_MS`. */
const FEW = 16

/**
 * Where every subscription stands, written with the group commit. Seats at the head share one number, the head that was
 * routed, and that number is written only together with every seat that changed: so a restart finds exactly what was
 * unsettled, and a seat that matches nothing costs nothing.
 */
export class SeatRecords implements Member {
  readonly #group: GroupCommit
  readonly #clock: Clock
  readonly #head: () => Position
  #dirty: Seat[] = []
  #gone: string[] = []
  #writing: Seat[] = []
  #writingGone: string[] = []
  #writtenHead: Position
  #writtenMs = -Infinity
  #now = false
  #soon = false

  constructor(group: GroupCommit, clock: Clock, routed: Position, head: () => Position) {
    this.#group = group
    this.#clock = clock
    this.#head = head
    this.#writtenHead = routed
    group.join(this)
  }

  changed(seat: Seat, when: Urgency): void {
    if (!seat.dirty) {
      seat.dirty = true
      this.#dirty.push(seat)
    }
    if (when === 'now') this.#now = true
    else if (when === 'soon' && !this.#soon) {
      this.#soon = true
      this.#group.needWithin(SETTLED_WITHIN_MS)
    }
  }

  forgotten(seat: Seat): void {
    this.#gone.push(seat.key)
    this.#group.need()
  }

  /** Everything that changed goes along with the next commit. */
  all(): void {
    this.#now = true
  }

  write(b: Batch): void {
    this.#writing = []
    this.#writingGone = this.#gone
    this.#gone = []
    for (const key of this.#writingGone) b.remove(seatKey(key))
    const nowMs = this.#clock.now()
    if (!this.#now && this.#dirty.length > FEW && nowMs - this.#writtenMs < SETTLED_WITHIN_MS) return
    this.#now = this.#soon = false
    this.#writtenMs = nowMs
    this.#writing = this.#dirty
    this.#dirty = []
    for (const seat of this.#writing) {
      seat.dirty = false
      if (!seat.gone) b.put(seatKey(seat.key), encodeSeat(recordOf(seat)))
    }
    const head = this.#head()
    if (head === this.#writtenHead) return
    this.#writtenHead = head
    const value = Buffer.allocUnsafe(6)
    value.writeUIntBE(head, 0, 6)
    b.put(ROUTED, value)
  }

  flushed(): undefined {
    this.#writing = []
    this.#writingGone = []
    if (this.#soon) this.#group.needWithin(SETTLED_WITHIN_MS)
  }

  failed(): void {
    for (const seat of this.#writing) this.changed(seat, 'soon')
    this.#gone.push(...this.#writingGone)
    this.#writtenHead = -1
  }
}

function recordOf(seat: Seat) {
  const { next, atHead, window } = seat
  return { next, atHead, floor: window.floor, runs: window.runs() }
}

/** The seats of a stream as its environment has them, none attached, and the head that was routed when they were written. */
export function loadSeats(kv: Kv, kept: Kept, first: Position): { readonly seats: Map<string, Seat>; readonly routed: Position } {
  const stored = kv.get(ROUTED)
  const routed = stored === undefined ? 0 : Buffer.from(stored).readUIntBE(0, 6)
  const seats = new Map<string, Seat>()
  for (const { key, value } of kv.range(SEATS.from, SEATS.to, Number.MAX_SAFE_INTEGER)) {
    const record = decodeSeat(value)
    // Under `first` everything was settled when it was deleted, though the record may not have been written since.
    const seat = new Seat(nameOf(key), kept.line(nameOf(key)), Math.max(record.atHead ? routed + 1 : record.next, first))
    seat.window = Window.of(record.floor, record.runs)
    for (const position of seat.window.positions()) if (position < first) seat.window.delete(position)
    seats.set(seat.key, seat)
  }
  return { seats, routed }
}

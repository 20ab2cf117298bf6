import type { Delivery, Position } from '../contract/delivery.ts'
import type { SubId } from '../contract/ids.ts'
import type { AttemptStory } from '../contract/outcome.ts'
import type { CloudEvent } from '../event/event.ts'
import type { Delayed, KeptRef, Line } from '../store/kept.ts'
import type { Holding } from './parts.ts'
import { Window } from './window.ts'

/**
 * One subscription's place in a log.
 *
 *   away ── attach ──▶ head ◀── caught up ── behind        head: routed with everybody, the reader's position is its own
 *                       └── lane or window full ──▶ behind  behind: reads on from `next` by a catch-up reader
 *
 * While its lane or its window is full it is offered nothing.
 */
export class Seat {
  readonly key: string
  readonly line: Line
  /** What is given up is kept there: its own line, or for a replay that of the subscription it replays for. */
  parkLine: Line
  sub: SubId = -1
  attached = false
  atHead = false
  /** Its lane is full until `resume`. */
  blocked = false
  /** The window is full until its lowest position is settled. */
  stuck = false
  /** Behind: next position to read. At the head: where it joined. */
  next: Position
  window = new Window()
  /** Unsettled positions to be offered again, lowest first: found after a restart, or given back. */
  again: Position[] = []
  /** Given back since the last `resume`. */
  readonly returned: Position[] = []
  /** Deliveries made before a seek or another attach count for nothing. */
  generation = 0
  /** Its record on the disk is behind. */
  dirty = false
  /** Deleted for good: nothing of it is stored any more. */
  gone = false
  /** The last position it is to read: a replay ends there and never joins the head. */
  until: Position = Infinity
  /** Being served by a reader, or waiting for one. */
  queued = false
  /** Went past in this process, without the stretch at the head that is going on. */
  passed = 0

  constructor(key: string, line: Line, next: Position) {
    this.key = key
    this.line = line
    this.parkLine = line
    this.next = next
  }

  /** Everything below is settled: the lowest unsettled, or the next to be read. */
  position(head: Position): Position {
    return this.window.floor || (this.atHead ? Math.max(head + 1, this.next) : this.next)
  }

  /** The next position it wants from a catch-up reader, 0 = none up to `head`. */
  wanted(head: Position): Position {
    const again = this.again[0]
    if (again !== undefined) return again
    return this.next <= Math.min(head, this.until) ? this.next : 0
  }

  /** Events it has not read, or reads again. */
  unread({ head, end }: { readonly head: Position; readonly end: Position }): number {
    const ahead = Math.max(0, Math.min(end, this.until) + 1 - (this.atHead ? head + 1 : this.next))
    return this.again.length + this.returned.length + ahead
  }

  holding(log: { readonly head: Position; readonly end: Position }): Holding {
    return { key: this.key, attached: this.attached, position: this.position(log.head), unread: this.unread(log) }
  }

  /** Reads on from there; what was offered before counts for nothing. */
  move(position: Position): void {
    this.generation++
    this.next = position
    this.window.clear()
    this.again = []
    this.returned.length = 0
    this.stuck = false
  }
}

/** Who holds the most events of a log: the lowest position of all seats; `head + 1` and no key when nobody holds any. */
export function lowestHeld(
  seats: ReadonlyMap<string, Seat>,
  head: Position,
): { readonly key: string; readonly position: Position } {
  let key = ''
  let position = head + 1
  for (const seat of seats.values()) {
    const at = seat.position(head)
    if (at < position) {
      key = seat.key
      position = at
    }
  }
  return { key, position }
}

/** An event of a log in custody. A class, so that all of them share one hidden class. */
export class LogDelivery implements Delivery {
  readonly event: CloudEvent
  readonly sub: SubId
  readonly lane = 0
  readonly position: Position
  readonly redelivery: number
  readonly story: readonly AttemptStory[]
  readonly phase: 'subscriber' | 'dead-letter'
  readonly leaseUntilMs = 0
  readonly bytes: number
  readonly seat: Seat
  readonly generation: number
  /** Its place in the store when it was detached and came back, null = it comes from the log. */
  readonly kept: KeptRef | null

  constructor(seat: Seat, event: CloudEvent, position: Position, bytes: number, redelivery: number, back: Delayed | null) {
    this.event = event
    this.sub = seat.sub
    this.position = position
    this.redelivery = redelivery
    this.story = back === null ? NO_STORY : back.item.state.story
    this.phase = back === null ? 'subscriber' : back.item.state.phase
    this.bytes = bytes
    this.seat = seat
    this.generation = seat.generation
    this.kept = back === null ? null : back.ref
  }
}
const NO_STORY: readonly AttemptStory[] = Object.freeze([])

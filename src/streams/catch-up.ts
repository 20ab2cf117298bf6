import type { Position, Undecodable } from '../contract/delivery.ts'
import { CloudEvent } from '../event/event.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import type { LogReader, LogView } from './log-view.ts'
import type { Seat } from './seat.ts'

/** More laggards than these wait their turn (DESIGN §2). */
const MOST_READERS = 4
/** Laggards at most this many positions apart share a reader. */
const NEAR = 1_024
/** Events a reader looks at in one turn of the loop, so that a cold replay disturbs nobody. */
const EVENTS_A_TURN = 32
/** After these a reader makes room for laggards that wait. */
const EVENTS_A_LEASE = 4_096

/** What the readers do with what they read. */
export interface CatchUpHooks {
  /** The event at the seat's wanted position: offers it where it matches, moves the seat on. */
  take(seat: Seat, position: Position, event: CloudEvent | Undecodable | 'missing'): void
  /** Nothing is left for it up to the head. */
  caughtUp(seat: Seat): void
}

interface Reader {
  at: Position
  seats: Seat[]
  readonly source: LogReader
  looked: number
  scheduled: boolean
}

/** Serves the subscriptions that are behind the head by few readers, near ones together. */
export class CatchUp {
  readonly #log: LogView
  readonly #clock: Clock
  readonly #out: Log
  readonly #hooks: CatchUpHooks
  readonly #readers: Reader[] = []
  #waiting: Seat[] = []
  #stopped = false

  constructor(log: LogView, clock: Clock, out: Log, hooks: CatchUpHooks) {
    this.#log = log
    this.#clock = clock
    this.#out = out
    this.#hooks = hooks
  }

  /** How many seats are being served or wait for it. */
  get busy(): boolean {
    return this.#readers.length > 0 || this.#waiting.length > 0
  }

  /** The seat may have something to read. Nothing happens before the end of the turn. */
  want(seat: Seat): void {
    if (seat.queued || this.#stopped) return
    seat.queued = true
    this.#waiting.push(seat)
    this.#assign()
  }

  stop(): void {
    this.#stopped = true
    this.#waiting = []
    this.#readers.length = 0
  }

  /** Gives waiting seats to a reader near them, or to a new one while there may be another. */
  #assign(): void {
    const left: Seat[] = []
    for (const seat of this.#waiting) {
      const at = seat.wanted(this.#log.head)
      const near = this.#readers.find((r) => Math.abs(r.at - at) <= NEAR)
      if (near !== undefined) near.seats.push(seat)
      else if (this.#readers.length < MOST_READERS) {
        const reader: Reader = { at, seats: [seat], source: this.#log.reader(), looked: 0, scheduled: false }
        this.#readers.push(reader)
        this.#schedule(reader)
      } else left.push(seat)
    }
    this.#waiting = left
  }

  #schedule(reader: Reader): void {
    if (reader.scheduled) return
    reader.scheduled = true
    this.#clock.soon(() => {
      reader.scheduled = false
      if (!this.#stopped) this.#turn(reader)
    })
  }

  #turn(reader: Reader): void {
    for (let n = 0; n < EVENTS_A_TURN; n++) {
      const at = this.#lowest(reader)
      if (at === 0) return this.#end(reader)
      reader.at = at
      const event = reader.source.read(at, () => this.#schedule(reader))
      if (event === 'loading') return
      if (event === 'missing') this.#out.error('a position of the log cannot be found and is passed over', { position: at })
      for (const seat of reader.seats) {
        if (ready(seat) && seat.wanted(this.#log.head) === at) this.#hooks.take(seat, at, event)
      }
      if (++reader.looked >= EVENTS_A_LEASE && this.#waiting.length > 0) return this.#end(reader)
    }
    this.#schedule(reader)
  }

  /** The lowest position a seat of this reader wants, 0 = nothing is left; lets go whoever is done or too far ahead. */
  #lowest(reader: Reader): Position {
    let lowest = 0
    for (let i = reader.seats.length - 1; i >= 0; i--) {
      const seat = reader.seats[i]!
      const at = ready(seat) ? seat.wanted(this.#log.head) : 0
      if (at !== 0 && at <= reader.at + NEAR) {
        if (lowest === 0 || at < lowest) lowest = at
        continue
      }
      reader.seats.splice(i, 1)
      this.#release(seat, at)
    }
    return lowest
  }

  #release(seat: Seat, wanted: Position): void {
    seat.queued = false
    if (!ready(seat)) return
    if (wanted === 0) this.#hooks.caughtUp(seat)
    else this.want(seat)
  }

  #end(reader: Reader): void {
    this.#readers.splice(this.#readers.indexOf(reader), 1)
    for (const seat of reader.seats) {
      seat.queued = false
      if (ready(seat)) {
        seat.queued = true
        this.#waiting.push(seat)
      }
    }
    this.#assign()
  }
}

function ready(seat: Seat): boolean {
  return seat.attached && !seat.blocked && !seat.stuck && !seat.atHead
}

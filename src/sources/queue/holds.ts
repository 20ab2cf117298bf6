import type { Budget } from '../../contract/budget.ts'
import type { Position } from '../../contract/delivery.ts'
import type { QueueConsumer, QueueMessage } from './consumer.ts'
import { Remembered } from './remembered.ts'

/** Assumed of the first messages; then the measured size counts. */
const FIRST_BYTES = 16 * 1_024

/** One consumer of a subscription, with what it has handed over. */
export class Line<M extends QueueMessage> {
  readonly consumer: QueueConsumer<M>
  /** It hands out what waited long, not what is new. */
  readonly due: boolean
  readonly byId = new Map<string, Hold<M>>()
  readonly settled = new Remembered()
  readonly #most: number
  readonly #mostBytes: number
  #meanBytes = FIRST_BYTES
  held = 0
  heldBytes = 0

  constructor(consumer: QueueConsumer<M>, due: boolean, most: number, mostBytes: number) {
    this.consumer = consumer
    this.due = due
    this.#most = most
    this.#mostBytes = mostBytes
  }

  /** How many more may come: by count, and by bytes as the last ones had them. One always fits where there is none. */
  get room(): number {
    if (this.held === 0) return Math.max(1, Math.min(this.#most, Math.floor(this.#mostBytes / this.#meanBytes)))
    const byBytes = Math.floor((this.#mostBytes - this.heldBytes) / this.#meanBytes)
    return Math.max(0, Math.min(this.#most - this.held, byBytes))
  }

  /** A large message counts at once, small ones little by little. */
  measure(bytes: number): void {
    this.#meanBytes = bytes > this.#meanBytes ? bytes : this.#meanBytes + (bytes - this.#meanBytes) * 0.05
  }

  /** `unsure`: the acknowledgement did not arrive. */
  remember(id: string, unsure: boolean): void {
    if (id !== '') this.settled.add(id, unsure)
  }
}

/**
 * One message the system has given us, from then until it is acknowledged, given back or lost.
 *
 *   unread ─▶ offered ─▶ settled ─▶ (acknowledged) gone
 *      └──────────┴─▶ (given back) gone          a lease lapsed, a connection lost: it comes again, and takes its place here
 */
export class Hold<M extends QueueMessage> {
  readonly position: Position
  readonly line: Line<M>
  readonly bytes: number
  /** The newest delivery of it: only that one can be acknowledged. */
  message: M
  /** Monotonic ms, 0 = it has no lease. */
  leaseUntilMs: number
  leaseMs: number
  state: 'unread' | 'offered' | 'settled' | 'gone' = 'unread'
  /** A renewal is under way: what can be acknowledged may change. */
  renewing = false
  /** It waits to be acknowledged. */
  queued = false
  /** The system has taken it back: nothing can be said of it before it comes again. */
  lapsed = false

  constructor(message: M, line: Line<M>, position: Position, nowMs: number) {
    this.message = message
    this.line = line
    this.position = position
    this.bytes = message.bytes
    this.leaseUntilMs = message.leaseUntilMs
    this.leaseMs = message.leaseUntilMs === 0 ? 0 : message.leaseUntilMs - nowMs
  }

  leasedUntil(ms: number, nowMs: number): void {
    this.leaseUntilMs = ms
    this.leaseMs = ms === 0 ? 0 : ms - nowMs
    this.lapsed = false
  }
}

/** What is to be done with a message that has come. */
export type Taken<M extends QueueMessage> = { readonly as: 'new' | 'again' | 'settled'; readonly hold: Hold<M> }

/** Gives places to messages: never one twice, over all subscriptions of a feed. */
export interface Places {
  next: Position
}

/** Every message of a subscription that we hold, by its place here and by its id. */
export class Holds<M extends QueueMessage> {
  /** By the distance from the first place: small integers make fast keys. */
  readonly #byOrdinal = new Map<number, Hold<M>>()
  readonly #places: Places
  readonly #first: Position
  readonly #budget: Budget | null
  /** Of them, those that are settled and of which the system may not know yet. */
  unacknowledged = 0
  onAcknowledged: () => void = () => {}

  /** `budget`: what is unread is booked there; what is offered books the machine. */
  constructor(places: Places, budget: Budget | null) {
    this.#places = places
    this.#first = places.next
    this.#budget = budget
  }

  get size(): number {
    return this.#byOrdinal.size
  }

  values(): IterableIterator<Hold<M>> {
    return this.#byOrdinal.values()
  }

  at(position: Position): Hold<M> | undefined {
    return this.#byOrdinal.get(position - this.#first)
  }

  /**
   * `again`: a lease of ours had lapsed, or a connection was lost, and the message has come to us once more: it keeps its
   * place. `settled`: it was delivered, but the system does not know (the acknowledgement got lost): acknowledge it only.
   */
  take(message: M, line: Line<M>, nowMs: number): Taken<M> {
    const { id } = message
    const held = id === '' ? undefined : line.byId.get(id)
    if (held !== undefined) {
      held.message = message
      held.leasedUntil(message.leaseUntilMs, nowMs)
      return { as: held.state === 'settled' ? 'settled' : 'again', hold: held }
    }
    const hold = new Hold(message, line, this.#places.next++, nowMs)
    this.#byOrdinal.set(hold.position - this.#first, hold)
    if (id !== '') line.byId.set(id, hold)
    line.held++
    line.heldBytes += hold.bytes
    line.measure(hold.bytes)
    this.#budget?.take(hold.bytes)
    if (id === '' || !line.settled.has(id, message.redelivery > 0)) return { as: 'new', hold }
    this.settled(hold)
    return { as: 'settled', hold }
  }

  offered(hold: Hold<M>): void {
    this.#leave(hold, 'offered')
  }

  settled(hold: Hold<M>): void {
    this.#leave(hold, 'settled')
    this.unacknowledged++
  }

  /** Not ours any more: acknowledged, given back, or lost. */
  drop(hold: Hold<M>): void {
    if (hold.state === 'gone') return
    if (hold.state === 'settled') this.unacknowledged--
    this.#leave(hold, 'gone')
    this.#byOrdinal.delete(hold.position - this.#first)
    hold.line.byId.delete(hold.message.id)
    hold.line.held--
    hold.line.heldBytes -= hold.bytes
    if (this.unacknowledged === 0) this.onAcknowledged()
  }

  #leave(hold: Hold<M>, to: Hold<M>['state']): void {
    if (hold.state === 'unread') this.#budget?.give(hold.bytes)
    hold.state = to
  }
}

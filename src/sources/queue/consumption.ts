import type { Budget } from '../../contract/budget.ts'
import type { Delivery, DetachedState, Position, Settlement } from '../../contract/delivery.ts'
import type { Backlog, Intake, Start } from '../../contract/feed.ts'
import type { SubId } from '../../contract/ids.ts'
import type { Clock } from '../../runtime/clock.ts'
import { Acks } from './acks.ts'
import type { QueueMessage, QueueSink, QueueSubscription } from './consumer.ts'
import { type Hold, Holds, Line, type Places } from './holds.ts'
import { Leases } from './leases.ts'
import { Offering } from './offering.ts'

/** What one subscription holds in memory at most, and how it is acknowledged. */
export interface QueueLimits {
  /** Messages held, unread and unsettled ones together. */
  readonly mostHeld: number
  /** The same in bytes. One message always fits. */
  readonly mostBytes: number
  /** Acknowledgements of one call. */
  readonly ackBatch: number
  /** What is settled within this time goes in one call. */
  readonly gatherMs: number
}

export const QUEUE_LIMITS: QueueLimits = Object.freeze({
  mostHeld: 1_024,
  mostBytes: 8 * 2 ** 20,
  ackBatch: 256,
  gatherMs: 5,
})

/** Of the room, what is kept for deliveries that waited long: a deep queue must not starve them. */
const DUE_SHARE = 1 / 8

export interface ConsumptionParts<M extends QueueMessage> {
  readonly sub: SubId
  readonly intake: Intake
  readonly subscription: QueueSubscription<M>
  readonly clock: Clock
  readonly limits: QueueLimits
  /** One unsettled message at a time. */
  readonly ordered: boolean
  readonly places: Places
  /** Of the shard: what is unread is booked there, and nothing is read while it is full. null = there is none. */
  readonly budget: Budget | null
}

/**
 * All that one subscription holds of a message system: what its consumers hand over is offered, kept ours, and acknowledged
 * when it is settled. Connections come and go behind the consumers; what is held stays where acknowledgements outlive them.
 */
export class Consumption<M extends QueueMessage> {
  readonly offering: Offering<M>
  readonly #p: ConsumptionParts<M>
  readonly #holds: Holds<M>
  readonly #lines: readonly Line<M>[]
  readonly #acks: ReadonlyMap<Line<M>, Acks<M>>
  readonly #leases: Leases<M>
  /** Deliveries on their way into the system, where they wait. */
  #storing = 0
  #closed = false
  /** What was held has been given back, and what still comes goes back at once. */
  #gaveBack = false
  #waiters: (() => void)[] = []

  constructor(p: ConsumptionParts<M>) {
    this.#p = p
    const { clock, subscription, intake, sub } = p
    this.#holds = new Holds(p.places, p.budget)
    this.#holds.onAcknowledged = () => this.#tellIdle()
    this.#lines = linesOf(p)
    this.#acks = new Map(this.#lines.map((line) => [line, this.#acksOf(line)]))
    this.offering = new Offering({
      sub,
      intake,
      clock,
      of: subscription,
      offered: (hold) => this.#holds.offered(hold),
      unwanted: (hold) => this.#settled(hold),
      drained: () => this.pump(),
    })
    this.#leases = new Leases({
      holds: this.#holds,
      clock,
      settledMeanwhile: (hold) => this.#acknowledge(hold),
      lapsedUnread: (hold) => {
        this.#holds.drop(hold)
        this.offering.sweep()
      },
    })
  }

  /** Messages in memory. */
  get held(): number {
    return this.#holds.size
  }

  get canSeek(): boolean {
    return this.#p.subscription.seek !== undefined
  }

  start(): void {
    for (const line of this.#lines) line.consumer.start(this.#sinkOf(line))
  }

  resume(): void {
    this.offering.resume()
  }

  /** Asks for more where there is room. */
  pump(): void {
    if (this.#closed) return
    for (const line of this.#lines) if (this.offering.mayRead(line.due)) line.consumer.pump()
  }

  /** Nothing more is offered and read; what runs goes on. */
  stop(): void {
    this.offering.stop()
  }

  settle(position: Position, how: Settlement): void {
    const hold = this.#holds.at(position)
    if (hold === undefined || hold.state !== 'offered') return
    if (how === 'handed-back') this.#release(hold)
    else this.#settled(hold)
  }

  /** Stores it in the system, then settles it here. `done(false)`: it could not be stored there. */
  detachDelivery(d: Delivery, state: DetachedState, done: (ok: boolean) => void): void {
    const { subscription } = this.#p
    const hold = this.#holds.at(d.position)
    // Not ours any more: it comes again, or was passed over.
    if (hold === undefined || hold.state !== 'offered') return done(true)
    if (subscription.delay === undefined) return done(false)
    this.#storing++
    subscription.delay(d.event, state, (ok) => {
      this.#storing--
      if (ok) this.settle(d.position, 'detached')
      done(ok)
      this.#tellIdle()
    })
  }

  /** What is held is dropped first: it is nobody's business after that. Rejects where the system cannot. */
  async seek(to: Start): Promise<void> {
    const { subscription } = this.#p
    if (subscription.seek === undefined) throw new Error('this queue cannot be read anew')
    const dropped = [...this.#holds.values()].filter((hold) => hold.state !== 'settled')
    for (const hold of [...this.#holds.values()]) this.#holds.drop(hold)
    for (const line of this.#lines) line.settled.clear()
    this.offering.sweep()
    try {
      await subscription.seek(to)
    } catch (e) {
      for (const hold of dropped) hold.line.consumer.release(hold.message, 0)
      throw e
    } finally {
      this.pump()
    }
  }

  backlog(): Backlog {
    const found = this.#p.subscription.backlog()
    const { unread } = this.offering
    return unread === 0 ? found : { ...found, events: found.events + unread }
  }

  /** Resolves when the system knows of everything that was settled so far, or with the signal. */
  flush(signal: AbortSignal): Promise<void> {
    for (const acks of this.#acks.values()) acks.pump()
    return new Promise((resolve) => {
      if (this.#isIdle || signal.aborted) return resolve()
      this.#waiters.push(resolve)
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.offering.stop()
    this.#leases.stop()
    await Promise.all(this.#lines.map((line) => line.consumer.quiesce?.(signal) ?? Promise.resolve()))
    await this.#stored(signal)
    // In the order in which it came, what came last of all included.
    this.#gaveBack = true
    for (const hold of [...this.#holds.values()]) if (hold.state !== 'settled') this.#release(hold)
    await this.flush(signal)
    for (const acks of this.#acks.values()) acks.stop()
    await Promise.all(this.#lines.map((line) => line.consumer.close(signal)))
  }

  // -- messages -----------------------------------------------------------------------------------------------------

  #sinkOf(line: Line<M>): QueueSink<M> {
    return {
      room: () => this.#roomOf(line),
      taken: (messages) => this.#take(line, messages),
      lost: (forgotten) => {
        if (forgotten) this.#forgotten(line)
      },
    }
  }

  #roomOf(line: Line<M>): number {
    if (this.#closed || !this.offering.mayRead(line.due)) return 0
    // Each is sure of one event, however full the memory is.
    return this.#p.budget?.full === true ? Math.max(0, 1 - line.held) : line.room
  }

  #take(line: Line<M>, messages: readonly M[]): void {
    if (this.#gaveBack) {
      for (const m of messages) line.consumer.release(m, 0)
      return
    }
    const nowMs = this.#p.clock.now()
    for (const m of messages) {
      const { as, hold } = this.#holds.take(m, line, nowMs)
      if (as === 'new') this.offering.add(hold)
      else if (as === 'settled') this.#acknowledge(hold)
    }
    this.offering.run()
  }

  /** What the consumer handed over comes again: what runs keeps its place, if the system has ids to find it by. */
  #forgotten(line: Line<M>): void {
    for (const hold of [...this.#holds.values()]) {
      if (hold.line !== line) continue
      hold.lapsed = true
      if (hold.state === 'offered' && hold.message.id !== '') continue
      if (hold.state === 'settled') line.remember(hold.message.id, true)
      this.#holds.drop(hold)
    }
    this.offering.sweep()
  }

  #settled(hold: Hold<M>): void {
    this.#holds.settled(hold)
    this.#acknowledge(hold)
  }

  #acknowledge(hold: Hold<M>): void {
    if (hold.lapsed) {
      hold.line.remember(hold.message.id, true)
      this.#holds.drop(hold)
      // Settled while a renewal is under way: what it brings can be acknowledged, what we have perhaps not.
    } else if (!hold.renewing) this.#acks.get(hold.line)?.add(hold)
  }

  #release(hold: Hold<M>): void {
    const { message, line, lapsed } = hold
    this.#holds.drop(hold)
    if (!lapsed) line.consumer.release(message, 0)
  }

  // -- acknowledgements ---------------------------------------------------------------------------------------------

  #acksOf(line: Line<M>): Acks<M> {
    const { clock, limits, ordered } = this.#p
    return new Acks({
      line,
      holds: this.#holds,
      clock,
      batch: limits.ackBatch,
      // The next one waits for it.
      gatherMs: ordered ? 0 : limits.gatherMs,
      freed: () => {
        if (!this.#closed && this.offering.mayRead(line.due)) line.consumer.pump()
      },
    })
  }

  get #isIdle(): boolean {
    return this.#holds.unacknowledged === 0 && this.#storing === 0
  }

  #tellIdle(): void {
    if (this.#isIdle) for (const resolve of this.#waiters.splice(0)) resolve()
  }

  /** Everything that was on its way into the system is there, or is not. */
  #stored(signal: AbortSignal): Promise<void> {
    return this.#storing === 0 ? Promise.resolve() : this.flush(signal)
  }
}

function linesOf<M extends QueueMessage>({ subscription, limits, ordered }: ConsumptionParts<M>): readonly Line<M>[] {
  const { consumers } = subscription
  const others = consumers.length - 1
  const share = others === 0 ? 0 : DUE_SHARE / others
  return consumers.map((consumer, i) => {
    const part = i > 0 ? share : 1 - share * others
    const most = ordered ? 1 : Math.max(1, Math.floor(limits.mostHeld * part))
    return new Line(consumer, i > 0, most, Math.floor(limits.mostBytes * part))
  })
}

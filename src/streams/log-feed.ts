import type { Delivery, DetachedState, Position, Settlement, Undecodable } from '../contract/delivery.ts'
import type { Backlog, Feed, Intake, ParkedStore, ReplayFeed, Start } from '../contract/feed.ts'
import type { LaneId, SubId } from '../contract/ids.ts'
import { CloudEvent } from '../event/event.ts'
import type { Clock } from '../runtime/clock.ts'
import { assert, Fault } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import { DueOffers } from '../store/due.ts'
import type { GroupCommit } from '../store/group-commit.ts'
import type { Delayed, Kept, KeepHooks, Line } from '../store/kept.ts'
import type { KeptItem } from '../store/kept-record.ts'
import { CatchUp } from './catch-up.ts'
import type { LogView } from './log-view.ts'
import { sizeOf } from './parts.ts'
import { LogDelivery, Seat } from './seat.ts'

/** When a change of a seat has to be durable: with the next full record, within moments, in the commit that is being gathered. */
export type Urgency = 'later' | 'soon' | 'now'

/** What a log feed stands on; all of it belongs to one stream. */
export interface LogFeedParts {
  readonly log: LogView
  readonly kept: Kept
  readonly group: GroupCommit
  readonly clock: Clock
  readonly out: Log
  /** Seats by key, those found in the store included; the feed adds to it and takes from it. */
  readonly seats: Map<string, Seat>
  readonly changed: (seat: Seat, when: Urgency) => void
  readonly forgotten: (seat: Seat) => void
}

/** A seat that reads on without finding anything is recorded every so many positions. */
const RECORD_EVERY = 4_096

/**
 * The feed of a log: one reader for everybody who is caught up, few more for those who are not, one position each.
 *
 *   appended ─▶ routed once ─▶ offered to the seats at the head ─▶ settled in any order ─▶ position moves
 *                                └── lane full ─▶ the seat leaves the head, reads on by itself after `resume`
 *                                                  └── nothing left to read ─▶ back to the head
 */
export class LogFeed implements Feed {
  readonly parked: ParkedStore
  readonly can = { seek: true, release: false, lease: false, ordered: true, exactBacklog: true } as const

  readonly #p: LogFeedParts
  readonly #log: LogView
  readonly #intake: Intake
  readonly #due: DueOffers
  readonly #catchUp: CatchUp
  readonly #bySub: (Seat | undefined)[] = []
  readonly #matched: SubId[] = []
  #stopped = false
  #routing = false

  constructor(parts: LogFeedParts, intake: Intake) {
    this.#p = parts
    this.#log = parts.log
    this.#intake = intake
    this.parked = parts.kept
    this.#due = new DueOffers(parts.kept, parts.clock)
    this.#catchUp = new CatchUp(parts.log, parts.clock, parts.out, {
      take: (seat, position, event) => this.#take(seat, position, event),
      caughtUp: (seat) => this.#joinHead(seat),
    })
  }

  /** The event that has just become the head of the log; called once an event, in order. */
  route(position: Position, event: CloudEvent, bytes: number): void {
    const n = this.#intake.route(event, this.#matched)
    this.#routing = true
    for (let i = 0; i < n; i++) {
      const seat = this.#bySub[this.#matched[i]!]
      if (seat === undefined || !seat.atHead || position < seat.next) continue
      if (!seat.window.fits(position)) this.#stick(seat, position)
      else {
        seat.window.add(position)
        this.#p.changed(seat, 'later')
        if (!this.#intake.offer(new LogDelivery(seat, event, position, bytes, 0, null))) this.#block(seat, position + 1)
      }
    }
    this.#routing = false
  }

  /** Nothing is offered any more. What was is still settled; the head goes on without anybody, so nobody misses a thing. */
  stop(): void {
    this.#stopped = true
    this.#due.stop()
    this.#catchUp.stop()
    for (const seat of this.#bySub) if (seat !== undefined) this.#leaveHead(seat, this.#nextOf(seat))
  }

  readonly replays: ReplayFeed = {
    begin: (_key, _of, from) =>
      Promise.resolve({ end: String(this.#log.head), events: Math.max(0, this.#log.head + 1 - this.#resolve(from)) }),
    holds: (end) => Number(end) <= this.#log.head,
    attach: (sub, key, from, end, of) => this.#attach(sub, key, from, Number(end), this.#p.kept.line(of)),
    through: (sub) => {
      const seat = this.#bySub[sub]
      return seat === undefined || seat.unread(this.#log) + seat.window.count + seat.line.delayed.events === 0
    },
  }

  attach(sub: SubId, key: string, from: Start): void {
    this.#attach(sub, key, from, Infinity, this.#p.kept.line(key))
  }

  #attach(sub: SubId, key: string, from: Start, until: Position, parkLine: Line): void {
    const known = this.#p.seats.get(key)
    assert(known === undefined || !known.attached, `subscription ${key} is attached twice`)
    const seat = known ?? new Seat(key, this.#p.kept.line(key), this.#resolve(from))
    if (known === undefined) this.#p.seats.set(key, seat)
    else if (from.at !== 'committed') seat.move(this.#resolve(from))
    seat.sub = sub
    seat.until = until
    seat.parkLine = parkLine
    seat.attached = true
    seat.generation++
    seat.blocked = seat.stuck = false
    seat.passed = 0
    seat.next = Math.max(seat.next, this.#log.first)
    seat.again = seat.window.positions()
    seat.returned.length = 0
    this.#bySub[sub] = seat
    this.#p.changed(seat, 'soon')
    this.#due.watch(seat.line, (d) => this.#offerDue(seat, d))
    this.#read(seat)
  }

  detach(sub: SubId, forget: boolean): void {
    const seat = this.#bySub[sub]
    if (seat === undefined) return
    this.#bySub[sub] = undefined
    this.#leaveHead(seat, this.#nextOf(seat))
    seat.attached = false
    this.#due.unwatch(seat.line)
    this.#p.changed(seat, 'soon')
    if (forget) this.forget(seat.key)
  }

  /** Deletes everything about a subscription that is not attached; false = there is none. */
  forget(key: string): boolean {
    const seat = this.#p.seats.get(key)
    if (seat === undefined || seat.attached) return false
    seat.generation++
    seat.gone = true
    this.#p.seats.delete(key)
    this.#due.forget(seat.line)
    this.#p.kept.forget(key)
    this.#p.forgotten(seat)
    return true
  }

  resume(sub: SubId, _lane: LaneId): void {
    const seat = this.#bySub[sub]
    if (seat === undefined) return
    if (seat.returned.length > 0) {
      // Positions given back are offered again before anything new, in their order.
      this.#leaveHead(seat, this.#nextOf(seat))
      seat.again = [...new Set([...seat.again, ...seat.returned])].toSorted((a, b) => a - b)
      seat.returned.length = 0
    }
    seat.blocked = false
    this.#due.resume(seat.line)
    this.#read(seat)
  }

  settle(d: Delivery, how: Settlement): void {
    const { seat, generation, kept, position } = d as LogDelivery
    if (kept !== null) {
      if (how === 'handed-back') this.#due.handedBack(kept)
      else if (this.#due.end(kept)) this.#p.kept.drop(kept)
    } else if (generation === seat.generation) {
      if (how !== 'handed-back') this.#close(seat, position, 'soon')
      else if (seat.window.has(position)) seat.returned.push(position)
    }
  }

  /** As `settle(d, 'delivered')`, in the commit that is being gathered. True when its position was unsettled until now. */
  settleNow(d: Delivery): boolean {
    const { seat, generation, kept, position } = d as LogDelivery
    if (kept !== null) this.settle(d, 'delivered')
    return kept === null && generation === seat.generation && this.#close(seat, position, 'now')
  }

  /** The commit that held `settleNow` was not written. */
  reopen(d: Delivery): void {
    const { seat, generation, position } = d as LogDelivery
    if (generation === seat.generation) this.#reopen(seat, position)
  }

  detachDelivery(d: Delivery, state: DetachedState, done: (ok: boolean) => void): void {
    this.#keep(d as LogDelivery, state, done, (item, hooks) => {
      const { seat, kept } = d as LogDelivery
      this.#p.kept.delay(seat.line, item, kept, hooks)
    })
  }

  park(d: Delivery, state: DetachedState, done: (ok: boolean) => void): void {
    this.#keep(d as LogDelivery, state, done, (item, hooks) => {
      const { seat, kept } = d as LogDelivery
      if (kept === null || seat.parkLine === seat.line) return this.#p.kept.park(seat.parkLine, item, kept, hooks)
      // Of a replay: it goes over to another line, and out of its own once it is there.
      const done = (ok: boolean): void => {
        if (ok) this.#p.kept.drop(kept)
        hooks.done(ok)
      }
      this.#p.kept.park(seat.parkLine, item, null, { ...hooks, done })
    })
  }

  parkRaw(sub: SubId, lane: LaneId, at: Position, bad: Undecodable, done: (ok: boolean) => void): void {
    const seat = this.#bySub[sub]
    if (seat === undefined) return done(false)
    const state: DetachedState = { dueMs: 0, story: [], phase: 'subscriber', reason: 'undecodable' }
    const item = { event: null, undecodable: bad, state, lane, position: at, redelivery: 0, keptMs: this.#p.clock.wall() }
    this.#p.kept.park(seat.parkLine, item, null, this.#closing(seat, at, done))
  }

  extend(_d: Delivery, _leaseMs: number): void {
    // A log gives no leases: what it offered stays out until it is settled.
  }

  seek(sub: SubId, to: Start): Promise<void> {
    const seat = this.#bySub[sub]
    if (seat === undefined) return Promise.reject(new Fault('admin.refused', 'the subscription does not run'))
    if (to.at === 'committed') return Promise.resolve()
    const position = this.#resolve(to)
    this.#leaveHead(seat, this.#nextOf(seat))
    seat.move(position)
    this.#p.changed(seat, 'soon')
    this.#read(seat)
    return this.#p.group.durable()
  }

  backlog(sub: SubId): Backlog {
    const seat = this.#bySub[sub]
    if (seat === undefined) return { events: 0, exact: true, oldestMs: 0 }
    const events = seat.unread(this.#log)
    const oldest = seat.window.count > 0 ? seat.window.floor : events > 0 ? seat.next : 0
    return { events, exact: true, oldestMs: oldest === 0 ? 0 : this.#log.timeAt(oldest) }
  }

  passed(sub: SubId): number {
    const seat = this.#bySub[sub]
    if (seat === undefined) return 0
    return seat.passed + (seat.atHead ? Math.max(0, this.#log.head + 1 - seat.next) : 0)
  }

  flush(signal: AbortSignal): Promise<void> {
    return this.#p.group.durable(signal)
  }

  // The arrows

  #joinHead(seat: Seat): void {
    if (seat.atHead || !seat.attached || seat.until !== Infinity) return
    seat.atHead = true
    seat.next = this.#log.head + 1
    this.#p.changed(seat, 'later')
  }

  /** `next` is where it will read on. */
  #leaveHead(seat: Seat, next: Position): void {
    if (!seat.atHead) return
    seat.atHead = false
    seat.passed += Math.max(0, next - seat.next)
    seat.next = Math.max(next, seat.next)
    this.#p.changed(seat, 'later')
  }

  /** Where a seat at the head reads on: what is being routed may not have come to it yet. */
  #nextOf(seat: Seat): Position {
    const { head } = this.#log
    return this.#routing && !seat.window.has(head) ? head : head + 1
  }

  #block(seat: Seat, next: Position): void {
    seat.blocked = true
    this.#due.block(seat.line)
    this.#leaveHead(seat, next)
  }

  #stick(seat: Seat, position: Position): void {
    seat.stuck = true
    this.#leaveHead(seat, position)
    this.#p.out.warn('a subscription has too many events behind its oldest unsettled one and is not read on', {
      subscription: seat.key,
      unsettled: seat.window.floor,
      at: position,
    })
  }

  /** Reads on if it can: by a reader, or with the head when nothing is left. */
  #read(seat: Seat): void {
    if (!seat.attached || seat.blocked || seat.stuck || seat.atHead || this.#stopped) return
    if (seat.wanted(this.#log.head) === 0) this.#joinHead(seat)
    else this.#catchUp.want(seat)
  }

  /** One position of a seat that is behind. */
  #take(seat: Seat, position: Position, event: CloudEvent | Undecodable | 'missing'): void {
    const again = seat.again[0] === position
    if (event !== 'missing' && !(event instanceof CloudEvent && !this.#intake.matches(seat.sub, event))) {
      if (!again && !seat.window.fits(position)) return this.#stick(seat, position)
      seat.window.add(position)
      this.#p.changed(seat, 'later')
      this.#advance(seat, position, again)
      if (!(event instanceof CloudEvent)) return this.#intake.undecodable(seat.sub, 0, position, event)
      const d = new LogDelivery(seat, event, position, sizeOf(event), again ? 1 : 0, null)
      if (!this.#intake.offer(d)) this.#block(seat, position + 1)
    } else {
      this.#advance(seat, position, again)
      if (again) this.#close(seat, position, 'soon')
      else if (position % RECORD_EVERY === 0) this.#p.changed(seat, 'later')
    }
  }

  #advance(seat: Seat, position: Position, again: boolean): void {
    if (again) seat.again.shift()
    else seat.next = position + 1
    seat.passed++
  }

  #offerDue(seat: Seat, back: Delayed): boolean {
    const { event, undecodable, position, redelivery } = back.item
    if (event === null) {
      if (undecodable !== null) this.#intake.undecodable(seat.sub, 0, position, undecodable)
      return true
    }
    const room = this.#intake.offer(new LogDelivery(seat, event, position, sizeOf(event), redelivery + 1, back))
    if (!room) this.#block(seat, this.#nextOf(seat))
    return room
  }

  #close(seat: Seat, position: Position, when: Urgency): boolean {
    if (!seat.window.delete(position)) return false
    this.#p.changed(seat, when)
    if (seat.stuck && seat.window.fits(seat.next)) {
      seat.stuck = false
      this.#read(seat)
    }
    return true
  }

  #reopen(seat: Seat, position: Position): void {
    seat.window.add(position)
    this.#p.changed(seat, 'later')
  }

  /** Settles a position in the very commit that stores the delivery; gives it back when that commit fails. */
  #closing(seat: Seat, position: Position, done: (ok: boolean) => void): KeepHooks {
    const { generation } = seat
    let closed = false
    return {
      apply: () => {
        closed = generation === seat.generation && this.#close(seat, position, 'now')
      },
      undo: () => {
        if (closed && generation === seat.generation) this.#reopen(seat, position)
      },
      done,
    }
  }

  #keep(
    d: LogDelivery,
    state: DetachedState,
    done: (ok: boolean) => void,
    put: (item: KeptItem, hooks: KeepHooks) => void,
  ): void {
    const { seat, kept, event, lane, position, redelivery } = d
    const item = { event, undecodable: null, state, lane, position, redelivery, keptMs: this.#p.clock.wall() }
    // Of an earlier attach or before a seek: the seat offers its position again, or was told to pass over it.
    if (kept === null) return d.generation === seat.generation ? put(item, this.#closing(seat, position, done)) : done(true)
    if (!this.#due.end(kept)) return done(true)
    const ended = (ok: boolean): void => {
      if (!ok) this.#due.reopen(kept)
      done(ok)
    }
    put(item, { apply() {}, undo() {}, done: ended })
  }

  #resolve(from: Start): Position {
    const { first, head } = this.#log
    switch (from.at) {
      case 'earliest':
        return first
      case 'latest':
        return head + 1
      case 'time':
        return this.#log.positionAt(from.timeMs)
      case 'position':
        return Math.min(Math.max(from.position, first), head + 1)
      case 'committed':
        return this.#resolve(from.otherwise)
    }
  }
}

import { mkdirSync } from 'node:fs'
import {
  SILENT_DELIVERY,
  type Delivery,
  type DetachedState,
  type Position,
  type Settlement,
  type Undecodable,
} from '../contract/delivery.ts'
import type { Backlog, Feed, Intake, Order, ParkedStore, Start } from '../contract/feed.ts'
import type { Key, LaneId, SubId } from '../contract/ids.ts'
import type { AttemptStory } from '../contract/outcome.ts'
import type { CloudEvent } from '../event/event.ts'
import type { Clock } from '../runtime/clock.ts'
import { aborted } from '../runtime/ending.ts'
import type { Fault } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import type { Kv } from '../vendor/lmdb/kv.ts'
import { openLmdb } from '../vendor/lmdb/open.ts'
import { DueOffers } from './due.ts'
import { formatMember } from './format.ts'
import { Ballast } from './ballast.ts'
import { diskOf } from './disk.ts'
import { GroupCommit, NO_DISK, type GroupDisk } from './group-commit.ts'
import { Kept, type Delayed, type KeepHooks, type KeptRef } from './kept.ts'
import type { KeptItem } from './kept-record.ts'

/**
 * The lane of what comes back from the custody: no partition, since it stays here whoever owns the partition it came from.
 * Above every partition there can be, because lanes below 0 are nobody's to resume.
 */
export const CUSTODY_LANE: LaneId = 2 ** 30

/** What an event costs in memory beside its data. */
const OVERHEAD_BYTES = 512

export interface CustodyParts {
  readonly dir: string
  readonly clock: Clock
  readonly log: Log
  /** The store broke: nothing is taken into custody any more. Only logged unless given. */
  readonly onFatal?: (fault: Fault) => void
  /**
   * false: the folder goes with the process, so that nothing new is taken from a system that would keep it longer. What is
   * here already comes back all the same. true unless said.
   */
  readonly persistent?: boolean
  /** For tests: another store. */
  readonly kv?: Kv
}

/** Local, durable custody of delayed and parked deliveries for sources whose own system cannot keep them. */
export interface Custody {
  /**
   * A feed as `inner`, except that what is parked, and what is detached and `inner` itself cannot store, is stored here,
   * settled in `inner` once it is durable, and offered through `intake` again when it is due, also after a restart.
   */
  wrap(inner: Feed, intake: Intake, keyOf: (sub: SubId) => Key): Feed
  /** Of all wrapped feeds together. */
  readonly parked: ParkedStore
  /** Everything taken so far is durable when it resolves, or the signal aborted. */
  close(signal: AbortSignal): Promise<void>
}

/** Opens the store in `dir`, made when it is not there. Throws a Fault 'store.format' for the data of another version. */
export function openCustody(parts: CustodyParts): Promise<Custody> {
  return Promise.resolve().then(() => {
    if (parts.kv === undefined) mkdirSync(parts.dir, { recursive: true })
    return new LocalCustody(parts, parts.kv ?? openLmdb(parts.dir))
  })
}

class LocalCustody implements Custody {
  readonly parked: ParkedStore
  readonly #kv: Kv
  readonly #group: GroupCommit
  readonly #kept: Kept
  readonly #due: DueOffers
  readonly #clock: Clock
  readonly #takes: boolean

  constructor(parts: CustodyParts, kv: Kv) {
    const { clock, log } = parts
    this.#takes = parts.persistent ?? true
    this.#kv = kv
    this.#clock = clock
    const onFatal = (fault: Fault): void => {
      log.error('nothing is taken into custody any more', { error: fault })
      parts.onFatal?.(fault)
    }
    this.#group = new GroupCommit(kv, clock, onFatal, this.#disk(parts))
    this.#group.join(formatMember(kv, parts.dir))
    this.#kept = this.parked = new Kept(kv, this.#group, log)
    this.#due = new DueOffers(this.#kept, clock)
  }

  #disk({ dir, kv }: CustodyParts): GroupDisk {
    if (kv !== undefined) return NO_DISK
    const ballast = new Ballast(dir)
    ballast.take()
    return { freeBytes: () => diskOf(dir).freeBytes, makeRoom: () => ballast.drop() }
  }

  wrap(inner: Feed, intake: Intake, keyOf: (sub: SubId) => Key): Feed {
    const kept = this.#kept
    return new CustodyFeed({
      inner,
      intake,
      keyOf,
      kept,
      group: this.#group,
      due: this.#due,
      clock: this.#clock,
      takes: this.#takes,
    })
  }

  async close(signal: AbortSignal): Promise<void> {
    this.#due.stop()
    await this.#group.durable(signal).catch(() => {})
    this.#group.close()
    await Promise.race([this.#kv.close(), aborted(signal)])
  }
}

/** A delivery that was kept here and has come back. */
class KeptDelivery implements Delivery {
  readonly event: CloudEvent
  readonly sub: SubId
  readonly lane = CUSTODY_LANE
  readonly position: Position
  readonly redelivery: number
  readonly story: readonly AttemptStory[]
  readonly phase: 'subscriber' | 'dead-letter'
  readonly leaseUntilMs = 0
  readonly bytes: number
  readonly ref: KeptRef
  /** Where it came from, for the case that it is kept once more. */
  readonly from: KeptItem

  constructor(sub: SubId, event: CloudEvent, { ref, item }: Delayed) {
    this.event = event
    this.sub = sub
    this.position = ref.id
    this.redelivery = item.redelivery + 1
    this.story = item.state.story
    this.phase = item.state.phase
    this.bytes = OVERHEAD_BYTES + (event.data?.length ?? 0)
    this.ref = ref
    this.from = item
  }
}

interface FeedParts {
  readonly inner: Feed
  readonly intake: Intake
  readonly keyOf: (sub: SubId) => Key
  readonly group: GroupCommit
  readonly kept: Kept
  readonly due: DueOffers
  readonly clock: Clock
  /** New deliveries are taken; those that are here already may always stay. */
  readonly takes: boolean
}

/**
 *   detach, park ─▶ stored ─▶ flushed ─▶ settled in the system it came from
 *                     └── due ─▶ offered again, in a lane of its own ─▶ settled ─▶ out of the store
 */
class CustodyFeed implements Feed {
  readonly parked: ParkedStore
  readonly can: Feed['can']
  readonly #p: FeedParts
  readonly #inner: Feed

  constructor(parts: FeedParts) {
    this.#p = parts
    this.#inner = parts.inner
    this.parked = parts.kept
    this.can = parts.inner.can
  }

  attach(sub: SubId, key: string, from: Start, order?: Order): void {
    this.#inner.attach(sub, key, from, order)
    this.#p.due.watch(this.#p.kept.line(key), (back) => this.#offer(sub, back))
  }

  detach(sub: SubId, forget: boolean): void {
    const key = this.#p.keyOf(sub)
    this.#inner.detach(sub, forget)
    this.#p.due.unwatch(this.#p.kept.line(key))
    if (forget) this.#forgetKept(key)
  }

  forget(key: string): boolean {
    const known = this.#inner.forget(key)
    return this.#forgetKept(key) || known
  }

  resume(sub: SubId, lane: LaneId): void {
    if (lane === CUSTODY_LANE) this.#p.due.resume(this.#p.kept.line(this.#p.keyOf(sub)))
    else this.#inner.resume(sub, lane)
  }

  settle(d: Delivery, how: Settlement): void {
    if (!(d instanceof KeptDelivery)) this.#inner.settle(d, how)
    else if (how === 'handed-back') this.#p.due.handedBack(d.ref)
    else if (this.#p.due.end(d.ref)) this.#p.kept.drop(d.ref)
  }

  detachDelivery(d: Delivery, state: DetachedState, done: (ok: boolean) => void): void {
    if (d instanceof KeptDelivery) return this.#delay(d, state, done)
    // Custody never moves to a less durable place: what its own system can keep stays there.
    this.#inner.detachDelivery(d, state, (ok) => (ok ? done(true) : this.#delay(d, state, done)))
  }

  park(d: Delivery, state: DetachedState, done: (ok: boolean) => void): void {
    const { kept } = this.#p
    this.#keep(d, state, 'parked', done, (item, was, hooks) => kept.park(kept.line(this.#p.keyOf(d.sub)), item, was, hooks))
  }

  parkRaw(sub: SubId, lane: LaneId, at: Position, bad: Undecodable, done: (ok: boolean) => void): void {
    const { kept, clock, keyOf, takes } = this.#p
    if (!takes) return done(false)
    const state: DetachedState = { dueMs: 0, story: [], phase: 'subscriber', reason: 'undecodable' }
    const item: KeptItem = { event: null, undecodable: bad, state, lane, position: at, redelivery: 0, keptMs: clock.wall() }
    const settled = (ok: boolean): void => {
      if (ok) this.#inner.settle(placeOf(sub, lane, at), 'parked')
      done(ok)
    }
    kept.park(kept.line(keyOf(sub)), item, null, plainly(settled))
  }

  extend(d: Delivery, leaseMs: number): void {
    if (!(d instanceof KeptDelivery)) this.#inner.extend(d, leaseMs)
  }

  seek(sub: SubId, to: Start): Promise<void> {
    return this.#inner.seek(sub, to)
  }

  backlog(sub: SubId): Backlog {
    return this.#inner.backlog(sub)
  }

  passed(sub: SubId): number {
    return this.#inner.passed(sub)
  }

  async flush(signal: AbortSignal): Promise<void> {
    // First here, then there: what is settled in the system must be durable here before.
    await this.#p.group.durable(signal)
    await this.#inner.flush(signal)
  }

  #offer(sub: SubId, back: Delayed): boolean {
    const { event } = back.item
    return event === null || this.#p.intake.offer(new KeptDelivery(sub, event, back))
  }

  #delay(d: Delivery, state: DetachedState, done: (ok: boolean) => void): void {
    const { kept } = this.#p
    this.#keep(d, state, 'detached', done, (item, was, hooks) => kept.delay(kept.line(this.#p.keyOf(d.sub)), item, was, hooks))
  }

  #keep(
    d: Delivery,
    state: DetachedState,
    how: Settlement,
    done: (ok: boolean) => void,
    put: (item: KeptItem, was: KeptRef | null, hooks: KeepHooks) => void,
  ): void {
    const { due, clock, takes } = this.#p
    if (!takes && !(d instanceof KeptDelivery)) return done(false)
    const { lane, position, redelivery } = d instanceof KeptDelivery ? d.from : d
    const item: KeptItem = { event: d.event, undecodable: null, state, lane, position, redelivery, keptMs: clock.wall() }
    if (!(d instanceof KeptDelivery)) {
      const settled = (ok: boolean): void => {
        if (ok) this.#inner.settle(d, how)
        done(ok)
      }
      return put(item, null, plainly(settled))
    }
    if (!due.end(d.ref)) return done(true)
    const ended = (ok: boolean): void => {
      if (!ok) due.reopen(d.ref)
      done(ok)
    }
    put({ ...item, redelivery: d.redelivery }, d.ref, plainly(ended))
  }

  #forgetKept(key: Key): boolean {
    this.#p.due.forget(this.#p.kept.line(key))
    return this.#p.kept.forget(key)
  }
}

/** Nothing of the store is settled along with it. */
function plainly(done: (ok: boolean) => void): KeepHooks {
  return { apply() {}, undo() {}, done }
}

/** A delivery that never was: the system tells it by its place. */
function placeOf(sub: SubId, lane: LaneId, position: Position): Delivery {
  return { ...SILENT_DELIVERY, sub, lane, position }
}

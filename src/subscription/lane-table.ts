import type { LaneId } from '../contract/ids.ts'
import type { SubscriptionPlan } from '../contract/plan.ts'
import type { CloudEvent } from '../event/event.ts'
import { Fifo } from '../flow/fifo.ts'
import { assert } from '../runtime/errors.ts'
import { Lane, type Walk } from './walk.ts'

/** How much may wait in memory, per subscription. What has a credit does not count as waiting. */
export interface LaneBounds {
  /** Of one lane. */
  readonly events: number
  /** Of one lane, what is attempted included. */
  readonly bytes: number
  /** Of all lanes together; over it each keeps only its share. More would be dead weight for the garbage collector. */
  readonly eventsOfAll: number
}

export const LANE_BOUNDS: LaneBounds = Object.freeze({ events: 512, bytes: 8 * 2 ** 20, eventsOfAll: 4096 })

/** What a lane may hold however many there are: its next event is at hand when its turn comes. */
const SHARE_LEAST = 8

/**
 * The lanes of one subscription and who is next. Lanes take turns; within a lane
 *   unordered: whoever waits longest;
 *   ordered:   the oldest, and only when nothing of the lane is under way;
 *   key:       the oldest of each key, one under way a key (over all lanes), those without a key as unordered.
 */
export class LaneTable {
  readonly #lanes = new Map<LaneId, Lane>()
  /** Lanes in which somebody waits, in turn. */
  readonly #round = new Fifo<Lane>()
  /** The newest delivery of each key; the older ones lead to it. */
  readonly #newestOfKey = new Map<string, Walk>()
  readonly #bounds: LaneBounds
  #order: SubscriptionPlan['order']
  #lastLane: Lane | null = null
  /** Deliveries in memory. */
  count = 0
  /** Those with a credit. */
  attempting = 0
  /** Those that stand in a line. */
  lined = 0

  constructor(order: SubscriptionPlan['order'], bounds: LaneBounds) {
    this.#order = order
    this.#bounds = bounds
  }

  get order(): SubscriptionPlan['order'] {
    return this.#order
  }

  /** Made when it is not there yet. */
  lane(id: LaneId): Lane {
    if (this.#lastLane !== null && this.#lastLane.id === id) return this.#lastLane
    let lane = this.#lanes.get(id)
    if (lane === undefined) {
      lane = new Lane(id)
      this.#lanes.set(id, lane)
    }
    this.#lastLane = lane
    return lane
  }

  lanes(): IterableIterator<Lane> {
    return this.#lanes.values()
  }

  /** What orders this event: `partitionkey`, else the key it came with; '' where nothing does. */
  keyOf(event: CloudEvent): string {
    if (this.#order !== 'key') return ''
    const said = event.extensions.length === 0 ? undefined : event.attribute('partitionkey')
    return said === undefined || said === '' ? event.envelope.key : String(said)
  }

  /** A new delivery, not yet begun. `lined` false = it goes another way (a restored dead letter). */
  put(w: Walk, lined: boolean): void {
    w.lane.link(w)
    this.count++
    if (w.key !== '' && !this.#lineKey(w)) return
    if (lined) this.#line(w)
  }

  /** The lane is not read on while this is true. */
  isFull(lane: Lane): boolean {
    const waiting = lane.count - lane.attempting
    if (waiting >= this.#bounds.events || lane.bytes >= this.#bounds.bytes) return true
    return waiting >= SHARE_LEAST && this.count - this.attempting >= this.#bounds.eventsOfAll && waiting >= this.#share
  }

  /** Room enough to read on: half the bound, so that a reader does not stop and go with every event. */
  hasRoom(lane: Lane): boolean {
    const waiting = lane.count - lane.attempting
    if (waiting * 2 > this.#bounds.events || lane.bytes * 2 > this.#bounds.bytes) return false
    const enough = (this.count - this.attempting) * 4 > this.#bounds.eventsOfAll * 3
    return !enough || waiting * 2 <= Math.max(SHARE_LEAST, this.#share)
  }

  get #share(): number {
    return this.#bounds.eventsOfAll / this.#lanes.size
  }

  /** Who is to be asked for next, marked as begun; undefined = nobody may. */
  next(): Walk | undefined {
    for (let lane = this.#round.shift(); lane !== undefined; lane = this.#round.shift()) {
      const w = this.nextOf(lane, 0)
      if (w !== undefined && lane.waiting.size > 0 && this.#order !== 'ordered') {
        this.#round.push(lane)
        return w
      }
      lane.inRound = false
      if (w !== undefined) return w
    }
    return undefined
  }

  /** The same of one lane, for a batch of which `mates` are begun already. */
  nextOf(lane: Lane, mates: number): Walk | undefined {
    if (this.#order === 'ordered' && lane.begun > mates) return undefined
    for (let w = lane.waiting.shift(); w !== undefined; w = lane.waiting.shift()) {
      if (!w.lined || w.state !== 'waiting') continue
      this.#unline(w)
      w.begun = true
      lane.begun++
      return w
    }
    return undefined
  }

  /** It has a credit. */
  attempt(w: Walk): void {
    w.state = 'attempting'
    w.lane.attempting++
    this.attempting++
  }

  /** Its credit is used up, or its outcome counts for nothing any more. */
  attempted(w: Walk): void {
    w.state = 'waiting'
    w.lane.attempting--
    this.attempting--
  }

  /** It has begun elsewhere: it never stands in line. */
  begin(w: Walk): void {
    assert(!w.begun && !w.lined, 'what has begun before does not stand in line')
    w.begun = true
    w.lane.begun++
  }

  /** It had begun and has not: it is the next of its lane again. */
  putBack(w: Walk): void {
    assert(w.begun && !w.lined, 'what goes back in line has left it')
    w.begun = false
    w.lane.begun--
    w.lined = true
    this.lined++
    w.lane.waiting.unshift(w)
    this.#joinRound(w.lane)
  }

  /** It has left memory (its state says `ended`): whoever stood behind it may go. */
  remove(w: Walk): void {
    const lane = w.lane
    const wasFirstOfKey = w.lined || w.begun
    lane.unlink(w)
    this.count--
    if (w.lined) this.#unline(w)
    if (w.begun) {
      w.begun = false
      lane.begun--
    }
    if (w.key !== '' && wasFirstOfKey) this.#passKeyOn(w)
    this.#joinRound(lane)
  }

  /** Another order from now on: what has not begun is lined up anew, what has begun is waited for. */
  setOrder(order: SubscriptionPlan['order']): void {
    if (order === this.#order) return
    this.#order = order
    this.#newestOfKey.clear()
    for (const lane of this.#lanes.values()) {
      lane.waiting.clear()
      for (let w = lane.first; w !== null; w = w.after) {
        if (w.lined) this.#unline(w)
        w.nextOfKey = null
        w.key = this.keyOf(w.d.event)
        const firstOfKey = w.key === '' || this.#lineKey(w)
        if (!w.begun && w.leg === 'subscriber' && firstOfKey) this.#line(w)
      }
    }
  }

  #line(w: Walk): void {
    if (w.lined || w.begun) return
    w.lined = true
    this.lined++
    w.lane.waiting.push(w)
    this.#joinRound(w.lane)
  }

  #unline(w: Walk): void {
    w.lined = false
    this.lined--
  }

  #joinRound(lane: Lane): void {
    if (lane.inRound || lane.waiting.size === 0 || (this.#order === 'ordered' && lane.begun > 0)) return
    lane.inRound = true
    this.#round.push(lane)
  }

  /** true = it is the first of its key. */
  #lineKey(w: Walk): boolean {
    const newest = this.#newestOfKey.get(w.key)
    this.#newestOfKey.set(w.key, w)
    if (newest === undefined) return true
    newest.nextOfKey = w
    return false
  }

  #passKeyOn(w: Walk): void {
    let next = w.nextOfKey
    while (next !== null && next.state === 'ended') next = next.nextOfKey
    if (next === null) this.#newestOfKey.delete(w.key)
    else this.#line(next)
  }
}

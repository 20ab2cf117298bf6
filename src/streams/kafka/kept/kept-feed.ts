import {
  SILENT_DELIVERY,
  type Delivery,
  type DetachedState,
  type Position,
  type Undecodable,
} from '../../../contract/delivery.ts'
import type { Feed, Intake, ParkedStore, ReplayFeed } from '../../../contract/feed.ts'
import type { Key, LaneId, SubId } from '../../../contract/ids.ts'
import type { CloudEvent } from '../../../event/event.ts'
import { CUSTODY_LANE } from '../../../store/custody.ts'
import type { Follower } from '../seat.ts'
import type { Keeping, KeptHow } from './keeping.ts'
import { readId } from './parked-index.ts'
import { RETRY_LANE, RetryDelivery } from './retry-seat.ts'

export interface KeptFeedParts {
  /** Of the topic itself. */
  readonly inner: Feed
  /** The same with the gateway's custody around it: what an earlier version kept there comes back, and it takes what Kafka does not. */
  local(keyOf: (sub: SubId) => Key): Feed
  readonly keeping: Keeping
  follower(sub: SubId): Follower | undefined
  known(key: Key): Follower | undefined
  groupOf(key: Key): string
}

/**
 *   detach ─▶ written to `<group>.retry`, acknowledged by all ─▶ settled where it came from
 *   park   ─▶ written to `<group>.parked` ─────────────────────▶ settled where it came from
 *     └── the cluster does not let us ─▶ the gateway's custody, where its data folder lasts ─▶ else it is held
 */
export function keptFeed(p: KeptFeedParts): Feed {
  const { inner, keeping } = p
  /** For whom something is parked; a replay parks for the subscription it reads again. */
  const keys: (Key | undefined)[] = []
  const replays = new Set<SubId>()
  const keyOf = (sub: SubId): Key => keys[sub] ?? ''
  const local = p.local(keyOf)
  const replayed = (sub: SubId, of: Key): void => {
    keys[sub] = of
    replays.add(sub)
  }
  const settle: Feed['settle'] = (d, how) => {
    if (d instanceof RetryDelivery) keeping.retry.settle(d, how === 'handed-back')
    else local.settle(d, how)
  }
  const isRetryLane = (lane: LaneId): boolean => lane >= RETRY_LANE && lane < CUSTODY_LANE
  return {
    attach(sub, key, from, order) {
      keys[sub] = key
      replays.delete(sub)
      local.attach(sub, key, from, order)
      const f = p.follower(sub)
      if (f !== undefined) keeping.attached(f)
    },
    detach(sub, forget) {
      const f = p.follower(sub)
      // What the custody holds under its key is that of the live subscription.
      if (replays.has(sub)) return inner.detach(sub, forget)
      local.detach(sub, forget)
      if (forget && f !== undefined) keeping.forget(f.group, true)
    },
    forget(key) {
      const f = p.known(key)
      if (f?.attached === true) return false
      const known = local.forget(key)
      const group = f?.group ?? keeping.parked.groupOf(key) ?? p.groupOf(key)
      return keeping.forget(group, f !== undefined) || known
    },
    resume(sub, lane) {
      const f = p.follower(sub)
      if (!isRetryLane(lane)) local.resume(sub, lane)
      else if (f !== undefined) keeping.retry.resume(f, lane)
    },
    settle,
    detachDelivery(d, state, done) {
      const f = p.follower(d.sub)
      // A replay's own position waits for what it has in memory: it makes no topics that only it would read.
      if (f === undefined || replays.has(d.sub)) return done(false)
      keeping.keep(f, d, state, (how) => {
        if (how === 'kept') settle(d, 'detached')
        else if (mayStayHere(d, how)) return local.detachDelivery(d, state, done)
        done(how === 'kept')
      })
    },
    park(d, state, done) {
      const key = keyOf(d.sub)
      if (key === '') return done(false)
      keeping.parkDelivery(p.groupOf(key), key, d, state, (how) => {
        if (how === 'parked') settle(d, 'parked')
        else if (how === 'refused' || mayStayHere(d, how)) return parkLocally(d, state, done)
        done(how === 'parked')
      })
    },
    parkRaw(sub, lane, at, bad, done) {
      const key = keyOf(sub)
      if (key === '') return done(false)
      const state: DetachedState = { dueMs: 0, story: [], phase: 'subscriber', reason: 'undecodable' }
      const origin = isRetryLane(lane)
        ? { ...keeping.originAt(0, at), topic: `retry ${lane - RETRY_LANE}` }
        : keeping.originAt(lane, at)
      keeping.park(p.groupOf(key), key, { event: null, undecodable: bad, state }, origin, (how) => {
        if (how === 'parked') settleAt(sub, lane, at)
        else if (how === 'refused' && !isRetryLane(lane)) return local.parkRaw(sub, lane, at, bad, done)
        done(how === 'parked')
      })
    },
    extend: (d, leaseMs) => local.extend(d, leaseMs),
    seek: (sub, to) => local.seek(sub, to),
    backlog: (sub) => local.backlog(sub),
    passed: (sub) => local.passed(sub),
    async flush(signal) {
      await keeping.flush(signal)
      await local.flush(signal)
    },
    parked: mergedStore(keeping, local.parked, (key) => p.known(key) !== undefined),
    ...(inner.replays === undefined ? {} : { replays: replaysOf(inner.replays, replayed) }),
    can: inner.can,
  }

  /** What is in the data folder may stay there; what is in the main topic goes there where the cluster has no place for it. */
  function mayStayHere(d: Delivery, how: KeptHow): boolean {
    return d.lane === CUSTODY_LANE || (how === 'refused' && !(d instanceof RetryDelivery))
  }

  /** What came back from a retry topic is settled there once the custody has it. */
  function parkLocally(d: Delivery, state: DetachedState, done: (ok: boolean) => void): void {
    if (!(d instanceof RetryDelivery)) return local.park(d, state, done)
    // The custody settles by the place it is told; that of a retry topic is nobody's in the main one.
    const elsewhere: Delivery = { ...SILENT_DELIVERY, event: d.event, sub: d.sub, lane: d.lane, position: d.position }
    local.park(elsewhere, state, (ok) => {
      if (ok) settle(d, 'parked')
      done(ok)
    })
  }

  function settleAt(sub: SubId, lane: LaneId, at: Position): void {
    if (isRetryLane(lane)) {
      const seat = keeping.retry.seatOf(p.follower(sub), lane)
      seat?.settleAt(at)
    } else local.settle({ ...SILENT_DELIVERY, sub, lane, position: at }, 'parked')
  }
}

function replaysOf(inner: ReplayFeed, attached: (sub: SubId, of: Key) => void): ReplayFeed {
  return {
    ...inner,
    attach(sub, key, from, end, of) {
      attached(sub, of)
      inner.attach(sub, key, from, end, of)
    },
  }
}

/** What is parked in topics, after what an earlier version parked in the data folder. */
function mergedStore(keeping: Keeping, local: ParkedStore, isOurs: (key: Key) => boolean): ParkedStore {
  const { parked } = keeping
  return {
    counts(key) {
      const a = local.counts(key)
      const b = parked.counts(key)
      return { events: a.events + b.events, bytes: a.bytes + b.bytes }
    },
    keys: () => [...new Set([...local.keys().filter(isOurs), ...parked.keys()])],
    list(key, after, most) {
      const ofTopic = readId(after) >= 0
      const first = ofTopic ? [] : local.list(key, after, most)
      return first.length >= most ? first : [...first, ...parked.list(key, ofTopic ? after : '', most - first.length)]
    },
    get: (key, id) => (readId(id) >= 0 ? parked.get(key, id) : local.get(key, id)),
    async remove(key, ids) {
      const inTopic = ids.filter((id) => readId(id) >= 0)
      const here = ids.filter((id) => readId(id) < 0)
      const removed = here.length > 0 ? await local.remove(key, here) : 0
      return removed + (inTopic.length > 0 ? await parked.remove(key, inTopic) : 0)
    },
  }
}

/** The intake of the topic's reader, which tells the keeping what is ours and what goes. */
export class KeptIntake implements Intake {
  readonly #into: Intake
  readonly #keeping: () => Keeping
  readonly #partition: (lane: LaneId) => number

  constructor(into: Intake, keeping: () => Keeping, partition: (lane: LaneId) => number) {
    this.#into = into
    this.#keeping = keeping
    this.#partition = partition
  }

  route(event: CloudEvent, out: SubId[]): number {
    return this.#into.route(event, out)
  }
  matches(sub: SubId, event: CloudEvent): boolean {
    return this.#into.matches(sub, event)
  }
  offer(d: Delivery): boolean {
    return this.#into.offer(d)
  }
  undecodable(sub: SubId, lane: LaneId, at: Position, bad: Undecodable): void {
    this.#into.undecodable(sub, lane, at, bad)
  }

  assigned(lanes: readonly LaneId[]): void {
    this.#into.assigned(lanes)
    this.#keeping().taken(lanes.map(this.#partition))
  }

  async revoking(lanes: readonly LaneId[], deadlineMs: number): Promise<void> {
    const due = this.#keeping().leaving(lanes.map(this.#partition))
    await this.#into.revoking([...lanes, ...due], deadlineMs)
    await this.#keeping().commitWithin(LAST_COMMIT_MS)
    this.#keeping().gone()
  }

  lost(lanes: readonly LaneId[]): void {
    const due = this.#keeping().leaving(lanes.map(this.#partition))
    this.#into.lost([...lanes, ...due])
    this.#keeping().gone()
  }
}

const LAST_COMMIT_MS = 2_000

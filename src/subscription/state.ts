import type { Deliverer } from './deliverer.ts'
import type { Clock } from '../runtime/clock.ts'

/**
 * One subscription at one instant, since the process began:
 * `restored + offered + replayed = filtered + delivered + deadLettered + parked + handedBack + waiting`.
 */
export interface SubscriptionState {
  /** Came back from being detached by an earlier process. */
  readonly restored: number
  /** Went past it, matched or not. */
  readonly offered: number
  readonly replayed: number
  readonly filtered: number
  readonly delivered: number
  readonly deadLettered: number
  readonly parked: number
  readonly handedBack: number
  /** In memory or detached until due. */
  readonly waiting: number
  /** Of those, the ones stored by the feed until they are due. */
  readonly detached: number
  readonly attempting: number
  /** Offered to the gate and not yet started. */
  readonly queued: number
  /** Lanes it has had anything in: what an ordered one can do at once. */
  readonly lanes: number
  readonly attempts: number
  readonly retries: number
  readonly paused: boolean
  /** Why it reads nothing though nobody paused it, '' = it reads: `parked-full`, `rejecting`, `on-park`, `target-unresolved`. */
  readonly held: string
  /** Wall clock of when the oldest delivery in memory was offered, 0 = none. */
  readonly oldestMs: number
}

const NOTHING: SubscriptionState = Object.freeze({
  restored: 0,
  offered: 0,
  replayed: 0,
  filtered: 0,
  delivered: 0,
  deadLettered: 0,
  parked: 0,
  handedBack: 0,
  waiting: 0,
  detached: 0,
  attempting: 0,
  queued: 0,
  lanes: 0,
  attempts: 0,
  retries: 0,
  paused: false,
  held: '',
  oldestMs: 0,
})

export function stateOf(sub: Deliverer | undefined, clock: Clock): SubscriptionState {
  if (sub === undefined) return NOTHING
  const { counts, table, reader, route } = sub
  // What matched nothing is known to the feed alone: it counts what went past. Redeliveries are offered beyond that.
  const unmatched = Math.max(0, (reader.feed?.passed(sub.id) ?? 0) - counts.matched)
  let lanes = 0
  let oldestMs = Infinity
  for (const lane of table.lanes()) {
    lanes++
    if (lane.first !== null) oldestMs = Math.min(oldestMs, lane.first.offeredMs)
  }
  return {
    restored: counts.restored,
    offered: counts.matched + unmatched,
    replayed: counts.replayed,
    filtered: counts.filtered + unmatched,
    delivered: counts.delivered,
    deadLettered: counts.deadLettered,
    parked: counts.parked,
    handedBack: counts.handedBack,
    waiting: table.count + counts.detached + counts.undecodable,
    detached: counts.detached,
    attempting: route.subscriber.attempting + route.reply.attempting + route.deadLetter.attempting,
    queued: route.subscriber.asked + route.reply.asked + route.deadLetter.asked,
    lanes,
    attempts: counts.attempts,
    retries: counts.retries,
    paused: reader.paused,
    held: reader.held,
    oldestMs: oldestMs === Infinity ? 0 : Math.round(clock.wall() - (clock.now() - oldestMs)),
  }
}

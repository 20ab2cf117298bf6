import type { Delivery, Settlement } from '../../contract/delivery.ts'
import { type Backlog, type Feed, NOTHING_PARKED } from '../../contract/feed.ts'
import type { LaneId, SubId } from '../../contract/ids.ts'
import { assert } from '../../runtime/errors.ts'
import type { Consumption } from './consumption.ts'
import { KafkaDelivery, type Partition } from './partition.ts'

/** What the feed needs of the consumption behind it. */
export type Consumed = Pick<
  Consumption,
  'partitions' | 'offering' | 'start' | 'resume' | 'settled' | 'released' | 'seek' | 'flush'
>

/** The feed of one Kafka source; it has one subscription. `forgotten` hears that the group is to go. */
export function kafkaFeed(c: Consumed, forgotten: () => void): Feed {
  let attached: SubId | null = null
  let name = ''
  const ordinalOf = (d: { lane: LaneId; position: number }, p: Partition): number => p.tracker.find(d.position)
  return {
    attach(sub, key, from) {
      assert(attached === null || attached === sub, 'a Kafka source has one subscription')
      attached = sub
      name = key
      c.start(sub, from)
    },
    detach(sub, forget) {
      if (sub !== attached) return
      c.offering.detach()
      attached = null
      if (forget) forgotten()
    },
    forget(key) {
      if (key !== name || attached !== null) return false
      forgotten()
      return true
    },
    resume(sub, lane) {
      if (sub === attached) c.resume(lane)
    },
    settle(d: Delivery, how: Settlement) {
      const p = c.partitions.get(d.lane)
      if (d instanceof KafkaDelivery) {
        // Of a partition that is not ours any more, or was ours in another life: nobody's business.
        if (p === undefined || p.tracker !== d.tracker) return
        if (how !== 'handed-back') d.tracker.settle(d.ordinal)
        else d.tracker.release(d.ordinal)
      } else if (p !== undefined) {
        // Made by whoever parked raw bytes or keeps deliveries for us: told by its place.
        const ordinal = ordinalOf(d, p)
        if (how !== 'handed-back') p.tracker.settle(ordinal)
        else p.tracker.release(ordinal)
      } else return
      if (how === 'handed-back') c.released(p)
      else if (p.stalled) c.settled(p)
    },
    detachDelivery: (_d, _state, done) => done(false),
    park: (_d, _state, done) => done(false),
    parkRaw: (_sub, _lane, _at, _bad, done) => done(false),
    extend() {},
    seek: (sub, to) => (sub === attached ? c.seek(to) : Promise.resolve()),
    backlog: () => backlogOf(c.partitions.values()),
    passed: (sub) => (sub === attached ? c.offering.passed : 0),
    flush: (signal) => c.flush(signal),
    parked: NOTHING_PARKED,
    can: { seek: true, release: true, lease: false, ordered: true, exactBacklog: false },
  }
}

/** Not exact: markers, compacted and aborted offsets are counted though they are no events. */
function backlogOf(partitions: Iterable<Partition>): Backlog {
  let events = 0
  let oldestMs = 0
  for (const p of partitions) {
    events += p.unread
    const oldest = p.tracker.oldestMs
    if (oldest > 0 && (oldestMs === 0 || oldest < oldestMs)) oldestMs = oldest
  }
  return { events, exact: false, oldestMs }
}

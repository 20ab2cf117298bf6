import { type Backlog, type Feed, NOTHING_PARKED, type Start } from '../../contract/feed.ts'
import type { LaneId } from '../../contract/ids.ts'
import type { Reading } from './reading.ts'
import { type KafkaSeat, StreamDelivery } from './seat.ts'

const COMMITTED: Start = { at: 'committed', otherwise: { at: 'latest' } }

/** The feed of a stream on Kafka. Positions are offsets, lanes are partitions. */
export function topicFeed(r: Reading): Feed {
  return {
    attach: (sub, key, from) => r.follow(sub, key, from),
    detach(sub, forget) {
      const f = r.unfollow(sub)
      if (forget && f !== undefined) r.forget(f.key)
    },
    forget: (key) => r.forget(key),
    resume: (sub, lane) => r.resume(sub, lane),
    settle(d, how) {
      const seat: KafkaSeat | undefined = d instanceof StreamDelivery ? d.seat : r.follower(d.sub)?.seats[d.lane]
      // Of a partition that is not ours any more, or before a seek: nobody's business.
      if (seat === undefined || (d instanceof StreamDelivery && d.tracker !== seat.tracker)) return
      const ordinal = d instanceof StreamDelivery ? d.ordinal : seat.tracker.find(d.position)
      if (how === 'handed-back') {
        seat.tracker.release(ordinal)
        r.released(seat)
      } else {
        seat.tracker.settle(ordinal)
        r.settled(seat)
      }
    },
    detachDelivery: (_d, _state, done) => done(false),
    park: (_d, _state, done) => done(false),
    parkRaw: (_sub, _lane, _at, _bad, done) => done(false),
    extend() {},
    seek: (sub, to) => r.seek(sub, to),
    backlog: (sub) => backlogOf(r.follower(sub)?.seats ?? []),
    passed(sub) {
      const f = r.follower(sub)
      let passed = f?.passed ?? 0
      for (const seat of f?.seats ?? []) passed += seat?.passed ?? 0
      return passed
    },
    flush: (signal) => r.flush(signal),
    replays: {
      begin: (key, of, from) => r.replays.begin(key, of, from),
      // Where it stands and ends is kept in its group; without one it is over at once.
      holds: () => true,
      attach(sub, key, _from, end, of) {
        const replay = { of, begunMs: Number(end), ends: new Map<LaneId, number>(), over: false, lookedMs: -Infinity }
        r.follow(sub, key, COMMITTED, replay)
      },
      through: (sub) => r.replays.through(r.follower(sub)),
      found: () => r.replays.found(),
    },
    parked: NOTHING_PARKED,
    can: { seek: true, release: true, lease: false, ordered: true, exactBacklog: false },
  }
}

/** Not exact: markers and compacted offsets are counted though they are no events. */
function backlogOf(seats: Iterable<KafkaSeat | undefined>): Backlog {
  let events = 0
  let oldestMs = 0
  for (const seat of seats) {
    if (seat === undefined) continue
    events += seat.unread
    const oldest = seat.tracker.oldestMs
    if (oldest > 0 && (oldestMs === 0 || oldest < oldestMs)) oldestMs = oldest
  }
  return { events, exact: false, oldestMs }
}

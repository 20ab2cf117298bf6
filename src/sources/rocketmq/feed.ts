import type { Delivery, Settlement } from '../../contract/delivery.ts'
import type { Feed, ParkedStore } from '../../contract/feed.ts'
import type { SubId } from '../../contract/ids.ts'
import { assert, Fault } from '../../runtime/errors.ts'
import type { Consumption } from './consumption.ts'

/** RocketMQ keeps nothing that was given up: the gateway puts a store of its own around this feed. */
const NOTHING_PARKED: ParkedStore = {
  counts: () => ({ events: 0, bytes: 0 }),
  keys: () => [],
  list: () => [],
  get: () => undefined,
  remove: () => Promise.resolve(0),
}

/** The feed of one RocketMQ source; it has one subscription. The group and its position belong to RocketMQ's administrator. */
export function rocketMqFeed(c: Consumption): Feed {
  let attached: SubId | null = null
  return {
    attach(sub) {
      assert(attached === null || attached === sub, 'a RocketMQ source has one subscription')
      attached = sub
      c.start(sub)
    },
    detach(sub) {
      if (sub !== attached) return
      attached = null
      c.detach()
    },
    forget: () => false,
    resume(sub) {
      if (sub === attached) c.resume()
    },
    // Told by its place: whoever keeps deliveries for us has no other.
    settle: (d: Delivery, how: Settlement) => c.settle(d.position, how),
    detachDelivery: (_d, _state, done) => done(false),
    park: (_d, _state, done) => done(false),
    parkRaw: (_sub, _lane, _at, _bad, done) => done(false),
    // Everything held is renewed until it is settled, whether it waits or is attempted.
    extend() {},
    seek: () =>
      Promise.reject(new Fault('admin.refused', 'a RocketMQ group is rewound by its administrator: mqadmin resetOffsetByTime')),
    // Asking for a lag takes an administrator's rights: what is known is what has come and waits.
    backlog: () => ({ events: c.offering.unread, exact: false, oldestMs: 0 }),
    passed: (sub) => (sub === attached ? c.offering.passed : 0),
    flush: (signal) => c.flush(signal),
    parked: NOTHING_PARKED,
    can: { seek: false, release: true, lease: true, ordered: true, exactBacklog: false },
  }
}

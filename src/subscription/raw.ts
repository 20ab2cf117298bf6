import type { Position, Undecodable } from '../contract/delivery.ts'
import type { Feed } from '../contract/feed.ts'
import type { LaneId } from '../contract/ids.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Deliverer } from './deliverer.ts'

/** How long bytes that could not be parked wait before the next try. */
const PARK_AGAIN_MS = 5_000

/** Parks bytes that are no event, as they came; while they cannot be kept nothing more is read. */
export function parkRaw(sub: Deliverer, feed: Feed, lane: LaneId, at: Position, bad: Undecodable, clock: Clock): void {
  sub.counts.matched++
  sub.counts.undecodable++
  const tryIt = (): void => {
    feed.parkRaw(sub.id, lane, at, bad, (ok) => {
      if (!ok) {
        sub.reader.hold('parked-full')
        clock.after(PARK_AGAIN_MS, tryIt)
        return
      }
      sub.counts.undecodable--
      sub.counts.parked++
      sub.parkedRaw()
    })
  }
  tryIt()
}

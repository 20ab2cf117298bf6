import type { Clock, Timer } from '../../runtime/clock.ts'
import { LATEST } from '../../vendor/kafka/calls.ts'
import type { Partition } from './partition.ts'
import { offsetsAt, type StartParts } from './starts.ts'

/** A backlog is so old at most. */
const LOOK_MS = 3_000

/**
 * Where partitions end that no fetch asks about: their lane is full or paused and enough of them is in memory. A fetch
 * tells the rest.
 */
export function watchEnds(
  clock: Clock,
  starts: StartParts,
  partitions: () => Iterable<Partition>,
  mostWaitingBytes: number,
): Timer {
  let looking = false
  const look = async (): Promise<void> => {
    const nowMs = clock.now()
    const still = new Map([...partitions()].filter((p) => !p.wantsFetch(nowMs, mostWaitingBytes)).map((p) => [p.lane, p]))
    if (still.size === 0) return
    for (const [lane, end] of await offsetsAt(starts, [...still.keys()], LATEST)) {
      const p = still.get(lane)
      if (p !== undefined && p.end < end) p.end = end
    }
  }
  return clock.every(LOOK_MS, () => {
    if (looking) return
    looking = true
    // What Kafka does not tell now it tells the next time.
    look()
      .catch(() => {})
      .finally(() => (looking = false))
  })
}

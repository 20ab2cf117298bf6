import type { Names } from '../contract/names.ts'
import { SILENT, type Observer } from '../contract/observer.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'

/** A loop ends many events at once: each subscription is named in the log at most so often. */
const SAY_EVERY_MS = 10_000

/** Names loops in the log, with how many events ended since it was last said. */
export function loopWatch(names: Names, clock: Clock, log: Log): Observer {
  const said = new Map<number, { atMs: number; silent: number }>()
  return {
    ...SILENT,
    looped(d, why) {
      const nowMs = clock.now()
      const last = said.get(d.sub)
      if (last !== undefined && nowMs - last.atMs < SAY_EVERY_MS) {
        last.silent++
        return
      }
      said.set(d.sub, { atMs: nowMs, silent: 0 })
      const { id, source, type, envelope } = d.event
      log.warn('an event goes round in a loop and is not passed on', {
        subscription: names.sub(d.sub),
        event: { id, source, type },
        hops: envelope.hops,
        why,
        unsaid: last?.silent ?? 0,
      })
    },
  }
}

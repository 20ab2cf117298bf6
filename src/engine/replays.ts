import type { Start } from '../contract/feed.ts'
import type { Key } from '../contract/ids.ts'
import type { Clock } from '../runtime/clock.ts'
import { Fault } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import type { DeliveryMachine } from '../subscription/machine.ts'
import type { Engine } from './engine.ts'
import type { IdTables } from './id-table.ts'

export interface ReplaysParts {
  readonly engine: Engine
  readonly machine: DeliveryMachine
  readonly ids: IdTables
  readonly clock: Clock
  readonly log: Log
}

/** How often a replay is asked whether it is through. */
const LOOK_MS = 200

/** Second, temporary readers: from a point to the head of now, with a position and counters of their own. */
export interface Replays {
  start(key: Key, from: Start): Promise<{ readonly events: number }>
}

export function createReplays({ engine, machine, ids, clock, log }: ReplaysParts): Replays {
  let serial = 0
  return {
    start(key, from) {
      const live = engine.subscriptions.get(key)
      if (live === undefined) throw new Fault('admin.refused', `there is no subscription ${key}`)
      if (!live.feed.can.seek) throw new Fault('admin.refused', `${key} reads from a system that keeps no history`)
      const replayKey = `${key}~replay-${++serial}`
      const id = ids.subs.of(replayKey)
      engine.addReplay(id, replayKey, live.plan, from)
      const events = live.feed.backlog(id).events
      log.info('a replay begins', { subscription: key, events })
      const look = clock.every(LOOK_MS, () => {
        if (machine.state(id).waiting > 0 || live.feed.backlog(id).events > 0) return
        look.cancel()
        const { delivered } = machine.state(id)
        void engine.endReplay(replayKey).then(() => log.info('a replay has ended', { subscription: key, delivered }))
      })
      return Promise.resolve({ events })
    },
  }
}

import { join } from 'node:path'
import type { Key } from '../contract/ids.ts'
import type { Observer } from '../contract/observer.ts'
import type { IdTables } from '../engine/id-table.ts'
import { createEventTypes } from '../observe/event-types.ts'
import { createJournal } from '../observe/journal.ts'
import { loopWatch } from '../observe/loops.ts'
import { combineObservers, createRecorder, type Recorder } from '../observe/recorder.ts'
import { createTails } from '../observe/tails.ts'
import { loadTracing, type Tracing } from '../observe/tracing.ts'
import { openSmallFile } from '../store/small-file.ts'
import type { GatewayParts, GatewaySettings } from './settings.ts'

/** Everybody who sees the arrows of the walk, combined into one observer. */
export interface Watchers {
  readonly observer: Observer
  readonly recorder: Recorder
  readonly journal: ReturnType<typeof createJournal>
  readonly tails: ReturnType<typeof createTails>
  readonly types: ReturnType<typeof createEventTypes>
  /** null = nobody collects spans. */
  readonly tracing: Tracing | null
}

/** `originOf` says which stream or source a subscription reads from. */
export async function openWatchers(
  settings: GatewaySettings,
  { clock, log }: GatewayParts,
  ids: IdTables,
  originOf: (sub: Key) => Key,
): Promise<Watchers> {
  const recorder = createRecorder({
    names: ids,
    originOf: (sub) => originOf(ids.sub(sub)),
    wall: () => clock.wall(),
    detail: settings.metricsDetail,
  })
  const journal = createJournal({ names: ids, clock })
  const tails = createTails({ names: ids, clock })
  const typesFile = openSmallFile(join(settings.dataDir, 'event-types.json'), log)
  const types = createEventTypes({ names: ids, clock, log, ...typesFile })
  const observers = [recorder.observer, loopWatch(ids, clock, log), journal.observer, tails.observer, types.observer]
  const tracing = settings.traces ? await loadTracing((sub) => ids.sub(sub), clock, log) : null
  return { observer: combineObservers(observers), recorder, journal, tails, types, tracing }
}

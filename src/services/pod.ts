import type { Origin } from '../contract/target.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import type { ProcessTable } from './process-table.ts'
import type { Reaper } from './reaper.ts'

/** What a pod tells its revision, each at most once. */
export interface PodEvents {
  ready(at: Origin): void
  /** Exited, or could not be started. `why` is '' when it was asked to. */
  gone(why: string): void
}

/** What every pod of a revision is started with. */
export interface PodParts {
  readonly name: string
  readonly service: string
  readonly revision: string
  readonly clock: Clock
  readonly log: Log
  readonly table: ProcessTable
  readonly reaper: Reaper
  /** What a pod may see of the gateway's own environment. */
  readonly inherited: { readonly path: string; readonly home: string }
}

/** A running pod, wherever it runs. */
export interface Pod {
  /** 0 = not started yet, or not a process of this machine. */
  readonly pid: number
  /** Asks it to end; what still lives after `graceMs` is killed. */
  stop(graceMs: number): void
  kill(): void
}

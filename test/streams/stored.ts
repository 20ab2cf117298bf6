import type { Budget } from '../../src/contract/budget.ts'
import { SILENT } from '../../src/contract/observer.ts'
import type { StreamPlan } from '../../src/contract/plan.ts'
import type { Fault } from '../../src/runtime/errors.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { openEmbeddedStream } from '../../src/streams/embedded.ts'
import type { LogStream } from '../../src/streams/parts.ts'
import type { Kv } from '../../src/vendor/lmdb/kv.ts'
import type { VirtualClock } from '../simulation/virtual-clock.ts'
import { planOf, run, type Running } from './rig.ts'

export const PLENTY = { freeBytes: 2 ** 40, totalBytes: 2 ** 41 }

export interface Stored extends Running {
  readonly stream: LogStream
  readonly fatal: Fault[]
}

/** The embedded stream on a store and a clock of the test's own. */
export async function openStored(
  clock: VirtualClock,
  kv: Kv,
  plan: Partial<StreamPlan> = {},
  disk = () => PLENTY,
  budget?: Budget,
): Promise<Stored> {
  const fatal: Fault[] = []
  const stream = await openEmbeddedStream({
    id: 0,
    plan: planOf(plan),
    clock,
    observer: SILENT,
    log: SILENT_LOG,
    dir: '/nowhere',
    kv,
    disk,
    ...(budget === undefined ? {} : { budget }),
    onFatal: (f) => fatal.push(f),
  })
  return { ...run(stream), stream, fatal }
}

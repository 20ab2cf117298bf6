import type { ServicePlan } from '../contract/plan.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import type { Pod, PodEvents } from './pod.ts'
import { startProcessPod } from './process-pod.ts'
import { openProcessTable } from './process-table.ts'
import { startReaper } from './reaper.ts'

/** Starts pods, wherever they run. */
export interface Pods {
  start(plan: ServicePlan, name: string, log: Log, events: PodEvents): Pod
  close(): void
}

/** Pods as processes of this machine: recorded in the data folder, ended by the reaper whatever becomes of the gateway. */
export function openProcessPods(o: {
  readonly clock: Clock
  readonly log: Log
  readonly dataDir: string
  readonly inherited: { readonly path: string; readonly home: string }
}): Pods {
  const table = openProcessTable(o.dataDir, o.log)
  // Only who runs pods pays for a reaper.
  let reaper: ReturnType<typeof startReaper> | null = null
  return {
    start(plan, name, log, events) {
      if (plan.process === null) throw new Error(`${plan.key} says nothing about how to run its pods`)
      reaper ??= startReaper()
      const { name: service, revision } = plan
      return startProcessPod(
        plan.process,
        { name, service, revision, log, clock: o.clock, table, reaper, inherited: o.inherited },
        events,
      )
    },
    close() {
      reaper?.close()
    },
  }
}

import type { Key } from '../contract/ids.ts'
import type { DemandView } from '../observe/keda/scaler.ts'
import type { Services } from '../services/services.ts'
import type { DeliveryMachine } from '../subscription/machine.ts'
import type { Engine } from './engine.ts'

/** What is wanted of this gateway's Services and what waits in its subscriptions, for scalers outside. */
export function demandView(engine: Engine, machine: DeliveryMachine, services: Services): DemandView {
  /** Unsettled events; what waits in the store for its due time needs nobody now. */
  const lagOf = (key: Key): number => {
    const running = engine.subscriptions.get(key)
    if (running === undefined) return 0
    const state = machine.state(running.id)
    const unread = running.feed.backlog(running.id).events
    return unread + Math.max(0, state.waiting - state.detached)
  }
  const readersOf = (source: Key): Key[] =>
    [...engine.subscriptions].filter(([, s]) => 'source' in s.plan.from && s.plan.from.source === source).map(([key]) => key)
  return {
    service(key) {
      const plan = services.plan(key)
      if (plan === undefined) return undefined
      let demand = 0
      for (const { observation: o } of services.revisions(key)) demand += o.inFlight + o.queued + o.backlog
      return { demand, limit: plan.scale.limit }
    },
    backlog(key) {
      if (engine.subscriptions.has(key)) return lagOf(key)
      const readers = readersOf(key)
      return readers.length === 0 ? undefined : readers.reduce((sum, r) => sum + lagOf(r), 0)
    },
    keys: () => ({
      services: (engine.plan()?.services ?? []).map((s) => s.key),
      backlogs: [...engine.subscriptions.keys()],
    }),
    watch: (f) => services.watch(f),
  }
}

import type { Plan, SubscriptionPlan } from '../contract/plan.ts'
import type { Services } from '../services/services.ts'
import type { DeliveryMachine } from '../subscription/machine.ts'
import type { Engine } from './engine.ts'

/** What one subscription may want at most where nothing else says so: enough to ask for every pod there is. */
const WITHOUT_LIMIT = Number.MAX_SAFE_INTEGER

/** Tells each Service how many events behind the gate want it, so that a stored burst at zero pods is seen. */
export function connectBacklogs(
  plan: Plan,
  parts: { readonly engine: Engine; readonly machine: DeliveryMachine; readonly services: Services },
): void {
  const { engine, machine, services } = parts
  const targets = new Map(plan.targets.map((t) => [t.key, t]))
  for (const service of plan.services) {
    const wanting = plan.subscriptions.filter((s) => {
      const target = s.target === null ? undefined : targets.get(s.target)
      return target?.kind === 'service' && target.service === service.key
    })
    services.setBacklog(service.key, () => wanting.reduce((sum, s) => sum + wantedBy(s, engine, machine), 0))
  }
}

/** Waiting in lanes and unread × match ratio, capped by the parallelism the subscription can use. DESIGN §9 */
function wantedBy(plan: SubscriptionPlan, engine: Engine, machine: DeliveryMachine): number {
  const running = engine.subscriptions.get(plan.key)
  if (running === undefined) return 0
  const state = machine.state(running.id)
  if (state.paused || state.held !== '') return 0
  const looked = state.delivered + state.deadLettered + state.parked + state.waiting + state.filtered
  const matchRatio = looked === 0 ? 1 : 1 - state.filtered / looked
  const unread = running.feed.backlog(running.id).events
  // What is in the gate or attempted already is counted there; what is detached is not due yet.
  const inLanes = Math.max(0, state.waiting - state.detached - state.attempting - state.queued)
  const behind = unread * matchRatio
  return Math.min(Math.ceil(inLanes + behind), usableBy(plan, state.lanes))
}

function usableBy(plan: SubscriptionPlan, lanes: number): number {
  const byOrder = plan.order === 'ordered' ? Math.max(1, lanes) : WITHOUT_LIMIT
  const byLimit = plan.limits.maxConcurrency > 0 ? plan.limits.maxConcurrency : WITHOUT_LIMIT
  return Math.min(byOrder, byLimit)
}

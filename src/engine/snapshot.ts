import type { Key } from '../contract/ids.ts'
import type { RevisionNumbers, Snapshot, StreamNumbers, SubscriptionNumbers } from '../observe/snapshot.ts'
import type { Services } from '../services/services.ts'
import type { DeliveryMachine } from '../subscription/machine.ts'
import type { Engine } from './engine.ts'

/** All numbers of one instant, read without giving up the thread in between. */
export function takeSnapshot(engine: Engine, machine: DeliveryMachine, services: Services): Snapshot {
  const plan = engine.plan()
  return {
    subscriptions: [...engine.subscriptions.keys()].map((key) => subscriptionNumbers(engine, machine, key)),
    streams: [...engine.streams.entries()].map(([key, running]): StreamNumbers => {
      const stats = running.stream.stats()
      return { key, events: stats.events, bytes: stats.bytes, oldestMs: stats.oldestMs, refusing: stats.refusing !== '' }
    }),
    services: (plan?.services ?? []).flatMap((service) =>
      services.revisions(service.key).map((r): RevisionNumbers => ({
        key: service.key,
        revision: r.revision,
        gate: r.gate,
        observation: r.observation,
        desired: r.desired,
      })),
    ),
  }
}

function subscriptionNumbers(engine: Engine, machine: DeliveryMachine, key: Key): SubscriptionNumbers {
  const running = engine.subscriptions.get(key)
  if (running === undefined) throw new Error(`no subscription ${key}`)
  const { id, plan, feed } = running
  const state = machine.state(id)
  const backlog = feed.backlog(id)
  const parked = feed.parked.counts(key)
  return {
    key,
    origin: 'stream' in plan.from ? plan.from.stream : plan.from.source,
    restored: state.restored,
    offered: state.offered,
    replayed: state.replayed,
    filtered: state.filtered,
    delivered: state.delivered,
    deadLettered: state.deadLettered,
    parked: state.parked,
    handedBack: state.handedBack,
    waiting: state.waiting,
    attempts: state.attempts,
    retries: state.retries,
    backlog: backlog.events,
    backlogOldestMs: backlog.oldestMs,
    parkedNow: parked.events,
    paused: state.paused,
    held: state.held,
  }
}

import type { DeciderKit, Observation } from '../contract/decider.ts'
import type { Key, ServiceId } from '../contract/ids.ts'
import type { Observer } from '../contract/observer.ts'
import type { ServicePlan } from '../contract/plan.ts'
import type { GateState, Job } from '../contract/target.ts'
import { createGate, type Gate } from '../flow/gate.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import type { Pods } from './process-pods.ts'
import { createRevision, type Revision } from './revision.ts'
import { createScaling, type DecisionRecord, type Scaling } from './scaling.ts'
import { createTraffic, type Traffic } from './traffic.ts'

export interface ServicesParts {
  readonly clock: Clock
  readonly log: Log
  readonly observer: Observer
  readonly pods: Pods
  readonly deciders: Readonly<Record<'xpa' | 'kpa' | 'hpa', DeciderKit>>
  /** Proxied requests that may wait for a credit, per revision. */
  readonly maxQueuedRequests: number
  /** Grace for attempts that run when a service is removed. */
  readonly graceMs: number
}

/** One revision as API and metrics show it. */
export interface RevisionState {
  readonly revision: string
  readonly traffic: boolean
  readonly gate: GateState
  readonly observation: Observation
  readonly desired: number
  readonly reason: string
  readonly trouble: string
}

/** The Services of a gateway: their revisions, pods and scaling; what a Target needs to send to them. */
export interface Services {
  apply(id: ServiceId, plan: ServicePlan): void
  remove(key: Key): Promise<void>
  acquire(key: Key, tag: string, job: Job): void
  cancel(key: Key, job: Job): void
  /** The gate new jobs of this tag go to, undefined for an unknown service or tag. */
  gate(key: Key, tag: string): Gate | undefined
  plan(key: Key): ServicePlan | undefined
  revisions(key: Key): readonly RevisionState[]
  decisions(key: Key): readonly DecisionRecord[]
  /** Events behind the gate that want this service (streams, lanes); asked at each decision, never I/O. */
  setBacklog(key: Key, backlog: () => number): void
  poke(key: Key): void
  /** Calls `f` whenever there may be room in the service, in whichever revision. */
  onRoom(key: Key, f: () => void): void
  /** Another decider's size for the serving revision, until the lease runs out; false = no such service. */
  override(key: Key, desired: number, leaseMs: number, reason: string): boolean
  /** Calls `f` soon after the load of any gate changed, many changes once; gives what ends that. */
  watch(f: () => void): () => void
  close(graceMs: number): Promise<void>
}

interface Member {
  readonly revision: Revision
  readonly scaling: Scaling
}

interface Running {
  readonly id: ServiceId
  plan: ServicePlan
  /** Oldest first; the last one is the newest. */
  readonly members: Member[]
  /** The newest revision that has proven itself; takes the traffic that names no revision. */
  serving: Member
  traffic: Traffic
  backlog: () => number
  readonly listeners: (() => void)[]
}

const TELL_MS = 5

export function createServices(parts: ServicesParts): Services {
  const running = new Map<Key, Running>()
  const retired = new Set<Promise<void>>()
  const watchers = new Set<() => void>()
  let telling = false

  /** A watcher reads everything it wants to know: a few ms are waited for what else changes. */
  const changed = (): void => {
    if (watchers.size === 0 || telling) return
    telling = true
    parts.clock.after(TELL_MS, () => {
      telling = false
      for (const f of watchers) f()
    })
  }

  const createMember = (service: () => Running | undefined, id: ServiceId, plan: ServicePlan): Member => {
    const { clock, observer } = parts
    const log = parts.log.with({ service: plan.key })
    const gate = createGate({
      clock,
      maxQueuedRequests: parts.maxQueuedRequests,
      limits: plan.limits,
      onChange() {
        scaling.poke()
        changed()
      },
    })
    const revision = createRevision({
      id,
      plan,
      gate,
      clock,
      log,
      observer,
      start: (name, podLog, events) => parts.pods.start(plan, name, podLog, events),
    })
    const scaling = createScaling({
      id,
      spec: plan.scale,
      revision,
      kit: parts.deciders[plan.scale.class],
      clock,
      observer,
      backlog: () => (service()?.serving.revision === revision ? (service()?.backlog() ?? 0) : 0),
      atLeast: () => (service() !== undefined && service()?.serving.revision !== revision ? 1 : 0),
    })
    revision.onPods = () => {
      scaling.poke()
      const all = service()
      if (all !== undefined) promote(all)
    }
    gate.onRoom(() => {
      for (const f of service()?.listeners ?? []) f()
    })
    return { revision, scaling }
  }

  /** Traffic moves to the newest revision once one of its pods is ready, or at once when nothing runs in the old one. */
  const promote = (service: Running): void => {
    const newest = service.members.at(-1)
    if (newest === undefined || newest === service.serving) return
    if (newest.revision.ready() === 0 && service.serving.revision.size() > 0) return
    service.serving = newest
    retireUnnamed(service)
  }

  /** A revision stays for as long as the traffic names it. */
  const retireUnnamed = (service: Running): void => {
    for (const old of [...service.members]) {
      if (old === service.serving || old === service.members.at(-1) || service.traffic.names(old.revision.plan.revision)) continue
      service.members.splice(service.members.indexOf(old), 1)
      retire(old, service.serving.revision.gate)
    }
  }

  const retire = (member: Member, heir: Gate | null): void => {
    member.scaling.close()
    if (heir === null) member.revision.gate.close()
    else for (const job of member.revision.gate.takeWaiting()) heir.acquire(job)
    const done = member.revision.close(parts.graceMs).finally(() => retired.delete(done))
    retired.add(done)
  }

  const apply = (id: ServiceId, plan: ServicePlan): void => {
    const service = running.get(plan.key)
    if (service === undefined) {
      const member = createMember(() => running.get(plan.key), id, plan)
      running.set(plan.key, {
        id,
        plan,
        members: [member],
        serving: member,
        traffic: createTraffic(plan.traffic),
        backlog: () => 0,
        listeners: [],
      })
      return
    }
    const newest = service.members.at(-1)
    service.plan = plan
    service.traffic = createTraffic(plan.traffic)
    if (newest?.revision.plan.revision === plan.revision) return retireUnnamed(service)
    // A revision that never served is replaced, not kept beside the new one.
    if (newest !== undefined && newest !== service.serving) retire(service.members.pop() ?? newest, service.serving.revision.gate)
    service.members.push(createMember(() => running.get(plan.key), id, plan))
    promote(service)
  }

  const memberNamed = (service: Running, revision: string): Member =>
    service.members.find((m) => m.revision.plan.revision === revision) ?? service.serving

  /** Where a job with that tag goes: an unknown revision means the serving one. */
  const memberOf = (key: Key, tag: string, untagged: (t: Traffic) => string): Member | undefined => {
    const service = running.get(key)
    if (service === undefined) return undefined
    const revision = tag === '' ? untagged(service.traffic) : service.traffic.tagged(tag)
    return revision === undefined ? undefined : memberNamed(service, revision)
  }

  return {
    apply,
    async remove(key) {
      const service = running.get(key)
      if (service === undefined) return
      running.delete(key)
      for (const member of service.members) retire(member, null)
      await Promise.all(retired)
    },
    acquire(key, tag, job) {
      const member = memberOf(key, tag, (t) => t.next())
      if (member === undefined) job.refused('gone', 0)
      else member.revision.gate.acquire(job)
    },
    cancel(key, job) {
      for (const member of running.get(key)?.members ?? []) member.revision.gate.cancel(job)
    },
    gate: (key, tag) => memberOf(key, tag, () => '')?.revision.gate,
    plan: (key) => running.get(key)?.plan,
    revisions(key) {
      const service = running.get(key)
      return (service?.members ?? []).map((m) => ({
        revision: m.revision.plan.revision,
        traffic: m === service?.serving,
        gate: m.revision.gate.state(),
        observation: m.scaling.observation(),
        desired: m.scaling.desired(),
        reason: m.scaling.reason(),
        trouble: m.revision.trouble(),
      }))
    },
    decisions: (key) => (running.get(key)?.members ?? []).flatMap((m) => m.scaling.decisions()).sort((a, b) => a.atMs - b.atMs),
    setBacklog(key, backlog) {
      const service = running.get(key)
      if (service !== undefined) service.backlog = backlog
    },
    poke(key) {
      running.get(key)?.serving.scaling.poke()
      changed()
    },
    onRoom(key, f) {
      running.get(key)?.listeners.push(f)
    },
    override(key, desired, leaseMs, reason) {
      const service = running.get(key)
      service?.serving.scaling.override(desired, leaseMs, reason)
      return service !== undefined
    },
    watch(f) {
      watchers.add(f)
      return () => watchers.delete(f)
    },
    async close(graceMs) {
      const all = [...running.values()].flatMap((s) => s.members)
      running.clear()
      for (const member of all) member.scaling.close()
      await Promise.all([...all.map((m) => m.revision.close(graceMs)), ...retired])
      parts.pods.close()
    },
  }
}

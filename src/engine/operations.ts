import type { Backlog, ParkedEntry, ParkedStore } from '../contract/feed.ts'
import type { Key } from '../contract/ids.ts'
import type { ResourceView } from '../contract/plan.ts'
import type { CloudEvent } from '../event/event.ts'
import { compileFilter } from '../filter/compile.ts'
import type { Degraded, Operations, ParkedView, ResourceStatus } from '../observe/operations.ts'
import type { Readings } from '../observe/instrument.ts'
import type { Snapshot } from '../observe/snapshot.ts'
import type { Clock } from '../runtime/clock.ts'
import { Fault } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import type { Services } from '../services/services.ts'
import type { DeliveryMachine } from '../subscription/machine.ts'
import type { Custody } from '../store/custody.ts'
import { conditionsOf, type Trouble } from './conditions.ts'
import type { Engine } from './engine.ts'
import type { Hand } from './hand.ts'
import type { Paused } from './paused.ts'
import type { Replays } from './replays.ts'
import { isKind } from './kinds.ts'

export interface OperationsParts {
  readonly engine: Engine
  readonly machine: DeliveryMachine
  readonly services: Services
  readonly custody: Custody
  readonly readings: () => Readings
  readonly snapshot: () => Snapshot
  readonly ready: () => boolean
  readonly dataUrl: () => string
  readonly reload: () => Promise<{ readonly generation: number; readonly faults: readonly string[] }>
  /** Sends one parked event again, to the subscription it came from or somewhere else; resolves with success. */
  readonly redeliver: (key: Key, event: CloudEvent, to: string) => Promise<boolean>
  readonly replays: Replays
  readonly paused: Paused
  readonly hand: Hand
  readonly clock: Clock
  readonly log: Log
}

export function createOperations(parts: OperationsParts): Operations {
  const { engine } = parts
  const stores = (): ParkedStore[] => [
    ...new Set([...engine.streams.values(), ...engine.sources.values()].map((s) => s.feed.parked).concat(parts.custody.parked)),
  ]
  const storeOf = (key: Key): ParkedStore => {
    const store = engine.subscriptions.get(key)?.feed.parked ?? stores().find((s) => s.keys().includes(key))
    if (store === undefined) throw new Fault('admin.refused', `nothing was ever parked for ${key}`)
    return store
  }
  const views = (): readonly ResourceView[] => engine.plan()?.resources ?? []
  return {
    ready: () => ({ ready: parts.ready(), degraded: degradedOf(parts) }),
    readings: parts.readings,
    snapshot: parts.snapshot,
    plan: () => engine.plan(),
    resources: (kind) =>
      views()
        .filter((v) => kind === '' || isKind(v, kind))
        .map((v) => statusOf(parts, v)),
    resource(kind, namespace, name) {
      const view = views().find((v) => isKind(v, kind) && v.namespace === namespace && v.name === name)
      return view === undefined ? undefined : statusOf(parts, view)
    },
    decisions: (service) => parts.services.decisions(service),
    service: (service) =>
      parts.services.plan(service) === undefined ? undefined : { key: service, revisions: parts.services.revisions(service) },
    scale(service, desired, leaseMs, reason) {
      if (!parts.services.override(service, desired, leaseMs, reason))
        throw new Fault('admin.not-found', `there is no ${service} in the plan`)
    },
    parkedKeys: () =>
      // Two stores may hold events of one subscription: who reads of it shows both.
      [...new Set(stores().flatMap((store) => store.keys()))]
        .map((key) => ({ key, ...storeOf(key).counts(key), known: engine.subscriptions.has(key) }))
        .filter((s) => s.events > 0),
    parkedList: (key, after, most) => storeOf(key).list(key, after, most).map(parkedView),
    parkedGet(key, id) {
      const entry = storeOf(key).get(key, id)
      return entry === undefined ? undefined : parkedView(entry)
    },
    parkedReplay: (key, how) => replayParked(parts, storeOf(key), key, how),
    async parkedPurge(key, ids) {
      const store = storeOf(key)
      if (ids !== 'all') return store.remove(key, ids)
      let purged = 0
      for (;;) {
        const entries = store.list(key, '', 1_000)
        if (entries.length === 0) return purged
        purged += await store.remove(
          key,
          entries.map((e) => e.id),
        )
      }
    },
    pause: (key) => parts.hand.pause(key),
    resume: (key) => parts.hand.resume(key),
    replay: (key, from, rewind) => parts.hand.replay(key, from, rewind),
    skip: (key) => parts.hand.skip(key),
    purge(key) {
      if (engine.subscriptions.has(key))
        throw new Fault('admin.refused', `${key} is in the manifests; remove it there first, then purge what it left`)
      parts.replays.forget(key)
      parts.paused.remove([key])
      if (!engine.forget(key)) throw new Fault('admin.refused', `nothing is left of ${key}`)
      return Promise.resolve()
    },
    reload: parts.reload,
  }
}

/** What keeps a resource from being Ready: refs that are missing, parts that are degraded. */
function troublesOf(parts: OperationsParts, view: ResourceView): Trouble[] {
  const troubles: Trouble[] = [...view.unresolved]
  for (const item of view.items) {
    const source = parts.engine.sourceStatus(item)
    if (source?.phase === 'degraded')
      troubles.push({ condition: 'ConnectionEstablished', reason: source.reason, message: source.message })
    const stream = parts.engine.streams.get(item)?.stream.stats()
    if (stream !== undefined && stream.refusing !== '')
      troubles.push({ condition: 'IngressReady', reason: 'Refusing', message: stream.refusing })
    for (const revision of parts.services.revisions(item)) {
      if (revision.trouble !== '')
        troubles.push({ condition: 'ConfigurationsReady', reason: 'RevisionFailed', message: revision.trouble })
    }
    const subscription = parts.engine.subscriptions.get(item)
    const state = subscription === undefined ? undefined : parts.machine.state(subscription.id)
    if (state !== undefined && state.held !== '')
      troubles.push({ condition: 'SubscriptionReady', reason: 'Held', message: state.held })
  }
  return troubles
}

function degradedOf(parts: OperationsParts): Degraded[] {
  return (parts.engine.plan()?.resources ?? []).flatMap((view) =>
    troublesOf(parts, view).map((t) => ({ resource: view.key, reason: t.reason, message: t.message })),
  )
}

function statusOf(parts: OperationsParts, view: ResourceView): ResourceStatus {
  const address = view.address.replaceAll('{data}', parts.dataUrl())
  const sinks = Object.fromEntries(
    Object.entries(view.sinks).map(([role, uri]) => [`${role}Uri`, uri.replaceAll('{data}', parts.dataUrl())]),
  )
  return {
    apiVersion: view.apiVersion,
    kind: view.kind,
    metadata: { namespace: view.namespace, name: view.name, uid: view.uid, annotations: view.annotations },
    spec: view.spec,
    status: {
      conditions: conditionsOf(view, troublesOf(parts, view)),
      observedGeneration: parts.engine.plan()?.generation ?? 0,
      ...(address === '' ? {} : { address: { url: address } }),
      ...sinks,
    },
    sluice: numbersOf(parts, view),
  }
}

function numbersOf(parts: OperationsParts, view: ResourceView): Record<string, unknown> {
  const numbers: Record<string, unknown> = {}
  for (const item of view.items) {
    const subscription = parts.engine.subscriptions.get(item)
    if (subscription !== undefined) {
      numbers['backlog'] = added(numbers['backlog'] as Backlog | undefined, subscription.feed.backlog(subscription.id))
      const held = parts.hand.pausedWith(item)
      if (held !== undefined) numbers['paused'] = { ...(numbers['paused'] as object | undefined), [item]: held.events }
      numbers['counters'] = parts.machine.state(subscription.id)
      const replays = parts.replays.of(item)
      if (replays.length > 0) numbers['replays'] = replays
      const target = subscription.plan.target === null ? undefined : parts.engine.targets.get(subscription.plan.target)
      if (target !== undefined) numbers['gate'] = target.state()
    }
    const stream = parts.engine.streams.get(item)
    if (stream !== undefined) numbers['stream'] = stream.stream.stats()
    const revisions = parts.services.revisions(item)
    if (revisions.length > 0) numbers['revisions'] = revisions
  }
  return numbers
}

/** A flow has a subscription a step. */
function added(sum: Backlog | undefined, more: Backlog): Backlog {
  if (sum === undefined) return more
  const oldest = [sum.oldestMs, more.oldestMs].filter((ms) => ms > 0)
  return {
    events: sum.events + more.events,
    exact: sum.exact && more.exact,
    oldestMs: oldest.length === 0 ? 0 : Math.min(...oldest),
  }
}

function parkedView(entry: ParkedEntry): ParkedView {
  const { event, undecodable, state } = entry
  return {
    id: entry.id,
    parkedAt: new Date(entry.parkedMs).toISOString(),
    reason: state.reason,
    event: event === null ? null : eventView(event),
    ...(undecodable === null
      ? {}
      : { raw: { base64: Buffer.from(undecodable.raw).toString('base64'), headers: undecodable.headers, why: undecodable.why } }),
    attempts: state.story.map((a) => ({
      attempt: a.attempt,
      at: new Date(a.atMs).toISOString(),
      tookMs: a.tookMs,
      to: a.to,
      status: a.status,
      error: a.error,
    })),
  }
}

function eventView(event: CloudEvent): Record<string, unknown> {
  const { specversion, id, source, type, subject, time, datacontenttype, dataschema } = event
  const text = event.data === null ? undefined : Buffer.from(event.data).toString('utf8')
  return {
    specversion,
    id,
    source,
    type,
    subject,
    time,
    datacontenttype,
    dataschema,
    ...Object.fromEntries(event.extensions),
    data: text,
  }
}

const PAGE = 500

async function replayParked(
  parts: OperationsParts,
  store: ParkedStore,
  key: Key,
  how: Parameters<Operations['parkedReplay']>[1],
): Promise<{ matched: number; replayed: number; failed: number }> {
  const filter = how.where === '' ? null : compileFilter({ dialect: 'cesql', expression: how.where })
  const result = { matched: 0, replayed: 0, failed: 0 }
  const wanted = new Set(how.ids)
  let after = ''
  for (;;) {
    const entries = store.list(key, after, PAGE)
    if (entries.length === 0) return result
    for (const entry of entries) {
      after = entry.id
      if (entry.event === null || (wanted.size > 0 && !wanted.has(entry.id))) continue
      if (filter !== null && !filter.matches(entry.event, () => {})) continue
      result.matched++
      if (how.dryRun) continue
      // An entry goes only when it has been settled again.
      if (await parts.redeliver(key, entry.event, how.to)) {
        await store.remove(key, [entry.id])
        result.replayed++
      } else result.failed++
      if (how.ratePerS > 0) await new Promise<void>((resolve) => parts.clock.after(1_000 / how.ratePerS, resolve))
    }
  }
}

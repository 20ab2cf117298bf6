import type { Key } from '../contract/ids.ts'
import type { Plan } from '../contract/plan.ts'
import { type ConfigSource, readConfig } from './config.ts'
import { Draft, type PlanSettings } from './draft.ts'
import { flowCycles } from './cycles.ts'
import { inOrder, type ManifestFault, shown } from './faults.ts'
import { sentence, valueAt } from './issues.ts'
import type { Admitted } from './kind.ts'
import { type ConfigMapSpec, type Immutable, type Immutables, keyOf, type Resource } from './resource.ts'
import { kindOf, KINDS } from './kinds.ts'
import { type Document, isObject } from './load.ts'

export interface Planned {
  /** What the sound resources were lowered to; to be applied only when there are no faults. */
  readonly plan: Plan
  readonly faults: readonly ManifestFault[]
  /** Handed back as `running` with the next manifests. */
  readonly immutables: Immutables
}

interface Sorted {
  readonly document: Document
  readonly object: Readonly<Record<string, unknown>>
  readonly kind: string
}

/**
 * Resources in, plan out: defaults, then validation (all faults at once), then lowering. Pure.
 * A ref to what is not there is no fault: the resource is accepted and its status says what is missing.
 */
export function planFrom(documents: readonly Document[], settings: PlanSettings): Planned {
  const early = new Draft(
    settings,
    readConfig(() => undefined),
  )
  const sorted = withoutChildren(sort(documents, early), early)
  const admitted: Admitted[] = []
  const take = (into: Draft, wanted: (kind: string) => boolean): void => {
    for (const s of sorted) {
      if (!wanted(s.kind)) continue
      const a = admit(s, into)
      if (a !== null && !isTaken(a.resource, into)) {
        into.register(a.resource)
        admitted.push(a)
      }
    }
  }
  take(early, (kind) => kind === 'ConfigMap')
  const draft = new Draft(
    settings,
    readConfig((name) => knativeConfigMap(early, name)),
  )
  for (const a of admitted) draft.register(a.resource)
  for (const kind of KINDS) if (kind.kind !== 'ConfigMap') take(draft, (k) => k === kind.kind)
  for (const a of admitted) a.address(draft)
  for (const a of admitted) a.connect(draft)
  const views = new Map<Key, unknown>(admitted.map((a) => [a.resource.key, a.view]))
  const plan = draft.finish(views)
  refuseCycles(plan, draft)
  const immutables = new Map(admitted.map((a) => [a.resource.key, immutableOf(a, draft)]))
  checkReload(settings.running, admitted, immutables)
  return {
    plan: { ...plan, childUids: early.childUids, notices: [...early.finish(views).notices, ...plan.notices] },
    faults: inOrder([...early.faults, ...draft.faults], [...new Set(documents.map((d) => d.file))]),
    immutables,
  }
}

/** Takes out what is no object of Kubernetes (a fault) and what is not served (a notice a kind). */
function sort(documents: readonly Document[], draft: Draft): Sorted[] {
  const out: Sorted[] = []
  const foreign = new Map<string, { count: number; readonly first: string }>()
  for (const document of documents) {
    const object = document.value
    if (!isObject(object)) {
      draft.fault(document, '', [], sentence('must be an object with apiVersion, kind and metadata', object))
      continue
    }
    const { apiVersion, kind } = object
    if (typeof apiVersion !== 'string') draft.fault(document, '', ['apiVersion'], sentence('must be a string', apiVersion))
    if (typeof kind !== 'string') draft.fault(document, '', ['kind'], sentence('must be a string', kind))
    if (typeof apiVersion !== 'string' || typeof kind !== 'string') continue
    if (kindOf(apiVersion, kind) !== undefined) {
      out.push({ document, object, kind })
      continue
    }
    const served = KINDS.find((k) => k.kind === kind && sameGroup(k.apiVersions, apiVersion))
    if (served !== undefined) {
      draft.fault(document, kind, ['apiVersion'], `is "${apiVersion}", must be one of ${served.apiVersions.join(', ')}`)
      continue
    }
    const name = `${apiVersion} ${kind}`
    const known = foreign.get(name)
    if (known === undefined) foreign.set(name, { count: 1, first: `${document.file}:${document.lineOf([])}` })
    else known.count++
  }
  for (const [name, { count, first }] of foreign) {
    draft.notice(`${first}: ${name} is not served here, ${count === 1 ? 'it is skipped' : `all ${count} of them are skipped`}`)
  }
  return out
}

/**
 * A dump of a cluster also holds what controllers made: the channels of a Sequence, the backing of a Channel, the
 * Subscriptions of Triggers. Their owners make them here as well, so they are left out where the owner is given.
 */
function withoutChildren(sorted: readonly Sorted[], draft: Draft): Sorted[] {
  const given = new Set(sorted.map((s) => keyOf(s.kind, ...nameOf(s.object))))
  let left = 0
  const kept = sorted.filter((s) => {
    const owners = valueAt(s.object, ['metadata', 'ownerReferences'])
    const [namespace] = nameOf(s.object)
    const owned =
      Array.isArray(owners) &&
      owners.some(
        (o) => isObject(o) && o['controller'] === true && given.has(keyOf(String(o['kind']), namespace, String(o['name']))),
      )
    if (owned) {
      left++
      keepUid(s, owners.filter(isObject), draft)
    }
    return !owned
  })
  if (left > 0)
    draft.notice(
      `${left === 1 ? 'one resource belongs' : `${left} resources belong`} to others given here and ${left === 1 ? 'is' : 'are'} left out`,
    )
  return kept
}

/**
 * The consumer groups of Knative's channels are named by the uids of Subscriptions, also of those that its controllers made
 * for a Trigger or a step: kept, so that reading goes on where they stopped.
 */
function keepUid(s: Sorted, owners: readonly Readonly<Record<string, unknown>>[], draft: Draft): void {
  const uid = valueAt(s.object, ['metadata', 'uid'])
  if (s.kind !== 'Subscription' || typeof uid !== 'string') return
  const [namespace, name] = nameOf(s.object)
  const trigger = owners.find((o) => o['controller'] === true && o['kind'] === 'Trigger')
  draft.childUid(
    trigger === undefined ? keyOf(s.kind, namespace, name) : keyOf('Trigger', namespace, String(trigger['name'])),
    uid,
  )
}

function nameOf(object: Readonly<Record<string, unknown>>): [namespace: string, name: string] {
  const namespace = valueAt(object, ['metadata', 'namespace'])
  const name = valueAt(object, ['metadata', 'name'])
  return [typeof namespace === 'string' ? namespace : 'default', typeof name === 'string' ? name : '?']
}

function sameGroup(apiVersions: readonly string[], apiVersion: string): boolean {
  const group = apiVersion.split('/')[0]
  return apiVersion.includes('/') && apiVersions.some((v) => v.split('/')[0] === group)
}

function admit(s: Sorted, draft: Draft): Admitted | null {
  const kind = kindOf(s.object['apiVersion'] as string, s.kind)
  return kind === undefined ? null : kind.admit(s.object, s.document, draft)
}

function isTaken(r: Resource, draft: Draft): boolean {
  const other = draft.resource(r.key)
  if (other === undefined) return false
  r.complain(
    ['metadata', 'name'],
    `${r.kind} ${r.namespace}/${r.name} stands at ${other.place} already; one of them must have another name`,
  )
  return true
}

/** Knative's own namespaces first; `default` for people who wrote none. */
function knativeConfigMap(draft: Draft, name: string): ConfigSource | undefined {
  for (const namespace of ['knative-serving', 'knative-eventing', 'default']) {
    const found = draft.resource(`configmap/${namespace}/${name}`) as Resource<ConfigMapSpec> | undefined
    if (found !== undefined) return { data: found.spec.data, complain: found.complain }
  }
  return undefined
}

function refuseCycles(plan: Plan, draft: Draft): void {
  for (const [first, ...rest] of flowCycles(plan, (stream) => draft.streamOwner(stream))) {
    if (first === undefined) continue
    const round = [first, ...rest, first].map((r) => `${r.kind} ${r.namespace}/${r.name}`).join(' → ')
    const message = `makes a cycle: ${round}; every event would go round for ever, so let one of them end elsewhere`
    first.complain(['spec'], message)
  }
}

/** What its streams stand on comes last and under no path: a ConfigMap far away may have changed it. */
function immutableOf({ resource, immutable }: Admitted, draft: Draft): Immutable {
  const on = draft.standsOn(resource.key)
  return on === undefined ? immutable : [...immutable, [[], on]]
}

/** Fields that stay as they are while a resource lives: changing them under a running one would split its history. */
function checkReload(running: Immutables | undefined, admitted: readonly Admitted[], now: Immutables): void {
  for (const { resource: r } of admitted) {
    const before = running?.get(r.key)
    let sound = true
    for (const [i, [path, value]] of (now.get(r.key) ?? []).entries()) {
      const was = before?.[i]?.[1]
      if (before === undefined || JSON.stringify(was) === JSON.stringify(value)) continue
      const remedy = `take the ${r.kind} away and bring it back, or give the new one another name`
      if (path.length > 0) {
        r.complain(path, `is ${shown(value)}, was ${shown(was)}, and cannot be changed while it runs; ${remedy}`)
        sound = false
      } else if (sound && typeof was === 'string' && typeof value === 'string') {
        r.complain(['spec'], `now stands on ${value}, stood on ${was}, and cannot move while it runs; ${remedy}`)
      }
    }
  }
}

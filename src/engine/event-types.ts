import type { Key } from '../contract/ids.ts'
import type { Plan, ResourceView } from '../contract/plan.ts'
import type { EventTypes } from '../observe/event-types.ts'
import type { EventTypeSpec } from '../resources/event-type.ts'

/** One answer to "what can I subscribe to here". */
export interface EventTypeView {
  /** Where it can be subscribed to; null = the declaration does not say. */
  readonly reference: {
    readonly apiVersion: string
    readonly kind: string
    readonly namespace: string
    readonly name: string
  } | null
  readonly type: string
  /** '' = any. */
  readonly source: string
  readonly schema: string
  readonly description: string
  /** Other attributes its declaration names. */
  readonly attributes: Readonly<Record<string, string>>
  /** By an EventType resource, '' = by none. */
  readonly declared: string
  /** RFC 3339: when the first one came by, '' = none has. */
  readonly found: string
  /** A manifest to copy: what takes these events to a service. */
  readonly example: unknown
}

export interface EventTypeList {
  readonly items: readonly EventTypeView[]
  /** Streams with more types than are listed, and how many were left out. */
  readonly leftOut: Readonly<Record<Key, number>>
}

/** Streams whose types are found on their own: those of resources, where the ConfigMap says so. */
export function watchedStreams(plan: Plan): ReadonlySet<Key> {
  const resources = new Set(plan.resources.map((r) => r.key))
  return new Set(plan.streams.filter((s) => s.settings['eventTypeAutoCreate'] === true && resources.has(s.key)).map((s) => s.key))
}

/** What was declared and what was found, one entry a stream, type and source. */
export function eventTypesOf(plan: Plan | null, registry: EventTypes): EventTypeList {
  const views = new Map<string, EventTypeView>()
  const byKey = new Map((plan?.resources ?? []).map((r) => [r.key, r]))
  for (const r of byKey.values()) {
    if (r.kind !== 'EventType') continue
    const view = declaredView(r, byKey)
    views.set(nameOf(view), view)
  }
  for (const f of registry.found()) {
    const owner = byKey.get(f.stream)
    // What was found in a stream that is gone comes back with it.
    if (owner === undefined) continue
    const reference = refOf(owner)
    const found = new Date(f.firstMs).toISOString()
    const declared = views.get(nameOf({ reference, ...f })) ?? views.get(nameOf({ reference, type: f.type, source: '' }))
    const { type, source } = f
    const view: EventTypeView =
      declared === undefined
        ? {
            reference,
            type,
            source,
            schema: f.schema,
            description: '',
            attributes: {},
            declared: '',
            found,
            example: exampleOf(reference, type, source),
          }
        : { ...declared, found: declared.found === '' || found < declared.found ? found : declared.found }
    views.set(nameOf(view), view)
  }
  const items = [...views.values()].toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
  return { items, leftOut: Object.fromEntries(registry.leftOut()) }
}

function declaredView(r: ResourceView, byKey: ReadonlyMap<Key, ResourceView>): EventTypeView {
  const spec = r.spec as EventTypeSpec
  const values = Object.fromEntries(spec.attributes.map((a) => [a.name, a.value]))
  const { type = '', source = '', dataschema = '', ...attributes } = values
  const said = spec.reference
  const namespace = said === null || said.namespace === '' ? r.namespace : said.namespace
  const owner = said === null ? undefined : byKey.get(`${said.kind}/${namespace}/${said.name}`.toLowerCase())
  const told = said === null ? null : { apiVersion: said.apiVersion, kind: said.kind, namespace, name: said.name }
  const reference = owner === undefined ? told : refOf(owner)
  return {
    reference,
    type,
    source,
    schema: dataschema,
    description: spec.description,
    attributes,
    declared: `${r.namespace}/${r.name}`,
    found: '',
    example: reference === null ? null : exampleOf(reference, type, source),
  }
}

function refOf({ apiVersion, kind, namespace, name }: ResourceView): NonNullable<EventTypeView['reference']> {
  return { apiVersion, kind, namespace, name }
}

function nameOf(v: Pick<EventTypeView, 'reference' | 'type' | 'source'>): string {
  const { kind = '', namespace = '', name = '' } = v.reference ?? {}
  return `${namespace}/${name} ${kind} ${v.type} ${v.source}`
}

function exampleOf(at: NonNullable<EventTypeView['reference']>, type: string, source: string): unknown {
  const name = `on-${type.toLowerCase().replace(/[^a-z0-9]+/g, '-')}`.slice(0, 50).replace(/-+$/, '')
  const metadata = { name, namespace: at.namespace }
  const subscriber = { ref: { apiVersion: 'serving.knative.dev/v1', kind: 'Service', name: 'my-service' } }
  if (at.kind === 'Broker') {
    const attributes = source === '' ? { type } : { type, source }
    return {
      apiVersion: 'eventing.knative.dev/v1',
      kind: 'Trigger',
      metadata,
      spec: { broker: at.name, filter: { attributes }, subscriber },
    }
  }
  const channel = { apiVersion: at.apiVersion, kind: at.kind, name: at.name }
  return { apiVersion: 'messaging.knative.dev/v1', kind: 'Subscription', metadata, spec: { channel, subscriber } }
}

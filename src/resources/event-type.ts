import { z } from 'zod'
import { REF } from './fields.ts'
import { defineKind, version } from './kind.ts'
import { findReferred, type Ref, refOf } from './sinks.ts'

/** What can be subscribed to, and where. */
export interface EventTypeSpec {
  /** null = it does not say. */
  readonly reference: Ref | null
  readonly attributes: readonly { readonly name: string; readonly required: boolean; readonly value: string }[]
  readonly description: string
}

const ATTRIBUTE = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9]*$/, 'must be an attribute name: lower-case letters and digits, beginning with a letter'),
  required: z.boolean().optional(),
  value: z.string().optional(),
})

const current = version(
  {
    spec: z.strictObject({
      reference: REF.optional(),
      attributes: z
        .array(ATTRIBUTE)
        .refine((list) => list.some((a) => a.name === 'type'), 'has no attribute type; every event has one')
        .optional(),
      description: z.string().optional(),
    }),
  },
  ({ spec }): EventTypeSpec => ({
    reference: spec.reference === undefined ? null : refOf(spec.reference),
    attributes: (spec.attributes ?? []).map((a) => ({ name: a.name, required: a.required ?? false, value: a.value ?? '' })),
    description: spec.description ?? '',
  }),
)

const old = version(
  {
    spec: z.strictObject({
      type: z.string().min(1),
      source: z.string().optional(),
      schema: z.string().optional(),
      schemaData: z.string().optional(),
      broker: z.string().optional(),
      reference: REF.optional(),
      description: z.string().optional(),
    }),
  },
  ({ spec }): EventTypeSpec => {
    const ofBroker = spec.broker === undefined || spec.broker === '' ? null : brokerRef(spec.broker)
    const told = { type: spec.type, source: spec.source, dataschema: spec.schema }
    return {
      reference: spec.reference === undefined ? ofBroker : refOf(spec.reference),
      attributes: Object.entries(told)
        .filter((e): e is [string, string] => e[1] !== undefined && e[1] !== '')
        .map(([name, value]) => ({ name, required: name !== 'dataschema', value })),
      description: spec.description ?? '',
    }
  },
)

function brokerRef(name: string): Ref {
  return { apiVersion: 'eventing.knative.dev/v1', kind: 'Broker', name, namespace: '' }
}

/** EventType: a declaration alone; nothing of the plan is made from it. */
export const eventType = defineKind<EventTypeSpec>({
  kind: 'EventType',
  plural: 'eventtypes',
  versions: {
    'eventing.knative.dev/v1beta3': current,
    'eventing.knative.dev/v1beta2': old,
    'eventing.knative.dev/v1beta1': old,
    'eventing.knative.dev/v1alpha1': old,
  },
  connect(r, draft) {
    const ref = r.spec.reference
    if (ref === null) return
    const namespace = ref.namespace === '' ? r.namespace : ref.namespace
    if (findReferred(draft, ref.kind, namespace, ref.name) !== undefined) return
    draft.unresolved(
      r.key,
      'ReferenceExists',
      'ReferenceDoesNotExist',
      `spec.reference: there is no ${ref.kind} ${namespace}/${ref.name}`,
    )
  },
})

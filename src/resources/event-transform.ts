import { z } from 'zod'
import type { Key } from '../contract/ids.ts'
import { checkJsonata } from '../filter/jsonata.ts'
import { messageOf } from '../runtime/errors.ts'
import { ALWAYS, SINK } from './fields.ts'
import { defineKind, version } from './kind.ts'
import { lowerSink, type Sink, sinkOf } from './sinks.ts'

export interface EventTransformSpec {
  readonly expression: string
  /** null = the result is the answer. */
  readonly sink: Sink | null
  readonly reply: { readonly discard: boolean; readonly expression: string | null }
}

const expression = z
  .string()
  .min(1)
  .superRefine((text, refine) => {
    try {
      checkJsonata(text)
    } catch (e) {
      refine.addIssue({ code: 'custom', message: `must be a JSONata expression: ${messageOf(e)}`, input: text })
    }
  })
const JSONATA = z.strictObject({ expression })

const current = version(
  {
    spec: z
      .strictObject({
        sink: SINK.nullish(),
        jsonata: JSONATA,
        reply: z
          .strictObject({ discard: z.boolean().nullish(), jsonata: JSONATA.nullish() })
          .refine((r) => r.discard !== true || (r.jsonata ?? null) === null, 'must not both discard and transform')
          .nullish(),
      })
      .superRefine((spec, refine) => {
        if ((spec.reply ?? null) === null || (spec.sink ?? null) !== null) return
        refine.addIssue({
          code: 'custom',
          path: ['reply'],
          message: 'needs a sink: without one nobody replies',
          input: spec.reply,
        })
      }, ALWAYS),
  },
  ({ spec }): EventTransformSpec => ({
    expression: spec.jsonata.expression,
    sink: sinkOf(spec.sink ?? undefined),
    reply: { discard: spec.reply?.discard ?? false, expression: spec.reply?.jsonata?.expression ?? null },
  }),
)

/** EventTransform: a function of the gateway itself. The event as structured JSON goes in, the event to go on comes out. */
export const eventTransform = defineKind<EventTransformSpec>({
  kind: 'EventTransform',
  plural: 'eventtransforms',
  versions: { 'eventing.knative.dev/v1alpha1': current },
  address(r, draft) {
    const to = { kind: 'target', target: functionKey(r.key), owner: r.key } as const
    const host = `${r.name}-jsonata.${r.namespace}.svc.cluster.local`
    draft.route({ host, path: '', to })
    const short = draft.route({ host: '', path: `/${r.namespace}/${r.name}`, to })
    draft.route({ host: '', path: `/${r.namespace}/${r.plural}/${r.name}`, to })
    const path = short ? `/${r.namespace}/${r.name}` : `/${r.namespace}/${r.plural}/${r.name}`
    draft.addressable(r.key, `{data}${path}`, `http://${host}`)
  },
  connect(r, draft) {
    const { sink, reply, expression: text } = r.spec
    const key = functionKey(r.key)
    const to =
      sink === null
        ? null
        : lowerSink(draft, r, sink, { key: `${r.key}#sink`, role: 'sink', namespace: r.namespace, at: 'spec.sink' })
    draft.target(r, {
      kind: 'function',
      key,
      function: 'jsonata',
      settings: {
        expression: text,
        sink: to,
        // Its sink leads nowhere: nothing is transformed until it does.
        resolved: sink === null || to !== null,
        discardReply: reply.discard,
        replyExpression: reply.expression,
        namespace: r.namespace,
      },
    })
  },
})

function functionKey(owner: Key): Key {
  return `${owner}#function`
}

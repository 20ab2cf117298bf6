import { z } from 'zod'
import type { ChannelTemplate } from './channel-template.ts'
import { lowerReply } from './delivery.ts'
import { CHANNEL_TEMPLATE, type DeliverySpec, OLD_SINK, SINK } from './fields.ts'
import { addHop, channelKey, flowChannel, hopKey, OLD_STEP, replyInto, STEP } from './flow.ts'
import { defineKind, version } from './kind.ts'
import { type Sink, sinkOf } from './sinks.ts'
import { addPaths, shortestAddress } from './streams.ts'

export interface SequenceSpec {
  readonly steps: readonly { readonly sink: Sink; readonly delivery: DeliverySpec | undefined }[]
  readonly reply: Sink | null
  readonly channelTemplate: ChannelTemplate | undefined
}

const MUST_HAVE_STEPS = 'must have at least one step'

const current = version(
  {
    spec: z.strictObject({
      steps: z.array(STEP).min(1, MUST_HAVE_STEPS),
      reply: SINK.nullish(),
      channelTemplate: CHANNEL_TEMPLATE.nullish(),
    }),
  },
  ({ spec }): SequenceSpec => ({
    steps: spec.steps.map(({ delivery, ...sink }) => ({ sink: sinkOf(sink) as Sink, delivery })),
    reply: sinkOf(spec.reply ?? undefined),
    channelTemplate: spec.channelTemplate ?? undefined,
  }),
)
const old = version(
  {
    spec: z.strictObject({
      steps: z.array(OLD_STEP).min(1, MUST_HAVE_STEPS),
      reply: OLD_SINK.nullish(),
      channelTemplate: CHANNEL_TEMPLATE.nullish(),
    }),
  },
  ({ spec }): SequenceSpec => ({
    steps: spec.steps.map(({ delivery, ...sink }) => ({ sink: sinkOf(sink) as Sink, delivery })),
    reply: sinkOf(spec.reply ?? undefined),
    channelTemplate: spec.channelTemplate ?? undefined,
  }),
)

/** Sequence: one channel a step, each step's reply goes into the next one's; the last answers to `reply`. */
export const sequence = defineKind<SequenceSpec>({
  kind: 'Sequence',
  plural: 'sequences',
  versions: {
    'flows.knative.dev/v1': current,
    'flows.knative.dev/v1beta1': old,
    'flows.knative.dev/v1alpha1': old,
    'messaging.knative.dev/v1alpha1': old,
  },
  immutable: ({ spec }) => [[['spec', 'channelTemplate'], spec.channelTemplate]],
  address(r, draft) {
    const urls = r.spec.steps.map((_step, i) => flowChannel(draft, r, stepName(r.name, i)))
    const first = urls[0] ?? ''
    if (first === '') return
    addPaths(draft, r, channelKey(draft, r, stepName(r.name, 0)))
    draft.addressable(r.key, shortestAddress(draft, r), first)
  },
  connect(r, draft) {
    for (const [i, step] of r.spec.steps.entries()) {
      const name = stepName(r.name, i)
      const last = i === r.spec.steps.length - 1
      addHop(draft, r, {
        name,
        from: channelKey(draft, r, name),
        to: step.sink,
        role: 'subscriber',
        at: `spec.steps[${i}]`,
        delivery: step.delivery,
        start: 'earliest',
        reply: last
          ? lowerReply(draft, r, hopKey(r, name), r.spec.reply, 'spec.reply')
          : replyInto(draft, r, name, channelKey(draft, r, stepName(r.name, i + 1))),
      })
    }
  },
})

function stepName(name: string, step: number): string {
  return `${name}-kn-sequence-${step}`
}

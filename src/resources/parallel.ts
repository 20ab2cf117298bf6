import { z } from 'zod'
import type { ChannelTemplate } from './channel-template.ts'
import { lowerReply, NO_REPLY } from './delivery.ts'
import { CHANNEL_TEMPLATE, DELIVERY, type DeliverySpec, OLD_DELIVERY, OLD_SINK, SINK } from './fields.ts'
import { addHop, channelKey, flowChannel, hopKey, replyInto } from './flow.ts'
import { defineKind, version } from './kind.ts'
import { type Sink, sinkOf } from './sinks.ts'
import { addPaths, shortestAddress } from './streams.ts'

export interface ParallelSpec {
  readonly branches: readonly Branch[]
  /** For branches without one of their own. */
  readonly reply: Sink | null
  readonly channelTemplate: ChannelTemplate | undefined
}
interface Branch {
  /** null = every event. */
  readonly filter: Sink | null
  readonly subscriber: Sink
  readonly reply: Sink | null
  readonly delivery: DeliverySpec | undefined
}

const MUST_HAVE_BRANCHES = 'must have at least one branch'

const current = version(
  {
    spec: z.strictObject({
      branches: z
        .array(z.strictObject({ filter: SINK.nullish(), subscriber: SINK, reply: SINK.nullish(), delivery: DELIVERY.optional() }))
        .min(1, MUST_HAVE_BRANCHES),
      reply: SINK.nullish(),
      channelTemplate: CHANNEL_TEMPLATE.nullish(),
    }),
  },
  ({ spec }): ParallelSpec => ({
    branches: spec.branches.map(branchOf),
    reply: sinkOf(spec.reply ?? undefined),
    channelTemplate: spec.channelTemplate ?? undefined,
  }),
)
const old = version(
  {
    spec: z.strictObject({
      branches: z
        .array(
          z.strictObject({
            filter: OLD_SINK.nullish(),
            subscriber: OLD_SINK,
            reply: OLD_SINK.nullish(),
            delivery: OLD_DELIVERY.optional(),
          }),
        )
        .min(1, MUST_HAVE_BRANCHES),
      reply: OLD_SINK.nullish(),
      channelTemplate: CHANNEL_TEMPLATE.nullish(),
    }),
  },
  ({ spec }): ParallelSpec => ({
    branches: spec.branches.map(branchOf),
    reply: sinkOf(spec.reply ?? undefined),
    channelTemplate: spec.channelTemplate ?? undefined,
  }),
)

/**
 * Parallel: every event goes to each branch's filter, which passes it on by replying with it into the branch's channel;
 * from there to the branch's subscriber, whose answer goes to the branch's reply or the common one.
 */
export const parallel = defineKind<ParallelSpec>({
  kind: 'Parallel',
  plural: 'parallels',
  versions: {
    'flows.knative.dev/v1': current,
    'flows.knative.dev/v1beta1': old,
    'flows.knative.dev/v1alpha1': old,
    'messaging.knative.dev/v1alpha1': old,
  },
  immutable: ({ spec }) => [[['spec', 'channelTemplate'], spec.channelTemplate]],
  address(r, draft) {
    const ingress = flowChannel(draft, r, ingressName(r.name))
    for (const i of r.spec.branches.keys()) flowChannel(draft, r, branchName(r.name, i))
    if (ingress === '') return
    addPaths(draft, r, channelKey(draft, r, ingressName(r.name)))
    draft.addressable(r.key, shortestAddress(draft, r), ingress)
  },
  connect(r, draft) {
    for (const [i, branch] of r.spec.branches.entries()) {
      const name = branchName(r.name, i)
      const stream = channelKey(draft, r, name)
      const filterName = `${r.name}-kn-parallel-filter-${i}`
      addHop(draft, r, {
        name: filterName,
        from: channelKey(draft, r, ingressName(r.name)),
        to: branch.filter ?? { stream },
        role: branch.filter === null ? 'subscriber' : 'filter',
        at: `spec.branches[${i}].filter`,
        start: 'latest',
        delivery: branch.delivery,
        reply: branch.filter === null ? NO_REPLY : replyInto(draft, r, filterName, stream),
      })
      const replyAt = branch.reply === null ? 'spec.reply' : `spec.branches[${i}].reply`
      addHop(draft, r, {
        name,
        from: stream,
        to: branch.subscriber,
        role: 'subscriber',
        at: `spec.branches[${i}].subscriber`,
        start: 'earliest',
        delivery: branch.delivery,
        reply: lowerReply(draft, r, hopKey(r, name), branch.reply ?? r.spec.reply, replyAt),
      })
    }
  },
})

interface WrittenBranch {
  readonly filter?: z.infer<typeof OLD_SINK> | null | undefined
  readonly subscriber: z.infer<typeof OLD_SINK>
  readonly reply?: z.infer<typeof OLD_SINK> | null | undefined
  readonly delivery?: DeliverySpec | undefined
}

function branchOf(b: WrittenBranch): Branch {
  return {
    filter: sinkOf(b.filter ?? undefined),
    subscriber: sinkOf(b.subscriber) as Sink,
    reply: sinkOf(b.reply ?? undefined),
    delivery: b.delivery,
  }
}

function ingressName(name: string): string {
  return `${name}-kn-parallel`
}

function branchName(name: string, branch: number): string {
  return `${name}-kn-parallel-${branch}`
}

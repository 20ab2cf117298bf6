import type { Key } from '../contract/ids.ts'
import type { StreamPlan } from '../contract/plan.ts'
import { annotation, type Annotations } from './annotations.ts'
import type { Draft, Standing } from './draft.ts'
import type { Resource } from './resource.ts'

const RETENTION_MS = 24 * 3_600_000
const MAX_BYTES = 2 ** 30
const MAX_EVENT_BYTES = 2 ** 20

/** A stream of ours with what its annotations say. DESIGN §6 */
export function streamPlan(key: Key, annotations: Annotations, draft: Draft): StreamPlan {
  const autoCreate = /^enabled$/i.test(draft.config.features['eventtype-auto-create'] ?? '')
  return {
    key,
    system: annotation(annotations, 'sluice.dev/stream') ?? 'embedded',
    retentionMs: annotation(annotations, 'sluice.dev/retention') ?? RETENTION_MS,
    maxBytes: annotation(annotations, 'sluice.dev/max-bytes') ?? MAX_BYTES,
    maxUnsettledBytes: annotation(annotations, 'sluice.dev/max-unsettled') ?? 0,
    dedupWindowMs: annotation(annotations, 'sluice.dev/dedup-window') ?? 0,
    maxEventBytes: annotation(annotations, 'sluice.dev/max-event-bytes') ?? MAX_EVENT_BYTES,
    settings: autoCreate ? { eventTypeAutoCreate: true } : {},
  }
}

const KEEPING = ['sluice.dev/stream', 'sluice.dev/retention', 'sluice.dev/max-bytes', 'sluice.dev/max-unsettled'] as const

/** Says what a stream stands on, before it is made. What its annotations ask of a system that does not have it is a fault. */
export function stand(draft: Draft, owner: Resource, stream: Key, on: Standing): void {
  draft.stand(owner, stream, on)
  for (const name of on.can.keeps ? [] : KEEPING) {
    if (owner.annotations[name] === undefined) continue
    const message = `is not for a stream on ${on.name}, where its system says how much is kept; take it away`
    owner.complain(['metadata', 'annotations', name], message)
  }
}

/**
 * A channel of the name, made by a Channel itself or by a flow: its stream and its host, '' = another has one of the two.
 * The host is the cluster's name for it; refs lead there.
 */
export function addChannel(draft: Draft, owner: Resource, plan: StreamPlan, name: string): string {
  if (!draft.stream(owner, plan)) return ''
  const host = `${name}-kn-channel.${owner.namespace}.svc.cluster.local`
  draft.route({ host, path: '', to: { kind: 'stream', stream: plan.key, owner: owner.key } })
  return `http://${host}`
}

/** `/ns/name` where no kind before it took that, and `/ns/plural/name` always. */
export function addPaths(draft: Draft, owner: Resource, stream: Key): void {
  const to = { kind: 'stream', stream, owner: owner.key } as const
  draft.route({ host: '', path: `/${owner.namespace}/${owner.name}`, to })
  draft.route({ host: '', path: `/${owner.namespace}/${owner.plural}/${owner.name}`, to })
}

/** The data port's URL for it: the short path where it is its own, else the long one. */
export function shortestAddress(draft: Draft, owner: Resource): string {
  const short = `/${owner.namespace}/${owner.name}`
  const to = draft.routes.find('', short)?.to
  const own = to?.kind === 'stream' && to.owner === owner.key
  return `{data}${own ? short : `/${owner.namespace}/${owner.plural}/${owner.name}`}`
}

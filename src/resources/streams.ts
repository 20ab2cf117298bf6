import type { Key } from '../contract/ids.ts'
import type { StreamPlan } from '../contract/plan.ts'
import { annotation, type Annotations } from './annotations.ts'
import type { Draft } from './draft.ts'
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

/**
 * A channel of the name, made by a Channel itself or by a flow: its stream and its host.
 * The host is the cluster's name for it; refs lead there.
 */
export function addChannel(draft: Draft, owner: Resource, key: Key, name: string): string {
  if (!draft.stream(owner, streamPlan(key, owner.annotations, draft))) return ''
  const host = `${name}-kn-channel.${owner.namespace}.svc.cluster.local`
  draft.route({ host, path: '', to: { kind: 'stream', stream: key, owner: owner.key } })
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

/** A template may name any kind of channel; here they are all the one embedded stream. */
export function noteTemplate(owner: Resource, template: { readonly kind: string } | undefined, draft: Draft): void {
  if (template === undefined || template.kind === 'InMemoryChannel' || template.kind === 'Channel') return
  const what = `a ${template.kind} is not served, its events stand in the embedded stream`
  draft.notice(`${owner.place}: ${owner.kind} ${owner.namespace}/${owner.name}: ${what}`)
}

import type { ChannelSpec } from './channel-template.ts'
import type { Draft } from './draft.ts'
import { defineKind, type Kind, type KindSpec } from './kind.ts'
import { keyOf, type Resource } from './resource.ts'
import type { StreamClass } from './stream-class.ts'
import { standingOf } from './stream-classes.ts'
import { addChannel, addPaths, shortestAddress, stand } from './streams.ts'
import { channelWanted } from './templates.ts'

/** The kind of a class's own channels: its spec is what the class's `plan` reads. */
export function defineChannelKind<Spec extends ChannelSpec>(
  of: StreamClass,
  k: Pick<KindSpec<Spec>, 'plural' | 'versions' | 'immutable'>,
): Kind {
  return defineKind<Spec>({
    kind: of.channelKind,
    ...k,
    address(r, draft) {
      if (isBacking(r, draft)) return
      stand(draft, r, r.key, standingOf(of))
      const wish = { key: r.key, role: 'channel', name: r.name, spec: r.spec, config: null } as const
      const plan = of.plan(r, draft, { ...wish, complain: (path, message) => r.complain(['spec', ...path], message) })
      const clusterUrl = plan === null ? '' : addChannel(draft, r, plan, r.name)
      if (clusterUrl === '') return
      addPaths(draft, r, r.key)
      draft.addressable(r.key, shortestAddress(draft, r), clusterUrl)
    },
  })
}

/**
 * Where a Channel of its name stands beside it, as in every dump of a cluster, it is that Channel's backing and no stream
 * of its own; a Channel with another kind of backing would take its place, which is a fault.
 */
export function isBacking(r: Resource<ChannelSpec>, draft: Draft): boolean {
  const front = draft.resource(keyOf('Channel', r.namespace, r.name)) as Resource<ChannelSpec> | undefined
  if (front === undefined) return false
  const { kind } = channelWanted(draft, front, front.spec.channelTemplate)
  if (kind === r.kind) {
    draft.addressable(r.key, '', draft.clusterUrl(front.key))
    draft.notice(`${r.place}: ${r.kind} ${r.namespace}/${r.name} is the Channel of that name and has no stream of its own`)
  } else {
    const why = `stands beside the Channel ${r.namespace}/${r.name}, whose kind is ${kind}`
    r.complain(['metadata', 'name'], `${why}; leave one of the two out, or write kind: ${r.kind} into its spec.channelTemplate`)
  }
  return true
}

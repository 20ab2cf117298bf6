import type { Key } from '../contract/ids.ts'
import type { Plan } from '../contract/plan.ts'
import type { Resource } from './resource.ts'

/**
 * Flows that feed one another in a circle, each named once, by the flows on it in their order. An event in there would
 * go round until the loop guard stops it, so it is a fault. Streams of brokers and channels are no part of it: there a
 * filter or a subscriber may end the circle.
 */
export function flowCycles(
  plan: Pick<Plan, 'subscriptions' | 'targets'>,
  ownerOf: (stream: Key) => Resource | undefined,
): Resource[][] {
  const streamOf = new Map(plan.targets.flatMap((t) => (t.kind === 'stream' ? [[t.key, t.stream] as const] : [])))
  const isFlow = (stream: Key): boolean => /^(Sequence|Parallel)$/.test(ownerOf(stream)?.kind ?? '')
  const next = new Map<Key, Key[]>()
  for (const s of plan.subscriptions) {
    if (!('stream' in s.from) || !isFlow(s.from.stream)) continue
    const to = [s.target, s.reply].flatMap((key) => (key === null ? [] : (streamOf.get(key) ?? [])))
    next.set(s.from.stream, [...(next.get(s.from.stream) ?? []), ...to.filter(isFlow)])
  }
  const cycles = new Map<string, Resource[]>()
  const done = new Set<Key>()
  // Depth first without recursion: a chain of flows may be as long as somebody likes.
  for (const start of [...next.keys()].sort()) {
    const path: { readonly stream: Key; at: number }[] = [{ stream: start, at: 0 }]
    while (path.length > 0 && !done.has(start)) {
      const top = path[path.length - 1] as { readonly stream: Key; at: number }
      const to = next.get(top.stream)?.[top.at++]
      if (to === undefined) {
        done.add(top.stream)
        path.pop()
        continue
      }
      const seen = path.findIndex((p) => p.stream === to)
      if (seen >= 0) remember(path.slice(seen).map((p) => ownerOf(p.stream) as Resource))
      else if (!done.has(to)) path.push({ stream: to, at: 0 })
    }
  }
  return [...cycles.values()]

  function remember(owners: readonly Resource[]): void {
    const once = [...new Set(owners)]
    const name = once
      .map((r) => r.key)
      .sort()
      .join(' ')
    if (!cycles.has(name)) cycles.set(name, once)
  }
}

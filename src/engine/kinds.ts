import type { ResourceView } from '../contract/plan.ts'

/** Whether a resource is of a kind as people write it: `trigger`, `Triggers`, `ksvc`, `kafkasources`. */
export function isKind(view: Pick<ResourceView, 'kind'>, kind: string): boolean {
  const wanted = kind.toLowerCase()
  const own = view.kind.toLowerCase()
  return (
    wanted === own ||
    wanted === `${own}s` ||
    (wanted === 'ksvc' && own === 'service') ||
    (wanted === 'imc' && own === 'inmemorychannel')
  )
}

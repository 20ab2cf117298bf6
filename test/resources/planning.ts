import type { PlanSettings } from '../../src/resources/draft.ts'
import { faultText } from '../../src/resources/faults.ts'
import { parseText } from '../../src/resources/load.ts'
import { planFrom, type Planned } from '../../src/resources/plan.ts'
import type { Plan } from '../../src/contract/plan.ts'

export const SETTINGS: PlanSettings = {
  domain: '',
  images: [{ image: '*', command: ['serve'], env: {}, workingDir: '' }],
  self: ['127.0.0.1:8080'],
  processes: true,
  generation: 1,
}

export interface Read extends Planned {
  /** As `sluice validate` prints them. */
  readonly texts: readonly string[]
}

/** Manifests as text, as if they stood in `m.yaml`. */
export function read(yaml: string, settings: Partial<PlanSettings> = {}): Read {
  const loaded = parseText(yaml, 'm.yaml')
  const planned = planFrom(loaded.documents, { ...SETTINGS, ...settings })
  return { ...planned, texts: [...loaded.faults, ...planned.faults].map(faultText) }
}

/** The plan of manifests that must be sound. */
export function planOf(yaml: string, settings: Partial<PlanSettings> = {}): Plan {
  const { plan, texts } = read(yaml, settings)
  if (texts.length > 0) throw new Error(`the manifests have faults:\n${texts.join('\n')}`)
  return plan
}

/** The plan item of a key, which must be there. */
export function item<T extends { readonly key: string }>(items: readonly T[], key: string): T {
  const found = items.find((i) => i.key === key)
  if (found === undefined) throw new Error(`no ${key} among ${items.map((i) => i.key).join(', ')}`)
  return found
}

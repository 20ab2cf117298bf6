import { parse } from 'yaml'
import type { z } from 'zod'
import { messageOf } from '../runtime/errors.ts'
import { type Path, pathText } from './faults.ts'
import { CHANNEL_TEMPLATE, type DeliverySpec } from './fields.ts'
import { faultsOf, mustBe } from './issues.ts'
import type { Complain } from './resource.ts'

export type ChannelTemplate = z.infer<typeof CHANNEL_TEMPLATE>

/** What every kind of channel has. */
export interface ChannelSpec {
  readonly delivery: DeliverySpec | undefined
  readonly channelTemplate?: ChannelTemplate | undefined
}

/** A channel that somebody asks for, and where faults of its template are said, by the path within it. */
export interface ChannelWanted {
  readonly kind: string
  readonly spec: unknown
  readonly complain: Complain
}

/** Text in a ConfigMap has no paths of its own: they are said in the sentence. */
export function complainIn(complain: Complain, at: Path): Complain {
  return (path, message) => complain(at, path.length === 0 ? message : `${pathText(path)} ${message}`)
}

/** A template that stands in a text or in a part of one, null and faults where it is none. */
export function readTemplate(value: unknown, at: Path, complain: Complain): ChannelWanted | null {
  let read = value
  if (typeof value === 'string') {
    try {
      read = parse(value) as unknown
    } catch (e) {
      complain(at, `is no YAML: ${messageOf(e).split('\n')[0]}`)
      return null
    }
  }
  const parsed = CHANNEL_TEMPLATE.safeParse(read, { error: mustBe })
  if (!parsed.success) {
    for (const f of faultsOf(parsed.error.issues, read, CHANNEL_TEMPLATE, false)) complain([...at, ...f.path], f.message)
    return null
  }
  const inSpec: Complain = (path, message) => complain([...at, ...path], message)
  return { kind: parsed.data.kind, spec: parsed.data.spec, complain: inSpec }
}

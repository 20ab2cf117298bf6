import type { z } from 'zod'
import type { Key } from '../contract/ids.ts'
import type { StreamPlan } from '../contract/plan.ts'
import type { Abilities, Draft } from './draft.ts'
import { faultsOf, mustBe } from './issues.ts'
import type { Complain, Resource } from './resource.ts'

/** What a resource wants a stream for, in words every message system understands. */
export interface StreamWish {
  /** The stream's key: the resource's own, or that of a step of a flow. */
  readonly key: Key
  /** A Broker, or a channel of this name (a step of a flow has a name of its own). */
  readonly role: 'broker' | 'channel'
  readonly name: string
  /** Spec of the channel, or of the template that asks for one; checked by the class with `readSpec`. */
  readonly spec: unknown
  /** Says what is wrong with `spec`, by the path within it. */
  readonly complain: Complain
  /** ConfigMap or other resource of `spec.config`, null = the class's default place. */
  readonly config: {
    readonly apiVersion: string
    readonly kind: string
    readonly namespace: string
    readonly name: string
  } | null
}

/** A message system that Brokers and channels stand on: its names and its defaults, and nothing else. */
export interface StreamClass {
  /** Value of `eventing.knative.dev/broker.class`; several spellings, the first is its name in messages. */
  readonly brokerClasses: readonly string[]
  /** Kind of its channels, as in a channel template, '' = it has none. */
  readonly channelKind: string
  /** Annotations of a Broker that mean something on this class alone: refused on all others, and not to be changed. */
  readonly brokerAnnotations?: readonly string[]
  /** null = something is missing or wrong, and the resource's status or faults say what. */
  plan(owner: Resource, draft: Draft, wish: StreamWish): StreamPlan | null
  /** What subscriptions of it can have; `validate` refuses the rest by name. */
  readonly can: Abilities & {
    /** `sluice replay`: beside the live one, by setting it back, or not at all. */
    readonly replay: 'beside' | 'rewind' | 'none'
  }
}

/** The spec of a wish as the class understands it; null and faults where it does not. */
export function readSpec<T>(schema: z.ZodType<T>, wish: StreamWish): T | null {
  const spec = wish.spec ?? {}
  const parsed = schema.safeParse(spec, { error: mustBe })
  if (parsed.success) return parsed.data
  for (const f of faultsOf(parsed.error.issues, spec, schema, false)) wish.complain(f.path, f.message)
  return null
}

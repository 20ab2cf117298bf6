import type { Key } from '../contract/ids.ts'
import type { StreamPlan } from '../contract/plan.ts'
import type { Draft } from './draft.ts'
import type { Resource } from './resource.ts'

/** What a resource wants a stream for, in words every message system understands. */
export interface StreamWish {
  /** The stream's key: the resource's own, or that of a step of a flow. */
  readonly key: Key
  /** A Broker, or a channel of this name (a step of a flow has a name of its own). */
  readonly role: 'broker' | 'channel'
  readonly name: string
  /** Spec of the channel, or of the template that asks for one; checked by the class. */
  readonly spec: unknown
  /** ConfigMap or other resource of `spec.config`, null = the class's default place. */
  readonly config: { readonly apiVersion: string; readonly kind: string; readonly namespace: string; readonly name: string } | null
}

/** A message system that Brokers and channels stand on: its names and its defaults, and nothing else. */
export interface StreamClass {
  /** Value of `eventing.knative.dev/broker.class`; several spellings. */
  readonly brokerClasses: readonly string[]
  /** Kind of its channels, as in a channel template, '' = it has none. */
  readonly channelKind: string
  /** null = something is missing or wrong, and the resource's status or faults say what. */
  plan(owner: Resource, draft: Draft, wish: StreamWish): StreamPlan | null
  /** What subscriptions of it can have; `validate` refuses the rest by name. */
  readonly can: {
    readonly order: readonly ('unordered' | 'ordered' | 'key')[]
    /** `sluice.dev/start`: from the first event that is left; from a moment. */
    readonly startEarliest: boolean
    readonly startTime: boolean
    /** `sluice.dev/retention`, `/max-bytes`, `/max-unsettled`: the gateway says how much is kept. */
    readonly keeps: boolean
    /** `sluice replay`: beside the live one, by setting it back, or not at all. */
    readonly replay: 'beside' | 'rewind' | 'none'
  }
}

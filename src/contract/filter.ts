import type { CloudEvent } from '../event/event.ts'
import type { SubId } from './ids.ts'

/** A filter as a tree: what `spec.filter` and `spec.filters` are lowered to. Knative's Trigger filters. */
export type FilterExpression =
  | { readonly dialect: 'exact' | 'prefix' | 'suffix'; readonly attributes: Readonly<Record<string, string>> }
  /** `filter.attributes`: '' = any value but the attribute must be there and not empty. */
  | { readonly dialect: 'attributes'; readonly attributes: Readonly<Record<string, string>> }
  | { readonly dialect: 'all' | 'any'; readonly filters: readonly FilterExpression[] }
  | { readonly dialect: 'not'; readonly filter: FilterExpression }
  | { readonly dialect: 'cesql' | 'cel'; readonly expression: string }

/** Says what one clause of a filter made of an event, for `explain`. */
export interface ClauseResult {
  /** Path within the filter, e.g. `filters[0].not.exact`. */
  readonly clause: string
  readonly matched: boolean
  /** One sentence: what was wanted and what the event has. */
  readonly why: string
}

/** A compiled filter. Never throws; an expression that fails does not match and reports why. */
export interface CompiledFilter {
  matches(event: CloudEvent, failed: (why: string) => void): boolean
  explain(event: CloudEvent): readonly ClauseResult[]
}

/** All filters of one stream: an event is looked at once, however many triggers there are. */
export interface TriggerIndex {
  /** null = everything matches. Throws a Fault for an expression that does not parse. */
  set(sub: SubId, filter: FilterExpression | null): void
  delete(sub: SubId): void
  /** Writes the matching subscriptions into `out` from index 0, returns how many. */
  route(event: CloudEvent, out: SubId[]): number
  matches(sub: SubId, event: CloudEvent): boolean
}

import type { ClauseResult } from '../contract/filter.ts'
import type { CloudEvent } from '../event/event.ts'

/** Told why an expression could not be evaluated; the event then does not match that expression. */
export type Failed = (why: string) => void

/** One fact about one text of an event, cheap to look up for the trigger index. */
export interface Anchor {
  /** The name of the attribute; for a text in the data its path, as one word. */
  readonly attribute: string
  /** Where the text stands in the JSON data, field by field; absent = it is an attribute. */
  readonly path?: readonly string[]
  readonly how: 'is' | 'starts' | 'ends'
  /** Never empty for `starts` and `ends`: that would say nothing. */
  readonly text: string
}

/** At least one of these holds of every event the clause matches; empty = it matches none. */
export type Need = readonly Anchor[]

/** One node of a compiled filter. Never throws. */
export interface Clause {
  matches(event: CloudEvent, failed: Failed): boolean
  /** Each need alone must hold of a match, so that the index may pick the one that excludes most; empty = none known. */
  readonly needs: readonly Need[]
  /** Appends what this clause and those within it made of the event, says whether it matched. */
  explain(event: CloudEvent, path: string, out: ClauseResult[]): boolean
}

/** More alternatives than this cost more to look up than the expression costs to evaluate. */
export const MOST_ALTERNATIVES = 256

/** What must hold of an event that matches all of several clauses: whatever any of them needs. */
export function needsOfAll(parts: readonly (readonly Need[])[]): readonly Need[] {
  return parts.flat()
}

/** What must hold of an event that matches one of several clauses: one need of each, together. */
export function needsOfAny(parts: readonly (readonly Need[])[]): readonly Need[] {
  const together: Anchor[] = []
  for (const needs of parts) {
    let least = needs[0]
    if (least === undefined) return []
    for (const need of needs) if (need.length < least.length) least = need
    together.push(...least)
    if (together.length > MOST_ALTERNATIVES) return []
  }
  return [together]
}

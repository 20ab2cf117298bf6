import type { ClauseResult } from '../contract/filter.ts'
import type { CloudEvent } from '../event/event.ts'
import { type Clause, type Failed, type Need, needsOfAll, needsOfAny } from './clause.ts'

/** A clause among others, with its place in the list it was written in. */
export interface Member {
  readonly at: number
  readonly clause: Clause
}

/** Every member must match. */
export class AllClause implements Clause {
  readonly #members: readonly Member[]
  readonly needs: readonly Need[]

  constructor(members: readonly Member[]) {
    this.#members = members
    this.needs = needsOfAll(members.map((m) => m.clause.needs))
  }

  matches(event: CloudEvent, failed: Failed): boolean {
    const members = this.#members
    for (let i = 0; i < members.length; i++) if (!members[i]!.clause.matches(event, failed)) return false
    return true
  }

  explain(event: CloudEvent, path: string, out: ClauseResult[]): boolean {
    const { matched, place } = explainMembers(event, `${path}all`, this.#members, out)
    const all = matched === this.#members.length
    out[place] = { clause: `${path}all`, matched: all, why: `all of ${this.#members.length} must match; ${matched} did` }
    return all
  }

  /** The same for the list at the top, which is `filters` itself and needs no line of its own. */
  explainTop(event: CloudEvent, out: ClauseResult[]): boolean {
    let all = true
    for (const { at, clause } of this.#members) all = clause.explain(event, `filters[${at}].`, out) && all
    return all
  }
}

/** At least one member must match. */
export class AnyClause implements Clause {
  readonly #members: readonly Member[]
  readonly needs: readonly Need[]

  constructor(members: readonly Member[]) {
    this.#members = members
    this.needs = needsOfAny(members.map((m) => m.clause.needs))
  }

  matches(event: CloudEvent, failed: Failed): boolean {
    const members = this.#members
    for (let i = 0; i < members.length; i++) if (members[i]!.clause.matches(event, failed)) return true
    return false
  }

  explain(event: CloudEvent, path: string, out: ClauseResult[]): boolean {
    const { matched, place } = explainMembers(event, `${path}any`, this.#members, out)
    out[place] = {
      clause: `${path}any`,
      matched: matched > 0,
      why: `one of ${this.#members.length} must match; ${matched} did`,
    }
    return matched > 0
  }
}

/** Matches what the inner clause does not; an inner expression that fails does not match, so this one does. */
export class NotClause implements Clause {
  readonly #inner: Clause
  readonly needs: readonly Need[]

  constructor(inner: Clause) {
    this.#inner = inner
    // What two negations leave over is what the innermost clause needs; of one negation nothing is known.
    this.needs = inner instanceof NotClause ? inner.#inner.needs : []
  }

  matches(event: CloudEvent, failed: Failed): boolean {
    return !this.#inner.matches(event, failed)
  }

  explain(event: CloudEvent, path: string, out: ClauseResult[]): boolean {
    const place = out.length
    out.push({ clause: '', matched: false, why: '' })
    const inner = this.#inner.explain(event, `${path}not.`, out)
    out[place] = { clause: `${path}not`, matched: !inner, why: `the inner clause must not match; it did${inner ? '' : ' not'}` }
    return !inner
  }
}

/** Explains every member, after a place kept for the line about the whole. */
function explainMembers(
  event: CloudEvent,
  path: string,
  members: readonly Member[],
  out: ClauseResult[],
): { matched: number; place: number } {
  const place = out.length
  out.push({ clause: path, matched: false, why: '' })
  let matched = 0
  for (const { at, clause } of members) if (clause.explain(event, `${path}[${at}].`, out)) matched++
  return { matched, place }
}

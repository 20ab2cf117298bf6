import type { ClauseResult, CompiledFilter, FilterExpression } from '../contract/filter.ts'
import type { CloudEvent } from '../event/event.ts'
import { Fault } from '../runtime/errors.ts'
import { compileAttributes } from './attribute-match.ts'
import { compileCel } from './cel.ts'
import { compileCesql } from './cesql.ts'
import type { Clause, Failed, Need } from './clause.ts'
import { AllClause, AnyClause, type Member, NotClause } from './logic.ts'

/** Filters within filters: deeper is a mistake or an attack on the stack. */
export const DEEPEST_FILTER = 100

/** A compiled filter and what the trigger index may look up instead of asking it. */
export interface IndexedFilter extends CompiledFilter {
  readonly needs: readonly Need[]
}

/** Compiles once what is asked of every event. Throws a Fault `filter.syntax` for an expression that does not parse. */
export function compileFilter(expression: FilterExpression): IndexedFilter {
  return new Filter(compile(expression, 1))
}

/** null = the filter says nothing (no entries, an empty expression), as Knative's: it neither matches nor refuses. */
function compile(f: FilterExpression, depth: number): Clause | null {
  if (depth > DEEPEST_FILTER) {
    throw new Fault('filter.syntax', `filters are nested deeper than ${DEEPEST_FILTER}; write fewer levels`)
  }
  switch (f.dialect) {
    case 'exact':
    case 'prefix':
    case 'suffix':
    case 'attributes':
      return compileAttributes(f.dialect, f.attributes)
    case 'all':
    case 'any': {
      const members: Member[] = []
      for (const [at, inner] of f.filters.entries()) {
        const clause = compile(inner, depth + 1)
        if (clause !== null) members.push({ at, clause })
      }
      if (members.length === 0) return null
      return f.dialect === 'all' ? new AllClause(members) : new AnyClause(members)
    }
    case 'not': {
      const inner = compile(f.filter, depth + 1)
      return inner === null ? null : new NotClause(inner)
    }
    case 'cesql':
      return f.expression.trim() === '' ? null : compileCesql(f.expression)
    case 'cel':
      return f.expression.trim() === '' ? null : compileCel(f.expression)
  }
}

class Filter implements IndexedFilter {
  readonly #clause: Clause | null
  readonly needs: readonly Need[]

  constructor(clause: Clause | null) {
    this.#clause = clause
    this.needs = clause === null ? [] : clause.needs
  }

  matches(event: CloudEvent, failed: Failed): boolean {
    return this.#clause === null || this.#clause.matches(event, failed)
  }

  /**
   * One line a clause, in the order they were written. The list at the top is `filters[0]`, `filters[1]`, …, a lone
   * `attributes` is the old `filter.attributes`; every clause is looked at, also those a match would have skipped.
   */
  explain(event: CloudEvent): readonly ClauseResult[] {
    const out: ClauseResult[] = []
    if (this.#clause === null) return [{ clause: 'filters', matched: true, why: 'no filter: every event matches' }]
    if (this.#clause instanceof AllClause) this.#clause.explainTop(event, out)
    else this.#clause.explain(event, '', out)
    return out.map((line) => (line.clause.startsWith('filters[') ? line : { ...line, clause: topPath(line.clause) }))
  }
}

function topPath(clause: string): string {
  return clause.startsWith('attributes') ? `filter.${clause}` : `filters[0].${clause}`
}

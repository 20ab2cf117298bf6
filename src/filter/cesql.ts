import type { ClauseResult } from '../contract/filter.ts'
import type { CloudEvent } from '../event/event.ts'
import { needsOf } from './cesql/needs.ts'
import { parseCesql } from './cesql/parser.ts'
import { type CesqlProgram, compileProgram } from './cesql/program.ts'
import type { Clause, Failed, Need } from './clause.ts'

/** A CESQL expression as a clause. Throws a Fault `filter.syntax` with the column of what does not parse. */
export function compileCesql(expression: string): Clause {
  const tree = parseCesql(expression)
  return new CesqlClause(expression, compileProgram(tree), needsOf(tree))
}

class CesqlClause implements Clause {
  readonly #expression: string
  readonly #program: CesqlProgram
  readonly needs: readonly Need[]

  constructor(expression: string, program: CesqlProgram, needs: readonly Need[]) {
    this.#expression = expression
    this.#program = program
    this.needs = needs
  }

  matches(event: CloudEvent, failed: Failed): boolean {
    const value = this.#program.evaluate(event)
    const failure = this.#program.failure
    if (failure !== null) {
      failed(failure.why)
      return false
    }
    if (typeof value === 'boolean') return value
    failed(`the expression is ${typeof value === 'number' ? 'an Integer' : 'a String'}, not true or false`)
    return false
  }

  explain(event: CloudEvent, path: string, out: ClauseResult[]): boolean {
    let why = ''
    const matched = this.matches(event, (reason) => {
      why = reason
    })
    out.push({
      clause: `${path}cesql`,
      matched,
      why: `${this.#expression} is ${matched}${why === '' ? '' : `: it failed, ${why}`}`,
    })
    return matched
  }
}

import type { ClauseResult } from '../contract/filter.ts'
import { dataAsJson } from '../event/attributes.ts'
import type { CloudEvent } from '../event/event.ts'
import { type CelExpression, CelSyntaxError } from '../vendor/cel/expression.ts'
import { parseCel } from '../vendor/cel/parse.ts'
import { needsOfCel } from './cel/needs.ts'
import { type CelProgram, compileCelProgram } from './cel/program.ts'
import { CelFailure, type CelValue, kindOf } from './cel/values.ts'
import type { Clause, Failed, Need } from './clause.ts'
import { checkLength, syntaxFault } from './syntax.ts'

/** `ce` and `event` are the attributes as a map, `data` is the JSON value of the data. */
const VARIABLES = ['ce', 'event', 'data']
const DATA = VARIABLES.indexOf('data')

/**
 * A CEL expression as a clause. Throws a Fault `filter.syntax` with the column of what does not parse, of a name or
 * function that does not exist, and of a pattern that is none.
 */
export function compileCel(expression: string): Clause {
  checkLength('cel', expression)
  const parsed = parsedCel(expression)
  const program = compileCelProgram(parsed, VARIABLES)
  const [fault] = program.faults
  if (fault !== undefined) throw syntaxFault('cel', expression, fault.at, fault.what)
  return new CelClause(expression, program, needsOfCel(parsed))
}

function parsedCel(expression: string): CelExpression {
  try {
    return parseCel(expression)
  } catch (e) {
    if (e instanceof CelSyntaxError) throw syntaxFault('cel', expression, e.at, e.message)
    throw e
  }
}

class CelClause implements Clause {
  readonly #expression: string
  readonly #program: CelProgram
  readonly needs: readonly Need[]
  #event: CloudEvent | null = null
  /** The data is parsed when an expression first reads it: none that decides by attributes pays for it. */
  readonly #variable = (index: number): CelValue => (index === DATA ? dataOf(this.#event!) : this.#event)

  constructor(expression: string, program: CelProgram, needs: readonly Need[]) {
    this.#expression = expression
    this.#program = program
    this.needs = needs
  }

  matches(event: CloudEvent, failed: Failed): boolean {
    this.#event = event
    const value = this.#program.evaluate(this.#variable, event.data)
    this.#event = null
    if (typeof value === 'boolean') return value
    failed(value instanceof CelFailure ? value.why : `the expression is a ${kindOf(value)}, not true or false`)
    return false
  }

  explain(event: CloudEvent, path: string, out: ClauseResult[]): boolean {
    let why = ''
    const matched = this.matches(event, (reason) => {
      why = reason
    })
    out.push({
      clause: `${path}cel`,
      matched,
      why: `${this.#expression} is ${matched}${why === '' ? '' : `: it failed, ${why}`}`,
    })
    return matched
  }
}

function dataOf(event: CloudEvent): CelValue {
  const data = dataAsJson(event)
  return 'error' in data ? new CelFailure(data.error) : data.value
}

import { Fault } from '../runtime/errors.ts'

/** Longer expressions belong into a service; it bounds what parsing and evaluating one can cost. In characters. */
export const LONGEST_EXPRESSION = 8_192

/** A fault in an expression, with the place where it stands: columns and lines count from 1. */
export function syntaxFault(dialect: 'cesql' | 'cel' | 'jsonata', expression: string, offset: number, what: string): Fault {
  const before = expression.slice(0, offset)
  const lines = before.split('\n').length
  const column = offset - (before.lastIndexOf('\n') + 1) + 1
  const place = lines === 1 ? `column ${column}` : `line ${lines}, column ${column}`
  const shownText = expression.length > 200 ? `${expression.slice(0, 200)}…` : expression
  return new Fault('filter.syntax', `${dialect}, ${place}: ${what}; in: ${shownText}`)
}

/** Throws where an expression is over the length that is served. */
export function checkLength(dialect: 'cesql' | 'cel' | 'jsonata', expression: string): void {
  if (expression.length <= LONGEST_EXPRESSION) return
  const what = `the expression has ${expression.length} characters, at most ${LONGEST_EXPRESSION} are allowed`
  throw syntaxFault(dialect, expression, LONGEST_EXPRESSION, what)
}

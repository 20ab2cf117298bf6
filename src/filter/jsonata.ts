import { jsonataFault } from '../vendor/jsonata/library.ts'
import { checkLength, syntaxFault } from './syntax.ts'

/** Throws a Fault `filter.syntax` with the column of what does not parse. No filter, but checked where the others are. */
export function checkJsonata(expression: string): void {
  checkLength('jsonata', expression)
  const fault = jsonataFault(expression)
  if (fault !== null) throw syntaxFault('jsonata', expression, fault.at, fault.what)
}

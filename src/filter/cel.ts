import { Fault } from '../runtime/errors.ts'
import type { Clause } from './clause.ts'
export function compileCel(_expression: string): Clause {
  throw new Fault('filter.syntax', 'cel is not served')
}

import { Fault } from '../runtime/errors.ts'
import type { Clause } from './clause.ts'
export function compileCesql(_expression: string): Clause {
  throw new Fault('filter.syntax', 'cesql is not served')
}

import type { Fuel } from './fuel.ts'
import { CelFailure, type CelValue, kindOf } from './values.ts'

/** One evaluation under way: the variables given, those of the loops, and what it may still cost. */
export interface Frame extends Fuel {
  globals: (index: number) => CelValue
  readonly items: CelValue[]
}

/** A part of an expression, compiled. */
export type Code = (frame: Frame) => CelValue

/** The failure of an operand that is not true or false. */
export function asFailure(value: CelValue, operator: string): CelFailure {
  return value instanceof CelFailure ? value : new CelFailure(`${operator} of a ${kindOf(value)}`)
}

import type { Type, Value } from './tree.ts'

/** Classes of evaluation errors, as the conformance kit names them. CESQL 1.0 §3.3 */
export type FailureKind = 'math' | 'cast' | 'missingFunction' | 'functionEvaluation' | 'missingAttribute' | 'generic'

export interface Failure {
  readonly kind: FailureKind
  readonly why: string
}

/** What an operator or function answers when it cannot: the zero of its type. CESQL 1.0 §3.1 */
export const ZERO: Readonly<Record<Type, Value>> = { string: '', integer: 0, boolean: false }

export const LARGEST = 2_147_483_647
export const LOWEST = -2_147_483_648

export function typeOf(v: Value): Type {
  return typeof v === 'number' ? 'integer' : (typeof v as 'string' | 'boolean')
}

/** The Integer of a value; undefined = it has none. */
export function integerOf(v: Value): number | undefined {
  if (typeof v === 'number') return v
  if (typeof v === 'boolean') return v ? 1 : 0
  if (!/^[+-]?[0-9]{1,20}$/.test(v)) return undefined
  const n = Number(v)
  return n >= LOWEST && n <= LARGEST ? n + 0 : undefined
}

/**
 * The Boolean of a value; undefined = it has none. An operand that is an Integer is none (`NOT 10` is a cast error in
 * the conformance kit); only the function BOOL takes one.
 */
export function booleanOf(v: Value): boolean | undefined {
  if (typeof v === 'boolean') return v
  if (typeof v === 'number') return undefined
  const lower = v.length <= 5 ? v.toLowerCase() : ''
  return lower === 'true' ? true : lower === 'false' ? false : undefined
}

export function stringOf(v: Value): string {
  return typeof v === 'string' ? v : String(v)
}

/** Implicit cast; undefined = there is none. CESQL 1.0 §3.7 */
export function castTo(type: Type, v: Value): Value | undefined {
  if (type === 'string') return stringOf(v)
  return type === 'integer' ? integerOf(v) : booleanOf(v)
}

/** `n` where it fits 32 bits. */
export function fits(n: number): boolean {
  return n >= LOWEST && n <= LARGEST
}

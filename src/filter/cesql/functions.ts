import type { Type, Value } from './tree.ts'
import { type FailureKind, LARGEST, LOWEST, integerOf, stringOf } from './values.ts'

/** Tells that a function could not do what was asked; it still answers a value. */
export type Fail = (kind: FailureKind, why: string) => void

/** A function of the language; `args` are already of the types of its parameters. */
export interface CesqlFunction {
  readonly parameters: readonly Type[] | readonly 'any'[]
  /** The type of any further arguments, null = none allowed. */
  readonly more: Type | null
  readonly result: Type
  readonly call: (args: readonly Value[], fail: Fail) => Value
}

/** By name in upper case; several may share one when their numbers of parameters differ. CESQL 1.0 §3.5 */
export type FunctionTable = Readonly<Record<string, readonly CesqlFunction[]>>

export const BUILT_IN: FunctionTable = {
  LENGTH: [fixed(['string'], 'integer', ([x]) => characters(text(x)).length)],
  CONCAT: [{ parameters: [], more: 'string', result: 'string', call: (args) => args.join('') }],
  CONCAT_WS: [{ parameters: ['string'], more: 'string', result: 'string', call: (args) => args.slice(1).join(text(args[0])) }],
  LOWER: [fixed(['string'], 'string', ([x]) => text(x).toLowerCase())],
  UPPER: [fixed(['string'], 'string', ([x]) => text(x).toUpperCase())],
  TRIM: [fixed(['string'], 'string', ([x]) => text(x).trim())],
  LEFT: [fixed(['string', 'integer'], 'string', ([x, n], fail) => side('LEFT', text(x), n as number, fail))],
  RIGHT: [fixed(['string', 'integer'], 'string', ([x, n], fail) => side('RIGHT', text(x), n as number, fail))],
  SUBSTRING: [
    fixed(['string', 'integer'], 'string', ([x, at], fail) => substring(text(x), at as number, LARGEST, fail)),
    fixed(['string', 'integer', 'integer'], 'string', ([x, at, n], fail) => substring(text(x), at as number, n as number, fail)),
  ],
  ABS: [fixed(['integer'], 'integer', ([x], fail) => absolute(x as number, fail))],
  INT: [fixed(['any'], 'integer', ([x], fail) => toInteger(x!, fail))],
  BOOL: [fixed(['any'], 'boolean', ([x], fail) => toBoolean(x!, fail))],
  STRING: [fixed(['any'], 'string', ([x]) => text(x))],
}

/** The function that takes that many arguments: one with exactly these before one that takes more. */
export function functionFor(table: FunctionTable, name: string, args: number): CesqlFunction | undefined {
  const candidates = Object.hasOwn(table, name) ? table[name]! : []
  return (
    candidates.find((f) => f.more === null && f.parameters.length === args) ??
    candidates.find((f) => f.more !== null && f.parameters.length <= args)
  )
}

function fixed(parameters: CesqlFunction['parameters'], result: Type, call: CesqlFunction['call']): CesqlFunction {
  return { parameters, more: null, result, call }
}

function text(v: Value | undefined): string {
  return v === undefined ? '' : stringOf(v)
}

/** Characters are Unicode characters, not halves of them; a text without any pair is left as it is. */
function characters(s: string): string | readonly string[] {
  return /[\ud800-\udbff]/.test(s) ? Array.from(s) : s
}

function joined(part: string | readonly string[]): string {
  return typeof part === 'string' ? part : part.join('')
}

function side(name: 'LEFT' | 'RIGHT', x: string, n: number, fail: Fail): string {
  if (n < 0) {
    fail('functionEvaluation', `${name} was asked for ${n} characters`)
    return x
  }
  const all = characters(x)
  return joined(name === 'LEFT' ? all.slice(0, n) : all.slice(Math.max(0, all.length - n)))
}

/** Positions count from 1, negative ones from the end; 0 is before everything and answers nothing. */
function substring(x: string, at: number, length: number, fail: Fail): string {
  const all = characters(x)
  if (at > all.length || at < -all.length || length < 0) {
    fail(
      'functionEvaluation',
      `SUBSTRING has no ${length < 0 ? `length ${length}` : `position ${at}`} in a text of ${all.length} characters`,
    )
    return ''
  }
  if (at === 0) return ''
  const from = at > 0 ? at - 1 : all.length + at
  return joined(all.slice(from, from + length))
}

function absolute(x: number, fail: Fail): number {
  if (x !== LOWEST) return Math.abs(x)
  fail('math', `ABS(${LOWEST}) is no Integer of 32 bits`)
  return LARGEST
}

function toInteger(v: Value, fail: Fail): number {
  const n = integerOf(v)
  if (n === undefined) fail('cast', `'${stringOf(v)}' is no Integer`)
  return n ?? 0
}

function toBoolean(v: Value, fail: Fail): boolean {
  if (typeof v === 'number') return v !== 0
  if (typeof v === 'boolean') return v
  const lower = v.toLowerCase()
  if (lower !== 'true' && lower !== 'false') fail('cast', `'${v}' is no Boolean`)
  return lower === 'true'
}

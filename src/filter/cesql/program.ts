import { attributeReader, textOf } from '../attribute.ts'
import type { CloudEvent } from '../../event/event.ts'
import { BUILT_IN, type CesqlFunction, type Fail, type FunctionTable, functionFor } from './functions.ts'
import { compileLike } from './like.ts'
import type { ComparisonOperator, LogicOperator, MathOperator, Tree, Type, Value } from './tree.ts'
import { type Failure, type FailureKind, ZERO, booleanOf, castTo, fits, integerOf, stringOf, typeOf } from './values.ts'

/** One evaluation under way; one object an expression, used again for every event. */
interface Run {
  event: CloudEvent
  /** The first failure. Whatever asked for the failing part answers the zero of its own type from then on. */
  failure: Failure | null
}

type Code = (run: Run) => Value

/** A compiled expression: total, it answers a value also where it fails. CESQL 1.0 §3.6 */
export interface CesqlProgram {
  /** The failure of the last evaluation, null = none. */
  readonly failure: Failure | null
  evaluate(event: CloudEvent): Value
}

/** Compiles a parsed expression to closures. `functions` are those of the user, beside the built-in ones. */
export function compileProgram(tree: Tree, functions: FunctionTable = {}): CesqlProgram {
  const code = new Compiler({ ...functions, ...BUILT_IN }).code(tree)
  return new Program(code)
}

class Program implements CesqlProgram {
  readonly #code: Code
  readonly #run: Run

  constructor(code: Code) {
    this.#code = code
    this.#run = { event: undefined as unknown as CloudEvent, failure: null }
  }

  get failure(): Failure | null {
    return this.#run.failure
  }

  evaluate(event: CloudEvent): Value {
    this.#run.event = event
    this.#run.failure = null
    return this.#code(this.#run)
  }
}

class Compiler {
  readonly #functions: FunctionTable

  constructor(functions: FunctionTable) {
    this.#functions = functions
  }

  code(tree: Tree): Code {
    switch (tree.kind) {
      case 'literal': {
        const value = tree.value
        return () => value
      }
      case 'attribute':
        return attribute(tree.name)
      case 'exists': {
        const read = attributeReader(tree.name)
        return (run) => read(run.event) !== undefined
      }
      case 'not':
        return not(this.code(tree.of))
      case 'minus':
        return minus(this.code(tree.of))
      case 'compare':
        return attributeEquals(tree) ?? compare(tree.operator, this.code(tree.left), this.code(tree.right))
      case 'math':
        return math(tree.operator, this.code(tree.left), this.code(tree.right))
      case 'logic':
        return logic(tree.operator, this.code(tree.left), this.code(tree.right))
      case 'like':
        return like(this.code(tree.of), compileLike(tree.pattern))
      case 'in':
        return within(
          this.code(tree.of),
          tree.set.map((t) => this.code(t)),
        )
      case 'call':
        return this.#call(tree.name, tree.args)
    }
  }

  #call(name: string, args: readonly Tree[]): Code {
    const called = functionFor(this.#functions, name, args.length)
    if (called === undefined) {
      const missing: Failure = { kind: 'missingFunction', why: `there is no function ${name} with ${args.length} arguments` }
      return (run) => failing(run, missing, false)
    }
    return call(
      name,
      called,
      args.map((a) => this.code(a)),
    )
  }
}

function failing(run: Run, failure: Failure, value: Value): Value {
  run.failure ??= failure
  return value
}

function castFailure(v: Value, type: Type): Failure {
  return { kind: 'cast', why: `'${stringOf(v)}' is no ${type === 'integer' ? 'Integer' : 'Boolean'}` }
}

function attribute(name: string): Code {
  const read = attributeReader(name)
  const missing: Failure = { kind: 'missingAttribute', why: `the event has no attribute ${name}` }
  return (run) => {
    const value = read(run.event)
    if (value === undefined) return failing(run, missing, false)
    return value instanceof Uint8Array ? textOf(value) : value
  }
}

/** `attribute = 'text'`, the most common clause by far, without its detours. */
function attributeEquals(tree: Extract<Tree, { kind: 'compare' }>): Code | null {
  const { left, right, operator } = tree
  if (left.kind !== 'attribute' || right.kind !== 'literal' || typeof right.value !== 'string') return null
  if (operator !== '=' && operator !== '!=') return null
  const read = attributeReader(left.name)
  const wanted = right.value
  const equal = operator === '='
  const missing: Failure = { kind: 'missingAttribute', why: `the event has no attribute ${left.name}` }
  return (run) => {
    const value = read(run.event)
    if (value === undefined) return failing(run, missing, false)
    return ((typeof value === 'string' ? value : textOf(value)) === wanted) === equal
  }
}

function not(of: Code): Code {
  return (run) => {
    const value = of(run)
    if (run.failure !== null) return false
    const known = booleanOf(value)
    if (known === undefined) run.failure = castFailure(value, 'boolean')
    return !(known ?? false)
  }
}

function minus(of: Code): Code {
  return (run) => {
    const value = of(run)
    if (run.failure !== null) return 0
    const n = integerOf(value)
    if (n === undefined) return failing(run, castFailure(value, 'integer'), 0)
    return fits(-n) ? 0 - n : failing(run, { kind: 'math', why: `-(${n}) is no Integer of 32 bits` }, 0)
  }
}

/** Equality takes the type of its right operand, the others compare Integers. CESQL 1.0 §3.7 */
function compare(operator: ComparisonOperator, left: Code, right: Code): Code {
  if (operator === '=' || operator === '!=') {
    const wanted = operator === '='
    return (run) => {
      const x = left(run)
      if (run.failure !== null) return false
      const y = right(run)
      if (run.failure !== null) return false
      if (typeof x === typeof y) return (x === y) === wanted
      const type = typeOf(y)
      const cast = castTo(type, x)
      return cast === undefined ? failing(run, castFailure(x, type), false) : (cast === y) === wanted
    }
  }
  const holds = ORDER[operator]
  return integers(left, right, false, (x, y) => holds(x, y))
}

const ORDER: Readonly<Record<'<' | '<=' | '>' | '>=', (x: number, y: number) => boolean>> = {
  '<': (x, y) => x < y,
  '<=': (x, y) => x <= y,
  '>': (x, y) => x > y,
  '>=': (x, y) => x >= y,
}

const MATH: Readonly<Record<MathOperator, (x: number, y: number) => number>> = {
  '+': (x, y) => x + y,
  '-': (x, y) => x - y,
  '*': (x, y) => x * y,
  '/': (x, y) => Math.trunc(x / y) + 0,
  '%': (x, y) => (x % y) + 0,
}

function math(operator: MathOperator, left: Code, right: Code): Code {
  const compute = MATH[operator]
  const divides = operator === '/' || operator === '%'
  const zero: Failure = { kind: 'math', why: 'division by zero' }
  return integers(left, right, 0, (x, y, run) => {
    if (divides && y === 0) return failing(run, zero, 0)
    const n = compute(x, y)
    return fits(n) ? n : failing(run, { kind: 'math', why: `${x} ${operator} ${y} is no Integer of 32 bits` }, 0)
  })
}

function integers(left: Code, right: Code, zero: Value, then: (x: number, y: number, run: Run) => Value): Code {
  return (run) => {
    const x = left(run)
    if (run.failure !== null) return zero
    const y = right(run)
    if (run.failure !== null) return zero
    const n = integerOf(x)
    if (n === undefined) return failing(run, castFailure(x, 'integer'), zero)
    const m = integerOf(y)
    return m === undefined ? failing(run, castFailure(y, 'integer'), zero) : then(n, m, run)
  }
}

/** AND and OR look at their right operand only where the left one leaves it open. CESQL 1.0 §3.4.2 */
function logic(operator: LogicOperator, left: Code, right: Code): Code {
  const operand = (code: Code, run: Run): boolean => {
    const value = code(run)
    if (run.failure !== null) return false
    const known = booleanOf(value)
    if (known === undefined) run.failure = castFailure(value, 'boolean')
    return known ?? false
  }
  if (operator === 'XOR') {
    return (run) => {
      const x = operand(left, run)
      if (run.failure !== null) return false
      const y = operand(right, run)
      return run.failure === null && x !== y
    }
  }
  const settles = operator === 'OR'
  return (run) => {
    const x = operand(left, run)
    if (run.failure !== null) return false
    return x === settles ? x : operand(right, run)
  }
}

function like(of: Code, matches: (text: string) => boolean): Code {
  return (run) => {
    const value = of(run)
    return run.failure === null && matches(stringOf(value))
  }
}

/** Here the left operand says the type, the elements are cast to it. CESQL 1.0 §3.4.5 */
function within(of: Code, set: readonly Code[]): Code {
  return (run) => {
    const x = of(run)
    if (run.failure !== null) return false
    const type = typeOf(x)
    let found = false
    for (const element of set) {
      const y = element(run)
      if (run.failure !== null) return false
      const cast = castTo(type, y)
      if (cast === undefined) return failing(run, castFailure(y, type), false)
      if (cast === x) {
        found = true
        break
      }
    }
    return found
  }
}

function call(name: string, f: CesqlFunction, args: readonly Code[]): Code {
  const zero = ZERO[f.result]
  return (run) => {
    const values: Value[] = []
    for (const [i, arg] of args.entries()) {
      const value = arg(run)
      if (run.failure !== null) return zero
      const type = f.parameters[i] ?? f.more!
      const cast = type === 'any' ? value : castTo(type, value)
      if (cast === undefined) return failing(run, castFailure(value, type as Type), zero)
      values.push(cast)
    }
    const fail: Fail = (kind: FailureKind, why: string) => {
      run.failure ??= { kind, why: `${name}: ${why}` }
    }
    return f.call(values, fail)
  }
}

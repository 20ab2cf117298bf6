import { messageOf } from '../../runtime/errors.ts'
import type { CelExpression, CelLoop } from '../../vendor/cel/expression.ts'
import { libraryHas, libraryName } from '../../vendor/cel/library.ts'
import { type Code, type Frame, asFailure } from './frame.ts'
import { MOST_FUEL, OUT_OF_FUEL, spend } from './fuel.ts'
import { type CelFunction, celFunction } from './functions.ts'
import { type Loop, existsOne, mapped, search } from './loops.ts'
import { OPERATORS, type Operator, negated } from './operators.ts'
import { CelFailure, CelMapValue, type CelValue, type Kind, kindOf, mapGet, mapKeyOf } from './values.ts'

/** Something that can be seen to fail without any event. */
export interface CelFault {
  readonly at: number
  readonly what: string
}

/** A compiled expression; one object serves all evaluations, which do not overlap. */
export interface CelProgram {
  /** Names that nothing has, patterns that are none: each fails wherever it is evaluated. */
  readonly faults: readonly CelFault[]
  /** Its value or a CelFailure; never throws, and ends after MOST_FUEL units of work. `json`: what the objects come from. */
  evaluate(globals: (index: number) => CelValue, json?: Uint8Array | null): CelValue
}

/** Compiles to closures, with these variables (a name may have dots). */
export function compileCelProgram(expression: CelExpression, globals: readonly string[]): CelProgram {
  const compiler = new Compiler(globals)
  const code = compiler.code(expression)
  const frame: Frame = { left: 0, json: null, globals: () => undefined, items: [] }
  return {
    faults: compiler.faults,
    evaluate(values, json = null) {
      frame.left = MOST_FUEL
      frame.json = json
      frame.globals = values
      try {
        return code(frame)
      } catch (e) {
        return e === OUT_OF_FUEL ? TOO_LONG : new CelFailure(messageOf(e))
      }
    },
  }
}

const NO_OVERLOAD = new CelFailure('no matching overload')
const TOO_LONG = new CelFailure(OUT_OF_FUEL.message)

class Compiler {
  readonly faults: CelFault[] = []
  readonly #globals: readonly string[]
  /** Names of the loop variables in sight, by their place in `Frame.items`. */
  readonly #items: string[] = []
  /** Parts compiled so far: those within a loop are what one of its steps costs. */
  #parts = 0

  constructor(globals: readonly string[]) {
    this.#globals = globals
  }

  code(e: CelExpression): Code {
    this.#parts++
    switch (e.kind) {
      case 'constant': {
        const value = e.value
        return () => value
      }
      case 'name':
        return this.#name(e.name, e.at)
      case 'select':
        return this.#qualified(e) ?? select(this.code(e.of), e.field)
      case 'has':
        return has(this.code(e.of), e.field)
      case 'call':
        return this.#call(e)
      case 'list':
        return list(e.elements.map((x) => this.code(x)))
      case 'map':
        return map(e.entries.map(([key, value]) => [this.code(key), this.code(value)]))
      case 'loop':
        return this.#loop(e)
    }
  }

  #name(name: string, at: number): Code {
    const item = this.#items.lastIndexOf(name)
    if (item >= 0) return (frame) => frame.items[item]
    const known = this.#known(name)
    if (known !== null) return known
    this.faults.push({ at, what: `there is no ${name} here, only ${this.#globals.join(', ')}` })
    const unknown = new CelFailure(`there is no ${name}`)
    return () => unknown
  }

  /** A variable given, or what the name has of itself (`int`). */
  #known(name: string): Code | null {
    const index = this.#globals.indexOf(name)
    if (index >= 0) return (frame) => frame.globals(index)
    const value = libraryName(name)
    return value === undefined ? null : () => value
  }

  /** `a.b.c` where that, with its dots, is the name of something. */
  #qualified(e: CelExpression): Code | null {
    const name = dotted(e)
    if (name === null) return null
    const first = name.slice(0, name.indexOf('.'))
    if (this.#items.includes(first)) return null
    // A variable's own fields are looked up in the variable: only names that begin with none may be the library's.
    return this.#globals.includes(first) && !this.#globals.includes(name) ? null : this.#known(name)
  }

  #call(e: Extract<CelExpression, { kind: 'call' }>): Code {
    const target = e.target === null ? null : this.code(e.target)
    const args = e.args.map((a) => this.code(a))
    const [first, second, third] = args
    switch (e.name) {
      case '_&&_':
        return junction(args, false)
      case '_||_':
        return junction(args, true)
      case '_?_:_':
        return conditional(first!, second!, third!)
      case '!_':
        return not(first!)
      default:
        break
    }
    const operator = OPERATORS[e.name]
    if (operator !== undefined) return binary(e.name, operator, first!, second!, this.#function(e))
    const called = this.#function(e)
    return e.name === '-_' ? minus(first!, called) : call(called, target, args)
  }

  #function(e: Extract<CelExpression, { kind: 'call' }>): CelFunction {
    const constants = e.args.map((a) => ({ constant: a.kind === 'constant' ? a.value : undefined }))
    if (e.name === '_[_]') return () => NO_OVERLOAD
    try {
      if (libraryHas(e.name)) return celFunction(e.name, e.target !== null, constants)
      this.faults.push({ at: e.at, what: `there is no function ${e.name}` })
    } catch (error) {
      this.faults.push({ at: e.at, what: messageOf(error) })
    }
    const failure = new CelFailure(this.faults.at(-1)!.what)
    return () => failure
  }

  #loop(e: CelLoop): Code {
    const range = this.code(e.range)
    const item = this.#items.push(e.item) - 1
    const before = this.#parts
    const test = e.test === null ? null : this.code(e.test)
    const transform = e.transform === null ? null : this.code(e.transform)
    this.#items.pop()
    const loop: Loop = { range, item, test, transform, stepUnits: this.#parts - before + 1 }
    switch (e.macro) {
      case 'exists':
        return search(loop, true)
      case 'all':
        return search(loop, false)
      case 'exists_one':
        return existsOne(loop)
      case 'map':
        return mapped(loop)
    }
  }
}

function dotted(e: CelExpression): string | null {
  if (e.kind === 'name') return e.name
  if (e.kind !== 'select') return null
  const before = dotted(e.of)
  return before === null ? null : `${before}.${e.field}`
}

function select(of: Code, field: string): Code {
  const missing = new CelFailure(`no such key: ${field}`)
  const wrong = new CelFailure(`.${field} of what is no map`)
  return (frame) => {
    const value = of(frame)
    if (value instanceof CelFailure) return value
    if (typeof value !== 'object' || kindOf(value) !== 'map') return wrong
    const found = mapGet(value, field, frame)
    return found === undefined ? missing : found
  }
}

function has(of: Code, field: string): Code {
  return (frame) => {
    const value = of(frame)
    if (value instanceof CelFailure) return value
    return kindOf(value) === 'map' && mapGet(value, field, frame) !== undefined
  }
}

/** && and ||: one operand that settles the result does so even where another fails. */
function junction(args: readonly Code[], settling: boolean): Code {
  return (frame) => {
    let failure: CelFailure | null = null
    for (let i = 0; i < args.length; i++) {
      const value = args[i]!(frame)
      if (value === settling) return settling
      if (value !== !settling) failure ??= asFailure(value, settling ? '||' : '&&')
    }
    return failure ?? !settling
  }
}

function conditional(condition: Code, yes: Code, no: Code): Code {
  return (frame) => {
    const value = condition(frame)
    if (value === true) return yes(frame)
    return value === false ? no(frame) : asFailure(value, '?:')
  }
}

function not(of: Code): Code {
  return (frame) => {
    const value = of(frame)
    return typeof value === 'boolean' ? !value : asFailure(value, '!')
  }
}

function minus(of: Code, library: CelFunction): Code {
  return (frame) => {
    const value = of(frame)
    if (value instanceof CelFailure) return value
    return negated(value) ?? library(undefined, [value], frame)
  }
}

function binary(name: string, operator: Operator, left: Code, right: Code, library: CelFunction): Code {
  const said = name.replaceAll('_', '')
  // Elements of one list mostly fail alike: the sentence is made once.
  let kinds: readonly [Kind, Kind] | null = null
  let mismatch = NO_OVERLOAD
  return (frame) => {
    const l = left(frame)
    if (l instanceof CelFailure) return l
    const r = right(frame)
    if (r instanceof CelFailure) return r
    const value = operator(l, r, frame)
    if (value !== undefined) return value
    const ofLeft = kindOf(l)
    const ofRight = kindOf(r)
    if (isForLibrary(ofLeft) || isForLibrary(ofRight)) return library(undefined, [l, r], frame)
    if (kinds === null || kinds[0] !== ofLeft || kinds[1] !== ofRight) {
      kinds = [ofLeft, ofRight]
      mismatch = new CelFailure(`no matching overload of ${said} for ${ofLeft} and ${ofRight}`)
    }
    return mismatch
  }
}

/** Of the values that operators take only these are left to the library, which takes long to find that it knows none. */
function isForLibrary(kind: Kind): boolean {
  return kind === 'uint' || kind === 'bytes' || kind === 'other'
}

function call(f: CelFunction, target: Code | null, args: readonly Code[]): Code {
  return (frame) => {
    const on = target === null ? undefined : target(frame)
    if (on instanceof CelFailure) return on
    const values: CelValue[] = []
    for (let i = 0; i < args.length; i++) {
      const value = args[i]!(frame)
      if (value instanceof CelFailure) return value
      values.push(value)
    }
    return f(on, values, frame)
  }
}

function list(elements: readonly Code[]): Code {
  return (frame) => {
    const out: CelValue[] = []
    for (let i = 0; i < elements.length; i++) {
      const value = elements[i]!(frame)
      if (value instanceof CelFailure) return value
      out.push(value)
    }
    return out
  }
}

function map(entries: readonly (readonly [Code, Code])[]): Code {
  return (frame) => {
    spend(frame, 30 + entries.length * 8)
    const out = new CelMapValue()
    for (const [keyCode, valueCode] of entries) {
      const key = keyCode(frame)
      if (key instanceof CelFailure) return key
      const value = valueCode(frame)
      if (value instanceof CelFailure) return value
      const known = typeof key === 'number' ? undefined : mapKeyOf(key)
      if (known === undefined) return new CelFailure(`a ${kindOf(key)} is no key of a map`)
      if (out.entries.has(known)) return new CelFailure(`the key ${String(known)} stands twice in a map`)
      out.entries.set(known, [key, value])
    }
    return out
  }
}

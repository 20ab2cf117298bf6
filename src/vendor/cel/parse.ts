import { celUint, parse } from '@bufbuild/cel'
import { assert } from '../../runtime/errors.ts'
import { type CelExpression, type CelLoop, CelSyntaxError } from './expression.ts'

type Parsed = ReturnType<typeof parse>
type Expr = Parsed['expr']
type Kind<C extends string> = Extract<Expr['exprKind'], { case: C }>['value']

/** Expressions within each other; deeper is an attack on the stack of the evaluation. */
export const DEEPEST_CEL = 250

const LARGEST_INT = 2n ** 63n - 1n
const LARGEST_UINT = 2n ** 64n - 1n

/** Parses an expression. Throws a CelSyntaxError with the place of the fault, nothing else. */
export function parseCel(text: string): CelExpression {
  const parsed = parsedBy(text)
  return new Converter(parsed).convert(parsed.expr, 1)
}

function parsedBy(text: string): Parsed {
  try {
    return parse(text)
  } catch (e) {
    // The library's parser descends once for every bracket.
    if (e instanceof RangeError) throw new CelSyntaxError(`nested deeper than ${DEEPEST_CEL}`, 0)
    const { location, rawMessage } = e as { location?: { start?: { offset?: number } }; rawMessage?: string }
    throw new CelSyntaxError(rawMessage ?? (e as Error).message, location?.start?.offset ?? 0)
  }
}

class Converter {
  readonly #positions: Readonly<Record<string, number>>

  constructor(parsed: Parsed) {
    this.#positions = parsed.sourceInfo?.positions ?? {}
  }

  convert(e: Expr | undefined, depth: number): CelExpression {
    assert(e !== undefined, 'the parser leaves no part of an expression out')
    const at = this.#positions[e.id.toString()] ?? 0
    if (depth > DEEPEST_CEL) throw new CelSyntaxError(`nested deeper than ${DEEPEST_CEL}`, at)
    const kind = e.exprKind
    switch (kind.case) {
      case 'constExpr':
        return { kind: 'constant', value: constantOf(kind.value, at), at }
      case 'identExpr':
        return { kind: 'name', name: kind.value.name, at }
      case 'selectExpr': {
        const of = this.convert(kind.value.operand, depth + 1)
        return { kind: kind.value.testOnly ? 'has' : 'select', of, field: kind.value.field, at }
      }
      case 'callExpr': {
        const target = kind.value.target === undefined ? null : this.convert(kind.value.target, depth + 1)
        return { kind: 'call', name: kind.value.function, target, args: this.#all(kind.value.args, depth), at }
      }
      case 'listExpr':
        return { kind: 'list', elements: this.#all(kind.value.elements, depth), at }
      case 'structExpr':
        return this.#map(kind.value, at, depth)
      case 'comprehensionExpr':
        return this.#loop(kind.value, at, depth)
      default:
        throw new CelSyntaxError('this is not served', at)
    }
  }

  #all(list: readonly Expr[], depth: number): readonly CelExpression[] {
    return list.map((e) => this.convert(e, depth + 1))
  }

  #map(struct: Kind<'structExpr'>, at: number, depth: number): CelExpression {
    if (struct.messageName !== '') throw new CelSyntaxError(`there is no type ${struct.messageName}`, at)
    const entries = struct.entries.map((entry): readonly [CelExpression, CelExpression] => {
      const key = entry.keyKind.case === 'mapKey' ? entry.keyKind.value : undefined
      return [this.convert(key, depth + 1), this.convert(entry.value, depth + 1)]
    })
    return { kind: 'map', entries, at }
  }

  /** The parser writes each macro as one shape of comprehension; here they become what they were. */
  #loop(c: Kind<'comprehensionExpr'>, at: number, depth: number): CelLoop {
    const range = this.convert(c.iterRange, depth + 1)
    const loop = (macro: CelLoop['macro'], test: Expr | undefined, transform: Expr | undefined): CelLoop => ({
      kind: 'loop',
      macro,
      range,
      item: c.iterVar,
      test: test === undefined ? null : this.convert(test, depth + 1),
      transform: transform === undefined ? null : this.convert(transform, depth + 1),
      at,
    })
    const step = c.loopStep
    assert(step?.exprKind.case === 'callExpr', 'a step of a macro is a call')
    const { function: name, args } = step.exprKind.value
    const start = c.accuInit?.exprKind
    if (start?.case === 'constExpr' && start.value.constantKind.case === 'boolValue') {
      return loop(start.value.constantKind.value ? 'all' : 'exists', args[1], undefined)
    }
    if (start?.case === 'constExpr') return loop('exists_one', args[0], undefined)
    return name === '_?_:_' ? loop('map', args[0], appended(args[1])) : loop('map', undefined, appended(step))
  }
}

/** The element of `accumulator + [element]`. */
function appended(sum: Expr | undefined): Expr | undefined {
  const list = sum?.exprKind.case === 'callExpr' ? sum.exprKind.value.args[1] : undefined
  assert(list?.exprKind.case === 'listExpr', 'a macro that makes a list appends to it')
  return list.exprKind.value.elements[0]
}

function constantOf(constant: Kind<'constExpr'>, at: number): unknown {
  const { case: type, value } = constant.constantKind
  switch (type) {
    case 'int64Value':
      if (value > LARGEST_INT || value < -LARGEST_INT - 1n) throw new CelSyntaxError(`${value} is no int of 64 bits`, at)
      return value
    case 'uint64Value':
      if (value > LARGEST_UINT) throw new CelSyntaxError(`${value} is no uint of 64 bits`, at)
      return celUint(value)
    case 'nullValue':
      return null
    case 'boolValue':
    case 'doubleValue':
    case 'stringValue':
    case 'bytesValue':
      return value
    default:
      throw new CelSyntaxError('this constant is not served', at)
  }
}

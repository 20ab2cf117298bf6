import {
  type CelInput,
  type CelType,
  celEnv,
  celList,
  celMap,
  celUint,
  isCelError,
  isCelType,
  isCelUint,
  parse,
  plan,
} from '@bufbuild/cel'

type Expr = ReturnType<typeof parse>['expr']
type Planned = ReturnType<typeof plan>

const env = celEnv()

/** A library function with a fixed number of arguments. */
export interface LibraryFunction {
  /** Never throws; what fails is a LibraryFailure. `target` is undefined for a function that is no method. */
  call(target: unknown, args: readonly unknown[]): unknown
}

export class LibraryFailure {
  readonly why: string
  constructor(why: string) {
    this.why = why
  }
}

/** Stand-ins for lists and maps of ours: no function of the library that is called here looks into one. */
export const ANY_LIST: unknown = celList([])
export const ANY_MAP: unknown = celMap(new Map())

export { type CelType, celUint, isCelType, isCelUint }

/** Whether the library has a function, method or operator of that name. */
export function libraryHas(name: string): boolean {
  return env.funcs.find(name) !== undefined
}

/** A function of the standard library of CEL. Scalars, timestamps and durations go in and come out. */
export function libraryFunction(name: string, method: boolean, args: number): LibraryFunction {
  const planned = planCall(name, method, args)
  return {
    call(target, values) {
      const bindings: Record<string, CelInput> = {}
      if (method) bindings['t'] = target as CelInput
      for (let i = 0; i < values.length; i++) bindings[`a${i}`] = values[i] as CelInput
      return resultOf(planned, bindings)
    },
  }
}

/** The value that a (qualified) name has of itself, such as the type `int`; undefined = none. */
export function libraryName(name: string): unknown {
  try {
    const value = resultOf(plan(env, parse(name)), {})
    return value instanceof LibraryFailure ? undefined : value
  } catch {
    // A name that is a word of the language (`a.in`) is the name of nothing.
    return undefined
  }
}

function resultOf(planned: Planned, bindings: Record<string, CelInput>): unknown {
  // An error of the library notes where it was made: that costs more than all the rest and nobody reads it.
  const depth = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  try {
    const value = planned(bindings)
    return isCelError(value) ? new LibraryFailure(value.message) : value
  } finally {
    Error.stackTraceLimit = depth
  }
}

/** The functions need the context of an evaluation, which only a planned expression has: so each call is one. */
function planCall(name: string, method: boolean, args: number): Planned {
  let id = 1n
  const variable = (of: string): Expr => ({
    $typeName: 'cel.expr.Expr',
    id: id++,
    exprKind: { case: 'identExpr', value: { $typeName: 'cel.expr.Expr.Ident', name: of } },
  })
  const target = method ? { target: variable('t') } : {}
  const variables = Array.from({ length: args }, (_, i) => variable(`a${i}`))
  return plan(env, {
    $typeName: 'cel.expr.Expr',
    id: id++,
    exprKind: { case: 'callExpr', value: { $typeName: 'cel.expr.Expr.Call', function: name, ...target, args: variables } },
  })
}

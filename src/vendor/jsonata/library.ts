import { createRequire } from 'node:module'

/** The part of the library that is used. */
export interface Jsonata {
  (
    expression: string,
    options?: { readonly timeout?: number; readonly stack?: number; readonly sequence?: number },
  ): { evaluate(input: unknown): Promise<unknown> }
}

let loaded: Jsonata | undefined

/** Loaded with the first expression: most gateways have none. */
export function loadJsonata(): Jsonata {
  loaded ??= createRequire(import.meta.url)('jsonata') as Jsonata
  return loaded
}

/** What is wrong with an expression and where (characters from 0), null = it parses. */
export function jsonataFault(expression: string): { readonly at: number; readonly what: string } | null {
  try {
    loadJsonata()(expression)
    return null
  } catch (e) {
    const { message, position } = e as { message?: unknown; position?: unknown }
    // The library counts from 1, behind the token it stumbled over.
    return {
      at: typeof position === 'number' ? Math.max(0, position - 1) : 0,
      what: typeof message === 'string' ? message : 'does not parse',
    }
  }
}

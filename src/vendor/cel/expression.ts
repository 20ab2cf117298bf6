/** What an expression parses to, without the library's own classes. `at` is the offset in its text. */
export type CelExpression =
  | { readonly kind: 'constant'; readonly value: unknown; readonly at: number }
  | { readonly kind: 'name'; readonly name: string; readonly at: number }
  | { readonly kind: 'select'; readonly of: CelExpression; readonly field: string; readonly at: number }
  /** `has(of.field)` */
  | { readonly kind: 'has'; readonly of: CelExpression; readonly field: string; readonly at: number }
  /** A function, a method (with a target) or an operator, which is a function of a name such as `_==_`. */
  | {
      readonly kind: 'call'
      readonly name: string
      readonly target: CelExpression | null
      readonly args: readonly CelExpression[]
      readonly at: number
    }
  | { readonly kind: 'list'; readonly elements: readonly CelExpression[]; readonly at: number }
  | { readonly kind: 'map'; readonly entries: readonly (readonly [CelExpression, CelExpression])[]; readonly at: number }
  | CelLoop

/** A macro over a list or the keys of a map. `filter` is a map whose transform is the item itself. */
export interface CelLoop {
  readonly kind: 'loop'
  readonly macro: 'exists' | 'all' | 'exists_one' | 'map'
  readonly range: CelExpression
  /** The name of the variable that takes each element. */
  readonly item: string
  /** null = every element is taken. */
  readonly test: CelExpression | null
  readonly transform: CelExpression | null
  readonly at: number
}

/** An expression that does not parse, or uses what is not served; with the offset of the fault. */
export class CelSyntaxError extends Error {
  readonly at: number
  constructor(message: string, at: number) {
    super(message)
    this.name = 'CelSyntaxError'
    this.at = at
  }
}

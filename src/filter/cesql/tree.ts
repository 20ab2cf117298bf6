/** The three types of CESQL: String, Integer (32 bit) and Boolean. CESQL 1.0 §3.1 */
export type Value = string | number | boolean
export type Type = 'string' | 'integer' | 'boolean'

export type ComparisonOperator = '=' | '!=' | '<' | '<=' | '>' | '>='
export type MathOperator = '+' | '-' | '*' | '/' | '%'
export type LogicOperator = 'AND' | 'OR' | 'XOR'

/** What an expression parses to. `at` is the offset in its text. */
export type Tree =
  | { readonly kind: 'literal'; readonly value: Value }
  | { readonly kind: 'attribute'; readonly name: string }
  | { readonly kind: 'exists'; readonly name: string }
  | { readonly kind: 'not' | 'minus'; readonly of: Tree }
  | { readonly kind: 'compare'; readonly operator: ComparisonOperator; readonly left: Tree; readonly right: Tree }
  | { readonly kind: 'math'; readonly operator: MathOperator; readonly left: Tree; readonly right: Tree }
  | { readonly kind: 'logic'; readonly operator: LogicOperator; readonly left: Tree; readonly right: Tree }
  | { readonly kind: 'like'; readonly of: Tree; readonly pattern: string }
  | { readonly kind: 'in'; readonly of: Tree; readonly set: readonly Tree[] }
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly Tree[] }

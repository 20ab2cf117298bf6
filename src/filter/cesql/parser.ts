import { checkLength, syntaxFault } from '../syntax.ts'
import { type Token, tokens } from './lexer.ts'
import type { ComparisonOperator, LogicOperator, MathOperator, Tree } from './tree.ts'

/** Brackets, signs and NOTs within each other; deeper is an attack on the stack. */
export const DEEPEST_CESQL = 100

const COMPARISONS: readonly string[] = ['=', '!=', '<', '<=', '>', '>=']
const LARGEST_INTEGER = 2_147_483_647

/**
 * Parses an expression; throws a Fault `filter.syntax` with the column. Precedence is that of the grammar of the
 * specification, which Knative uses: NOT and - bind closest, then LIKE and IN, then * / %, + -, the comparisons, and
 * last AND, OR and XOR, which are equal among themselves and group from the right: `a AND b OR c` is `a AND (b OR c)`.
 */
export function parseCesql(expression: string): Tree {
  checkLength('cesql', expression)
  return new Parser(expression).whole()
}

class Parser {
  readonly #expression: string
  readonly #tokens: readonly Token[]
  #next = 0
  #depth = 0

  constructor(expression: string) {
    this.#expression = expression
    this.#tokens = tokens(expression)
  }

  whole(): Tree {
    const tree = this.#logic()
    if (this.#peek().kind !== 'end') throw this.#fault('an operator or the end is expected')
    return tree
  }

  #logic(): Tree {
    const operands = [this.#comparison()]
    const operators: LogicOperator[] = []
    while (this.#is('keyword', 'AND') || this.#is('keyword', 'OR') || this.#is('keyword', 'XOR')) {
      operators.push(this.#take().text as LogicOperator)
      operands.push(this.#comparison())
    }
    let tree = operands.pop()!
    for (let i = operators.length - 1; i >= 0; i--) {
      tree = { kind: 'logic', operator: operators[i]!, left: operands[i]!, right: tree }
    }
    return tree
  }

  #comparison(): Tree {
    let left = this.#sum()
    while (this.#peek().kind === 'symbol' && COMPARISONS.includes(this.#peek().text)) {
      const operator = this.#take().text as ComparisonOperator
      left = { kind: 'compare', operator, left, right: this.#sum() }
    }
    return left
  }

  #sum(): Tree {
    let left = this.#product()
    while (this.#is('symbol', '+') || this.#is('symbol', '-')) {
      const operator = this.#take().text as MathOperator
      left = { kind: 'math', operator, left, right: this.#product() }
    }
    return left
  }

  #product(): Tree {
    let left = this.#membership()
    while (this.#is('symbol', '*') || this.#is('symbol', '/') || this.#is('symbol', '%')) {
      const operator = this.#take().text as MathOperator
      left = { kind: 'math', operator, left, right: this.#membership() }
    }
    return left
  }

  /** `x [NOT] LIKE 'pattern'` and `x [NOT] IN (…)`. */
  #membership(): Tree {
    let of = this.#unary()
    for (;;) {
      const negated = this.#is('keyword', 'NOT')
      const operator = this.#tokens[this.#next + (negated ? 1 : 0)]!
      if (operator.kind !== 'keyword' || (operator.text !== 'LIKE' && operator.text !== 'IN')) return of
      if (negated) this.#take()
      this.#take()
      const tree: Tree =
        operator.text === 'LIKE'
          ? { kind: 'like', of, pattern: this.#expect('string', null, "a pattern in quotes, such as 'abc%',").text }
          : { kind: 'in', of, set: this.#list() }
      of = negated ? { kind: 'not', of: tree } : tree
    }
  }

  #unary(): Tree {
    if (++this.#depth > DEEPEST_CESQL) {
      throw syntaxFault('cesql', this.#expression, this.#peek().at, `nested deeper than ${DEEPEST_CESQL}`)
    }
    const tree = this.#unaryWithin()
    this.#depth--
    return tree
  }

  #unaryWithin(): Tree {
    if (this.#is('keyword', 'NOT')) {
      this.#take()
      return { kind: 'not', of: this.#unary() }
    }
    const sign = this.#peek()
    if (this.#is('symbol', '-') || this.#is('symbol', '+')) {
      this.#take()
      // A sign right before digits belongs to the number: the lowest Integer has no positive twin.
      if (this.#peek().kind === 'integer') return this.#integer(sign.text === '-' ? -1 : 1)
      if (sign.text === '-') return { kind: 'minus', of: this.#unary() }
      throw this.#fault('digits are expected')
    }
    return this.#atom()
  }

  #atom(): Tree {
    const token = this.#peek()
    if (token.kind === 'integer') return this.#integer(1)
    if (token.kind === 'string') return { kind: 'literal', value: this.#take().text }
    if (token.kind === 'name') return this.#name()
    if (this.#is('symbol', '(')) {
      this.#take()
      const tree = this.#logic()
      this.#expect('symbol', ')', "')'")
      return tree
    }
    if (this.#is('keyword', 'TRUE') || this.#is('keyword', 'FALSE')) {
      return { kind: 'literal', value: this.#take().text === 'TRUE' }
    }
    if (this.#is('keyword', 'EXISTS')) {
      this.#take()
      return { kind: 'exists', name: this.#attribute(this.#expect('name', null, 'the name of an attribute')) }
    }
    throw this.#fault('a value is expected: an attribute, a literal, a function or an expression in brackets')
  }

  #name(): Tree {
    const token = this.#take()
    if (!this.#is('symbol', '(')) return { kind: 'attribute', name: this.#attribute(token) }
    if (!/^[A-Za-z]/.test(token.text)) {
      throw syntaxFault('cesql', this.#expression, token.at, `a function's name starts with a letter, not as '${token.text}'`)
    }
    return { kind: 'call', name: token.text.toUpperCase(), args: this.#list(true) }
  }

  #attribute(token: Token): string {
    if (token.text.includes('_')) {
      const what = `'${token.text}' is no attribute: names have letters and digits only`
      throw syntaxFault('cesql', this.#expression, token.at, what)
    }
    return token.text.toLowerCase()
  }

  #list(mayBeEmpty = false): readonly Tree[] {
    this.#expect('symbol', '(', "'('")
    const out: Tree[] = []
    if (mayBeEmpty && this.#is('symbol', ')')) {
      this.#take()
      return out
    }
    for (;;) {
      out.push(this.#logic())
      if (!this.#is('symbol', ',')) break
      this.#take()
    }
    this.#expect('symbol', ')', "',' or ')'")
    return out
  }

  #integer(sign: 1 | -1): Tree {
    const token = this.#take()
    const value = sign * Number(token.text)
    if (value > LARGEST_INTEGER || value < -LARGEST_INTEGER - 1) {
      const what = `${value} is no Integer: from -2147483648 to 2147483647 are allowed`
      throw syntaxFault('cesql', this.#expression, token.at, what)
    }
    return { kind: 'literal', value: value === 0 ? 0 : value }
  }

  #peek(): Token {
    return this.#tokens[this.#next]!
  }

  #take(): Token {
    return this.#tokens[this.#next++]!
  }

  #is(kind: Token['kind'], text: string): boolean {
    const token = this.#peek()
    return token.kind === kind && token.text === text
  }

  #expect(kind: Token['kind'], text: string | null, words: string): Token {
    const token = this.#peek()
    if (token.kind !== kind || (text !== null && token.text !== text)) throw this.#fault(`${words} is expected`)
    return this.#take()
  }

  #fault(wanted: string): Error {
    const token = this.#peek()
    const found = token.kind === 'end' ? 'the expression ends' : `'${token.text}' stands`
    return syntaxFault('cesql', this.#expression, token.at, `${found} where ${wanted}`)
  }
}

import { syntaxFault } from '../syntax.ts'

export interface Token {
  /** `keyword` and `symbol` are told apart by their text, which is in upper case. */
  readonly kind: 'keyword' | 'symbol' | 'name' | 'integer' | 'string' | 'end'
  readonly text: string
  /** Offset in the expression. */
  readonly at: number
}

const KEYWORDS = new Set(['AND', 'OR', 'XOR', 'NOT', 'LIKE', 'EXISTS', 'IN', 'TRUE', 'FALSE'])
const SPACE = /[ \t\r\n]+/y
const WORD = /[A-Za-z0-9_]+/y
const STRING = /'(?:\\[\s\S]|''|[^'\\])*'|"(?:\\[\s\S]|""|[^"\\])*"/y
const SYMBOL = /!=|<>|<=|>=|[=<>+\-*/%(),]/y

/** Splits an expression into tokens, the last one `end`. Keywords are case-insensitive. CESQL 1.0 §2 */
export function tokens(expression: string): readonly Token[] {
  const out: Token[] = []
  let at = 0
  const take = (pattern: RegExp): string | null => {
    pattern.lastIndex = at
    return pattern.exec(expression)?.[0] ?? null
  }
  while (at < expression.length) {
    const space = take(SPACE)
    if (space !== null) {
      at += space.length
      continue
    }
    const text = take(WORD) ?? take(STRING) ?? take(SYMBOL)
    if (text === null) throw syntaxFault('cesql', expression, at, whatIsWrong(expression[at]!))
    out.push(tokenOf(text, at))
    at += text.length
  }
  out.push({ kind: 'end', text: 'the end', at })
  return out
}

function tokenOf(text: string, at: number): Token {
  const first = text[0]!
  if (first === "'" || first === '"') return { kind: 'string', text: unquoted(text, first), at }
  if (/^[0-9]+$/.test(text)) return { kind: 'integer', text, at }
  if (!/^[A-Za-z0-9_]/.test(text)) return { kind: 'symbol', text: text === '<>' ? '!=' : text, at }
  const upper = text.toUpperCase()
  return KEYWORDS.has(upper) ? { kind: 'keyword', text: upper, at } : { kind: 'name', text, at }
}

/** Only the quote itself is escaped in a string, by a backslash or by doubling it; other backslashes belong to LIKE. */
function unquoted(text: string, quote: string): string {
  return text
    .slice(1, -1)
    .replaceAll(`\\${quote}`, quote)
    .replaceAll(quote + quote, quote)
}

function whatIsWrong(character: string): string {
  return character === "'" || character === '"'
    ? `the string that starts here has no closing ${character}`
    : `'${character}' means nothing here`
}

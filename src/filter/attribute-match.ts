import type { ClauseResult } from '../contract/filter.ts'
import type { AttributeValue, CloudEvent } from '../event/event.ts'
import type { Anchor, Clause, Need } from './clause.ts'
import { attributeReader, shown, textOf } from './attribute.ts'

export type AttributeDialect = 'exact' | 'prefix' | 'suffix' | 'attributes'

interface Rule {
  readonly holds: (text: string, wanted: string) => boolean
  readonly how: Anchor['how']
  readonly words: string
}

const IS: Rule = { holds: (text, wanted) => text === wanted, how: 'is', words: 'is' }
const STARTS: Rule = { holds: (text, wanted) => text.startsWith(wanted), how: 'starts', words: 'starts with' }
const ENDS: Rule = { holds: (text, wanted) => text.endsWith(wanted), how: 'ends', words: 'ends with' }
/** The old `filter.attributes`: an empty wanted value asks for any value that is not empty. */
const PRESENT: Rule = { holds: (text) => text !== '', how: 'starts', words: 'is there and not empty' }

interface Part {
  readonly name: string
  readonly wanted: string
  readonly rule: Rule
  readonly read: (e: CloudEvent) => AttributeValue | undefined
}

/**
 * The dialects that compare attributes with texts; all entries must hold. Values that are no text are compared by their
 * canonical text, so that an event matches the same however it was sent. null for no entries at all: it says nothing.
 */
export function compileAttributes(dialect: AttributeDialect, wanted: Readonly<Record<string, string>>): Clause | null {
  const parts = Object.entries(wanted).map(([name, text]): Part => {
    return { name, wanted: text, rule: ruleOf(dialect, text), read: attributeReader(name) }
  })
  return parts.length === 0 ? null : new AttributeClause(dialect, parts)
}

function ruleOf(dialect: AttributeDialect, wanted: string): Rule {
  if (dialect === 'prefix') return STARTS
  if (dialect === 'suffix') return ENDS
  return dialect === 'attributes' && wanted === '' ? PRESENT : IS
}

class AttributeClause implements Clause {
  readonly #dialect: AttributeDialect
  readonly #parts: readonly Part[]
  readonly needs: readonly Need[]

  constructor(dialect: AttributeDialect, parts: readonly Part[]) {
    this.#dialect = dialect
    this.#parts = parts
    this.needs = parts
      .filter((p) => p.rule.how === 'is' || p.wanted !== '')
      .map((p) => [{ attribute: p.name, how: p.rule.how, text: p.wanted }])
  }

  matches(event: CloudEvent): boolean {
    const parts = this.#parts
    for (let i = 0; i < parts.length; i++) if (!holds(parts[i]!, event)) return false
    return true
  }

  explain(event: CloudEvent, path: string, out: ClauseResult[]): boolean {
    let matched = true
    for (const part of this.#parts) {
      const holding = holds(part, event)
      matched &&= holding
      const wish = part.rule === PRESENT ? PRESENT.words : `${part.rule.words} '${part.wanted}'`
      out.push({
        clause: `${path}${this.#dialect}.${part.name}`,
        matched: holding,
        why: `wanted: ${part.name} ${wish}; it is ${shown(part.read(event))}`,
      })
    }
    return matched
  }
}

function holds(part: Part, event: CloudEvent): boolean {
  const value = part.read(event)
  if (value === undefined) return false
  return part.rule.holds(typeof value === 'string' ? value : textOf(value), part.wanted)
}

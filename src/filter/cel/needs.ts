import type { CelExpression } from '../../vendor/cel/expression.ts'
import { type Need, needsOfAll, needsOfAny } from '../clause.ts'

const EVENT = ['ce', 'event']

/**
 * What must hold of every event for which the expression is true; for the trigger index. A failing part of && or || is
 * never true by itself, so what is needed is what the parts that are true need.
 */
export function needsOfCel(e: CelExpression): readonly Need[] {
  if (e.kind !== 'call') return []
  const [first, second] = e.args
  switch (e.name) {
    case '_&&_':
      return needsOfAll(e.args.map(needsOfCel))
    case '_||_':
      return needsOfAny(e.args.map(needsOfCel))
    case '_==_':
      return needsOfEquality(first!, second!) ?? needsOfEquality(second!, first!) ?? []
    case '@in':
      return needsOfMembership(first!, second!)
    case 'startsWith':
      return needsOfText(e.target, first, 'starts')
    case 'endsWith':
      return needsOfText(e.target, first, 'ends')
    default:
      return []
  }
}

/** `ce.type`, `event.type`, `ce['type']`: the name of the attribute. */
function attributeOf(e: CelExpression | null): string | null {
  if (e === null) return null
  if (e.kind === 'select') return isEvent(e.of) ? e.field : null
  if (e.kind !== 'call' || e.name !== '_[_]') return null
  const [of, key] = e.args
  return of !== undefined && isEvent(of) ? textOf(key) : null
}

/** No macro around it can have taken the name for its own: only the top of an expression is looked at. */
function isEvent(e: CelExpression): boolean {
  return e.kind === 'name' && EVENT.includes(e.name)
}

function textOf(e: CelExpression | undefined): string | null {
  return e?.kind === 'constant' && typeof e.value === 'string' ? e.value : null
}

function needsOfEquality(of: CelExpression, value: CelExpression): readonly Need[] | null {
  const attribute = attributeOf(of)
  const text = textOf(value)
  return attribute === null || text === null ? null : [[{ attribute, how: 'is', text }]]
}

function needsOfMembership(of: CelExpression, list: CelExpression): readonly Need[] {
  const attribute = attributeOf(of)
  if (attribute === null || list.kind !== 'list') return []
  const texts = list.elements.map(textOf)
  // An element that is no text never equals an attribute that is one, but may equal one that is none.
  if (texts.includes(null)) return []
  return needsOfAny(texts.map((text) => [[{ attribute, how: 'is', text: text! }]]))
}

function needsOfText(of: CelExpression | null, argument: CelExpression | undefined, how: 'starts' | 'ends'): readonly Need[] {
  const attribute = attributeOf(of)
  const text = textOf(argument)
  return attribute === null || text === null || text === '' ? [] : [[{ attribute, how, text }]]
}

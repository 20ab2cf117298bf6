import type { CelExpression } from '../../vendor/cel/expression.ts'
import { type Anchor, type Need, needsOfAll, needsOfAny } from '../clause.ts'

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

/** `ce.type`, `event.type`, `ce['type']`: the attribute; `data.a.b`: the text at that path of the data. */
function placeOf(e: CelExpression | null): Place | null {
  const names: string[] = []
  let at = e
  while (at !== null && at.kind !== 'name') {
    const field = fieldOf(at)
    if (field === null) return null
    names.unshift(field.name)
    at = field.of
  }
  const [first] = names
  if (at === null || first === undefined) return null
  // No macro around it can have taken the name for its own: only the top of an expression is looked at.
  if (at.name === 'data') return { attribute: names.join('\0'), path: names }
  return EVENT.includes(at.name) && names.length === 1 ? { attribute: first } : null
}

type Place = Pick<Anchor, 'attribute' | 'path'>

function fieldOf(e: CelExpression): { readonly of: CelExpression; readonly name: string } | null {
  if (e.kind === 'select') return { of: e.of, name: e.field }
  if (e.kind !== 'call' || e.name !== '_[_]') return null
  const [of, key] = e.args
  const name = textOf(key)
  return of === undefined || name === null ? null : { of, name }
}

function textOf(e: CelExpression | undefined): string | null {
  return e?.kind === 'constant' && typeof e.value === 'string' ? e.value : null
}

function needsOfEquality(of: CelExpression, value: CelExpression): readonly Need[] | null {
  const place = placeOf(of)
  const text = textOf(value)
  return place === null || text === null ? null : [[{ ...place, how: 'is', text }]]
}

function needsOfMembership(of: CelExpression, list: CelExpression): readonly Need[] {
  const place = placeOf(of)
  if (place === null || list.kind !== 'list') return []
  const texts = list.elements.map(textOf)
  // An element that is no text never equals an attribute that is one, but may equal one that is none.
  if (texts.includes(null)) return []
  return needsOfAny(texts.map((text) => [[{ ...place, how: 'is', text: text! }]]))
}

function needsOfText(of: CelExpression | null, argument: CelExpression | undefined, how: 'starts' | 'ends'): readonly Need[] {
  const place = placeOf(of)
  const text = textOf(argument)
  return place === null || text === null || text === '' ? [] : [[{ ...place, how, text }]]
}

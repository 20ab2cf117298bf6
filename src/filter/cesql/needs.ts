import type { Anchor, Need } from '../clause.ts'
import { needsOfAll, needsOfAny } from '../clause.ts'
import { likeEnds } from './like.ts'
import type { Tree } from './tree.ts'

/** What must hold of every event for which the expression is true without a failure; for the trigger index. */
export function needsOf(tree: Tree): readonly Need[] {
  switch (tree.kind) {
    case 'logic':
      if (tree.operator === 'AND') return needsOfAll([needsOf(tree.left), needsOf(tree.right)])
      // A failing operand fails the whole, so a match has one that is true.
      return tree.operator === 'OR' ? needsOfAny([needsOf(tree.left), needsOf(tree.right)]) : []
    case 'compare':
      return tree.operator === '=' ? needsOfEquality(tree.left, tree.right) : []
    case 'in':
      return needsOfMembership(tree.of, tree.set)
    case 'like':
      return tree.of.kind === 'attribute' ? needsOfPattern(tree.of.name, tree.pattern) : []
    default:
      return []
  }
}

function needsOfEquality(left: Tree, right: Tree): readonly Need[] {
  // The right operand says the type: a text there compares the attribute's canonical text.
  if (left.kind === 'attribute' && right.kind === 'literal' && typeof right.value === 'string') {
    return [[{ attribute: left.name, how: 'is', text: right.value }]]
  }
  if (right.kind === 'attribute' && left.kind === 'literal' && typeof left.value === 'string' && canonical(left.value)) {
    return [[{ attribute: right.name, how: 'is', text: left.value }]]
  }
  return []
}

function needsOfMembership(of: Tree, set: readonly Tree[]): readonly Need[] {
  if (of.kind !== 'attribute') return []
  const anchors: Anchor[] = []
  for (const element of set) {
    if (element.kind !== 'literal' || typeof element.value !== 'string' || !canonical(element.value)) return []
    anchors.push({ attribute: of.name, how: 'is', text: element.value })
  }
  return needsOfAny(anchors.map((a) => [[a]]))
}

function needsOfPattern(name: string, pattern: string): readonly Need[] {
  const { whole, start, end } = likeEnds(pattern)
  if (whole !== null) return [[{ attribute: name, how: 'is', text: whole }]]
  const needs: Need[] = []
  if (start !== '') needs.push([{ attribute: name, how: 'starts', text: start }])
  if (end !== '') needs.push([{ attribute: name, how: 'ends', text: end }])
  return needs
}

/**
 * Whether a text cast to the type of an attribute equals only an attribute of that very text: '05' equals the Integer 5
 * and 'TRUE' the Boolean true, whose texts are others.
 */
function canonical(text: string): boolean {
  if (/^[+-]?[0-9]+$/.test(text)) return /^(0|-?[1-9][0-9]*)$/.test(text)
  return !/^(true|false)$/i.test(text) || text === text.toLowerCase()
}

import { describe, expect, test } from 'vitest'
import { DEEPEST_CESQL, parseCesql } from '../../../src/filter/cesql/parser.ts'
import { compileProgram } from '../../../src/filter/cesql/program.ts'
import type { Tree } from '../../../src/filter/cesql/tree.ts'
import { LONGEST_EXPRESSION } from '../../../src/filter/syntax.ts'
import { Fault } from '../../../src/runtime/errors.ts'
import { eventOf } from '../events.ts'

function faultOf(expression: string): string {
  try {
    parseCesql(expression)
  } catch (e) {
    if (e instanceof Fault && e.code === 'filter.syntax') return e.message
    throw e
  }
  return 'no fault'
}

/** The tree with every operation in brackets. */
function bracketed(tree: Tree): string {
  switch (tree.kind) {
    case 'literal':
      return String(tree.value)
    case 'attribute':
      return tree.name
    case 'exists':
      return `(EXISTS ${tree.name})`
    case 'not':
    case 'minus':
      return `(${tree.kind} ${bracketed(tree.of)})`
    case 'compare':
    case 'math':
    case 'logic':
      return `(${bracketed(tree.left)} ${tree.operator} ${bracketed(tree.right)})`
    case 'like':
      return `(${bracketed(tree.of)} LIKE ${tree.pattern})`
    case 'in':
      return `(${bracketed(tree.of)} IN ${tree.set.map(bracketed).join(',')})`
    case 'call':
      return `${tree.name}[${tree.args.map(bracketed).join(',')}]`
  }
}

describe('a fault says its column and what is allowed', () => {
  test.for([
    ["type = 'a' AND", 'column 15: the expression ends where a value is expected'],
    ["type == 'a'", "column 7: '=' stands where a value is expected"],
    ["type = 'a", "column 8: the string that starts here has no closing '"],
    ['type = "a\'', 'column 8: the string that starts here has no closing "'],
    ['type LIKE 12', "column 11: '12' stands where a pattern in quotes"],
    ['type IN ()', "column 10: ')' stands where a value is expected"],
    ["(type = 'a'", "column 12: the expression ends where ')' is expected"],
    ["type = 'a')", "column 11: ')' stands where an operator or the end is expected"],
    ['a & b', "column 3: '&' means nothing here"],
    ['my_ext = 1', "column 1: 'my_ext' is no attribute"],
    ['EXISTS 1', "column 8: '1' stands where the name of an attribute is expected"],
    ['ABC(', 'column 5: the expression ends where a value is expected'],
    ['1 + 2147483648', 'column 5: 2147483648 is no Integer'],
    ['-2147483649', 'column 2: -2147483649 is no Integer'],
    ['a = 1\nAND b = = 2', 'line 2, column 9'],
    ['_F(1)', "column 1: a function's name starts with a letter"],
    ['+a', "column 2: 'a' stands where digits are expected"],
    ['', 'column 1: the expression ends where a value is expected'],
  ])('%s', ([expression, words]) => {
    expect(faultOf(expression!)).toContain(words)
  })
})

describe('operators bind as in the grammar of the specification', () => {
  test.for([
    ['1 + 2 * 3 - 4', '((1 + (2 * 3)) - 4)'],
    ['a = 1 AND b = 2 OR c = 3', '((a = 1) AND ((b = 2) OR (c = 3)))'],
    ['NOT a = b', '((not a) = b)'],
    ["NOT a LIKE 'x' AND TRUE", '(((not a) LIKE x) AND true)'],
    ["a NOT LIKE 'x'", '(not (a LIKE x))'],
    ['a NOT IN (1, 2) = TRUE', '((not (a IN 1,2)) = true)'],
    ['1 < 2 = TRUE', '((1 < 2) = true)'],
    ['--1 - -2', '((minus -1) - -2)'],
    ['4 -1', '(4 - 1)'],
    ['f(a, g()) <> 1', '(F[a,G[]] != 1)'],
    ['EXISTS A AND exists b', '((EXISTS a) AND (EXISTS b))'],
    ['\'it\'\'s\' = "\\"q\\""', '(it\'s = "q")'],
    ['+5', '5'],
    ['-0', '0'],
  ])('%s', ([expression, tree]) => {
    expect(bracketed(parseCesql(expression!))).toBe(tree)
  })
})

describe('an expression is bounded', () => {
  test.for(['(', 'NOT ', '-', 'ABS('])('in depth: %s', (open) => {
    const close = open.endsWith('(') ? ')' : ''
    const nested = (n: number): string => `${open.repeat(n)}a${close.repeat(n)}`
    expect(faultOf(nested(DEEPEST_CESQL - 1))).toBe('no fault')
    expect(faultOf(nested(DEEPEST_CESQL))).toMatch(/nested deeper than 100/)
    expect(faultOf(nested(1_500))).toMatch(/nested deeper than 100/)
  })

  test('in length; the longest still evaluates', () => {
    const many = (n: number): string => 'a = 1 AND '.repeat(n) + 'b = 2'
    const longest = many(Math.floor((LONGEST_EXPRESSION - 5) / 10))
    expect(compileProgram(parseCesql(longest)).evaluate(eventOf({ a: '1', b: '2' }))).toBe(true)
    expect(faultOf(many(LONGEST_EXPRESSION / 10))).toMatch(/at most 8192 are allowed/)
  })
})

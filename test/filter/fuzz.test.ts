import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compileFilter } from '../../src/filter/compile.ts'
import { Fault } from '../../src/runtime/errors.ts'
import { jsonEvent } from './events.ts'

const RUNS = 10_000
const event = jsonEvent({ a: [1, 'x', { b: null }], s: 'text', n: 5 }, { type: 'a', level: 5, flag: true, subject: 'x' })

const CESQL = [
  'type',
  'level',
  'missing',
  "'a'",
  '"b%"',
  '5',
  '-',
  'NOT',
  'AND',
  'or',
  'XOR',
  '=',
  '!=',
  '<>',
  '<',
  '>=',
  '+',
  '*',
  '/',
  '%',
  '(',
  ')',
  ',',
  'LIKE',
  'IN',
  'EXISTS',
  'TRUE',
  'LENGTH(',
  'SUBSTRING(',
  'CONCAT(',
  'ABS(',
  "'",
  '\\',
  '_',
  '2147483648',
  ' ',
  'é',
  '\u0000',
]
const CEL = [
  'ce',
  'event',
  'data',
  '.type',
  '.a',
  '.s',
  '.missing',
  '[0]',
  "['b']",
  '[',
  ']',
  '(',
  ')',
  '{',
  '}',
  ':',
  ',',
  '?',
  '==',
  '!=',
  '<',
  '+',
  '-',
  '*',
  '/',
  '%',
  '!',
  '&&',
  '||',
  ' in ',
  'true',
  'null',
  '1',
  '2u',
  '3.5',
  '-9223372036854775808',
  "'x'",
  "b'x'",
  'r"\\d"',
  '"\\u00',
  '.exists(x, x',
  '.map(x, x)',
  '.filter(y, ',
  '.all(',
  'has(',
  'size(',
  'int(',
  'string(',
  'timestamp(',
  'duration(',
  'type(',
  "matches('(a",
  '.matches(',
  '.startsWith(',
  "'",
  '`',
  '\u0000',
  'é',
  '//',
  '\n',
  'dyn(',
  '.getFullYear()',
  'bytes(',
]

function pieces(of: readonly string[]): fc.Arbitrary<string> {
  const spaced = fc.array(fc.constantFrom(...of), { maxLength: 14 }).map((parts) => parts.join(' '))
  const dense = fc.array(fc.constantFrom(...of), { maxLength: 14 }).map((parts) => parts.join(''))
  return fc.oneof(
    { weight: 5, arbitrary: spaced },
    { weight: 5, arbitrary: dense },
    { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
  )
}

/** The message of a refusal, null where the text is an expression; any other throw goes on. */
function refusal(dialect: 'cesql' | 'cel', expression: string, failures: string[]): string | null {
  try {
    const filter = compileFilter({ dialect, expression })
    const before = failures.length
    const matched = filter.matches(event, (why) => failures.push(why))
    const failed = failures.length - before
    filter.explain(event)
    // One clause either answers or fails, and says so once.
    if (failed > 1 || (matched && failed > 0)) throw new Error(`matches and fails: ${expression}`)
    return null
  } catch (e) {
    if (e instanceof Fault && e.code === 'filter.syntax') return e.message
    throw e
  }
}

test.for<['cesql' | 'cel', readonly string[]]>([
  ['cesql', CESQL],
  ['cel', CEL],
])('any text as %s is refused with a place, or answers, in bounded time', { timeout: 120_000 }, ([dialect, words]) => {
  const failures: string[] = []
  const refusals: string[] = []
  let seen = 0
  let slowestMs = 0
  fc.assert(
    fc.property(pieces(words), (expression) => {
      const startMs = performance.now()
      const refused = refusal(dialect, expression, failures)
      slowestMs = Math.max(slowestMs, performance.now() - startMs)
      if (refused !== null) refusals.push(refused)
      seen++
    }),
    { numRuns: RUNS },
  )
  expect(seen).toBe(RUNS)
  expect(refusals.length).toBeGreaterThan(1_000)
  expect(RUNS - refusals.length).toBeGreaterThan(100)
  expect(refusals.filter((message) => !/column \d+/.test(message))).toEqual([])
  expect(failures.filter((why) => /undefined|invariant|not a function|Cannot read/.test(why))).toEqual([])
  expect(slowestMs).toBeLessThan(1_000)
})

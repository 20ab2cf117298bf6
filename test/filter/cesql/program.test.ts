import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compileLike } from '../../../src/filter/cesql/like.ts'
import { parseCesql } from '../../../src/filter/cesql/parser.ts'
import { compileProgram } from '../../../src/filter/cesql/program.ts'
import { eventOf } from '../events.ts'

function evaluated(expression: string, attributes: Record<string, unknown> = {}): unknown {
  const program = compileProgram(parseCesql(expression))
  const value = program.evaluate(eventOf(attributes))
  return program.failure === null ? value : { value, kind: program.failure.kind, why: program.failure.why }
}

describe('what the kit leaves open', () => {
  test.for([
    ['2147483647 + 1', 'math'],
    ['-2147483648 - 1', 'math'],
    ['65536 * 65536', 'math'],
    ['-2147483648 / -1', 'math'],
    ['-(-2147483648)', 'math'],
    ["'a' < 1", 'cast'],
    ["'2147483648' = 1", 'cast'],
    ['1 AND TRUE', 'cast'],
    ['TRUE XOR 1', 'cast'],
    ["1 IN ('x')", 'cast'],
    ["LEFT('abc', 'x')", 'cast'],
    ["BOOL('x') OR TRUE", 'cast'],
    ["SUBSTRING('abc', 1, -1)", 'functionEvaluation'],
    ['NOSUCH(1)', 'missingFunction'],
    ["LENGTH('a', 'b')", 'missingFunction'],
  ])('%s is a %s error', ([expression, kind]) => {
    expect(evaluated(expression!)).toMatchObject({ kind })
  })

  test.for<[string, unknown]>([
    ['-7 / 2', -3],
    ['-7 % 2', -1],
    ["'true' = TRUE", true],
    ["5 = '5'", true],
    ["level = '5'", true],
    ["bin = 'AQI='", true],
    ["LENGTH('a😀b')", 3],
    ["LEFT('😀bc', 1)", '😀'],
    ["RIGHT('ab😀', 1)", '😀'],
    ["SUBSTRING('a😀b', 2, 1)", '😀'],
    ["'a😀b' LIKE 'a_b'", true],
    ["RIGHT('abc', 0)", ''],
    ["CONCAT(1, TRUE, 'x')", '1truex'],
    ['FALSE AND NOSUCH()', false],
    ['EXISTS level AND EXISTS LEVEL', true],
    [
      "hasOwnProperty = 'x' OR TRUE",
      { value: false, kind: 'missingAttribute', why: 'the event has no attribute hasownproperty' },
    ],
  ])('%s', ([expression, value]) => {
    expect(evaluated(expression, { level: 5, bin: new Uint8Array([1, 2]) })).toEqual(value)
  })

  test('a function of the object prototype is none of the language', () => {
    expect(evaluated('CONSTRUCTOR()')).toMatchObject({ kind: 'missingFunction' })
  })

  test('a failure of one event is forgotten with the next', () => {
    const program = compileProgram(parseCesql('level = 5'))
    program.evaluate(eventOf({}))
    expect(program.failure?.kind).toBe('missingAttribute')
    expect(program.evaluate(eventOf({ level: '5' }))).toBe(true)
    expect(program.failure).toBeNull()
  })
})

describe('LIKE', () => {
  /** The definition, by recursion over both. */
  function like(text: readonly string[], pattern: readonly string[]): boolean {
    const [p, ...rest] = pattern
    if (p === undefined) return text.length === 0
    if (p === '%') return Array.from({ length: text.length + 1 }, (_, i) => i).some((i) => like(text.slice(i), rest))
    if (p === '\\' && (rest[0] === '%' || rest[0] === '_')) return text[0] === rest[0] && like(text.slice(1), rest.slice(1))
    return text.length > 0 && (p === '_' || text[0] === p) && like(text.slice(1), rest)
  }

  test('matches what its definition matches', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '%', '_', '\\', '😀'), maxLength: 9 })
    const patterns = fc.string({ unit: fc.constantFrom('a', 'b', '%', '%', '_', '\\', '😀'), maxLength: 7 })
    let matched = 0
    fc.assert(
      fc.property(letters, patterns, (text, pattern) => {
        const wanted = like(Array.from(text), Array.from(pattern))
        expect(compileLike(pattern)(text)).toBe(wanted)
        if (wanted) matched++
      }),
      { numRuns: 5_000 },
    )
    expect(matched).toBeGreaterThan(300)
  })

  test('finds long segments with _ across the words of its state', () => {
    const segment = `${'ab'.repeat(40)}_${'ba'.repeat(40)}`
    const matches = compileLike(`%x${segment}y%`)
    const filled = segment.replace('_', 'z')
    expect(matches(`ab${'x'.repeat(5)}${filled}yab`)).toBe(true)
    expect(matches(`ab${'x'.repeat(5)}${filled.slice(1)}yab`)).toBe(false)
  })

  test.for([
    '%a%a%a%a%a%a%a%a%b',
    '%aaaaaaaaaaaaaaaaaaaaaaaaaab%',
    '%_a_a_a_a_a_a_a_a_b%c',
    `%${'a'.repeat(3_000)}b%`,
    `%_${'a'.repeat(3_000)}b%`,
  ])('takes a time linear in the text: %s', (pattern) => {
    const matches = compileLike(pattern)
    const text = 'a'.repeat(100_000)
    const startMs = performance.now()
    expect(matches(text)).toBe(false)
    // Walking back would take minutes; the slowest of these takes some 0.1 s on a small machine.
    expect(performance.now() - startMs).toBeLessThan(3_000)
  })
})

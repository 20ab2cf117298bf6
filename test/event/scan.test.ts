import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isJson, skipSpace, skipValue } from '../../src/event/scan.ts'
import { bytes } from './events.ts'

function parses(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

describe('the walk over JSON text', () => {
  test('takes exactly what JSON.parse takes', () => {
    const piece = fc.constantFrom(
      ...'{}[]:,"\\ \n-+.eE01tfn'.split(''),
      'true',
      'false',
      'null',
      '\\u00e9',
      '\\n',
      '1.5e-3',
      '"a"',
      '\u0001',
    )
    const soup = fc.array(piece, { maxLength: 12 }).map((parts) => parts.join(''))
    const almost = fc
      .tuple(fc.json(), fc.nat(), piece)
      .map(([json, at, put]) => json.slice(0, at % (json.length + 1)) + put + json.slice((at % (json.length + 1)) + 1))
    let good = 0
    fc.assert(
      fc.property(fc.oneof(soup, almost, fc.json()), (text) => {
        if (parses(text)) good++
        expect(isJson(bytes(text))).toBe(parses(text))
      }),
      { numRuns: 4000 },
    )
    expect(good).toBeGreaterThan(500)
  })
  test.for([
    ['{"a":[1,{"b":null}]}x', 20],
    ['"a\\"b" ,', 6],
    ['-0.5e+10]', 8],
    ['true,', 4],
    ['[]', 2],
  ] as const)('stops right behind %s', ([text, end]) => {
    expect(skipValue(bytes(text), 0)).toBe(end)
  })
  test.for([
    '',
    '-',
    '01',
    '1.',
    '1e',
    '.5',
    '"',
    '"\\x"',
    '"\\u12g4"',
    '"\t"',
    '{',
    '{"a"}',
    '{"a":1,}',
    '[1 2]',
    '[1,]',
    '{a:1}',
    'nul',
    '[}',
  ])('refuses %s', (text) => {
    expect(isJson(bytes(text))).toBe(false)
  })
  test('nests as deep as the bytes do, without a call a level', () => {
    const deep = 200_000
    expect(isJson(bytes('['.repeat(deep) + ']'.repeat(deep)))).toBe(true)
    expect(isJson(bytes('['.repeat(deep) + ']'.repeat(deep - 1)))).toBe(false)
  })
  test('knows the four kinds of white space and no other', () => {
    expect(skipSpace(bytes(' \t\r\nx'), 0)).toBe(4)
    expect(skipSpace(bytes('\u000bx'), 0)).toBe(0)
  })
})

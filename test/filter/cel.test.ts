import { describe, expect, test } from 'vitest'
import { compileFilter } from '../../src/filter/compile.ts'
import { Fault } from '../../src/runtime/errors.ts'
import { DEEPEST_CEL } from '../../src/vendor/cel/parse.ts'
import { eventOf, jsonEvent } from './events.ts'

function outcome(expression: string, event = eventOf({})): boolean | string {
  let why = ''
  const matched = compileFilter({ dialect: 'cel', expression }).matches(event, (reason) => {
    why = reason
  })
  return why === '' ? matched : why
}

function faultOf(expression: string): string {
  try {
    compileFilter({ dialect: 'cel', expression })
  } catch (e) {
    if (e instanceof Fault && e.code === 'filter.syntax') return e.message
    throw e
  }
  return 'no fault'
}

const order = jsonEvent(
  {
    chargeMoney: 25,
    kind: 'book',
    lines: [
      { sku: 'a', n: 2 },
      { sku: 'b', n: 0 },
    ],
    note: null,
    'x-y': 1,
    nested: { deep: { flag: true } },
  },
  { type: 'order', subject: 'o/1', priority: 7, urgent: true },
)

describe('a filter sees the attributes and the data', () => {
  test.for<[string, boolean]>([
    ["ce.type == 'order' && data.chargeMoney > 20.0", true],
    ["event.type == 'order' && data.chargeMoney > 25", false],
    ['data.chargeMoney == 25', true],
    ["ce.subject.startsWith('o/') && ce['id'] == 'id-1'", true],
    ['ce.priority == 7 && ce.priority + 1 == 8', true],
    ['ce.urgent', true],
    ["'subject' in ce && !('nosuch' in ce) && has(ce.type) && !has(ce.nosuch)", true],
    ['size(ce) == 8', true],
    ["ce.exists(name, name == 'priority')", true],
    ["data.lines.exists(l, l.sku == 'b' && l.n == 0)", true],
    ['data.lines.all(l, l.n > 0)', false],
    ["data.lines.map(l, l.sku) == ['a', 'b']", true],
    ["data.lines.filter(l, l.n > 0).size() == 1 && data.lines[0]['sku'] == 'a'", true],
    ['has(data.note) && data.note == null && !has(data.other)', true],
    ["data['x-y'] == 1 && data.nested.deep.flag", true],
    ["data.kind.matches('^b[a-z]+k$')", true],
    ["data.kind.matches('oo') && data.kind.matches('^bo') && data.kind.matches('ok$') && !data.kind.matches('^oo$')", true],
    ["timestamp('2026-01-01T00:00:00Z') < timestamp('2026-01-02T00:00:00Z')", true],
    ["data.nosuch == 1 || ce.type == 'order'", true],
    ["data.exists(k, k == 'kind') && 'kind' in data && size(data) == 6", true],
    ['type(data) == map && type(data.lines) == list && type(data.chargeMoney) == double', true],
    ['[1, 2].exists(ce, ce == 2) && {1: 2}[1] == 2', true],
    ["data == {'a': 1}", false],
    ['{"a": [1, {"b": 2.0}]} == {"a": [1.0, {"b": 2}]}', true],
  ])('%s', ([expression, matched]) => {
    expect(outcome(expression, order)).toBe(matched)
  })

  test('an array as data, a text as data', () => {
    expect(outcome('data[1] == 2 && size(data) == 3', jsonEvent([1, 2, 3]))).toBe(true)
    expect(outcome("data == 'x'", jsonEvent('x'))).toBe(true)
  })

  test('keys that objects inherit are no keys', () => {
    expect(outcome('has(data.constructor) || has(data.__proto__) || "toString" in data', jsonEvent({}))).toBe(false)
    const own = eventOf({}, Buffer.from('{"__proto__": {"a": 1}, "constructor": 2}'))
    expect(outcome('data.__proto__.a == 1 && data.constructor == 2', own)).toBe(true)
  })
})

describe('what cannot be evaluated does not match and says why', () => {
  test.for<[string, RegExp]>([
    ['data.nosuch == 1', /no such key: nosuch/],
    ['data.kind.sub == 1', /\.sub of what is no map/],
    ['data.lines[5].n == 1', /no such index/],
    ["data['nosuch'] == 1", /no such key/],
    ['data.kind + 1 == 2', /no matching overload/],
    ['data.kind && true', /&& of a string/],
    ['data.kind ? true : false', /\?: of a string/],
    ['!data.kind', /! of a string/],
    ['1 / 0 == 1', /division by zero/],
    ['9223372036854775807 + 1 == 1', /no int of 64 bits/],
    ['{1: 1, 1u: 2} == {}', /stands twice/],
    ['data.kind', /is a string, not true or false/],
    ['data.kind.matches(ce.type)', /must be written in the expression/],
    ['int(data.kind) == 1', /./],
    ['data.kind.exists(x, x)', /a string has no elements/],
    ['data.lines.exists(x, x)', /exists of a map/],
    ['data.lines.filter(x, x.sku) == []', /filter of a string/],
    ['data.lines.exists_one(x, x.sku)', /exists_one of a string/],
  ])('%s', ([expression, why]) => {
    expect(outcome(expression, order)).toMatch(why)
  })

  test('data that is no JSON, or is none', () => {
    expect(outcome('data.x == 1', eventOf({}, Buffer.from('<x/>')))).toMatch(/no JSON/)
    expect(outcome('data.x == 1', eventOf({}))).toMatch(/no data/)
    expect(outcome("ce.type == 'some.type' || data.x == 1", eventOf({}))).toBe(true)
  })
})

describe('what can never be evaluated is refused with its column', () => {
  test.for<[string, string]>([
    ["ce.type = 'a'", 'cel, column 9: found = but expecting'],
    ["ce.type == 'a' &&\n data.x +* 2", 'line 2, column 9: found +'],
    ['ce.type == "a', 'column 9'],
    ["foo.type == 'a'", 'column 1: there is no foo here, only ce, event, data'],
    ["ce.type == 'a' && nosuch(1)", 'column 19: there is no function nosuch'],
    ["data.x.matches('(a')", 'error parsing regexp'],
    ["data.x.matches('(a|b){3}(?=c)')", 'error parsing regexp'],
    [`data.x.matches('${'[a-z]'.repeat(101)}')`, 'the pattern has more than 500 characters'],
    ['a.b.c{x: 1}', 'there is no type'],
    ['99999999999999999999 == 1', 'is no int of 64 bits'],
    ['99999999999999999999u == 1u', 'is no uint of 64 bits'],
    ['x.exists(1, 2)', 'there is no x here'],
    ['"\\ud800" == ce.type', 'surrogate'],
    ['a.in == 1', 'column'],
  ])('%s', ([expression, words]) => {
    expect(faultOf(expression)).toContain(words)
  })

  test.for<[string, string, string]>([
    ['1 + (', '1', ')'],
    ['[', '1', '][0]'],
    ['size([', '1', '])'],
    ['data.map(x, ', 'x', ')'],
    ['true && (', 'true', ')'],
  ])('nesting is bounded: %s', ([open, middle, close]) => {
    const nested = (n: number): string => open.repeat(n) + middle + close.repeat(n)
    expect(faultOf(nested(60))).toBe('no fault')
    expect(faultOf(nested(DEEPEST_CEL + 1))).toMatch(/nested deeper than 250/)
    expect(faultOf(nested(600))).toMatch(/nested deeper than 250/)
  })

  test('length is bounded', () => {
    const long = (n: number): string => `ce.type == '${'a'.repeat(n)}'`
    expect(faultOf(long(8_000))).toBe('no fault')
    expect(faultOf(long(8_192))).toMatch(/at most 8192 are allowed/)
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { FilterExpression } from '../../src/contract/filter.ts'
import type { CloudEvent } from '../../src/event/event.ts'
import { DEEPEST_FILTER, compileFilter } from '../../src/filter/compile.ts'
import { createTriggerIndex } from '../../src/filter/trigger-index.ts'
import { eventOf } from './events.ts'

const attribute = fc.constantFrom('type', 'source', 'subject', 'id', 'tenant', 'level')
const text = fc.string({ unit: fc.constantFrom('a', 'b', '.'), minLength: 1, maxLength: 4 })
const value = fc.oneof({ weight: 6, arbitrary: text }, { weight: 1, arbitrary: fc.constantFrom('5', '05', 'true', 'TRUE') })

const anyData = fc.oneof(
  { weight: 6, arbitrary: text.map((s) => JSON.stringify({ n: 5, s, o: { s } })) },
  { weight: 1, arbitrary: fc.constantFrom('[1]', '"a"', '{"s":5,"n":"a"}', '{"o":[]}', '<xml/>') },
)

const anyEvent: fc.Arbitrary<CloudEvent> = fc
  .record(
    {
      type: value,
      source: value,
      id: value,
      subject: value,
      tenant: fc.oneof(value, fc.constantFrom(5, true)),
      level: fc.oneof(value, fc.constantFrom(5, false)),
    },
    { requiredKeys: ['type', 'source', 'id'] },
  )
  .chain((attributes) => anyData.map((data) => eventOf(attributes, Buffer.from(data))))

const attributes = fc.dictionary(attribute, value, { minKeys: 1, maxKeys: 2 })

/** Every kind of expression that the index takes apart, and some that it cannot. */
const expression: fc.Arbitrary<FilterExpression> = fc
  .tuple(attribute, value, attribute, value, fc.nat(15))
  .map(([a, v, b, w, form]): FilterExpression => {
    const cesql = [
      `${a} = '${v}'`,
      `${a} LIKE '${v}%' OR ${b} = '${w}'`,
      `${a} IN ('${v}', '${w}')`,
      `'${v}' = ${a}`,
      `NOT (${a} = '${v}') XOR EXISTS ${b}`,
      `${a} LIKE '%${v}' AND NOT EXISTS ${b}`,
    ]
    const cel = [
      `ce.${a} == '${v}' && event.${b} != '${w}'`,
      `ce.${a}.startsWith('${v}') || has(ce.${b})`,
      `ce.${a} in ['${v}', '${w}'] || ce.${b}.endsWith('${w}')`,
      `!(ce.${a} == '${v}') && data.n == 5`,
      `'${v}' == ce['${a}'] || data.s == '${w}'`,
      `ce.exists(k, k == '${b}') && ce.${a} == '${v}'`,
      `data.s == '${w}' && ce.${a} == '${v}'`,
      `data.s.startsWith('${w}') && ce.type == 'a'`,
      `data.o.s in ['${v}', '${w}'] && ce.type == 'a'`,
      `data['o'].s == '${v}' || data.s.endsWith('${w}')`,
    ]
    return form < 6 ? { dialect: 'cesql', expression: cesql[form]! } : { dialect: 'cel', expression: cel[form - 6]! }
  })

const { filter } = fc.letrec<{ filter: FilterExpression }>((tie) => ({
  filter: fc.oneof(
    { maxDepth: 3 },
    { weight: 3, arbitrary: fc.record({ dialect: fc.constantFrom('exact', 'prefix', 'suffix', 'attributes'), attributes }) },
    { weight: 3, arbitrary: expression },
    {
      weight: 2,
      arbitrary: fc.record({ dialect: fc.constantFrom('all', 'any'), filters: fc.array(tie('filter'), { maxLength: 3 }) }),
    },
    { weight: 1, arbitrary: fc.record({ dialect: fc.constant('not'), filter: tie('filter') }) },
  ),
}))

const ignore = (): void => {}
const matches = (f: FilterExpression, e: CloudEvent): boolean => compileFilter(f).matches(e, ignore)

/** A filter that says something: what says nothing (an empty list) is neither turned by `not` nor counted by `any`. */
const saying = filter.filter((f) => saysSomething(f))

function saysSomething(f: FilterExpression): boolean {
  if (f.dialect === 'all' || f.dialect === 'any') return f.filters.some(saysSomething)
  return f.dialect === 'not' ? saysSomething(f.filter) : true
}

describe('the laws of filters hold for every filter and event', () => {
  test('not turns the answer, twice turns it back', () => {
    fc.assert(
      fc.property(saying, anyEvent, (f, e) => {
        const not: FilterExpression = { dialect: 'not', filter: f }
        expect(matches(not, e)).toBe(!matches(f, e))
        expect(matches({ dialect: 'not', filter: not }, e)).toBe(matches(f, e))
      }),
    )
  })

  test('the order of all and any does not matter', () => {
    fc.assert(
      fc.property(
        fc.array(filter, { maxLength: 4 }),
        anyEvent,
        fc.constantFrom<'all' | 'any'>('all', 'any'),
        (filters, e, dialect) => {
          expect(matches({ dialect, filters: filters.toReversed() }, e)).toBe(matches({ dialect, filters }, e))
        },
      ),
    )
  })

  test('all is no any of nots (De Morgan)', () => {
    fc.assert(
      fc.property(fc.array(saying, { minLength: 1, maxLength: 3 }), anyEvent, (filters, e) => {
        const nots = filters.map((f): FilterExpression => ({ dialect: 'not', filter: f }))
        expect(matches({ dialect: 'all', filters }, e)).toBe(!matches({ dialect: 'any', filters: nots }, e))
      }),
    )
  })

  test('exact, CESQL and CEL say the same of texts', () => {
    const textEvent = fc.record(
      { type: text, source: text, id: text, subject: text, tenant: text },
      { requiredKeys: ['type', 'source', 'id'] },
    )
    fc.assert(
      fc.property(attribute, text, textEvent, (name, wanted, plain) => {
        const e = eventOf(plain)
        const said = matches({ dialect: 'exact', attributes: { [name]: wanted } }, e)
        expect(matches({ dialect: 'cesql', expression: `${name} = '${wanted}'` }, e)).toBe(said)
        expect(matches({ dialect: 'cel', expression: `ce.${name} == '${wanted}'` }, e)).toBe(said)
        expect(matches({ dialect: 'attributes', attributes: { [name]: wanted } }, e)).toBe(said)
      }),
    )
  })

  test('prefix and suffix, LIKE, startsWith and endsWith say the same of texts', () => {
    fc.assert(
      fc.property(text, text, (wanted, type) => {
        const e = eventOf({ type })
        const starts = matches({ dialect: 'prefix', attributes: { type: wanted } }, e)
        expect(starts).toBe(type.startsWith(wanted))
        expect(matches({ dialect: 'cesql', expression: `type LIKE '${wanted}%'` }, e)).toBe(starts)
        expect(matches({ dialect: 'cel', expression: `ce.type.startsWith('${wanted}')` }, e)).toBe(starts)
        const ends = matches({ dialect: 'suffix', attributes: { type: wanted } }, e)
        expect(ends).toBe(type.endsWith(wanted))
        expect(matches({ dialect: 'cesql', expression: `type LIKE '%${wanted}'` }, e)).toBe(ends)
        expect(matches({ dialect: 'cel', expression: `ce.type.endsWith('${wanted}')` }, e)).toBe(ends)
      }),
    )
  })
})

test('the index answers what asking every filter answers, also after changes', () => {
  let matched = 0
  fc.assert(
    fc.property(
      fc.array(filter, { maxLength: 25 }),
      fc.array(anyEvent, { minLength: 1, maxLength: 5 }),
      fc.array(fc.nat(30)),
      (filters, events, removed) => {
        const index = createTriggerIndex(ignore)
        const live = new Map<number, FilterExpression>()
        for (const [sub, f] of filters.entries()) {
          index.set(sub, f)
          live.set(sub, f)
        }
        for (const sub of removed) {
          const next = filters[sub + 1]
          if (sub % 2 === 0 || next === undefined) {
            index.delete(sub)
            live.delete(sub)
          } else {
            index.set(sub, next)
            live.set(sub, next)
          }
        }
        for (const e of events) {
          const out: number[] = []
          const found = index.route(e, out)
          const wanted = [...live].filter(([, f]) => matches(f, e)).map(([sub]) => sub)
          expect(out.slice(0, found).sort((a, b) => a - b)).toEqual(wanted.sort((a, b) => a - b))
          for (const sub of live.keys()) expect(index.matches(sub, e)).toBe(wanted.includes(sub))
          matched += found
        }
      },
    ),
    { numRuns: 400 },
  )
  expect(matched).toBeGreaterThan(1_000)
})

test('filters within filters are bounded', () => {
  const nested = (depth: number): FilterExpression =>
    depth === 1 ? { dialect: 'exact', attributes: { type: 'a' } } : { dialect: 'not', filter: nested(depth - 1) }
  expect(matches(nested(DEEPEST_FILTER), eventOf({ type: 'a' }))).toBe(DEEPEST_FILTER % 2 === 1)
  expect(() => compileFilter(nested(DEEPEST_FILTER + 1))).toThrow(/nested deeper than 100/)
})

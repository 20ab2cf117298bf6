import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compileFilter } from '../../src/filter/compile.ts'
import { eventOf, jsonEvent } from './events.ts'

test('every clause says what it wanted and what the event has', () => {
  const filter = compileFilter({
    dialect: 'all',
    filters: [
      { dialect: 'exact', attributes: { type: 'order', tenant: 't1' } },
      { dialect: 'not', filter: { dialect: 'prefix', attributes: { source: '/test' } } },
      {
        dialect: 'any',
        filters: [
          { dialect: 'suffix', attributes: { subject: '.png' } },
          { dialect: 'cesql', expression: 'level > 3' },
        ],
      },
      { dialect: 'cel', expression: 'data.amount > 20.0' },
    ],
  })
  const event = jsonEvent({ amount: 10 }, { type: 'order', source: '/test/1', level: 7 })
  expect(filter.explain(event)).toEqual([
    { clause: 'filters[0].exact.type', matched: true, why: "wanted: type is 'order'; it is 'order'" },
    { clause: 'filters[0].exact.tenant', matched: false, why: "wanted: tenant is 't1'; it is absent" },
    { clause: 'filters[1].not', matched: false, why: 'the inner clause must not match; it did' },
    { clause: 'filters[1].not.prefix.source', matched: true, why: "wanted: source starts with '/test'; it is '/test/1'" },
    { clause: 'filters[2].any', matched: true, why: 'one of 2 must match; 1 did' },
    { clause: 'filters[2].any[0].suffix.subject', matched: false, why: "wanted: subject ends with '.png'; it is absent" },
    { clause: 'filters[2].any[1].cesql', matched: true, why: 'level > 3 is true' },
    { clause: 'filters[3].cel', matched: false, why: 'data.amount > 20.0 is false' },
  ])
})

test('what failed says why', () => {
  const [cesql] = compileFilter({ dialect: 'cesql', expression: 'missing > 3' }).explain(eventOf({}))
  expect(cesql).toEqual({
    clause: 'filters[0].cesql',
    matched: false,
    why: 'missing > 3 is false: it failed, the event has no attribute missing',
  })
  const [cel] = compileFilter({ dialect: 'cel', expression: 'data.a.b == 1' }).explain(jsonEvent({ a: {} }))
  expect(cel?.why).toBe('data.a.b == 1 is false: it failed, no such key: b')
})

test('the old filter has its own place, no filter says so', () => {
  const old = compileFilter({ dialect: 'attributes', attributes: { type: 'a', subject: '' } }).explain(eventOf({ type: 'a' }))
  expect(old.map((l) => [l.clause, l.matched])).toEqual([
    ['filter.attributes.type', true],
    ['filter.attributes.subject', false],
  ])
  expect(compileFilter({ dialect: 'all', filters: [] }).explain(eventOf({}))).toEqual([
    { clause: 'filters', matched: true, why: 'no filter: every event matches' },
  ])
})

test('the lines at the top together say what matches says', () => {
  fc.assert(
    fc.property(fc.constantFrom('a', 'b'), fc.constantFrom('a', 'b'), fc.constantFrom('all', 'any'), (type, source, dialect) => {
      const filter = compileFilter({
        dialect: 'all',
        filters: [
          { dialect: 'exact', attributes: { type: 'a' } },
          {
            dialect: dialect as 'all' | 'any',
            filters: [
              { dialect: 'exact', attributes: { source: 'a' } },
              { dialect: 'cel', expression: "ce.id == 'x'" },
            ],
          },
        ],
      })
      const event = eventOf({ type, source })
      const top = filter.explain(event).filter((l) => ['filters[0].exact.type', `filters[1].${dialect}`].includes(l.clause))
      expect(top).toHaveLength(2)
      expect(top.every((l) => l.matched)).toBe(filter.matches(event, () => {}))
    }),
  )
})

import { describe, expect, test } from 'vitest'
import type { FilterExpression } from '../../src/contract/filter.ts'
import { createTriggerIndex } from '../../src/filter/trigger-index.ts'
import { Fault } from '../../src/runtime/errors.ts'
import { eventOf, jsonEvent } from './events.ts'

const exact = (attributes: Record<string, string>): FilterExpression => ({ dialect: 'exact', attributes })
const cel = (expression: string): FilterExpression => ({ dialect: 'cel', expression })
const cesql = (expression: string): FilterExpression => ({ dialect: 'cesql', expression })

/** An index with these filters as subscriptions 0, 1, …, and what a route of an event gives, sorted. */
function indexOf(filters: readonly (FilterExpression | null)[]) {
  const failures: string[] = []
  const index = createTriggerIndex((sub, event, why) => failures.push(`${sub} ${event.id} ${why}`))
  for (const [sub, filter] of filters.entries()) index.set(sub, filter)
  const route = (event: ReturnType<typeof eventOf>): number[] => {
    const out: number[] = []
    const found = index.route(event, out)
    return out.slice(0, found).sort((a, b) => a - b)
  }
  return { index, route, failures }
}

describe('an event reaches the subscriptions it matches', () => {
  test('without a filter every event', () => {
    expect(indexOf([null, exact({ type: 'a' })]).route(eventOf({ type: 'b' }))).toEqual([0])
  })

  test('by value, prefix and suffix of any attribute, extensions too', () => {
    const { route } = indexOf([
      exact({ type: 'a.b' }),
      { dialect: 'prefix', attributes: { type: 'a' } },
      { dialect: 'prefix', attributes: { type: 'a.b.c' } },
      { dialect: 'suffix', attributes: { source: '/x' } },
      exact({ tenant: '7' }),
      { dialect: 'attributes', attributes: { subject: '' } },
    ])
    expect(route(eventOf({ type: 'a.b', source: '/s/x', tenant: 7 }))).toEqual([0, 1, 3, 4])
    expect(route(eventOf({ type: 'a.b.c.d', subject: 's' }))).toEqual([1, 2, 5])
    expect(route(eventOf({ type: 'b', subject: '' }))).toEqual([])
  })

  test('once, however many of its anchors the event has', () => {
    const any: FilterExpression = { dialect: 'any', filters: [exact({ type: 'a' }), exact({ source: '/s' }), cesql("id = 'i'")] }
    expect(indexOf([any]).route(eventOf({ type: 'a', source: '/s', id: 'i' }))).toEqual([0])
  })

  test('until it is deleted or set anew', () => {
    const { index, route } = indexOf([exact({ type: 'a' }), { dialect: 'prefix', attributes: { type: 'a' } }, null])
    index.delete(0)
    index.delete(2)
    expect(route(eventOf({ type: 'a' }))).toEqual([1])
    index.set(1, exact({ type: 'b' }))
    expect(route(eventOf({ type: 'a' }))).toEqual([])
    expect(route(eventOf({ type: 'b' }))).toEqual([1])
    index.delete(1)
    index.delete(99)
    expect(route(eventOf({ type: 'b' }))).toEqual([])
  })

  test('what was there stays where a new expression does not parse', () => {
    const { index, route } = indexOf([exact({ type: 'a' })])
    expect(() => index.set(0, cesql('type ='))).toThrow(Fault)
    expect(route(eventOf({ type: 'a' }))).toEqual([0])
  })

  test('out is written from its first place and not cleared behind', () => {
    const { index } = indexOf([exact({ type: 'a' })])
    const out = [8, 9]
    expect(index.route(eventOf({ type: 'a' }), out)).toBe(1)
    expect(out).toEqual([0, 9])
  })

  test('one subscription alone, for readers that lag behind', () => {
    const { index } = indexOf([exact({ type: 'a' }), null])
    expect(index.matches(0, eventOf({ type: 'a' }))).toBe(true)
    expect(index.matches(0, eventOf({ type: 'b' }))).toBe(false)
    expect(index.matches(1, eventOf({}))).toBe(true)
    expect(index.matches(2, eventOf({}))).toBe(false)
  })
})

describe('only those that can match are evaluated', () => {
  /** Each of these fails on every event it is evaluated on, so that the failures count the evaluations. */
  const failing: readonly [string, FilterExpression][] = [
    ['CESQL: value', cesql("type = 'wanted' AND missing = 1")],
    ['CESQL: list', cesql("type IN ('wanted', 'other') AND missing = 1")],
    ['CESQL: pattern', cesql("type LIKE 'want%' AND missing = 1")],
    ['CESQL: end of a pattern', cesql("type LIKE '%nted' AND missing = 1")],
    ['CESQL: alternatives', cesql("(type = 'wanted' OR type = 'other') AND missing = 1")],
    ['CEL: value', cel("ce.missing == 'x' && ce.type == 'wanted'")],
    ['CEL: value the other way round', cel("'wanted' == event.type && ce.missing == 'x'")],
    ['CEL: index', cel("ce['type'] == 'wanted' && ce.missing == 'x'")],
    ['CEL: list', cel("ce.type in ['wanted', 'other'] && ce.id == ce.missing")],
    ['CEL: start', cel("ce.type.startsWith('want') && ce.id == ce.missing")],
    ['CEL: end', cel("ce.type.endsWith('nted') && ce.id == ce.missing")],
    ['CEL: alternatives', cel("(ce.type == 'wanted' || ce.type == 'other') && ce.id == ce.missing")],
    ['all', { dialect: 'all', filters: [exact({ type: 'wanted' }), cesql('missing = 1')] }],
    ['not not', { dialect: 'not', filter: { dialect: 'not', filter: cesql("type = 'wanted' AND missing = 1") } }],
  ]

  test.for(failing)('%s', ([, filter]) => {
    const { route, failures } = indexOf([filter])
    for (let i = 0; i < 100; i++) expect(route(eventOf({ type: `unwanted-${i}` }))).toEqual([])
    expect(failures).toEqual([])
    expect(route(eventOf({ type: 'wanted' }))).toEqual([])
  })

  test('those that stand under the attribute are', () => {
    const { route, failures } = indexOf([cesql("type = 'wanted' AND missing = 1")])
    route(eventOf({ type: 'wanted', id: 'e1' }))
    expect(failures).toEqual(['0 e1 the event has no attribute missing'])
  })

  test('triggers that share a type part by what they do not share', () => {
    const filters = Array.from({ length: 50 }, (_, i) => cesql(`type = 'shared' AND tenant = 't${i}' AND missing = 1`))
    const { route, failures } = indexOf(filters)
    route(eventOf({ type: 'shared', tenant: 't7' }))
    // The first stands under its type: at that time nothing said that others would share it.
    expect(failures.length).toBeLessThanOrEqual(2)
    expect(failures.some((f) => f.startsWith('7 '))).toBe(true)
  })
})

describe('what fails is reported with its subscription and event', () => {
  test('data that is no JSON', () => {
    const { route, failures } = indexOf([cel('data.x == 1'), cel("ce.type == 'a' || data.x == 1")])
    expect(route(eventOf({ id: 'e', type: 'a' }, Buffer.from('<xml/>')))).toEqual([1])
    expect(failures).toHaveLength(1)
    expect(failures[0]).toMatch(/^0 e the data is no JSON/)
  })

  test('a value that is neither true nor false', () => {
    const { route, failures } = indexOf([cel('ce.type'), cesql('1 + 1'), cesql("'true'")])
    expect(route(eventOf({ id: 'e' }))).toEqual([])
    expect(failures.map((f) => f.slice(0, 3)).sort()).toEqual(['0 e', '1 e', '2 e'])
  })
})

describe('data is parsed', () => {
  const event = () => jsonEvent({ amount: 5 }, { type: 'order' })

  test('not at all where nothing looks at it', () => {
    const e = event()
    expect(
      indexOf([cel("ce.type == 'order'"), cel("ce.type == 'other' && data.amount > 1"), exact({ type: 'order' })]).route(e),
    ).toEqual([0, 2])
    expect(e.parsed).toBeUndefined()
  })

  test('once, however many look at it', () => {
    const e = event()
    const { route } = indexOf(Array.from({ length: 20 }, (_, i) => cel(`data.amount > ${i}`)))
    expect(route(e)).toEqual([0, 1, 2, 3, 4])
    const first = e.parsed
    expect(first).toBeDefined()
    expect(route(e)).toHaveLength(5)
    expect(e.parsed).toBe(first)
  })
})

describe('triggers that share an attribute part by the data', () => {
  const tenants = Array.from({ length: 50 }, (_, i) => cel(`ce.type == 'order' && data.tenant.id == 't${i}' && data.extra == 1`))
  const order = (id: string) => jsonEvent({ tenant: { id } }, { type: 'order', id: 'e' })

  test('few of them are asked', () => {
    const { route, failures } = indexOf(tenants)
    expect(route(order('t30'))).toEqual([])
    // The first few stand under the type; of the others only number 30 got as far as the field that is missing.
    expect(failures).toEqual(['30 e no such key: extra'])
  })

  test('the data is looked into only for events that have the attribute', () => {
    const { route } = indexOf(tenants)
    const other = jsonEvent({ tenant: { id: 't30' } }, { type: 'other' })
    expect(route(other)).toEqual([])
    expect(other.parsed).toBeUndefined()
  })

  test('all of them fail where the data is no JSON', () => {
    const { route, failures } = indexOf(tenants)
    expect(route(eventOf({ type: 'order' }, Buffer.from('{')))).toEqual([])
    expect(failures).toHaveLength(50)
  })

  test('by data alone too, by value, start and end, and they leave when deleted', () => {
    const filters = Array.from({ length: 30 }, (_, i) => [
      cel(`data.k == 'v${i}'`),
      cel(`data.k.startsWith('v${i}')`),
      cel(`data.k.endsWith('x${i}') || data.k in ['q${i}']`),
    ]).flat()
    const { index, route, failures } = indexOf(filters)
    expect(route(jsonEvent({ k: 'v7' }))).toEqual([21, 22])
    expect(route(jsonEvent({ k: 'v25x4' }))).toEqual([7, 14, 76])
    expect(route(jsonEvent({ k: 'q3' }))).toEqual([11])
    expect(route(jsonEvent({ k: 7 }))).toEqual([])
    expect(route(jsonEvent([1]))).toEqual([])
    expect(failures).toEqual([])
    for (let sub = 0; sub < filters.length; sub++) if (sub !== 21) index.delete(sub)
    expect(route(jsonEvent({ k: 'v7' }))).toEqual([21])
    index.delete(21)
    const untouched = jsonEvent({ k: 'v7' })
    expect(route(untouched)).toEqual([])
    expect(untouched.parsed).toBeUndefined()
  })
})

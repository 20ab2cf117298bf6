import { beforeAll, describe, expect, test } from 'vitest'
import type { CloudEvent } from '../../src/event/event.ts'
import { dataAsJson } from '../../src/event/attributes.ts'
import { compileFilter } from '../../src/filter/compile.ts'
import { MOST_FIELDS, MOST_FUEL } from '../../src/filter/cel/fuel.ts'
import { eventOf, jsonEvent } from './events.ts'

/** Events of about the largest size, each bad for something else. */
const MIB = 1 << 20
const numbers = jsonEvent({ l: Array.from({ length: MIB / 2 - 10 }, () => 1) })
const objects = jsonEvent({ items: Array.from({ length: 30_000 }, (_, i) => ({ sku: `sku-${i}`, q: i })) })
const fields = jsonEvent(Object.fromEntries(Array.from({ length: 80_000 }, (_, i) => [`k${i}`, 1])))
const texts = jsonEvent({
  s: 'a'.repeat(500_000),
  t: `${'a'.repeat(250_000)}b${'a'.repeat(200_000)}`,
  u: 'a'.repeat(499_999),
})
const strings = jsonEvent({ l: Array.from({ length: 2_000 }, (_, i) => 'x'.repeat(500) + i) })
const deep = eventOf(
  {},
  Buffer.from(`{"l":${'['.repeat(200_000)}${']'.repeat(200_000)},"m":${'['.repeat(200_000)}${']'.repeat(200_000)}}`),
)

const cases: readonly (readonly [string, CloudEvent])[] = [
  ['data.l.all(x, data.l.all(y, data.l.all(z, x + y + z > 0)))', numbers],
  ['data.l.map(x, data.l).size() > 3', numbers],
  ['data.l.map(x, data.l) == data.l.map(x, data.l)', numbers],
  ['data.l.exists(x, (data.l + data.l).size() == 3)', numbers],
  ['data.l.exists(x, 2.0 in data.l)', numbers],
  ['data.l.exists(x, ce.exists(k, k == "zz") || ce.nosuch == "x")', numbers],
  ['data.l.exists(x, 9223372036854775807 - 1000 * 1000 * 7 == 5)', numbers],
  ['data.l.exists(x, [x, x, [x]] == [1.0, 1.0, [2.0]])', numbers],
  ['data.items.exists(i, string(i.q) == "x")', objects],
  ['data.items.exists(i, timestamp("2020-01-01T00:00:00Z").getFullYear("Europe/Berlin") == 3)', objects],
  ['data.items.exists(i, i.sku.matches("(a|b)*a(a|b){20}$"))', objects],
  ['data.items.exists(i, {"a": i, "b": [1, 2, 3]} == {"a": i, "b": [1, 2, 4]})', objects],
  ['data.items.all(i, i.q / 0 == 1 || i.missing == 1 || i + 1 == 2)', objects],
  ['data.exists(k, data.exists(j, k == j + "x"))', fields],
  ['[1, 2, 3].exists(x, size(data) == x)', fields],
  ['data == data.map(k, k) || {"a": data} == {"a": {"b": 1}}', fields],
  ['[1, 2, 3, 4, 5, 6, 7, 8, 9].exists(x, data.s.contains(data.t))', texts],
  ['data.s.matches("(a|b)*a(a|b){20}$") || data.s.matches("^(a?){50}b")', texts],
  ['[1, 2, 3, 4, 5, 6, 7, 8].exists(x, (data.s + data.t + data.s) == (data.t + data.s + data.s))', texts],
  ['[1, 2, 3, 4, 5, 6, 7, 8].exists(x, string(bytes(data.s)) == data.t || bytes(data.s) < bytes(data.u))', texts],
  ['size(data.s) + size(data.t) + size(data.u) + size(data.s) == 1', texts],
  ['int(data.s) == 1 || double(data.s) == 1.0 || timestamp(data.s) == timestamp(data.t)', texts],
  ['data.l.exists(s, s.contains("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxy"))', strings],
  ['data.l.exists(s, data.l.exists(t, s.startsWith(t) && s != t))', strings],
  ['data.l == data.m', deep],
]

describe('no expression holds the gateway for long, on whatever event', () => {
  beforeAll(() => {
    // Parsing is done once an event, before any expression; here so that it is not counted with them.
    for (const [, event] of cases) expect('value' in dataAsJson(event)).toBe(true)
  })

  test.for(cases)('%s', ([expression, event]) => {
    const filter = compileFilter({ dialect: 'cel', expression })
    const whys: string[] = []
    let leastMs = Infinity
    // The processor's time, and the best of some: what neighbours and the collector take is not the expression's.
    for (let i = 0; i < 30 && leastMs >= 10; i++) {
      const before = process.cpuUsage()
      filter.matches(event, (why) => whys.push(why))
      const { user, system } = process.cpuUsage(before)
      leastMs = Math.min(leastMs, (user + system) / 1_000)
    }
    expect(leastMs).toBeLessThan(10)
    for (const why of whys)
      expect(why).toMatch(/takes more than|fields cannot be listed|characters|no matching overload|call stack|division/)
  })
})

test('what an ordinary filter needs is within the bound', () => {
  const many = jsonEvent({
    items: Array.from({ length: 5_000 }, (_, i) => ({ sku: `sku-${i}`, q: i })),
    headers: { a: '1', b: '2' },
  })
  const matches = (expression: string): boolean | string => {
    let failed: string | null = null
    const matched = compileFilter({ dialect: 'cel', expression }).matches(many, (why) => {
      failed = why
    })
    return failed ?? matched
  }
  expect(matches("data.items.exists(i, i.sku == 'sku-4999' && i.q > 3)")).toBe(true)
  expect(matches("data.items.filter(i, i.q > 4990).map(i, i.sku).exists(s, s.endsWith('99'))")).toBe(true)
  expect(matches("data.headers.exists(k, data.headers[k] == '2')")).toBe(
    'data with more than 6000 fields cannot be listed, sized or compared as a map',
  )
})

test('the bound counts steps, not time: the same event always ends the same', () => {
  const elements = (n: number): CloudEvent => jsonEvent({ l: Array.from({ length: n }, () => 1) })
  const filter = compileFilter({ dialect: 'cel', expression: 'data.l.all(x, x > 0.0)' })
  const failed: string[] = []
  // A step of this test costs 4: its three parts and the step.
  expect(filter.matches(elements(MOST_FUEL / 4), (why) => failed.push(why))).toBe(true)
  expect(filter.matches(elements(MOST_FUEL / 4 + 1), (why) => failed.push(why))).toBe(false)
  expect(failed).toEqual([`it takes more than ${MOST_FUEL} steps on this event`])
})

test('maps are listed up to the number of fields the data may have', () => {
  const map = (n: number): CloudEvent => jsonEvent(Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, 1])))
  const failed: string[] = []
  const filter = compileFilter({ dialect: 'cel', expression: `size(data) == ${MOST_FIELDS}` })
  expect(filter.matches(map(MOST_FIELDS), (why) => failed.push(why))).toBe(true)
  expect(failed).toEqual([])
  expect(filter.matches(map(MOST_FIELDS + 1), (why) => failed.push(why))).toBe(false)
  expect(failed).toHaveLength(1)
})

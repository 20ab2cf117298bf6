import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { FilterExpression } from '../../src/contract/filter.ts'
import { compileFilter } from '../../src/filter/compile.ts'
import { createTriggerIndex } from '../../src/filter/trigger-index.ts'
import { eventOf } from '../filter/events.ts'

interface Row {
  readonly name: string
  readonly filters: readonly Record<string, unknown>[]
  readonly event: Record<string, unknown>
  readonly delivered: boolean
}

const file = new URL('suites/knative-delivery/filters.json', import.meta.url)
const rows = (JSON.parse(readFileSync(file, 'utf8')) as { cases: Row[] }).cases

/** The YAML form of a filter as the tree it is lowered to. */
function lowered(f: Record<string, unknown>): FilterExpression {
  const [dialect, value] = Object.entries(f)[0] ?? ['all', []]
  switch (dialect) {
    case 'all':
    case 'any':
      return { dialect, filters: (value as Record<string, unknown>[]).map(lowered) }
    case 'not':
      return { dialect, filter: lowered(value as Record<string, unknown>) }
    case 'cesql':
      return { dialect, expression: value as string }
    default:
      return { dialect: dialect as 'exact', attributes: value as Record<string, string> }
  }
}

describe('filters deliver what Knative delivers', () => {
  let passed = 0
  test.for(rows)('$name', (row) => {
    const filter: FilterExpression = { dialect: 'all', filters: row.filters.map(lowered) }
    const event = eventOf(row.event)
    expect(compileFilter(filter).matches(event, () => {})).toBe(row.delivered)
    const index = createTriggerIndex(() => {})
    index.set(7, filter)
    expect(index.route(event, [])).toBe(row.delivered ? 1 : 0)
    passed++
  })
  test('every row was seen', () => {
    console.log(`knative-delivery filters ${passed}/${rows.length}`)
    expect(passed).toBe(82)
    expect(rows).toHaveLength(82)
  })
})

import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { describe, expect, test } from 'vitest'
import { parseCesql } from '../../src/filter/cesql/parser.ts'
import { compileProgram } from '../../src/filter/cesql/program.ts'
import type { FunctionTable } from '../../src/filter/cesql/functions.ts'
import { compileFilter } from '../../src/filter/compile.ts'
import { Fault } from '../../src/runtime/errors.ts'
import { eventOf } from '../filter/events.ts'

interface Row {
  readonly file?: string
  readonly name: string
  /** A bare scalar of YAML where the expression is only a literal. */
  readonly expression: string | number | boolean
  readonly result?: string | number | boolean
  readonly error?: string
  readonly event?: Record<string, unknown>
  readonly eventOverrides?: Record<string, unknown>
}

const suite = new URL('suites/cesql-tck/', import.meta.url)
const rows = (JSON.parse(readFileSync(new URL('tck.json', suite), 'utf8')) as { cases: Row[] }).cases
const ownRows = (parse(readFileSync(new URL('extra/user_defined_functions.sdk-go.yaml', suite), 'utf8')) as { tests: Row[] })
  .tests

const FUNCTIONS: FunctionTable = {
  HASPREFIX: [
    { parameters: ['string', 'string'], more: null, result: 'boolean', call: ([x, y]) => String(x).startsWith(String(y)) },
  ],
  KONKAT: [{ parameters: [], more: 'string', result: 'string', call: (args) => args.join('') }],
}

/** What became of a row: its value and the class of its error, as the kit writes them. */
function outcome(row: Row): { value?: unknown; error?: string } {
  try {
    const program = compileProgram(parseCesql(String(row.expression)), FUNCTIONS)
    const value = program.evaluate(eventOf(row.event ?? row.eventOverrides ?? {}))
    return program.failure === null ? { value } : { value, error: program.failure.kind }
  } catch (e) {
    if (e instanceof Fault && e.code === 'filter.syntax') return { error: 'parse' }
    throw e
  }
}

function wanted(row: Row): { value?: unknown; error?: string } {
  if (row.error === 'parse') return { error: 'parse' }
  return {
    ...(row.result === undefined ? {} : { value: row.result }),
    ...(row.error === undefined ? {} : { error: row.error }),
  }
}

describe('CESQL answers as its conformance kit says', () => {
  let passed = 0
  test.for(rows)('$file: $expression', (row) => {
    expect(outcome(row)).toEqual(wanted(row))
    passed++
  })
  test('every row was seen', () => {
    console.log(`cesql-tck ${passed}/${rows.length}`)
    expect(rows).toHaveLength(275)
    expect(passed).toBe(275)
  })
})

describe('functions of the user are called as built-in ones', () => {
  let passed = 0
  test.for(ownRows)('$expression', (row) => {
    expect(outcome(row)).toEqual(wanted(row))
    passed++
  })
  test('every row was seen', () => {
    console.log(`cesql-tck user-defined functions ${passed}/${ownRows.length}`)
    expect(passed).toBe(8)
  })
})

test('a filter matches where the value is true and nothing failed, and reports what failed', () => {
  let seen = 0
  for (const row of rows) {
    if (row.error === 'parse') continue
    let failure: string | null = null
    const matched = compileFilter({ dialect: 'cesql', expression: String(row.expression) }).matches(
      eventOf(row.event ?? row.eventOverrides ?? {}),
      (why) => {
        failure = why
      },
    )
    expect({ name: row.name, matched, failed: failure !== null }).toEqual({
      name: row.name,
      matched: row.result === true && row.error === undefined,
      failed: row.error !== undefined || typeof row.result !== 'boolean',
    })
    seen++
  }
  expect(seen).toBe(273)
})

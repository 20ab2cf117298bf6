import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseIsoDuration } from '../../src/resources/durations.ts'

interface Row {
  readonly input: string
  readonly ms?: number
}
interface Suite {
  readonly valid: readonly Row[]
  readonly calendar: readonly Row[]
  readonly invalid: readonly string[]
  readonly negative: readonly string[]
  readonly disputed: readonly Row[]
}

const file = join(import.meta.dirname, 'suites', 'iso8601-durations', 'durations.json')
const suite = JSON.parse(readFileSync(file, 'utf8')) as Suite

test('ISO 8601 durations: values, and refusal of what has no fixed or no positive length', () => {
  const wrong: string[] = []
  // Times are whole milliseconds here; the suite leaves the rest of one to each reader.
  for (const { input, ms } of suite.valid) {
    const got = parseIsoDuration(input)
    if (got !== Math.floor(ms as number)) wrong.push(`${input}: ${got}, not ${ms}`)
  }
  const refused = [...suite.calendar.map((r) => r.input), ...suite.invalid, ...suite.negative]
  for (const input of refused) if (parseIsoDuration(input) !== undefined) wrong.push(`${input} was taken`)
  const rows = suite.valid.length + refused.length
  console.log(`iso8601-durations ${rows - wrong.length}/${rows}`)
  expect(wrong).toEqual([])
  expect(rows).toBe(62)
})

test('disputed durations are refused or have a finite length', () => {
  expect(suite.disputed.length).toBe(7)
  for (const { input } of suite.disputed) {
    const ms = parseIsoDuration(input)
    expect(ms === undefined || Number.isSafeInteger(ms), input).toBe(true)
  }
})

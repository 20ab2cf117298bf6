import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { passesLeft } from '../../src/event/ttl.ts'

interface File {
  readonly default: number
  readonly cases: readonly { readonly name: string; readonly in: number | string | null; readonly out: number }[]
}
const file = JSON.parse(readFileSync(new URL('suites/knative-delivery/ttl.json', import.meta.url), 'utf8')) as File

describe('the time to live of an event', () => {
  let passed = 0
  test.for(file.cases)('$name → $out', (row) => {
    expect(passesLeft(row.in ?? undefined, file.default)).toBe(row.out)
    // A header carries text.
    expect(passesLeft(row.in === null ? undefined : String(row.in), file.default)).toBe(row.out)
    passed++
  })
  test('every row was seen', () => {
    console.log(`knative-delivery ttl ${passed}/${file.cases.length}`)
    expect([passed, file.cases.length]).toEqual([5, 5])
  })
})

import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { DeliveryPlan } from '../../src/contract/plan.ts'
import { backoffMs, longerOf } from '../../src/flow/backoff.ts'
import { parseIsoDuration } from '../../src/resources/durations.ts'
import { kindOf, refused, unanswered } from '../../src/sender/outcome.ts'

interface Suite {
  readonly retryStatus: readonly { name: string; status: number | null; transportError: boolean; retry: boolean }[]
  readonly backoff: readonly {
    name: string
    policy?: DeliveryPlan['backoffPolicy']
    delay?: string
    timeout?: string
    retryAfterMax?: string
    retry: number
    expectMs?: readonly number[]
    error?: boolean
  }[]
  readonly retryAfter: readonly {
    name: string
    retryAfterMaxMs: number | null
    status: number
    retryAfter: string | null
    standardBackoffMs: number
    expectMs: number
  }[]
  readonly specStatusTable: { readonly rows: readonly { code: string; retry: boolean; completed: boolean }[] }
}

const file = new URL('suites/knative-delivery/retry-and-backoff.json', import.meta.url)
const suite = JSON.parse(readFileSync(file, 'utf8')) as Suite

/** Knative's Go client says -1 or nothing where no answer came; here that is an attempt without an answer. */
const wasAnswered = (status: number | null, transportError: boolean): status is number =>
  status !== null && status > 0 && !transportError

const NOW_MS = Date.UTC(2026, 5, 1, 12)

describe('Knative retry and back-off', () => {
  let passed = 0
  const rows: { readonly name: string; readonly check: () => void }[] = []
  const row = (name: string, check: () => void): number => rows.push({ name, check })

  for (const r of suite.retryStatus) {
    row(`retried: ${r.name}`, () => {
      const kind = wasAnswered(r.status, r.transportError) ? kindOf(r.status) : unanswered('no answer').kind
      expect(kind === 'retryable').toBe(r.retry)
    })
  }

  for (const r of suite.specStatusTable.rows) {
    row(`specification: ${r.code}`, () => {
      for (const status of statusesOf(r.code)) {
        expect(kindOf(status) === 'retryable').toBe(r.retry)
        expect(kindOf(status) === 'accepted').toBe(r.completed)
      }
    })
  }

  for (const r of suite.backoff) {
    row(`back-off: ${r.name}`, () => {
      const durations = [r.delay, r.timeout, r.retryAfterMax].filter((d) => d !== undefined).map(parseIsoDuration)
      expect(durations.includes(undefined)).toBe(r.error === true)
      const plan = { backoffPolicy: r.policy ?? 'exponential', backoffDelayMs: durations[0] ?? 0, backoffMaxMs: 600_000 }
      for (const [i, ms] of (r.expectMs ?? []).entries()) expect(backoffMs(plan, i + 1)).toBe(ms)
    })
  }

  for (const r of suite.retryAfter) {
    row(`Retry-After: ${r.name}`, () => {
      const header = r.retryAfter?.startsWith('<now+30s') === true ? rfc850(NOW_MS + 30_000) : (r.retryAfter ?? '')
      const outcome = refused(r.status, header, new Uint8Array(0), NOW_MS)
      expect(outcome.kind).toBe('retryable')
      const asked = outcome.kind === 'retryable' ? outcome.retryAfterMs : undefined
      expect(longerOf(r.standardBackoffMs, r.retryAfterMaxMs ?? 0, asked)).toBe(r.expectMs)
    })
  }

  test.for(rows)('$name', ({ check }) => {
    expect(check).not.toThrow()
    passed++
  })

  test('every row was run', () => {
    console.log(`knative-delivery retry-and-backoff ${passed}/${rows.length}`)
    expect([passed, rows.length]).toEqual([63, 63])
  })
})

function statusesOf(code: string): readonly number[] {
  if (/^\d+$/.test(code)) return [Number(code)]
  const first = Number(code.replace('other ', '')[0]) * 100
  const named = suite.specStatusTable.rows.map((r) => Number(r.code))
  return Array.from({ length: 100 }, (_, i) => first + i).filter((s) => !named.includes(s))
}

function rfc850(ms: number): string {
  const d = new Date(ms)
  const [, day, month, year, time] = /^\w+, (\d+) (\w+) \d\d(\d\d) ([\d:]+)/.exec(d.toUTCString()) ?? []
  const weekday = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'][d.getUTCDay()]
  return `${weekday}, ${day}-${month}-${year} ${time} GMT`
}

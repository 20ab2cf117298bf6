import { describe, expect, test } from 'vitest'
import type { DetachedState } from '../../../src/contract/delivery.ts'
import { decodeState, encodeState } from '../../../src/sources/queue/state.ts'

const STATE: DetachedState = {
  dueMs: 1_700_000_000_000,
  story: [{ attempt: 1, atMs: 1_699_999_000_000, tookMs: 12.5, to: 'http://sink', status: 503, error: 'bußy' }],
  phase: 'dead-letter',
  reason: 'exhausted',
}

describe('the state that travels with a delivery', () => {
  test('comes out as it went in', () => {
    expect(decodeState(encodeState(STATE))).toEqual(STATE)
  })

  test('carries nothing else along', () => {
    const more: DetachedState & { secret: string } = { ...STATE, secret: 'no' }
    expect(encodeState(more)).not.toContain('secret')
  })

  test.each([
    '',
    'null',
    '[]',
    '{}',
    JSON.stringify({ ...STATE, dueMs: -1 }),
    JSON.stringify({ ...STATE, phase: 'other' }),
    JSON.stringify({ ...STATE, reason: 7 }),
    JSON.stringify({ ...STATE, story: [{ attempt: 'one' }] }),
  ])('is not taken from foreign text: %s', (text) => {
    expect(decodeState(text)).toBeNull()
  })
})

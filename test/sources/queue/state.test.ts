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

  test.each([1, 40, 1_000])('fits every system, whatever %i attempts said: the first and the last are kept', (attempts) => {
    const long = Array.from({ length: attempts }, (_, i) => ({
      ...STATE.story[0]!,
      attempt: i + 1,
      error: '\u{1f4a5}'.repeat(500),
    }))
    const text = encodeState({ ...STATE, story: long })
    expect(text.length).toBeLessThanOrEqual(16 * 1024)
    expect(text).toMatch(/^[\x20-\x7e]*$/)
    const story = decodeState(text)?.story ?? []
    expect([story[0]?.attempt, story.at(-1)?.attempt]).toEqual([1, attempts])
    if (attempts === 1) expect(story).toHaveLength(attempts)
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

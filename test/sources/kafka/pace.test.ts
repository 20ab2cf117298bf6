import { expect, test } from 'vitest'
import { CLOSED_WAIT_MS, FetchPace, fetchWaitMs, IDLE_WAIT_MS } from '../../../src/sources/kafka/pace.ts'

test('a fetch waits long at the broker, and short while a closed partition has more to read', () => {
  expect(fetchWaitMs(false)).toBe(IDLE_WAIT_MS)
  expect(fetchWaitMs(true)).toBe(CLOSED_WAIT_MS)
})

/** Answers with `events` each, every `gapMs`; the pauses that follow. */
function pauses(pace: FetchPace, count: number, gapMs: number, events: number, fromMs = 1000): number[] {
  return Array.from({ length: count }, (_, i) => pace.pauseMs(events, fromMs + i * gapMs))
}

test('steady single events are gathered for a moment', () => {
  const all = pauses(new FetchPace(), 40, 1, 1)
  expect(all.slice(0, 3)).toEqual([0, 0, 0])
  expect(new Set(all.slice(20))).toEqual(new Set([2]))
})

test('sparse events are never held up', () => {
  expect(new Set(pauses(new FetchPace(), 40, 8, 1))).toEqual(new Set([0]))
  expect(new Set(pauses(new FetchPace(), 40, 100, 1))).toEqual(new Set([0]))
})

test('full answers are fetched one right after the other', () => {
  expect(new Set(pauses(new FetchPace(), 40, 1, 50))).toEqual(new Set([0]))
})

test('an idle moment ends the steadiness', () => {
  const pace = new FetchPace()
  pauses(pace, 40, 1, 1)
  expect(pace.pauseMs(0, 1290)).toBe(0)
  expect(pace.pauseMs(1, 1291)).toBe(0)
  pauses(pace, 40, 1, 1, 1300)
  expect(pace.pauseMs(1, 2000)).toBe(0)
})

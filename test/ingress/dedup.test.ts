import { expect, test } from 'vitest'
import { DURABLE } from '../../src/contract/stream.ts'
import type { Appended } from '../../src/contract/stream.ts'
import { Dedup, nameOf } from '../../src/ingress/dedup.ts'
import { CloudEvent } from '../../src/event/event.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { systemClock } from '../../src/runtime/clock.ts'

const FULL: Appended = { kind: 'full', retryAfterMs: 1, why: 'full' }

function setUp(windowMs: number, most?: number): { dedup: Dedup; clock: Clock & { nowMs: number } } {
  const clock = { ...systemClock, nowMs: 0, now: () => clock.nowMs }
  return { dedup: new Dedup(clock, windowMs, most), clock }
}
const never = (): void => {
  throw new Error('nobody waited')
}

test('what is durable is a repeat until its window is over, to the millisecond', () => {
  const { dedup, clock } = setUp(1_000)
  expect(dedup.begin('a', never)).toBe('new')
  dedup.end('a', DURABLE)
  clock.nowMs = 999
  expect(dedup.begin('a', never)).toBe('repeat')
  clock.nowMs = 1_000
  expect(dedup.begin('a', never)).toBe('new')
})

test('what was not stored is not remembered', () => {
  const { dedup } = setUp(1_000)
  dedup.begin('a', never)
  dedup.end('a', FULL)
  expect(dedup.empty).toBe(true)
  expect(dedup.begin('a', never)).toBe('new')
})

test('all who wait get the fate of the first, once', () => {
  const { dedup } = setUp(1_000)
  const fates: Appended[] = []
  dedup.begin('a', never)
  for (let i = 0; i < 3; i++) expect(dedup.begin('a', (r) => fates.push(r))).toBe('waits')
  dedup.end('a', FULL)
  expect(fates).toEqual([FULL, FULL, FULL])
  dedup.begin('a', never)
  dedup.end('a', DURABLE)
  expect(fates).toHaveLength(3)
})

test('the window is bounded: the oldest go first', () => {
  const { dedup } = setUp(1_000_000, 3)
  for (const name of ['a', 'b', 'c', 'd']) {
    dedup.begin(name, never)
    dedup.end(name, DURABLE)
  }
  expect(dedup.remembered).toBe(3)
  expect(dedup.begin('b', never)).toBe('repeat')
  expect(dedup.begin('a', never)).toBe('new')
})

test('what is over its window is dropped without being asked for', () => {
  const { dedup, clock } = setUp(1_000)
  for (const name of ['a', 'b']) {
    dedup.begin(name, never)
    dedup.end(name, DURABLE)
    clock.nowMs += 600
  }
  dedup.forget()
  expect(dedup.remembered).toBe(1)
  clock.nowMs = 10_000
  dedup.forget()
  expect(dedup.empty).toBe(true)
})

test('source and id together are the name: neither runs into the other', () => {
  const name = (source: string, id: string): string => nameOf(new CloudEvent({ source, id, type: 't' }))
  expect(name('a', 'bc')).not.toBe(name('ab', 'c'))
  expect(name('a', 'b')).toBe(name('a', 'b'))
})

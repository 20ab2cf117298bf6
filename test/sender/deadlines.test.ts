import { expect, test } from 'vitest'
import { seededRandom } from '../../src/runtime/random.ts'
import { createDeadlines, Deadline } from '../../src/sender/deadlines.ts'
import { SteppedClock } from './stepped-clock.ts'

test('thousands of deadlines, set anew and cleared at random: each fires once, never early, at most two ticks late', () => {
  const clock = new SteppedClock()
  const deadlines = createDeadlines(clock)
  const random = seededRandom(7)
  const dueMs = new Map<Deadline, number>()
  let fired = 0
  const all = Array.from({ length: 2_000 }, () => {
    const d: Deadline = new Deadline(() => {
      const due = dueMs.get(d)
      if (due === undefined) throw new Error('fired though it was cleared')
      dueMs.delete(d)
      fired++
      expect(clock.now()).toBeGreaterThanOrEqual(due)
      expect(clock.now() - due).toBeLessThanOrEqual(16)
    })
    return d
  })
  for (let round = 0; round < 20_000; round++) {
    const d = all[Math.floor(random.next() * all.length)]
    if (d === undefined) continue
    if (random.next() < 0.3) {
      deadlines.clear(d)
      dueMs.delete(d)
    } else {
      // Beyond one turn of the wheel (8 s) as well.
      const at = clock.now() + random.next() * (random.next() < 0.1 ? 60_000 : 500)
      deadlines.set(d, at)
      dueMs.set(d, at)
    }
    if (random.next() < 0.2) clock.advance(random.next() * 20)
  }
  clock.advance(61_000)
  expect(dueMs.size).toBe(0)
  expect(fired).toBeGreaterThan(1_000)
  expect(clock.timers()).toBe(0)
})

test('no timer runs while nothing is due, and a sleep longer than a turn of the wheel misses nothing', () => {
  const clock = new SteppedClock()
  const deadlines = createDeadlines(clock)
  const fired: string[] = []
  const a = new Deadline(() => fired.push('a'))
  const b = new Deadline(() => fired.push('b'))
  deadlines.set(a, Infinity)
  expect(clock.timers()).toBe(0)
  deadlines.set(a, clock.now() + 5_000)
  deadlines.set(b, clock.now() + 20_000)
  expect(clock.timers()).toBe(1)
  // The machine slept: the next timer fires far too late.
  clock.nowMs += 30_000
  clock.advance(8)
  expect(fired.sort()).toEqual(['a', 'b'])
  expect(clock.timers()).toBe(0)
})

test('a deadline that clears or renews another one due in the same tick has the last word', () => {
  const clock = new SteppedClock()
  const deadlines = createDeadlines(clock)
  const fired: string[] = []
  const a: Deadline = new Deadline(() => {
    fired.push('a')
    deadlines.clear(b)
    deadlines.set(c, clock.now() + 100)
  })
  const b: Deadline = new Deadline(() => {
    fired.push('b')
    deadlines.clear(a)
    deadlines.set(c, clock.now() + 100)
  })
  const c: Deadline = new Deadline(() => fired.push('c'))
  for (const d of [c, b, a]) deadlines.set(d, clock.now() + 10)
  clock.advance(30)
  expect(fired.filter((f) => f !== 'c')).toHaveLength(1)
  expect(fired.filter((f) => f === 'c').length).toBeLessThanOrEqual(1)
  clock.advance(200)
  expect(fired.filter((f) => f === 'c')).toHaveLength(1)
})

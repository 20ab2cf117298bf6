import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Backlog, Feed, Start } from '../../src/contract/feed.ts'
import { SILENT } from '../../src/contract/observer.ts'
import type { Plan, ResourceView } from '../../src/contract/plan.ts'
import type { Engine, RunningSource, RunningStream, RunningSubscription } from '../../src/engine/engine.ts'
import { createHand, type Hand } from '../../src/engine/hand.ts'
import { openPaused, type Paused } from '../../src/engine/paused.ts'
import type { Replays } from '../../src/engine/replays.ts'
import { createBudget } from '../../src/flow/budget.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { SILENT_LOG, type Log } from '../../src/runtime/log.ts'
import { seededRandom } from '../../src/runtime/random.ts'
import { createDeliveryMachine, type DeliveryMachine } from '../../src/subscription/machine.ts'
import { planOf } from '../subscription/rig.ts'

const file = (): string => join(mkdtempSync(join(tmpdir(), 'sluice-paused-')), 'paused.json')

interface Shape {
  readonly seek?: boolean
  readonly replays?: boolean
  readonly backlog?: Partial<Backlog>
  /** Keys of subscriptions; a source has the key of its own. */
  readonly keys?: readonly string[]
  readonly system?: 'kafka' | 'rabbitmq'
  readonly holds?: boolean
}

interface World {
  readonly hand: Hand
  readonly machine: DeliveryMachine
  readonly seeks: Start[]
  readonly replayed: Start[]
  readonly paused: Paused
  readonly file: string
}

function world(s: Shape = {}): World {
  const keys = s.keys ?? ['kafkasource/ns/k']
  const path = file()
  const paused = openPaused(path, SILENT_LOG)
  const machine = createDeliveryMachine({
    clock: systemClock,
    random: seededRandom(1),
    log: SILENT_LOG,
    observer: SILENT,
    budget: createBudget(1 << 20),
  })
  const seat = machine.seat('here')
  const seeks: Start[] = []
  const replayed: Start[] = []
  const feed = {
    backlog: () => ({ events: 0, exact: true, oldestMs: 0, ...s.backlog }),
    seek: (_sub: number, to: Start) => Promise.resolve(void seeks.push(to)),
    resume() {},
    passed: () => 0,
    can: { seek: s.seek ?? true, release: true, lease: false, ordered: true, exactBacklog: true },
    ...(s.replays === true ? { replays: {} } : {}),
  } as unknown as Feed
  seat.bind(feed)
  const subscriptions = new Map<string, RunningSubscription>()
  for (const [id, key] of keys.entries()) {
    const plan = planOf({ key, from: { source: 'kafkasource/ns/k' }, target: null })
    machine.add(id, seat, { plan, target: null, reply: null, deadLetter: null })
    subscriptions.set(key, { id, plan, seat, feed })
  }
  const sources = new Map([['kafkasource/ns/k', { plan: { system: s.system ?? 'kafka' } } as unknown as RunningSource]])
  const view = { key: 'sequence/ns/q', items: ['stream', ...keys] } as unknown as ResourceView
  const engine = {
    subscriptions,
    sources,
    streams: new Map<string, RunningStream>(),
    plan: () => ({ resources: [view] }) as unknown as Plan,
  } as unknown as Engine
  const replays = {
    start: (_key: string, from: Start) => {
      replayed.push(from)
      return Promise.resolve({ events: 7 })
    },
    holds: () => s.holds ?? false,
  } as unknown as Replays
  const hand = createHand({ engine, machine, replays, paused, log: SILENT_LOG })
  return { hand, machine, seeks, replayed, paused, file: path }
}

const KEY = 'kafkasource/ns/k'

describe('pause and resume', () => {
  test('say what is held, and are remembered before they take effect', () => {
    const w = world({ backlog: { events: 12 } })
    expect(w.hand.pausedWith(KEY)).toBeUndefined()
    expect(w.hand.pause(KEY)).toEqual({ subscriptions: [KEY], events: 12 })
    expect(w.machine.state(0).paused).toBe(true)
    expect(w.hand.pausedWith(KEY)).toEqual({ events: 12 })
    expect(openPaused(w.file, SILENT_LOG).has(KEY)).toBe(true)
    expect(w.hand.resume(KEY)).toEqual({ subscriptions: [KEY], events: 12 })
    expect(w.machine.state(0).paused).toBe(false)
    expect(openPaused(w.file, SILENT_LOG).has(KEY)).toBe(false)
  })

  test('of a resource are those of all its subscriptions', () => {
    const w = world({ keys: ['subscription/ns/q-0', 'subscription/ns/q-1'], backlog: { events: 2 } })
    expect(w.hand.pause('sequence/ns/q')).toEqual({ subscriptions: ['subscription/ns/q-0', 'subscription/ns/q-1'], events: 4 })
    expect([0, 1].map((id) => w.machine.state(id).paused)).toEqual([true, true])
    w.hand.resume('subscription/ns/q-1')
    expect([0, 1].map((id) => w.machine.state(id).paused)).toEqual([true, false])
  })

  test('an ordered one that waits for its replay goes on with it, not before', () => {
    const w = world({ holds: true })
    w.hand.pause(KEY)
    w.hand.resume(KEY)
    expect(w.machine.state(0).paused).toBe(true)
    expect(w.paused.has(KEY)).toBe(false)
  })

  test('of what is not there are refused with what is', () => {
    const { hand } = world()
    expect(() => hand.pause('trigger/ns/nobody')).toThrow(
      /^there is no subscription trigger\/ns\/nobody; there are: kafkasource\/ns\/k$/,
    )
  })

  test('a list that cannot be read is told, and nobody is paused', () => {
    const at = file()
    for (const text of ['{', '{}', '[1]']) {
      writeFileSync(at, text)
      const told: string[] = []
      const log: Log = { ...SILENT_LOG, warn: (message) => void told.push(message) }
      const paused = openPaused(at, log)
      expect(paused.has('1')).toBe(false)
      expect(told).toEqual(text === '[1]' ? [] : ['the list of paused subscriptions cannot be read; they go on'])
    }
    expect(readFileSync(at, 'utf8')).toBe('[1]')
  })
})

describe('reading again', () => {
  const earliest: Start = { at: 'earliest' }

  test('goes beside the live reader where it can', async () => {
    const w = world({ replays: true })
    expect(await w.hand.replay(KEY, earliest, false)).toEqual({ how: 'beside', events: 7 })
    expect([w.replayed, w.seeks]).toEqual([[earliest], []])
  })

  test('sets the live position back when told so, and only then', async () => {
    const w = world({ backlog: { events: 3 } })
    await expect(w.hand.replay(KEY, earliest, false)).rejects.toThrow(
      /^kafkasource\/ns\/k has one reader: Kafka gives it one position\. --rewind sets that back: everything from there on/,
    )
    expect(w.seeks).toEqual([])
    expect(await w.hand.replay(KEY, earliest, true)).toEqual({ how: 'rewind', events: 3 })
    const both = world({ replays: true })
    expect((await both.hand.replay(KEY, earliest, true)).how).toBe('rewind')
    expect([w.seeks, both.seeks, both.replayed]).toEqual([[earliest], [earliest], []])
  })

  test('is refused where the system cannot, by its name', async () => {
    const w = world({ seek: false, system: 'rabbitmq' })
    for (const rewind of [true, false])
      await expect(w.hand.replay(KEY, earliest, rewind)).rejects.toThrow(
        /^kafkasource\/ns\/k cannot be read again: its events come from RabbitMQ, which cannot go back here$/,
      )
  })

  const t = Date.parse('2026-01-31T12:00:00Z')
  const time: Start = { at: 'time', timeMs: t }
  test.each([
    ['a time before everything unread', { events: 5, oldestMs: t }, time, true],
    ['a time after something unread', { events: 5, oldestMs: t - 1 }, time, false],
    ['a time when nobody knows how old the unread are', { events: 5, oldestMs: 0 }, time, false],
    ['a time when nothing is unread', { events: 0, oldestMs: 0 }, time, true],
    ['a position when something is unread', { events: 5, oldestMs: t }, { at: 'position', position: 9 } as const, false],
    ['a position when nothing is unread', { events: 0, oldestMs: 0 }, { at: 'position', position: 9 } as const, true],
    ['the newest event', { events: 0, oldestMs: 0 }, { at: 'latest' } as const, false],
  ])('never drops anything: to %s', async (_what, backlog, from, allowed) => {
    const w = world({ backlog })
    if (allowed) expect((await w.hand.replay(KEY, from, true)).how).toBe('rewind')
    else await expect(w.hand.replay(KEY, from, true)).rejects.toThrow(/could drop some|"sluice skip" drops what is unread/)
    expect(w.seeks).toEqual(allowed ? [from] : [])
  })

  test('to no time at all where the age of what is undelivered is a guess', async () => {
    const w = world({ system: 'rabbitmq', backlog: { events: 5, oldestMs: t + 1 } })
    await expect(w.hand.replay(KEY, time, true)).rejects.toThrow(
      /has 5 events that are not delivered, and their age is not known/,
    )
    expect((await w.hand.replay(KEY, earliest, true)).how).toBe('rewind')
    const none = world({ system: 'rabbitmq' })
    expect((await none.hand.replay(KEY, time, true)).how).toBe('rewind')
    expect([w.seeks, none.seeks]).toEqual([[earliest], [time]])
  })

  test('one subscription at a time', async () => {
    const w = world({ keys: ['subscription/ns/q-0', 'subscription/ns/q-1'] })
    await expect(w.hand.replay('sequence/ns/q', earliest, true)).rejects.toThrow(
      /^sequence\/ns\/q has several subscriptions; name one of them: subscription\/ns\/q-0, subscription\/ns\/q-1$/,
    )
  })
})

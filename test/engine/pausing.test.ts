import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { SILENT } from '../../src/contract/observer.ts'
import type { Plan, SubscriptionPlan } from '../../src/contract/plan.ts'
import { createEngine, type Engine, type EngineParts } from '../../src/engine/engine.ts'
import { createHand, type Hand } from '../../src/engine/hand.ts'
import { createIdTables } from '../../src/engine/id-table.ts'
import { openPaused } from '../../src/engine/paused.ts'
import { createReplays } from '../../src/engine/replays.ts'
import { createBudget } from '../../src/flow/budget.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { seededRandom } from '../../src/runtime/random.ts'
import { createMemoryStream } from '../../src/streams/memory.ts'
import { createDeliveryMachine, type DeliveryMachine } from '../../src/subscription/machine.ts'
import { append, event, planOf as streamPlan, soon } from '../streams/rig.ts'
import { planOf } from '../subscription/rig.ts'
import { until } from '../until.ts'

const IN = 'broker/ns/in'
const OUT = 'broker/ns/out'
const KEY = 'trigger/ns/t'

interface World {
  readonly engine: Engine
  readonly machine: DeliveryMachine
  readonly hand: Hand
  apply(change?: {
    readonly order?: SubscriptionPlan['order']
    readonly maxBytes?: number
    readonly gone?: boolean
  }): Promise<void>
  /** Appends events of these ids to what the subscription reads. */
  send(...ids: readonly string[]): Promise<void>
  /** How many came to the other stream. */
  delivered(): number
  paused(): boolean
}

const open: Engine[] = []
afterEach(async () => {
  for (const engine of open.splice(0)) await engine.close(soon())
})

/** A gateway's engine with a subscription that carries events from one stream in memory to another. */
function world(folder = mkdtempSync(join(tmpdir(), 'sluice-pausing-'))): World {
  const clock = systemClock
  const log = SILENT_LOG
  const ids = createIdTables()
  const paused = openPaused(join(folder, 'paused.json'), log)
  const budget = createBudget(1 << 24)
  const machine = createDeliveryMachine({ clock, random: seededRandom(1), log, observer: SILENT, budget })
  const engine = createEngine({
    ids,
    clock,
    log,
    observer: SILENT,
    machine,
    services: {} as EngineParts['services'],
    sender: {} as EngineParts['sender'],
    custody: {} as EngineParts['custody'],
    paused: (key) => paused.has(key),
    hopId: 'hop',
    serviceHost: () => '',
    openers: {
      stream: (id, plan) => Promise.resolve(createMemoryStream({ id, plan, clock, observer: SILENT, log })),
      source: () => Promise.reject(new Error('there is no source')),
    },
  })
  open.push(engine)
  const replays = createReplays({ engine, machine, ids, clock, log, paused, file: join(folder, 'replays.json') })
  const stream = (key: string): ReturnType<typeof createMemoryStream> =>
    engine.streams.get(key)?.stream as ReturnType<typeof createMemoryStream>
  return {
    engine,
    machine,
    hand: createHand({ engine, machine, replays, paused, log }),
    async apply({ order = 'unordered', maxBytes = 1 << 20, gone = false } = {}) {
      const subscription = planOf({ key: KEY, from: { stream: IN }, order, target: 'to-out', start: { at: 'latest' } })
      const plan: Plan = {
        generation: 1,
        streams: [streamPlan({ key: IN, system: 'memory', maxBytes }), streamPlan({ key: OUT, system: 'memory' })],
        subscriptions: gone ? [] : [subscription],
        sources: [],
        targets: [{ kind: 'stream', key: 'to-out', stream: OUT }],
        services: [],
        routes: [],
        resources: [],
        notices: [],
      }
      await engine.apply(plan)
      replays.pickUp()
    },
    async send(...list) {
      expect(
        (
          await append(
            stream(IN),
            list.map((id) => event(id)),
          )
        ).kind,
      ).toBe('durable')
    },
    delivered: () => stream(OUT).stats().events,
    paused: () => {
      const running = engine.subscriptions.get(KEY)
      return running !== undefined && machine.state(running.id).paused
    },
  }
}

describe('what somebody has paused', () => {
  test('is so from the first event on after a restart, and goes on when it is resumed', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-pausing-'))
    const before = world(folder)
    await before.apply()
    before.hand.pause(KEY)
    const w = world(folder)
    await w.apply()
    expect(w.paused()).toBe(true)
    await w.send('a', 'b', 'c')
    await until('it holds them', () => w.hand.pausedWith(KEY)?.events === 3)
    expect(w.delivered()).toBe(0)
    expect(w.hand.resume(KEY).events).toBe(3)
    await until('they are delivered', () => w.delivered() === 3)
  })

  test('stays so while its stream is opened anew and while it is away, but not when it was resumed', async () => {
    const w = world()
    await w.apply()
    w.hand.pause(KEY)
    await w.apply({ maxBytes: 1 << 21 })
    expect(w.paused()).toBe(true)
    await w.apply({ gone: true })
    expect(w.engine.subscriptions.size).toBe(0)
    await until('it is back', async () => {
      await w.apply()
      return w.engine.subscriptions.size === 1
    })
    expect(w.paused()).toBe(true)
    w.hand.resume(KEY)
    await w.apply({ maxBytes: 1 << 22 })
    expect(w.paused()).toBe(false)
  })

  test('and is ordered does not go on because its replay has ended', async () => {
    const w = world()
    await w.apply({ order: 'ordered' })
    await w.send('a', 'b')
    await until('all are delivered', () => w.delivered() === 2)
    expect(await w.hand.replay(KEY, { at: 'earliest' }, false)).toEqual({ how: 'beside', events: 2 })
    w.hand.pause(KEY)
    await until('the replay has ended', () => w.delivered() === 4 && w.engine.replays.size === 0)
    await w.send('c')
    expect([w.paused(), w.delivered()]).toEqual([true, 4])
    w.hand.resume(KEY)
    await until('it goes on', () => w.delivered() === 5)
  })

  test('and resumed while its replay runs goes on after it', async () => {
    const w = world()
    await w.apply({ order: 'ordered' })
    await w.send('a', 'b')
    await until('all are delivered', () => w.delivered() === 2)
    await w.hand.replay(KEY, { at: 'earliest' }, false)
    w.hand.pause(KEY)
    w.hand.resume(KEY)
    expect(w.paused()).toBe(true)
    await w.send('c')
    await until('the replay has ended, and then it goes on', () => w.delivered() === 5 && !w.paused())
  })
})

test('a stream that can go back is set back when told so, beside nobody', async () => {
  const w = world()
  await w.apply()
  await w.send('a', 'b', 'c')
  await until('all are delivered', () => w.delivered() === 3)
  expect((await w.hand.replay(KEY, { at: 'earliest' }, true)).how).toBe('rewind')
  await until('all came once more', () => w.delivered() === 6)
  expect(w.engine.replays.size).toBe(0)
})

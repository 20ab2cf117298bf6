import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SILENT } from '../../src/contract/observer.ts'
import type { DetachedState } from '../../src/contract/delivery.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { createMemoryStream } from '../../src/streams/memory.ts'
import { VirtualClock } from '../simulation/virtual-clock.ts'
import { FaultyKv } from '../store/faulty-kv.ts'
import type { Player } from './recording-intake.ts'
import { event, LATEST, planOf, run, type Running } from './rig.ts'
import { openStored } from './stored.ts'

const KEYS = ['trigger/a/all', 'trigger/a/odd', 'trigger/a/third'] as const
const MATCHES = [() => true, (n: number) => n % 2 === 1, (n: number) => n % 3 === 0] as const
const WAITS: DetachedState = { dueMs: 0, story: [], phase: 'subscriber', reason: 'exhausted' }

/** One step: what, for which subscription, and which of its open deliveries. */
type Step = readonly [
  what: 'append' | 'settle' | 'back' | 'detach' | 'park' | 'leave' | 'lane' | 'time' | 'die',
  who: number,
  which: number,
]

const step: fc.Arbitrary<Step> = fc.tuple(
  fc.constantFrom('append', 'append', 'settle', 'settle', 'settle', 'back', 'detach', 'park', 'leave', 'lane', 'time', 'die'),
  fc.nat(2),
  fc.nat(1_000),
)

/** Every subscription, what it was ever sent, and how that ended. */
class Model {
  appended = 0
  readonly ended = KEYS.map(() => new Map<number, 'settled' | 'parked'>())
  /** Settlements that a crash may have taken back. */
  readonly unsure = KEYS.map(() => new Set<number>())
}

interface World {
  readonly clock: VirtualClock
  r: Running
  players: (Player | undefined)[]
  lanes: number[]
  subs: number
  /** Another process on what the last one left; absent where nothing is left. */
  restart?: () => Promise<Running>
}

const number = (d: { event: { id: string } }): number => Number(d.event.id.slice(1))

function enter(w: World, who: number): void {
  const matches = MATCHES[who]!
  const p = w.r.intake.attach(++w.subs, KEYS[who]!, LATEST, (e) => matches(Number(e.id.slice(1))))
  p.lane = w.lanes[who]!
  w.players[who] = p
}

async function act(w: World, m: Model, [what, who, which]: Step): Promise<void> {
  const p = w.players[who]
  if (what === 'append') {
    const n = 1 + (which % 40)
    w.r.stream.append(
      Array.from({ length: n }, (_, i) => event(`n${m.appended + i}`)),
      () => {},
    )
    m.appended += n
  } else if (what === 'time') w.clock.advance(which)
  else if (what === 'die') {
    if (w.restart === undefined) return
    w.clock.advance(0)
    w.r = await w.restart()
    w.players = []
    KEYS.forEach((_, i) => enter(w, i))
  } else if (p === undefined) enter(w, who)
  else if (what === 'leave') {
    w.r.feed.detach(p.sub, false)
    w.players[who] = undefined
  } else if (what === 'lane') w.lanes[who] = p.lane = 1 + (which % 30)
  else finish(w, m, p, who, what, which)
}

function finish(w: World, m: Model, p: Player, who: number, what: Step[0], which: number): void {
  const open = [...p.open]
  const d = open[which % Math.max(1, open.length)]
  if (d === undefined) return
  const state = { ...WAITS, dueMs: w.clock.wall() + (which % 200) }
  if (what === 'back') w.r.feed.settle(d, 'handed-back')
  else if (what === 'detach') w.r.feed.detachDelivery(d, state, () => {})
  else if (what === 'park') w.r.feed.park(d, state, () => {})
  else w.r.feed.settle(d, 'delivered')
  if (what === 'settle') m.ended[who]!.set(number(d), 'settled')
  if (what === 'park') m.ended[who]!.set(number(d), 'parked')
  w.r.intake.done(p, d)
  // What was handed back is offered again after a resume; the machine says so whenever it has room.
  if (what === 'back' && !p.full) w.r.feed.resume(p.sub, 0)
}

/** Lets everything end well and looks at what came out. */
function judge(w: World, m: Model, dies: boolean): void {
  KEYS.forEach((key, who) => {
    if (w.players[who] === undefined) enter(w, who)
    const p = w.players[who]!
    p.lane = Infinity
    p.full = false
    w.r.feed.resume(p.sub, 0)
    for (let i = 0; i < 25; i++) {
      w.clock.advance(100)
      for (const d of [...p.open]) {
        m.ended[who]!.set(number(d), 'settled')
        w.r.intake.settle(p, d)
      }
    }
    const all = Array.from({ length: m.appended }, (_, n) => n).filter((n) => MATCHES[who]!(n))
    const ended = new Set([
      ...m.ended[who]!.keys(),
      ...w.r.feed.parked.list(key, '', 10_000).map((e) => Number(e.event!.id.slice(1))),
    ])
    expect(
      all.filter((n) => !ended.has(n)),
      `${key}: every event ends`,
    ).toEqual([])
    expect(
      [...ended].filter((n) => !MATCHES[who]!(n)),
      `${key}: only what matches`,
    ).toEqual([])
    expect(p.rude, `${key}: nothing is offered to a full lane`).toBe(0)
    expect(w.r.feed.backlog(p.sub), `${key}: nothing is left`).toEqual({ events: 0, exact: true, oldestMs: 0 })
    if (dies) return
    const parked = w.r.feed.parked.list(key, '', 10_000).map((e) => Number(e.event!.id.slice(1)))
    const shouldBe = [...m.ended[who]!].filter(([, how]) => how === 'parked').map(([n]) => n)
    expect(new Set(parked), `${key}: parked is parked`).toEqual(new Set(shouldBe))
  })
}

describe('whatever happens', () => {
  test('in memory every matching event ends once for every subscription', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 120 }), async (steps) => {
        const clock = new VirtualClock()
        const stream = createMemoryStream({ id: 0, plan: planOf(), clock, observer: SILENT, log: SILENT_LOG })
        const w: World = { clock, r: run(stream), players: [], lanes: [5, 10, 50], subs: 0 }
        await tell(w, steps, false)
      }),
      { numRuns: 60 },
    )
  })

  test('on a disk as well', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 120 }), async (steps) => {
        const clock = new VirtualClock()
        const w: World = { clock, r: await openStored(clock, new FaultyKv(clock)), players: [], lanes: [5, 10, 50], subs: 0 }
        await tell(w, steps, false)
      }),
      { numRuns: 60 },
    )
  })

  test('and when the process dies again and again no event is lost', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 120 }), async (steps) => {
        const clock = new VirtualClock()
        let kv = new FaultyKv(clock)
        const w: World = {
          clock,
          r: await openStored(clock, kv),
          players: [],
          lanes: [5, 10, 50],
          subs: 0,
          restart: async () => {
            // The old process writes nothing any more; what it had not flushed is lost with it.
            kv.fate = () => 'lost'
            kv = new FaultyKv(clock, kv.disk)
            return openStored(clock, kv)
          },
        }
        await tell(w, steps, true)
      }),
      { numRuns: 60 },
    )
  })
})

async function tell(w: World, steps: readonly Step[], dies: boolean): Promise<void> {
  const m = new Model()
  KEYS.forEach((_, i) => enter(w, i))
  // Positions of subscriptions that are new are durable before anything else happens.
  w.clock.advance(100)
  for (const s of steps) {
    await act(w, m, s)
    // Appends end within the step: what is lost with a process was acknowledged to nobody otherwise.
    if (s[0] !== 'time') w.clock.advance(1)
  }
  judge(w, m, dies)
}

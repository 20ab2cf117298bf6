import { expect, test } from 'vitest'
import { SILENT } from '../../src/contract/observer.ts'
import type { SubscriptionPlan } from '../../src/contract/plan.ts'
import { createBudget } from '../../src/flow/budget.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { seededRandom } from '../../src/runtime/random.ts'
import { createDeliveryMachine } from '../../src/subscription/machine.ts'
import { ACCEPT, FAIL, REJECT, TargetDouble, planOf } from '../subscription/rig.ts'
import { Violation } from './ledger.ts'
import { PartitionFeed } from './partitions.ts'
import { VirtualClock } from './virtual-clock.ts'

const SEEDS = 150
const PARTITIONS = 4
const BUSY_MS = 30_000

interface Sums {
  events: number
  offered: number
  rebalances: number
  handedBack: number
}

/** Partitions come and go while events are delivered; every event ends, and what is settled was taken or parked. */
async function run(seed: number, sums: Sums): Promise<void> {
  const random = seededRandom(seed)
  const upTo = (n: number): number => Math.floor(random.next() * n)
  const clock = new VirtualClock()
  const target = new TargetDouble(clock, 1, 'http://subscriber', 1 + upTo(12))
  const feed = new PartitionFeed(1, PARTITIONS, random)
  const order = (['unordered', 'ordered', 'key'] as const)[seed % 3]!
  const machine = createDeliveryMachine({
    clock,
    random,
    log: SILENT_LOG,
    observer: SILENT,
    budget: createBudget(100_000),
    bounds: { events: 1 + upTo(20), bytes: 1_000_000, eventsOfAll: 40 },
  })
  const seat = machine.seat('partitions')
  feed.intake = seat.intake
  const delivery: SubscriptionPlan['delivery'] = { ...planOf().delivery, retry: 2, backoffDelayMs: 300 }
  machine.add(1, seat, { plan: planOf({ order, delivery }), target, reply: null, deadLetter: null })
  seat.bind(feed)

  target.answer = (a) => {
    const inTime = random.next() < 0.9
    clock.after(inTime ? 5 + upTo(200) : 3_000, () => {
      const outcome = random.next() < 0.8 ? ACCEPT : random.next() < 0.9 ? FAIL : REJECT
      if (outcome === ACCEPT) feed.accepted.add(a.event.id)
      target.end(a, outcome)
    })
    return null
  }
  let serial = 0
  let giving = 0
  let failure: unknown = null
  const every = (ms: number, f: () => void): void => {
    clock.after(ms * random.next() * 2, () => {
      if (clock.now() > BUSY_MS) return
      f()
      every(ms, f)
    })
  }
  every(100, () => {
    for (let n = upTo(6); n > 0; n--) feed.produce(upTo(PARTITIONS), `${'abc'[upTo(3)]}${++serial}`)
  })
  every(2_000, () => {
    const lanes = feed.partitions.filter((p) => p.owned && random.next() < 0.5).map((p) => p.id)
    if (lanes.length === 0 || giving > 0) return
    giving++
    sums.rebalances++
    const given = feed.give(lanes, random.next() < 0.7 ? 'revoke' : 'lose', clock.now() + upTo(2_000))
    given.then(
      () =>
        clock.after(upTo(1_000), () => {
          giving--
          feed.take(lanes)
        }),
      (e: unknown) => (failure = e),
    )
  })

  for (let steps = 0; clock.now() < BUSY_MS || !feed.isThrough; steps++) {
    if (steps > 100_000) throw new Violation(`it never comes to rest: ${JSON.stringify(machine.state(1))}`)
    if (!clock.step()) clock.advance(100)
    for (let i = 0; giving > 0 && i < 4; i++) await Promise.resolve()
    if (failure !== null) throw failure
    const s = machine.state(1)
    const ended = s.filtered + s.delivered + s.deadLettered + s.parked + s.handedBack
    if (s.offered !== ended + s.waiting) throw new Violation(`the account does not balance: ${JSON.stringify(s)}`)
    if (s.held !== '') machine.resume(1)
  }
  sums.events += serial
  sums.offered += feed.offered
  sums.handedBack += machine.state(1).handedBack
}

test(`partitions come and go through ${SEEDS} seeds: every event ends, nothing is settled that no sink took`, async () => {
  const sums: Sums = { events: 0, offered: 0, rebalances: 0, handedBack: 0 }
  const broken: string[] = []
  for (let seed = 1; seed <= SEEDS; seed++) {
    await run(seed, sums).catch((e: unknown) =>
      broken.push(`seed ${seed}: ${e instanceof Error ? (e.stack ?? e.message) : String(e)}`),
    )
  }
  console.log(`${SEEDS} seeds: ${JSON.stringify(sums)}`)
  expect(broken).toEqual([])
  expect(sums.rebalances).toBeGreaterThan(SEEDS)
  expect(sums.handedBack).toBeGreaterThan(SEEDS)
  // Read twice is what a rebalance costs: what was given back or lost in memory, and what had ended above the commit.
  expect(sums.offered).toBeGreaterThan(sums.events)
}, 120_000)

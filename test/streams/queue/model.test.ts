import { describe, expect, test } from 'vitest'
import type { Delivery } from '../../../src/contract/delivery.ts'
import { type Random, seededRandom } from '../../../src/runtime/random.ts'
import { CUSTODY_LANE } from '../../../src/store/custody.ts'
import { event, LATEST } from '../rig.ts'
import { type QueueRig, queueRig } from './rig.ts'

const KEY = 'trigger/a/x'
const STEPS = 150
const MOST_HELD = 64

/** One run: a subscription under faults, as the seed has them, then peace until nothing is left. */
class Run {
  readonly #r: QueueRig
  readonly #random: Random
  readonly delivered = new Set<string>()
  published = 0
  /** Offered while the same event was in the sink's hands already. */
  twice = 0
  #sub = 1

  /** It is detached and comes back now and then: whose acknowledgement got lost before comes again then. */
  readonly leaves: boolean

  constructor(r: QueueRig, random: Random, leaves: boolean) {
    this.leaves = leaves
    this.#r = r
    this.#random = random
    this.#attach()
  }

  async step(): Promise<void> {
    const { server, feed } = this.#r
    const open = [...this.#player.open]
    switch (this.#pick(12)) {
      case 0:
      case 1:
      case 2:
        return this.#publish(this.#pick(20))
      case 3:
      case 4:
      case 5:
        for (const d of open) if (this.#pick(2) === 0) this.#settle(d)
        break
      case 6:
        if (open[0] !== undefined) this.#end(open[0], () => feed.settle(open[0]!, 'handed-back'))
        break
      case 7:
        if (open[0] !== undefined) this.#detach(open[0])
        break
      case 8:
        server.trouble.away = !server.trouble.away
        if (!server.trouble.away) server.back()
        // Without leases, what was handed over is bound to its connection.
        else if (server.leaseMs === 0) server.drop(true)
        break
      case 9:
        server.trouble.losesAcks = !server.trouble.losesAcks
        break
      case 10:
        server.drop(server.leaseMs === 0)
        if (!server.trouble.away) server.back()
        break
      default:
        if (this.leaves && this.#pick(3) === 0) this.#leave()
    }
    await this.#r.pass(this.#pick(3) === 0 ? 30_000 : 200)
  }

  /** Everything works again, and the sink takes all it is offered. */
  async peace(): Promise<void> {
    const { trouble } = this.#r.server
    Object.assign(trouble, { losesAcks: false, delaysNothing: false, away: false })
    this.#r.server.back()
    this.#player.lane = 1_000
    for (let i = 0; i < 40; i++) {
      for (const d of [...this.#player.open]) this.#settle(d)
      await this.#r.pass(5_000)
    }
  }

  get mostOut(): number {
    return this.#r.server.place(KEY).out.size
  }

  get left(): number {
    const { server } = this.#r
    return [KEY, `${KEY}/due`].reduce((sum, name) => sum + server.place(name).ready.length + server.place(name).out.size, 0)
  }

  get #player() {
    return this.#r.intake.players.get(this.#sub)!
  }

  #pick(n: number): number {
    return Math.floor(this.#random.next() * n)
  }

  async #publish(n: number): Promise<void> {
    const { server } = this.#r
    for (let i = 0; i < n; i++) server.publish(event(`e${this.published++}`))
    await this.#r.pass(10)
  }

  #settle(d: Delivery): void {
    this.delivered.add(d.event.id)
    this.#end(d, () => this.#r.feed.settle(d, 'delivered'))
  }

  #end(d: Delivery, how: () => void): void {
    how()
    this.#done(d)
  }

  /** The player has one bound for both lanes: whoever is resumed, the other one is too. */
  #done(d: Delivery): void {
    const player = this.#player
    this.#r.intake.done(player, d)
    if (!player.full) for (const lane of [0, CUSTODY_LANE]) this.#r.feed.resume(this.#sub, lane)
  }

  #detach(d: Delivery): void {
    const dueMs = this.#r.clock.wall() + 6_000 + this.#pick(60_000)
    const state = { dueMs, story: [], phase: 'subscriber', reason: '' } as const
    this.#r.server.trouble.delaysNothing = this.#pick(2) === 0
    const sub = this.#sub
    this.#r.feed.detachDelivery(d, state, (ok) => {
      if (ok && sub === this.#sub) this.#done(d)
    })
  }

  #leave(): void {
    this.#player.open.clear()
    this.#r.feed.detach(this.#sub++, false)
    this.#attach()
  }

  #attach(): void {
    const player = this.#r.intake.attach(this.#sub, KEY, LATEST)
    player.lane = 8
    const offered = player.offered
    offered.push = (d) => {
      if ([...player.open].some((o) => o.event.id === d.event.id)) this.twice++
      return Array.prototype.push.call(offered, d)
    }
  }
}

describe('whatever happens to the system and the sink', () => {
  test.each(Array.from({ length: 8 }, (_, i) => i + 1))('nothing is lost or left over, seed %i', async (seed) => {
    const leaseMs = seed % 2 === 0 ? 20_000 : 0
    const r = await queueRig((s) => (s.leaseMs = leaseMs), { mostHeld: MOST_HELD })
    const run = new Run(r, seededRandom(seed), seed > 4)
    for (let i = 0; i < STEPS; i++) {
      await run.step()
      expect(run.mostOut).toBeLessThanOrEqual(MOST_HELD)
    }
    await run.peace()
    expect(run.published).toBeGreaterThan(100)
    expect(run.delivered.size).toBe(run.published)
    expect(run.left).toBe(0)
    if (!run.leaves) expect(run.twice).toBe(0)
  })
})

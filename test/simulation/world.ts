import type { ScaleSpec } from '../../src/contract/decider.ts'
import type { Delivery } from '../../src/contract/delivery.ts'
import type { Intake } from '../../src/contract/feed.ts'
import { SILENT } from '../../src/contract/observer.ts'
import type { Outcome } from '../../src/contract/outcome.ts'
import type { SubscriptionPlan } from '../../src/contract/plan.ts'
import type { Stream } from '../../src/contract/stream.ts'
import type { Attempt } from '../../src/contract/target.ts'
import { CloudEvent, NEW_ENVELOPE } from '../../src/event/event.ts'
import { createBudget } from '../../src/flow/budget.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { type Random, seededRandom } from '../../src/runtime/random.ts'
import { createMemoryStream } from '../../src/streams/memory.ts'
import type { LogStream } from '../../src/streams/parts.ts'
import { createDeliveryMachine, type DeliveryMachine } from '../../src/subscription/machine.ts'
import { createStreamTarget } from '../../src/subscription/stream-target.ts'
import { planOf } from '../subscription/rig.ts'
import { type End, Ledger, Violation, WatchedFeed } from './ledger.ts'
import { HEALTHY, ServiceDouble } from './pods.ts'
import { VirtualClock } from './virtual-clock.ts'

/** How long events come in and faults happen, and how long after that everything must have ended. Virtual ms. */
const BUSY_MS = 60_000
const QUIET_MOST_MS = 3_600_000

const TIMEOUT_MS = 5_000

const SCALE: ScaleSpec = {
  class: 'xpa',
  limit: 3,
  minScale: 0,
  maxScale: 6,
  initialScale: 0,
  podBufferSize: 0,
  gcTimeMs: 5_000,
  drainTargetMs: 10_000,
  waitTargetMs: 0,
  without: [],
  kpa: {} as ScaleSpec['kpa'],
}

/** A clock that dies with the life it belongs to: what was put off by a process that crashed never happens. */
class LifeClock implements Clock {
  alive = true
  readonly #world: VirtualClock
  constructor(world: VirtualClock) {
    this.#world = world
  }
  now: Clock['now'] = () => this.#world.now()
  wall: Clock['wall'] = () => this.#world.wall()
  after: Clock['after'] = (ms, f) => this.#world.after(ms, () => this.alive && f())
  every: Clock['every'] = (ms, f) => this.#world.every(ms, () => this.alive && f())
  soon: Clock['soon'] = (f) => this.#world.soon(() => this.alive && f())
}

/** What one subscription is, in every life of the gateway. */
interface Wanted {
  readonly plan: SubscriptionPlan
  readonly service: 'workers' | 'singles' | 'open'
  readonly matches: (e: CloudEvent) => boolean
}

/** Tally of one subscription in one life, kept by the arrows alone. */
interface Tally {
  readonly key: string
  offered: number
  restored: number
  ends: Record<End | 'detached' | 'handed-back', number>
  /** Attempts at the subscriber that have no outcome yet. */
  running: number
  readonly runningOrder: Map<string, string>
  readonly lastOfOrder: Map<string, number>
}

/** One process of the gateway: from start to drain or crash. */
interface Life {
  readonly clock: LifeClock
  readonly machine: DeliveryMachine
  readonly feed: WatchedFeed
  readonly tallies: Map<number, Tally>
  readonly services: Record<Wanted['service'] | 'dead', ServiceDouble>
  readonly intake: Intake
}

export interface Outline {
  readonly steps: number
  readonly events: number
  readonly lives: number
  readonly delivered: number
  readonly deadLettered: number
  readonly parked: number
  readonly filtered: number
  readonly detached: number
  readonly handedBack: number
  readonly late: number
  readonly mostPods: number
  readonly virtualMs: number
}

/** The whole delivery path on one virtual clock, driven by one seed. */
export class World {
  readonly #clock = new VirtualClock()
  readonly #random: Random
  readonly #trace: (line: string) => void
  readonly #ledger = new Ledger()
  readonly #stream: LogStream
  readonly #feedOfStream: ReturnType<Stream['open']>
  readonly #wanted: readonly Wanted[]
  #life: Life
  #lives = 0
  #draining: Promise<void> | null = null
  #drained = false
  #quiet = false
  #serial = 0
  readonly #sums = { detached: 0, handedBack: 0, late: 0, mostPods: 0 }

  constructor(seed: number, trace?: (line: string) => void) {
    this.#random = seededRandom(seed)
    this.#trace =
      trace === undefined ? () => {} : (line) => trace(`${(this.#clock.now() / 1_000).toFixed(3).padStart(9)}  ${line}`)
    this.#wanted = this.#subscriptions()
    this.#stream = createMemoryStream({
      id: 1,
      plan: {
        key: 'broker/default/b',
        system: 'memory',
        retentionMs: 86_400_000,
        maxBytes: 2 ** 30,
        maxUnsettledBytes: 0,
        dedupWindowMs: 0,
        maxEventBytes: 2 ** 20,
        settings: {},
      },
      clock: this.#clock,
      observer: SILENT,
      log: SILENT_LOG,
    })
    this.#feedOfStream = this.#stream.open(this.#relay(), new AbortController().signal)
    this.#life = this.#begin()
  }

  /** The stream outlives the machine: it talks to whichever is alive. */
  #relay(): Intake {
    return {
      route: (event, out) => {
        this.#ledger.events.push(event)
        return this.#life.intake.route(event, out)
      },
      matches: (sub, event) => this.#life.intake.matches(sub, event),
      offer: (d) => {
        this.#ledger.offered(this.#tally(d).key, d)
        return this.#life.intake.offer(d)
      },
      undecodable: () => {
        throw new Violation('nothing here is undecodable')
      },
      assigned: () => {},
      revoking: () => Promise.resolve(),
      lost: () => {},
    }
  }

  // -- what the seed decides ----------------------------------------------------------------------------------------

  #chance(p: number): boolean {
    return this.#random.next() < p
  }
  #upTo(n: number): number {
    return Math.floor(this.#random.next() * n)
  }
  #pick<T>(...from: T[]): T {
    return from[this.#upTo(from.length)]!
  }

  #subscriptions(): readonly Wanted[] {
    const delivery = (): SubscriptionPlan['delivery'] => ({
      retry: 2 + this.#upTo(4),
      backoffPolicy: this.#pick('linear', 'exponential'),
      backoffDelayMs: this.#pick(100, 1_000, 3_000),
      backoffMaxMs: 20_000,
      timeoutMs: TIMEOUT_MS,
      retryAfterMaxMs: this.#pick(0, 10_000),
      format: 'binary',
    })
    const created = { dialect: 'exact', attributes: { type: 'order.created' } } as const
    return [
      {
        plan: planOf({
          key: 'trigger/default/replies',
          delivery: delivery(),
          filter: created,
          reply: 'stream',
          deadLetter: 'dead',
        }),
        service: 'workers',
        matches: (e) => e.type === 'order.created',
      },
      {
        plan: planOf({ key: 'trigger/default/ordered', delivery: delivery(), order: 'ordered' }),
        service: 'singles',
        matches: () => true,
      },
      {
        plan: planOf({
          key: 'trigger/default/by-key',
          delivery: delivery(),
          order: 'key',
          limits: { maxConcurrency: 1 + this.#upTo(4), ratePerS: 0 },
          deadLetter: this.#pick('dead', null),
        }),
        service: 'workers',
        matches: () => true,
      },
      {
        plan: planOf({
          key: 'trigger/default/open',
          delivery: delivery(),
          limits: { maxConcurrency: 0, ratePerS: this.#pick(0, 20) },
          batchMax: this.#pick(1, 5),
          batchWaitMs: 200,
        }),
        service: 'open',
        matches: () => true,
      },
    ]
  }

  // -- a life of the gateway ------------------------------------------------------------------------------------------

  #begin(): Life {
    this.#lives++
    const clock = new LifeClock(this.#clock)
    const tallies = new Map<number, Tally>()
    const keyOf = (sub: number): string => tallies.get(sub)!.key
    const feed = new WatchedFeed(this.#feedOfStream, this.#ledger, keyOf, () => !this.#quiet && this.#chance(0.05))
    const machine = createDeliveryMachine({
      clock,
      random: this.#random,
      log: SILENT_LOG,
      observer: {
        ...SILENT,
        matched: (d) => void this.#tally(d).offered++,
        restored: (d) => void this.#tally(d).restored++,
        settled: (d, how) => void this.#tally(d).ends[how]++,
      },
      budget: createBudget(this.#pick(1_000_000, 6_000)),
      bounds: { events: this.#pick(1_024, 16), bytes: 2 ** 20, eventsOfAll: 4_096 },
    })
    const services = this.#services(clock, machine, tallies)
    const seat = machine.seat('broker/default/b')
    const life: Life = { clock, machine, feed, tallies, services, intake: seat.intake }
    this.#life = life
    seat.bind(feed)
    const intoStream = createStreamTarget({ id: 9, name: 'stream', clock, stream: () => this.#watchedStream(life) })
    this.#wanted.forEach(({ plan, service }, i) => {
      const sub = this.#lives * 100 + i
      const ends = { filtered: 0, delivered: 0, 'dead-lettered': 0, parked: 0, detached: 0, 'handed-back': 0 }
      const key = plan.key
      tallies.set(sub, { key, offered: 0, restored: 0, ends, running: 0, runningOrder: new Map(), lastOfOrder: new Map() })
      machine.add(sub, seat, {
        plan,
        target: services[service],
        reply: plan.reply === null ? null : intoStream,
        deadLetter: plan.deadLetter === null ? null : services.dead,
        replyIsOwnStream: true,
      })
      feed.attach(sub, key, { at: 'committed', otherwise: { at: 'earliest' } })
    })
    this.#trace(`life ${this.#lives} begins`)
    return life
  }

  /** An append of a life that crashed is still made, but nobody hears of it. */
  #watchedStream(life: Life): Stream {
    const append: Stream['append'] = (events, done, options) =>
      this.#stream.append(
        events,
        (r) => {
          const d = options?.settles
          if (r.kind === 'durable' && d !== undefined) {
            this.#ledger.accepted(life.tallies.get(d.sub)!.key, 'subscriber', d)
            this.#ledger.ended(life.tallies.get(d.sub)!.key, d, 'delivered')
          }
          if (life.clock.alive) done(r)
        },
        options,
      )
    return { ...this.#stream, append, can: this.#stream.can } as Stream
  }

  #services(clock: Clock, machine: DeliveryMachine, tallies: Map<number, Tally>): Life['services'] {
    const make = (name: Wanted['service'] | 'dead', id: number, limit: number): ServiceDouble =>
      new ServiceDouble({
        name,
        id,
        clock,
        random: this.#random,
        limit,
        spec: { ...SCALE, limit: Math.max(1, limit), minScale: limit === 0 ? 1 : 0 },
        coldStartMs: 500 + this.#upTo(2_000),
        timeoutMs: TIMEOUT_MS,
        backlog: () => this.#backlogOf(machine, tallies, name),
        answer: (a) => this.#answer(a),
        sent: (a) => this.#sent(a, tallies),
        decided: (a, o) => this.#decided(a, o, tallies),
        accepted: (a) => {
          const members = (a as { members?: readonly { d: Delivery }[] | null }).members ?? [{ d: a.delivery }]
          for (const { d } of members) this.#ledger.accepted(tallies.get(d.sub)!.key, a.leg ?? 'subscriber', d)
        },
        trace: this.#trace,
      })
    return { workers: make('workers', 1, 3), singles: make('singles', 2, 1), open: make('open', 3, 0), dead: make('dead', 4, 0) }
  }

  #backlogOf(machine: DeliveryMachine, tallies: Map<number, Tally>, name: string): number {
    let events = 0
    for (const [sub, { key }] of tallies) {
      const wanted = this.#wanted.find((w) => w.plan.key === key)!
      if (wanted.service !== name && !(name === 'dead' && wanted.plan.deadLetter !== null)) continue
      const state = machine.state(sub)
      events +=
        Math.max(0, state.waiting - state.detached - state.queued - state.attempting) + this.#feedOfStream.backlog(sub).events
    }
    return events
  }

  #answer(a: Attempt): Outcome {
    if (a.leg !== 'subscriber' || !a.wantsReply || !this.#chance(0.7)) return { kind: 'accepted', status: 200 }
    if (this.#chance(0.05)) return { kind: 'accepted', status: 200, badReply: 'ce-type is missing' }
    const reply = new CloudEvent({ id: `${a.event.id}-done`, source: '/worker', type: 'order.done', data: a.event.data })
    return { kind: 'accepted', status: 200, reply }
  }

  #sent(a: Attempt, tallies: Map<number, Tally>): void {
    if (a.leg !== 'subscriber') return
    const tally = tallies.get(a.delivery.sub)!
    const { plan } = this.#wanted.find((w) => w.plan.key === tally.key)!
    tally.running++
    if (plan.limits.maxConcurrency > 0 && tally.running > plan.limits.maxConcurrency) {
      throw new Violation(`${tally.key} runs ${tally.running} attempts, its limit is ${plan.limits.maxConcurrency}`)
    }
    const line = plan.order === 'ordered' ? 'lane' : plan.order === 'key' ? a.event.envelope.key : ''
    if (line === '') return
    const other = tally.runningOrder.get(line)
    if (other !== undefined) throw new Violation(`${tally.key} sends ${a.event.id} while ${other} of the same line is under way`)
    tally.runningOrder.set(line, a.event.id)
    const last = tally.lastOfOrder.get(line) ?? 0
    if (a.delivery.position < last)
      throw new Violation(`${tally.key} sends ${a.delivery.position} after ${last} of the same line`)
    tally.lastOfOrder.set(line, a.delivery.position)
  }

  #decided(a: Attempt, _o: Outcome, tallies: Map<number, Tally>): void {
    if (a.leg !== 'subscriber') return
    const tally = tallies.get(a.delivery.sub)!
    tally.running--
    for (const [line, id] of tally.runningOrder) if (id === a.event.id) tally.runningOrder.delete(line)
  }

  /** A stream that offers to a subscription of a life that is over would be a fault of its own. */
  #tally(d: Delivery): Tally {
    const tally = this.#life.tallies.get(d.sub)
    if (tally === undefined) throw new Violation(`${d.event.id} is offered to subscription ${d.sub}, which is gone`)
    return tally
  }

  // -- what happens -----------------------------------------------------------------------------------------------------

  #produce(): void {
    const events = Array.from({ length: 1 + this.#upTo(this.#chance(0.1) ? 40 : 4) }, () => {
      const id = `e${++this.#serial}`
      const type = this.#pick('order.created', 'order.changed')
      const envelope = { ...NEW_ENVELOPE, key: this.#pick('', 'a', 'b', 'c') }
      return new CloudEvent({ id, source: '/shop', type, data: Buffer.from(id), envelope })
    })
    this.#stream.append(events, (r) => {
      if (r.kind !== 'durable') throw new Violation(`the stream refuses: ${r.kind}`)
    })
  }

  #misbehave(): void {
    const names = ['workers', 'singles', 'open', 'dead'] as const
    const service = this.#life.services[this.#pick(...names)]
    const what = this.#upTo(11)
    if (what < 4) {
      const share = (): number => (this.#chance(0.4) ? this.#random.next() * 0.4 : 0)
      service.mood = {
        latencyMs: this.#pick(5, 100, 1_000),
        hang: share() / 4,
        reset: share(),
        unavailable: share(),
        reject: share() / 2,
      }
      this.#trace(`${service.name} is in another mood: ${JSON.stringify(service.mood)}`)
    } else if (what < 5) service.mood = { ...HEALTHY, unavailable: 1 }
    else if (what < 6) service.mood = HEALTHY
    else if (what < 8) service.kill()
    else if (what < 9) this.#pauseOne()
    else if (what < 10) service.evict()
    else if (this.#chance(0.3)) this.#crash()
    else if (this.#chance(0.4)) this.#restart()
  }

  #pauseOne(): void {
    const { machine, tallies, clock } = this.#life
    const sub = this.#pick(...tallies.keys())
    machine.pause(sub)
    this.#trace(`${tallies.get(sub)!.key} is paused`)
    clock.after(1_000 + this.#upTo(5_000), () => machine.resume(sub))
  }

  #end(): void {
    const { clock, feed, tallies, services } = this.#life
    clock.alive = false
    feed.alive = false
    for (const service of Object.values(services)) {
      service.close()
      this.#sums.mostPods = Math.max(this.#sums.mostPods, service.mostPods)
    }
    for (const [sub, tally] of tallies) {
      this.#sums.detached += tally.ends.detached
      this.#sums.handedBack += tally.ends['handed-back']
      this.#feedOfStream.detach(sub, false)
    }
  }

  #crash(): void {
    this.#trace('the gateway crashes')
    this.#draining = null
    this.#end()
    this.#begin()
  }

  #restart(): void {
    if (this.#draining !== null) return
    this.#trace('the gateway stops')
    const life = this.#life
    const abort = new AbortController()
    life.clock.after(this.#upTo(8_000), () => abort.abort())
    this.#drained = false
    this.#draining = life.machine.drain(abort.signal).then(() => {
      if (this.#life === life) this.#drained = true
    })
  }

  // -- the run ------------------------------------------------------------------------------------------------------------

  async run(): Promise<Outline> {
    this.#schedule(() => this.#produce(), 2_000)
    this.#schedule(() => this.#misbehave(), 6_000)
    let steps = 0
    let quietAtMs = 0
    for (;;) {
      if (!this.#clock.step()) throw new Violation('nothing will ever happen again')
      steps++
      if (this.#draining !== null) await this.#afterDrain()
      this.#checkAccounts()
      if (steps % 16 === 0) this.#checkBooks()
      if (!this.#quiet && this.#clock.now() > BUSY_MS) {
        this.#calm()
        quietAtMs = this.#clock.now()
      }
      if (!this.#quiet) continue
      if (this.#idle()) break
      if (this.#clock.now() - quietAtMs > QUIET_MOST_MS) throw new Violation(`it never comes to rest: ${this.#whatIsLeft()}`)
    }
    return this.#conclude(steps)
  }

  #schedule(f: () => void, everyMs: number): void {
    this.#clock.after(everyMs * this.#random.next() * 2, () => {
      if (this.#quiet) return
      f()
      this.#schedule(f, everyMs)
    })
  }

  async #afterDrain(): Promise<void> {
    for (let i = 0; i < 4; i++) await Promise.resolve()
    if (!this.#drained) return
    this.#draining = null
    this.#drained = false
    for (const [sub, tally] of this.#life.tallies) {
      const { waiting, detached } = this.#life.machine.state(sub)
      if (waiting !== detached) throw new Violation(`${tally.key} still has ${waiting - detached} after the drain`)
    }
    this.#end()
    this.#begin()
  }

  /** No more faults, no more events: everything has to end now. */
  #calm(): void {
    this.#quiet = true
    this.#trace('quiet')
    if (this.#draining !== null) this.#crash()
    const { machine, tallies, services } = this.#life
    for (const service of Object.values(services)) service.mood = HEALTHY
    for (const sub of tallies.keys()) machine.resume(sub)
  }

  #idle(): boolean {
    const { machine, tallies } = this.#life
    for (const sub of tallies.keys()) {
      const { waiting, held } = machine.state(sub)
      if (held !== '') machine.resume(sub)
      if (waiting > 0 || this.#feedOfStream.backlog(sub).events > 0) return false
    }
    if (this.#ledger.waitingForTheirTime > 0) return false
    return this.#stream.holdings().every((h) => h.position > this.#ledger.events.length)
  }

  #whatIsLeft(): string {
    const { machine, tallies } = this.#life
    return JSON.stringify([...tallies].map(([sub, t]) => [t.key, machine.state(sub), this.#feedOfStream.backlog(sub)]))
  }

  /** DESIGN §10, and the machine's counters against what the arrows said. */
  #checkAccounts(): void {
    const { machine, tallies } = this.#life
    for (const [sub, tally] of tallies) {
      const s = machine.state(sub)
      const left = s.restored + s.offered + s.replayed
      const right = s.filtered + s.delivered + s.deadLettered + s.parked + s.handedBack + s.waiting
      if (left !== right) throw new Violation(`${tally.key} does not balance: ${JSON.stringify(s)}`)
      const { ends } = tally
      const agree = s.delivered === ends.delivered && s.deadLettered === ends['dead-lettered'] && s.parked === ends.parked
      if (!agree || s.handedBack !== ends['handed-back']) {
        throw new Violation(`${tally.key} counts ${JSON.stringify(s)}, the arrows say ${JSON.stringify(ends)}`)
      }
    }
  }

  #checkBooks(): void {
    for (const { key, position } of this.#stream.holdings()) this.#ledger.checkPosition(key, position)
    for (const service of Object.values(this.#life.services)) service.check()
  }

  #conclude(steps: number): Outline {
    this.#checkBooks()
    const ledger = this.#ledger
    const sum = (how: End): number => this.#wanted.reduce((n, w) => n + ledger.count(w.plan.key, how), 0)
    for (const { plan, matches } of this.#wanted) {
      ledger.checkNothingLost(plan.key, matches)
      const kept = this.#feedOfStream.parked.counts(plan.key).events
      const parked = ledger.count(plan.key, 'parked')
      if (kept !== parked) throw new Violation(`${plan.key} keeps ${kept} parked events, ${parked} were parked`)
    }
    this.#end()
    return {
      steps,
      events: ledger.events.length,
      lives: this.#lives,
      delivered: sum('delivered'),
      deadLettered: sum('dead-lettered'),
      parked: sum('parked'),
      filtered: sum('filtered'),
      virtualMs: Math.round(this.#clock.now()),
      ...this.#sums,
    }
  }
}

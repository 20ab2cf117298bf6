import type { Delivery, DetachedState, Settlement, Undecodable } from '../../src/contract/delivery.ts'
import type { Feed, ParkedStore } from '../../src/contract/feed.ts'
import type { Observer } from '../../src/contract/observer.ts'
import { SILENT } from '../../src/contract/observer.ts'
import type { Outcome } from '../../src/contract/outcome.ts'
import type { SubscriptionPlan } from '../../src/contract/plan.ts'
import type { Attempt, Credit, Target } from '../../src/contract/target.ts'
import { CloudEvent, NEW_ENVELOPE, type Envelope } from '../../src/event/event.ts'
import { createBudget } from '../../src/flow/budget.ts'
import { createGate, type Gate } from '../../src/flow/gate.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { createDeliveryMachine, type DeliveryMachine, type MachineOptions, type Seat } from '../../src/subscription/machine.ts'
import type { RunningSpec } from '../../src/subscription/route.ts'
import { VirtualClock } from '../simulation/virtual-clock.ts'

export const ACCEPT: Outcome = { kind: 'accepted', status: 200 }
export const FAIL: Outcome = { kind: 'retryable', status: 503, why: 'answered 503' }
export const REJECT: Outcome = { kind: 'rejected', status: 400, why: 'answered 400', body: Buffer.from('no such order') }

export function eventOf(id: string, o: { key?: string; partitionkey?: string; envelope?: Partial<Envelope> } = {}): CloudEvent {
  return new CloudEvent({
    id,
    source: '/test',
    type: 'test.made',
    data: Buffer.from(id),
    extensions: o.partitionkey === undefined ? [] : [['partitionkey', o.partitionkey]],
    envelope: { ...NEW_ENVELOPE, ...o.envelope, key: o.key ?? '' },
  })
}

export function planOf(o: Partial<SubscriptionPlan> = {}): SubscriptionPlan {
  return {
    key: 'trigger/default/t',
    namespace: 'default',
    from: { stream: 'broker/default/b' },
    start: { at: 'latest' },
    filter: null,
    order: 'unordered',
    onPark: 'continue',
    delivery: {
      retry: 3,
      backoffPolicy: 'linear',
      backoffDelayMs: 1_000,
      backoffMaxMs: 600_000,
      timeoutMs: 30_000,
      retryAfterMaxMs: 0,
      format: 'binary',
    },
    target: 'target',
    reply: null,
    deadLetter: null,
    limits: { maxConcurrency: 0, ratePerS: 0 },
    headers: [],
    batchMax: 1,
    batchWaitMs: 0,
    ack: 'response',
    ...o,
  }
}

/** A gate with pods, and attempts that are answered by the test. */
export class TargetDouble implements Target {
  readonly id: number
  readonly name: string
  readonly gate: Gate
  /** Not answered yet, oldest first. */
  readonly open_: { readonly attempt: Attempt; readonly credit: Credit }[] = []
  readonly sent: Attempt[] = []
  /** Answers at once instead of waiting for the test. */
  answer: ((a: Attempt) => Outcome | null) | null = null
  readonly #clock: VirtualClock

  constructor(clock: VirtualClock, id: number, name: string, credits = 100) {
    this.#clock = clock
    this.id = id
    this.name = name
    this.gate = createGate({ clock, maxQueuedRequests: 0 })
    if (credits >= 0) this.gate.add(`${name}-pod`, { protocol: 'http:', host: name, port: 80, caCerts: '' }, credits)
  }
  acquire: Target['acquire'] = (job) => this.gate.acquire(job)
  adopt = (pod: string): Credit | null => this.gate.adopt(pod)
  cancel: Target['cancel'] = (job) => this.gate.cancel(job)
  state: Target['state'] = () => this.gate.state()
  onRoom: Target['onRoom'] = (f) => this.gate.onRoom(f)
  get open(): boolean {
    return this.gate.open
  }
  get credits(): number {
    return this.gate.credits
  }
  send(attempt: Attempt, credit: Credit): void {
    this.sent.push(attempt)
    this.open_.push({ attempt, credit })
    const outcome = this.answer?.(attempt) ?? null
    if (outcome !== null) this.end(attempt, outcome)
  }
  /** Ids of the events whose attempts are open. */
  get under(): string[] {
    return this.open_.map(({ attempt }) => attempt.event.id)
  }
  get ids(): string[] {
    return this.sent.map((a) => a.event.id)
  }
  /** Ends one open attempt, by event id, `oldest` or itself. */
  end(which: Attempt | string, o: Outcome): void {
    const i = this.open_.findIndex(({ attempt }) => which === 'oldest' || attempt === which || attempt.event.id === which)
    const [found] = this.open_.splice(i, 1)
    if (i < 0 || found === undefined) throw new Error(`no open attempt of ${typeof which === 'string' ? which : which.event.id}`)
    found.credit.release({ ms: 1, ok: o.kind === 'accepted' })
    found.attempt.done(o)
    this.#clock.settle()
  }
  endAll(o: Outcome): void {
    while (this.open_.length > 0) this.end('oldest', o)
  }
}

/** Takes down all that a feed is asked for. */
export class FeedDouble implements Feed {
  readonly settled: { readonly id: string; readonly how: Settlement }[] = []
  readonly detached: { readonly d: Delivery; readonly state: DetachedState; readonly done: (ok: boolean) => void }[] = []
  readonly parkedOnes: { readonly d: Delivery; readonly state: DetachedState }[] = []
  readonly raw: { readonly position: number; readonly bad: Undecodable }[] = []
  readonly resumed: number[] = []
  /** false = nothing more can be parked. */
  canPark = true
  canDetach: boolean | 'later' = true
  passedEvents = 0
  onResume: ((lane: number) => void) | null = null
  readonly can = { seek: true, release: false, lease: false, ordered: true, exactBacklog: true } as const
  readonly parked: ParkedStore = {
    counts: () => ({ events: this.parkedOnes.length, bytes: 0 }),
    keys: () => [],
    list: () => [],
    get: () => undefined,
    remove: () => Promise.resolve(0),
  }
  attach(): void {}
  detach(): void {}
  forget(): boolean {
    return false
  }
  resume(_sub: number, lane: number): void {
    this.resumed.push(lane)
    this.onResume?.(lane)
  }
  settle(d: Delivery, how: Settlement): void {
    this.settled.push({ id: d.event.id, how })
  }
  detachDelivery(d: Delivery, state: DetachedState, done: (ok: boolean) => void): void {
    this.detached.push({ d, state, done })
    if (this.canDetach !== 'later') done(this.canDetach)
  }
  park(d: Delivery, state: DetachedState, done: (ok: boolean) => void): void {
    if (this.canPark) this.parkedOnes.push({ d, state })
    done(this.canPark)
  }
  parkRaw(_sub: number, _lane: number, position: number, bad: Undecodable, done: (ok: boolean) => void): void {
    if (this.canPark) this.raw.push({ position, bad })
    done(this.canPark)
  }
  extend(): void {}
  seek(): Promise<void> {
    return Promise.resolve()
  }
  backlog(): { events: number; exact: boolean; oldestMs: number } {
    return { events: 0, exact: true, oldestMs: 0 }
  }
  passed(): number {
    return this.passedEvents
  }
  flush(): Promise<void> {
    return Promise.resolve()
  }
  hows(how: Settlement): string[] {
    return this.settled.filter((s) => s.how === how).map((s) => s.id)
  }
}

export const SUB = 7

/** One subscription on a machine, with doubles around it. */
export class Rig {
  readonly clock = new VirtualClock()
  readonly feed = new FeedDouble()
  readonly machine: DeliveryMachine
  readonly seat: Seat
  readonly target: TargetDouble
  readonly reply: TargetDouble
  readonly deadLetter: TargetDouble
  readonly story: string[] = []
  spec: RunningSpec
  #position = 0

  constructor(
    o: {
      readonly plan?: Partial<SubscriptionPlan>
      readonly credits?: number
      readonly machine?: Partial<MachineOptions>
      readonly spec?: Partial<RunningSpec>
      readonly observer?: Partial<Observer>
    } = {},
  ) {
    const { clock } = this
    this.target = new TargetDouble(clock, 1, 'http://subscriber', o.credits ?? 100)
    this.reply = new TargetDouble(clock, 2, 'http://reply', 100)
    this.deadLetter = new TargetDouble(clock, 3, 'http://dead', 100)
    this.machine = createDeliveryMachine({
      clock,
      random: { next: () => 0.5 },
      log: SILENT_LOG,
      observer: { ...this.#arrows(), ...o.observer },
      budget: createBudget(64 * 2 ** 20),
      ...o.machine,
    })
    this.seat = this.machine.seat('seat')
    const plan = planOf(o.plan)
    this.spec = {
      plan,
      target: this.target,
      reply: plan.reply === null ? null : this.reply,
      deadLetter: plan.deadLetter === null ? null : this.deadLetter,
      ...o.spec,
    }
    this.machine.add(SUB, this.seat, this.spec)
    this.seat.bind(this.feed)
  }

  /** Every arrow that was walked, as one word and the event. */
  #arrows(): Observer {
    const say = (what: string, d: Delivery): number => this.story.push(`${what} ${d.event.id}`)
    return {
      ...SILENT,
      matched: (d) => say('matched', d),
      waiting: (d) => say('waiting', d),
      attempted: (d, n, _pod, outcome) => say(`attempt ${n} ${outcome.kind}`, d),
      retrying: (d, retry, delayMs) => say(`retry ${retry} in ${delayMs}`, d),
      replied: (d) => say('replied', d),
      settled: (d, how) => say(how, d),
      restored: (d) => say('restored', d),
      undecodable: (_sub, why) => this.story.push(`undecodable ${why}`),
    }
  }

  delivery(event: CloudEvent, o: Partial<Delivery> = {}): Delivery {
    return {
      event,
      sub: SUB,
      lane: 0,
      position: ++this.#position,
      redelivery: 0,
      story: [],
      phase: 'subscriber',
      leaseUntilMs: 0,
      bytes: 100,
      ...o,
    }
  }

  offer(
    id: string,
    o: { lane?: number; key?: string; partitionkey?: string; envelope?: Partial<Envelope>; bytes?: number } = {},
  ): boolean {
    const d = this.delivery(eventOf(id, o), { lane: o.lane ?? 0, ...(o.bytes === undefined ? {} : { bytes: o.bytes }) })
    this.feed.passedEvents++
    const more = this.seat.intake.offer(d)
    this.clock.settle()
    return more
  }

  offerAll(n: number, prefix = 'e'): void {
    for (let i = 1; i <= n; i++) this.offer(`${prefix}${i}`)
  }

  get state(): ReturnType<DeliveryMachine['state']> {
    const s = this.machine.state(SUB)
    const left = s.restored + s.offered + s.replayed
    const right = s.filtered + s.delivered + s.deadLettered + s.parked + s.handedBack + s.waiting
    if (left !== right) throw new Error(`the account does not balance: ${JSON.stringify(s)}`)
    return s
  }
}

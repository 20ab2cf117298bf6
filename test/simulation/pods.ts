import type { Outcome } from '../../src/contract/outcome.ts'
import type { ScaleSpec, PodSeen } from '../../src/contract/decider.ts'
import type { Attempt, Credit, Origin, Target } from '../../src/contract/target.ts'
import { xpa, type XpaState } from '../../src/autoscaler/xpa.ts'
import { createGate, type Gate } from '../../src/flow/gate.ts'
import type { Clock, Timer } from '../../src/runtime/clock.ts'
import type { Random } from '../../src/runtime/random.ts'
import { Violation } from './ledger.ts'

const ORIGIN: Origin = { protocol: 'http:', host: 'pod', port: 80, caCerts: '' }

/** How the pods of a service behave at the moment. Shares of attempts; what is left succeeds. */
export interface Mood {
  readonly latencyMs: number
  readonly hang: number
  readonly reset: number
  readonly unavailable: number
  readonly reject: number
}

export const HEALTHY: Mood = { latencyMs: 50, hang: 0, reset: 0, unavailable: 0, reject: 0 }

export interface ServiceOptions {
  readonly name: string
  readonly id: number
  readonly clock: Clock
  readonly random: Random
  /** Credits a pod, 0 = without limit. */
  readonly limit: number
  readonly spec: ScaleSpec
  readonly coldStartMs: number
  readonly timeoutMs: number
  /** Events that wait behind the gate. */
  readonly backlog: () => number
  /** What an attempt that succeeds is answered with. */
  readonly answer: (a: Attempt) => Outcome
  readonly sent: (a: Attempt) => void
  readonly decided: (a: Attempt, o: Outcome) => void
  readonly accepted: (a: Attempt) => void
  readonly trace: (line: string) => void
}

interface Pod {
  readonly name: string
  phase: 'starting' | 'ready' | 'draining'
  sinceMs: number
  /** Attempts it really works on, whatever the gateway thinks. */
  working: number
  starting: Timer | null
}

/** A service with its pods, its gate and its scaler: what the sender and the services room are in the gateway. */
export class ServiceDouble implements Target {
  readonly id: number
  readonly name: string
  readonly gate: Gate
  mood: Mood = HEALTHY
  mostPods = 0
  readonly #o: ServiceOptions
  readonly #pods = new Map<string, Pod>()
  #serial = 0
  #state: XpaState
  #timer: Timer | null = null
  #timerAtMs = Infinity
  #lastMs = 0
  #arrivalsBefore = 0
  #closed = false

  constructor(o: ServiceOptions) {
    this.id = o.id
    this.name = o.name
    this.#o = o
    this.gate = createGate({ clock: o.clock, maxQueuedRequests: 10, onChange: () => this.#decideBy(o.clock.now() + 100) })
    this.#state = xpa.init(o.spec, o.clock.now())
    this.#decideBy(o.clock.now())
  }

  acquire: Target['acquire'] = (job) => this.gate.acquire(job)
  cancel: Target['cancel'] = (job) => this.gate.cancel(job)
  state: Target['state'] = () => this.gate.state()
  onRoom: Target['onRoom'] = (f) => this.gate.onRoom(f)
  get open(): boolean {
    return this.gate.open
  }
  get credits(): number {
    return this.gate.credits
  }

  /** The sender: one attempt, its time-out, its late answer, its pod that goes away. */
  send(a: Attempt, c: Credit): void {
    const { clock, limit, trace } = this.#o
    const pod = this.#pods.get(c.pod)
    if (pod === undefined) throw new Violation(`an attempt goes to ${c.pod}, which is not there`)
    if (pod.phase === 'draining') throw new Violation(`an attempt goes to ${c.pod}, which is to go`)
    this.#o.sent(a)
    const startedMs = clock.now()
    pod.working++
    if (limit > 0 && pod.working > limit) throw new Violation(`${pod.name} works on ${pod.working}, its limit is ${limit}`)
    let decided = false
    let over = false
    const decide = (o: Outcome): void => {
      if (decided) {
        if (o.kind === 'accepted') a.late?.(o)
        return
      }
      decided = true
      deadline.cancel()
      this.#o.decided(a, o)
      a.done(o)
    }
    const deadline = clock.after(a.deadlineMs - startedMs, () => {
      trace(`${pod.name} times out with ${a.event.id}`)
      c.abandon()
      decide({ kind: 'retryable', status: 0, why: 'timed out' })
    })
    c.onGone(() => {
      over = true
      c.release({ ms: clock.now() - startedMs, ok: false })
      decide({ kind: 'retryable', status: 0, why: 'the pod is gone' })
    })
    const { afterMs, outcome } = this.#behave(a)
    if (outcome === null) return
    clock.after(afterMs, () => {
      if (over) return
      over = true
      pod.working--
      if (outcome.kind === 'accepted') this.#o.accepted(a)
      c.release({ ms: clock.now() - startedMs, ok: outcome.kind === 'accepted' })
      decide(outcome)
      this.#stopDrained()
    })
  }

  /** null = it never answers. */
  #behave(a: Attempt): { readonly afterMs: number; readonly outcome: Outcome | null } {
    const { mood } = this
    const { random, timeoutMs } = this.#o
    const afterMs = mood.latencyMs * (0.5 + random.next())
    let chance = random.next()
    if ((chance -= mood.hang) < 0) {
      return random.next() < 0.5
        ? { afterMs, outcome: null }
        : { afterMs: timeoutMs * (1 + random.next()), outcome: this.#o.answer(a) }
    }
    if ((chance -= mood.reset) < 0)
      return { afterMs: afterMs / 10, outcome: { kind: 'retryable', status: 0, why: 'connection reset' } }
    if ((chance -= mood.unavailable) < 0) {
      return { afterMs: 1, outcome: { kind: 'retryable', status: 503, why: 'answered 503', retryAfterMs: 2_000 } }
    }
    if (chance - mood.reject < 0) return { afterMs, outcome: { kind: 'rejected', status: 400, why: 'answered 400' } }
    return { afterMs, outcome: this.#o.answer(a) }
  }

  /** One pod dies with all it works on. */
  kill(): void {
    const ready = [...this.#pods.values()].filter((p) => p.phase !== 'starting')
    const pod = ready[Math.floor(this.#o.random.next() * ready.length)]
    if (pod === undefined) return
    this.#o.trace(`${pod.name} dies with ${pod.working} attempts`)
    this.#remove(pod)
  }

  /** Somebody else wants a pod to go, busy or not: it gets nothing new and leaves when its work has ended. */
  evict(): void {
    const pod = [...this.#pods.values()].find((p) => p.phase === 'ready')
    if (pod === undefined) return
    this.#o.trace(`${pod.name} is to go, with ${pod.working} attempts`)
    pod.phase = 'draining'
    this.gate.cordon(pod.name)
    this.#stopDrained()
  }

  /** The gate's books against what the pods really work on. */
  check(): void {
    let working = 0
    for (const pod of this.#pods.values()) {
      working += pod.working
      const booked = this.gate.inFlightOf(pod.name)
      if (booked !== pod.working) throw new Violation(`${pod.name} works on ${pod.working}, ${booked} are booked`)
    }
    const { inFlight } = this.gate.state()
    if (inFlight !== working) throw new Violation(`the pods of ${this.name} work on ${working}, ${inFlight} are booked`)
  }

  /** The gateway is gone, and its pods with it. */
  close(): void {
    this.#closed = true
  }

  get pods(): number {
    return this.#pods.size
  }

  #remove(pod: Pod): void {
    pod.starting?.cancel()
    this.#pods.delete(pod.name)
    this.gate.gone(pod.name)
    this.#decideBy(this.#o.clock.now())
  }

  #decideBy(atMs: number): void {
    if (this.#closed || atMs >= this.#timerAtMs) return
    this.#timer?.cancel()
    this.#timerAtMs = atMs
    this.#timer = this.#o.clock.after(atMs - this.#o.clock.now(), () => {
      this.#timerAtMs = Infinity
      this.#decide()
    })
  }

  #decide(): void {
    if (this.#closed) return
    const { clock, spec } = this.#o
    const nowMs = clock.now()
    this.#replaceStuck(nowMs)
    const state = this.gate.state()
    const counters = this.gate.counters()
    const seconds = Math.max(0.1, (nowMs - this.#lastMs) / 1_000)
    const pods = [...this.#pods.values()].map((p): PodSeen => {
      const inFlight = this.gate.inFlightOf(p.name)
      return { name: p.name, phase: p.phase, inFlight, sinceMs: p.sinceMs, idleSinceMs: this.gate.idleSinceOf(p.name) }
    })
    const decision = xpa.decide(
      spec,
      this.#state,
      {
        inFlight: state.inFlight,
        queued: state.queuedRequests,
        backlog: state.queuedEvents + this.#o.backlog(),
        arrivals: counters.arrivals,
        arrivalsPerS: (counters.arrivals - this.#arrivalsBefore) / seconds,
        serviceMs: counters.serviceMs,
        coldStartMs: this.#o.coldStartMs,
        stable: null,
        panic: null,
        pods,
      },
      nowMs,
    )
    this.#lastMs = nowMs
    this.#arrivalsBefore = counters.arrivals
    this.#state = decision.next
    if (decision.valid) this.#apply(decision.desired, decision.remove)
    this.#decideBy(Math.max(nowMs + 500, Math.min(decision.wakeAtMs, nowMs + 5_000)))
  }

  #apply(desired: number, remove: readonly string[]): void {
    const { spec, trace } = this.#o
    if (spec.maxScale > 0 && desired > spec.maxScale)
      throw new Violation(`${this.name} wants ${desired} pods, at most ${spec.maxScale}`)
    for (const name of remove) {
      const pod = this.#pods.get(name)
      if (pod === undefined) continue
      if (pod.phase === 'starting') this.#remove(pod)
      else {
        pod.phase = 'draining'
        this.gate.cordon(name)
      }
    }
    this.#stopDrained()
    const standing = (): number => [...this.#pods.values()].filter((p) => p.phase !== 'draining').length
    for (const pod of this.#pods.values()) {
      if (standing() >= desired || pod.phase !== 'draining') continue
      pod.phase = 'ready'
      this.gate.uncordon(pod.name)
    }
    while (standing() < desired) this.#start()
    this.mostPods = Math.max(this.mostPods, this.#pods.size)
    if (remove.length > 0) trace(`${this.name} lets ${remove.join(', ')} go`)
  }

  #start(): void {
    const { clock, coldStartMs, limit, random, trace } = this.#o
    const pod: Pod = {
      name: `${this.name}-${++this.#serial}`,
      phase: 'starting',
      sinceMs: clock.now(),
      working: 0,
      starting: null,
    }
    this.#pods.set(pod.name, pod)
    pod.starting = clock.after(coldStartMs * (0.5 + random.next()), () => {
      pod.phase = 'ready'
      pod.sinceMs = clock.now()
      trace(`${pod.name} is ready`)
      this.gate.add(pod.name, ORIGIN, limit)
    })
  }

  /** Drained pods are stopped: the gateway never stops one that works. */
  #stopDrained(): void {
    for (const pod of this.#pods.values()) {
      if (pod.phase !== 'draining' || this.gate.inFlightOf(pod.name) > 0) continue
      if (pod.working > 0) throw new Violation(`${pod.name} is stopped while it works on ${pod.working}`)
      this.#remove(pod)
    }
  }

  #replaceStuck(nowMs: number): void {
    for (const pod of this.#pods.values()) {
      const sinceMs = this.gate.abandonedSinceOf(pod.name)
      if (sinceMs === null || nowMs - sinceMs < this.#o.timeoutMs) continue
      this.#o.trace(`${pod.name} is stuck`)
      this.#remove(pod)
    }
  }
}

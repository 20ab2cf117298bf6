import type { Decision, MetricWindows, Observation, ScaleSpec } from '../../contract/decider.ts'
import { seededRandom, type Random } from '../../runtime/random.ts'
import { EventHeap } from './event-heap.ts'
import { Fleet, type SimPod } from './fleet.ts'
import { specFor, type Policy, type Setup } from './policy.ts'
import { normal, type Scene } from './scene.ts'
import { Tally } from './tally.ts'

/** What a run was, second by second and in all. */
export interface RunResult {
  readonly policy: string
  readonly scene: string
  readonly tally: Tally
  /** A second each: requests in the system (running or waiting) and pods (starting, ready, draining). */
  readonly demand: readonly number[]
  readonly pods: readonly number[]
  /** How long each stored batch took from its appearance to its last event, ms; Infinity = not in this run. */
  readonly drainedMs: readonly number[]
  readonly decisions: number
  /** The first decisions and their reasons, for reading and comparing. */
  readonly log: readonly string[]
  readonly endMs: number
}

/** As the scaling loop of a service does: at most ten up decisions and one down decision a second. */
const UP_EVERY_MS = 100
const DOWN_EVERY_MS = 1_000
const SECOND_MS = 1_000
/** What has no slot this long after the scene is counted as lost. */
const TAIL_MS = 600_000
const START_VARIATION = 0.2
/** Weight of the newest service time, as the gate smooths it. */
const NEWEST = 0.05
const STARTS_KEPT = 50
const ACTIVATOR_QUEUE = 10_000
const POD_QUEUE_FACTOR = 10
const STORED = -1
const LOG_LINES = 400

/** Plays a scene under a policy on a clock of its own: the same seed gives the same run to the last decision. */
export function simulate(scene: Scene, policy: Policy, setup: Setup): RunResult {
  const run = new Run(scene, policy, setup)
  run.play()
  return run.result()
}

class Run {
  readonly #scene: Scene
  readonly #policy: Policy
  readonly #setup: Setup
  readonly #spec: ScaleSpec
  readonly #kit
  readonly #windows: MetricWindows | null
  readonly #random: Random
  readonly #heap = new EventHeap()
  readonly #fleet: Fleet
  readonly #tally = new Tally()
  #state: unknown
  #nowMs = 0
  #nextArrival = 0
  #decideAtMs = 0
  #sampleAtMs = SECOND_MS
  #lastDecisionMs = -Infinity
  #lastDownMs = -Infinity
  #direct = false
  // The central queue of requests, as a window over the arrivals that wait.
  #queue: number[] = []
  #queueHead = 0
  #inPods = 0
  #inFlight = 0
  #arrivals = 0
  #areaSinceSample = 0
  #arrivedSinceSample = 0
  #serviceMs = 0
  #services = 0
  readonly #starts: number[] = []
  // Work of the slots in use: pod and service time, by job number.
  readonly #jobPod: SimPod[] = []
  readonly #jobMs: number[] = []
  readonly #jobStored: boolean[] = []
  readonly #freeJobs: number[] = []
  #stored = 0
  #storedInSystem = 0
  #storedSinceMs = 0
  #nextStored = 0
  readonly #drainedMs: number[] = []
  readonly #demand: number[] = []
  readonly #pods: number[] = []
  readonly #log: string[] = []
  #decisions = 0

  constructor(scene: Scene, policy: Policy, setup: Setup) {
    this.#scene = scene
    this.#policy = policy
    this.#setup = setup
    this.#spec = specFor(scene, setup)
    this.#kit = policy.kit(scene, setup)
    this.#windows = this.#kit.windows(this.#spec)
    this.#random = seededRandom(setup.seed)
    this.#fleet = new Fleet(scene.limit)
    for (let i = 0; i < this.#spec.minScale; i++) this.#fleet.becomeReady(this.#fleet.start(0), 0)
    this.#state = this.#kit.decider.init(this.#spec, 0)
  }

  play(): void {
    const { arrivalsMs, endMs, stored } = this.#scene
    for (;;) {
      const arrivalMs = arrivalsMs[this.#nextArrival] ?? Infinity
      const storedMs = stored[this.#nextStored]?.atMs ?? Infinity
      const nextMs = Math.min(arrivalMs, this.#heap.nextMs, this.#decideAtMs, this.#sampleAtMs, storedMs)
      const over = arrivalMs === Infinity && this.#inSystem === 0 && this.#stored === 0 && storedMs === Infinity
      if (nextMs >= endMs && (over || nextMs > endMs + TAIL_MS)) break
      this.#advance(nextMs)
      if (nextMs === this.#heap.nextMs) this.#happen(this.#heap.pop())
      else if (nextMs === arrivalMs) this.#arrive(this.#nextArrival++)
      else if (nextMs === this.#sampleAtMs) this.#sample()
      else if (nextMs === this.#decideAtMs) this.#decide()
      else this.#store()
    }
    this.#advance(Math.max(endMs, this.#nowMs))
    this.#tally.lost += this.#queue.length - this.#queueHead + this.#inPods
  }

  result(): RunResult {
    return {
      policy: this.#policy.name,
      scene: this.#scene.name,
      tally: this.#tally,
      demand: this.#demand,
      pods: this.#pods,
      drainedMs: this.#scene.stored.map((_, i) => this.#drainedMs[i] ?? Infinity),
      decisions: this.#decisions,
      log: this.#log,
      endMs: this.#scene.endMs,
    }
  }

  get #queued(): number {
    return this.#queue.length - this.#queueHead
  }
  get #inSystem(): number {
    return this.#inFlight + this.#queued + this.#inPods
  }

  #advance(toMs: number): void {
    const ms = toMs - this.#nowMs
    this.#areaSinceSample += this.#inSystem * ms
    // Pods cost until the end of the scene; what drains behind it counts for the waits only.
    const costsMs = Math.min(toMs, this.#scene.endMs) - Math.min(this.#nowMs, this.#scene.endMs)
    if (costsMs > 0) {
      this.#tally.podMs += this.#fleet.pods.length * costsMs
      this.#tally.idlePodMs += this.#fleet.idleReady * costsMs
      if (this.#queued + this.#inPods > 0) this.#tally.queueMs += costsMs
    }
    this.#nowMs = toMs
  }

  #arrive(request: number): void {
    this.#arrivals++
    this.#arrivedSinceSample++
    this.#route(request)
    this.#poke()
  }

  #route(request: number): void {
    const { balance } = this.#policy
    const fleet = this.#fleet
    if (balance === 'random' || (balance === 'knative' && this.#direct && fleet.ready > 0)) {
      const pod = fleet.any(this.#random.next())
      if (pod === null) this.#queue.push(request)
      else if (pod.inFlight < fleet.limit) this.#begin(pod, request)
      else if (balance === 'knative' && pod.waiting.length >= POD_QUEUE_FACTOR * fleet.limit) this.#lose(request)
      else {
        pod.waiting.push(request)
        this.#inPods++
      }
      return
    }
    const pod = balance === 'packed' ? fleet.fullest() : fleet.nextFree()
    if (pod !== null) this.#begin(pod, request)
    else if (balance === 'knative' && this.#queued >= ACTIVATOR_QUEUE) this.#lose(request)
    else this.#queue.push(request)
  }

  #lose(request: number): void {
    this.#tally.lost++
    if (request === STORED) {
      // A dispatcher tries again; for the run it never left the stream.
      this.#tally.lost--
      this.#stored++
      this.#storedInSystem--
    }
  }

  #begin(pod: SimPod, request: number): void {
    const stored = request === STORED
    if (!stored) this.#tally.wait(this.#nowMs - this.#scene.arrivalsMs[request]!)
    // A draining pod works off its own queue; the fleet no longer counts its slots.
    if (pod.phase === 'draining') pod.inFlight++
    else this.#fleet.take(pod)
    if (pod.inFlight > this.#fleet.limit) this.#tally.overLimit++
    this.#inFlight++
    const ms = stored ? this.#scene.storedServiceMs : this.#scene.serviceMs[request]!
    const job = this.#freeJobs.pop() ?? this.#jobPod.length
    this.#jobPod[job] = pod
    this.#jobMs[job] = ms
    this.#jobStored[job] = stored
    this.#heap.push(this.#nowMs + ms, job)
  }

  /** A job's end, or (complemented) a pod that becomes ready. */
  #happen(what: number): void {
    if (what < 0) this.#podReady(this.#fleet.byId(~what))
    else this.#complete(what)
    this.#poke()
  }

  #complete(job: number): void {
    const pod = this.#jobPod[job]!
    const ms = this.#jobMs[job]!
    this.#freeJobs.push(job)
    this.#inFlight--
    this.#fleet.give(pod, this.#nowMs)
    this.#services++
    this.#serviceMs += (ms - this.#serviceMs) * Math.max(NEWEST, 1 / this.#services)
    if (this.#jobStored[job] === true) {
      this.#storedInSystem--
      if (this.#stored === 0 && this.#storedInSystem === 0) this.#drainedMs.push(this.#nowMs - this.#storedSinceMs)
    }
    if (pod.waiting.length > 0) {
      this.#inPods--
      this.#begin(pod, pod.waiting.shift()!)
    } else if (pod.phase === 'ready') this.#fill(pod)
    else if (pod.inFlight === 0) this.#fleet.remove(pod)
    this.#offerStored()
  }

  #podReady(pod: SimPod): void {
    if (pod.phase !== 'starting' || pod.gone) return
    if (this.#starts.push(this.#nowMs - pod.sinceMs) > STARTS_KEPT) this.#starts.shift()
    this.#fleet.becomeReady(pod, this.#nowMs)
    this.#fill(pod)
    this.#offerStored()
  }

  /** Gives a pod what waits centrally, then, where slots pull, what is stored. */
  #fill(pod: SimPod): void {
    while (pod.inFlight < this.#fleet.limit) {
      if (this.#queueHead < this.#queue.length) this.#begin(pod, this.#shift())
      else if (this.#stored > 0 && this.#policy.pushesStored === 0) this.#takeStored(pod)
      else return
    }
  }

  #takeStored(pod: SimPod): void {
    this.#stored--
    this.#storedInSystem++
    this.#arrivals++
    this.#arrivedSinceSample++
    this.#begin(pod, STORED)
  }

  /** A dispatcher that pushes keeps so many of the stored events on their way. */
  #offerStored(): void {
    while (this.#stored > 0 && this.#storedInSystem < this.#policy.pushesStored) {
      this.#stored--
      this.#storedInSystem++
      const before = this.#storedInSystem
      this.#arrivals++
      this.#arrivedSinceSample++
      this.#route(STORED)
      if (this.#storedInSystem < before) return
    }
  }

  #store(): void {
    this.#stored += this.#scene.stored[this.#nextStored++]!.events
    this.#storedSinceMs = this.#nowMs
    if (this.#policy.pushesStored > 0) this.#offerStored()
    else {
      for (let pod = this.#fleet.fullest(); pod !== null && this.#stored > 0; pod = this.#fleet.fullest()) this.#fill(pod)
    }
    this.#poke()
  }

  #shift(): number {
    const request = this.#queue[this.#queueHead++]!
    if (this.#queueHead > 4096 && this.#queueHead * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#queueHead)
      this.#queueHead = 0
    }
    return request
  }

  #sample(): void {
    this.#sampleAtMs += SECOND_MS
    const average = this.#areaSinceSample / SECOND_MS
    this.#windows?.record(this.#nowMs, average, this.#arrivedSinceSample)
    this.#areaSinceSample = 0
    this.#arrivedSinceSample = 0
    if (this.#nowMs > this.#scene.endMs) return
    this.#demand.push(average)
    this.#pods.push(this.#fleet.pods.length)
  }

  #poke(): void {
    if (this.#kit.tickMs === 0) this.#decideBy(Math.max(this.#lastDecisionMs + UP_EVERY_MS, this.#nowMs + 1))
    // Knative's poke: the first request at zero is not left to the tick.
    else if (this.#policy.balance === 'knative' && this.#fleet.size === 0) this.#decideBy(this.#nowMs + UP_EVERY_MS)
  }

  #decideBy(atMs: number): void {
    if (atMs < this.#decideAtMs) this.#decideAtMs = atMs
  }

  #observe(): Observation {
    const average = this.#windows?.average(this.#nowMs)
    const starts = this.#starts
    return {
      inFlight: this.#inFlight,
      queued: this.#queued + this.#inPods,
      backlog: this.#stored,
      behindGate: this.#stored,
      arrivals: this.#arrivals,
      arrivalsPerS: this.#nowMs === 0 ? 0 : this.#arrivals / Math.max(1, this.#nowMs / 1000),
      serviceMs: this.#services === 0 ? null : this.#serviceMs,
      coldStartMs: starts.length === 0 ? null : starts.reduce((a, b) => a + b, 0) / starts.length,
      stable: average?.stable ?? null,
      panic: average?.panic ?? null,
      pods: this.#fleet.pods,
    }
  }

  #decide(): void {
    const nowMs = this.#nowMs
    this.#lastDecisionMs = nowMs
    this.#decideAtMs = Infinity
    this.#decisions++
    const decision = this.#kit.decider.decide(this.#spec, this.#state, this.#observe(), nowMs)
    this.#state = decision.next
    if (decision.valid) this.#apply(decision)
    this.#decideBy(Math.max(nowMs + 1, Math.min(decision.wakeAtMs, this.#kit.tickMs > 0 ? nowMs + this.#kit.tickMs : Infinity)))
  }

  #apply(decision: Decision<unknown>): void {
    const fleet = this.#fleet
    const before = fleet.size
    const excess = decision.reason.terms['excessBurstCapacity']
    if (excess !== undefined) this.#direct = decision.desired > 0 && excess >= 0
    if (decision.desired > before) {
      this.#tally.scaleUps++
      for (let i = before; i < decision.desired; i++) this.#startPod()
    } else if (decision.desired < before) {
      const named = this.#policy.balance === 'packed'
      if (named && this.#nowMs - this.#lastDownMs < DOWN_EVERY_MS)
        this.#decideBy(Math.max(this.#nowMs + 1, this.#lastDownMs + DOWN_EVERY_MS))
      else {
        const count = before - decision.desired
        const victims = named
          ? decision.remove.slice(0, count).flatMap((name) => fleet.byName.get(name) ?? [])
          : fleet.victims(count)
        for (const pod of victims) this.#stop(pod)
        this.#lastDownMs = this.#nowMs
      }
    }
    if (fleet.size !== before && this.#log.length < LOG_LINES)
      this.#log.push(`${(this.#nowMs / 1000).toFixed(1)} s ${before} → ${decision.reason.text}`)
    this.#tally.mostPods = Math.max(this.#tally.mostPods, fleet.pods.length)
  }

  #startPod(): void {
    const pod = this.#fleet.start(this.#nowMs)
    const sigma = Math.sqrt(Math.log(1 + START_VARIATION * START_VARIATION))
    const ms = this.#setup.coldStartMs * Math.exp(sigma * normal(this.#random) - (sigma * sigma) / 2)
    this.#heap.push(this.#nowMs + ms, ~pod.id)
  }

  #stop(pod: SimPod): void {
    const busy = pod.inFlight > 0 || pod.waiting.length > 0
    if (busy) this.#tally.busyStopped++
    this.#fleet.cordon(pod, this.#nowMs)
    if (!busy) this.#fleet.remove(pod)
  }
}

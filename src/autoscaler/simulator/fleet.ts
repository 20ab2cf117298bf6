import type { PodSeen } from '../../contract/decider.ts'

/** A simulated pod; it is what the decider sees, so that nothing is copied for a decision. */
export interface SimPod extends PodSeen {
  readonly id: number
  phase: 'starting' | 'ready' | 'draining' | 'failed'
  inFlight: number
  sinceMs: number
  idleSinceMs: number | null
  /** Place in the list of its level, −1 = in none. */
  place: number
  gone: boolean
  /** Requests that were sent to this very pod and wait in it. */
  readonly waiting: number[]
}

/** The pods of one run. Ready pods stand in one list a level of load, so that the fullest with room is found without a search. */
export class Fleet {
  readonly limit: number
  /** Every pod there is, oldest first. */
  readonly pods: SimPod[] = []
  readonly byName = new Map<string, SimPod>()
  readonly #byId: SimPod[] = []
  readonly #levels: SimPod[][]
  readonly #ready: SimPod[] = []
  #turn = 0
  starting = 0
  idleReady = 0
  freeSlots = 0

  constructor(limit: number) {
    this.limit = limit
    this.#levels = Array.from({ length: limit + 1 }, () => [])
  }

  get ready(): number {
    return this.#ready.length
  }
  /** Starting and ready: what counts towards the wanted scale. */
  get size(): number {
    return this.starting + this.#ready.length
  }

  start(nowMs: number): SimPod {
    const id = this.#byId.length
    const pod: SimPod = {
      id,
      name: `pod-${id}`,
      phase: 'starting',
      inFlight: 0,
      sinceMs: nowMs,
      idleSinceMs: null,
      place: -1,
      gone: false,
      waiting: [],
    }
    this.#byId.push(pod)
    this.pods.push(pod)
    this.byName.set(pod.name, pod)
    this.starting++
    return pod
  }

  byId(id: number): SimPod {
    return this.#byId[id]!
  }

  becomeReady(pod: SimPod, nowMs: number): void {
    this.starting--
    pod.phase = 'ready'
    pod.sinceMs = nowMs
    pod.idleSinceMs = nowMs
    this.#ready.push(pod)
    this.freeSlots += this.limit
    this.idleReady++
    this.#enter(pod)
  }

  /** It takes nothing new from now on. */
  cordon(pod: SimPod, nowMs: number): void {
    if (pod.phase === 'starting') this.starting--
    else {
      this.#leave(pod)
      this.#ready.splice(this.#ready.indexOf(pod), 1)
      this.freeSlots -= this.limit - pod.inFlight
      if (pod.inFlight === 0) this.idleReady--
    }
    pod.phase = 'draining'
    pod.sinceMs = nowMs
  }

  remove(pod: SimPod): void {
    pod.gone = true
    this.byName.delete(pod.name)
    this.pods.splice(this.pods.indexOf(pod), 1)
  }

  take(pod: SimPod): void {
    if (pod.inFlight === 0) this.idleReady--
    this.freeSlots--
    this.#leave(pod)
    pod.inFlight++
    pod.idleSinceMs = null
    this.#enter(pod)
  }

  give(pod: SimPod, nowMs: number): void {
    if (pod.phase !== 'ready') {
      pod.inFlight--
      return
    }
    this.#leave(pod)
    pod.inFlight--
    this.freeSlots++
    if (pod.inFlight === 0) {
      pod.idleSinceMs = nowMs
      this.idleReady++
    }
    this.#enter(pod)
  }

  /** The fullest pod with room, of equals the oldest: what this gateway's gate does. */
  fullest(): SimPod | null {
    if (this.freeSlots <= 0) return null
    for (let level = this.limit - 1; level >= 0; level--) {
      const list = this.#levels[level]!
      if (list.length === 0) continue
      let best = list[0]!
      for (const pod of list) if (pod.id < best.id) best = pod
      return best
    }
    return null
  }

  /** A pod with a free slot as Knative's activator takes it: in turn, and the first one where a pod has up to three slots. */
  nextFree(): SimPod | null {
    if (this.freeSlots <= 0) return null
    const ready = this.#ready
    const from = this.limit <= 3 ? 0 : this.#turn++
    for (let i = 0; i < ready.length; i++) {
      const pod = ready[(from + i) % ready.length]!
      if (pod.inFlight < this.limit) return pod
    }
    return null
  }

  /** Any ready pod, as a plain Service takes it. */
  any(share: number): SimPod | null {
    return this.#ready[Math.floor(share * this.#ready.length)] ?? null
  }

  /** Whom Kubernetes would delete: what is not ready first, then the youngest; work is not looked at. */
  victims(count: number): SimPod[] {
    const starting = this.pods.filter((p) => p.phase === 'starting').reverse()
    const ready = this.#ready.toSorted((a, b) => b.sinceMs - a.sinceMs)
    return [...starting, ...ready].slice(0, count)
  }

  #enter(pod: SimPod): void {
    const list = this.#levels[pod.inFlight]!
    pod.place = list.push(pod) - 1
  }

  #leave(pod: SimPod): void {
    const list = this.#levels[pod.inFlight]!
    const last = list.pop()!
    if (last !== pod) {
      list[pod.place] = last
      last.place = pod.place
    }
    pod.place = -1
  }
}

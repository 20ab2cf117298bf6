import type { Origin } from '../contract/target.ts'
import type { AnswerHead, Exchange, Lane, Line } from '../sender/exchange.ts'

/** One kind of request, made anew for each shot. */
export interface Shot {
  readonly head: string
  readonly body: Uint8Array
  /** Events it carries. */
  readonly events: number
}

export interface LoadPlan {
  readonly origin: Origin
  readonly path: string
  /** Requests a second, 0 = as fast as answers come. */
  readonly ratePerS: number
  /** Requests in all, 0 = until the signal. */
  readonly count: number
  readonly concurrency: number
  readonly shot: (serial: number) => Shot
}

export interface LoadResult {
  readonly requests: number
  readonly events: number
  /** By status; 0 = no answer. */
  readonly statuses: ReadonlyMap<number, number>
  /** One sentence of each kind of failure, with its number. */
  readonly failures: ReadonlyMap<string, number>
  /** ms, sorted. With a rate they count from when the request was due, so that a stall shows as what it is. */
  readonly latencies: Float64Array
  readonly seconds: number
}

/** What is known while it runs. */
export interface Progress {
  readonly sent: number
  readonly answered: number
  readonly failed: number
}

const MOST_LATENCIES = 4_000_000

/** Sends until the count or the signal; each slot has one request under way. */
export async function runLoad(
  lane: Lane,
  plan: LoadPlan,
  signal: AbortSignal,
  progress: (p: Progress) => void,
): Promise<LoadResult> {
  const startMs = performance.now()
  const statuses = new Map<number, number>()
  const failures = new Map<string, number>()
  const latencies: number[] = []
  let sent = 0
  let answered = 0
  let failed = 0
  let events = 0
  await new Promise<void>((resolve) => {
    const idle: Slot[] = Array.from({ length: plan.concurrency }, () => new Slot(plan, done))
    let open = 0
    const finished = (): boolean => signal.aborted || (plan.count > 0 && sent >= plan.count)
    function done(slot: Slot, status: number, why: string): void {
      open--
      answered++
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      if (status < 200 || status > 299) {
        failed++
        const what = why === '' ? `status ${status}` : why
        failures.set(what, (failures.get(what) ?? 0) + 1)
      } else events += slot.events
      if (latencies.length < MOST_LATENCIES) latencies.push(performance.now() - slot.dueMs)
      idle.push(slot)
      fire()
    }
    function fire(): void {
      while (!finished()) {
        const dueMs = plan.ratePerS > 0 ? startMs + (sent * 1_000) / plan.ratePerS : performance.now()
        if (dueMs > performance.now()) return
        const slot = idle.pop()
        if (slot === undefined) return
        open++
        slot.fire(plan.shot(sent++), dueMs)
        lane.send(slot)
      }
      if (open === 0) end()
    }
    const pace = setInterval(() => fire(), 1)
    const tell = setInterval(() => progress({ sent, answered, failed }), 1_000)
    function end(): void {
      clearInterval(pace)
      clearInterval(tell)
      resolve()
    }
    fire()
  })
  return {
    requests: answered,
    events,
    statuses,
    failures,
    latencies: Float64Array.from(latencies).sort(),
    seconds: (performance.now() - startMs) / 1_000,
  }
}

/** One request after the other on whatever connection the lane gives. */
class Slot implements Exchange {
  readonly method = 'POST'
  readonly streamed = false
  readonly repeatable = true
  readonly origin: Origin
  readonly path: string
  line: Line | null = null
  body: Uint8Array | null = null
  bodyLength = 0
  events = 0
  dueMs = 0
  #head = ''
  #status = 0
  readonly #done: (slot: Slot, status: number, why: string) => void

  constructor(plan: LoadPlan, done: (slot: Slot, status: number, why: string) => void) {
    this.origin = plan.origin
    this.path = plan.path
    this.#done = done
  }

  fire(shot: Shot, dueMs: number): void {
    this.#head = shot.head
    this.body = shot.body
    this.bodyLength = shot.body.length
    this.events = shot.events
    this.dueMs = dueMs
    this.#status = 0
  }
  headText(): string {
    return this.#head
  }
  opened(): void {}
  head(head: AnswerHead): void {
    this.#status = head.status
  }
  data(): void {}
  drained(): void {}
  ended(): void {
    this.#done(this, this.#status, '')
  }
  failed(why: string): void {
    this.#done(this, 0, why)
  }
}

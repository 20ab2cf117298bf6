import type { Key } from '../contract/ids.ts'
import type { Names } from '../contract/names.ts'
import { SILENT, type Observer } from '../contract/observer.ts'
import type { Outcome } from '../contract/outcome.ts'
import { type Distribution, Histogram } from './histogram.ts'

/** What the recorder counted for one ingress (an address events are sent to). */
export interface IngressCounts {
  readonly received: number
  readonly accepted: number
  readonly deduplicated: number
  /** Requests by error code. */
  readonly refused: readonly (readonly [code: string, requests: number])[]
  readonly seconds: Distribution
}

export interface AppendCounts {
  readonly events: number
  readonly bytes: number
  readonly seconds: Distribution
}

export interface AttemptCounts {
  readonly outcomes: Readonly<Record<Outcome['kind'], number>>
  readonly wait: Distribution
  readonly seconds: Distribution
}

export interface RequestCounts {
  /** By class: `2xx`, …; `0xx` = the connection was cut within the answer. */
  readonly statuses: readonly (readonly [string, number])[]
  readonly wait: Distribution
  readonly seconds: Distribution
}

type ByKey<T> = readonly (readonly [Key, T])[]

/** A copy of all that was counted up to one instant. */
export interface Recorded {
  readonly ingresses: ByKey<IngressCounts>
  readonly appended: ByKey<AppendCounts>
  /** By target. */
  readonly attempts: ByKey<AttemptCounts>
  /** From receipt to delivered, by stream or source; by subscription with `detail`. */
  readonly endToEnd: ByKey<Distribution>
  readonly filterFailures: ByKey<number>
  readonly undecodable: ByKey<number>
  /** Events that went round in circles. */
  readonly loops: ByKey<number>
  readonly replies: ByKey<number>
  /** By Service. */
  readonly proxied: ByKey<RequestCounts>
  /** By Service, then by phase. */
  readonly podChanges: ByKey<readonly (readonly [phase: string, pods: number])[]>
}

/** Counts what only the hooks see; all that parts count themselves is read from the snapshot instead. */
export interface Recorder {
  readonly observer: Observer
  copy(): Recorded
}

export interface RecorderParts {
  readonly names: Names
  /** Key of the stream or source a subscription reads from. Asked once a subscription. */
  readonly originOf: (sub: number) => Key
  readonly wall: () => number
  /** Times to the end by subscription instead of by origin. */
  readonly detail: boolean
}

/** Stands for the address of a request that had none. */
const NO_ADDRESS = '(unknown address)'

export function createRecorder({ names, originOf, wall, detail }: RecorderParts): Recorder {
  const subKey = (id: number): Key => names.sub(id)
  const streamKey = (id: number): Key => names.stream(id)
  const targetKey = (id: number): Key => names.target(id)
  const serviceKey = (id: number): Key => names.service(id)
  const ingresses = new Rows(
    (id) => names.ingress(id) || NO_ADDRESS,
    () => ({ received: 0, accepted: 0, deduplicated: 0, refused: new Tally(), seconds: new Histogram() }),
  )
  const appended = new Rows(streamKey, () => ({ events: 0, bytes: 0, seconds: new Histogram() }))
  const attempts = new Rows(targetKey, () => ({
    outcomes: { accepted: 0, retryable: 0, rejected: 0, pending: 0 },
    wait: new Histogram(),
    seconds: new Histogram(),
  }))
  const endToEnd = new Rows(detail ? subKey : originOf, () => new Histogram())
  const filterFailures = new Rows(subKey, () => ({ n: 0 }))
  const undecodable = new Rows(subKey, () => ({ n: 0 }))
  const loops = new Rows(subKey, () => ({ n: 0 }))
  const replies = new Rows(subKey, () => ({ n: 0 }))
  const proxied = new Rows(serviceKey, () => ({ statuses: new Tally(), wait: new Histogram(), seconds: new Histogram() }))
  const podChanges = new Rows(serviceKey, () => new Tally())

  const observer: Observer = {
    ...SILENT,
    received(at) {
      ingresses.of(at).received++
    },
    accepted(at, events, ms) {
      const row = ingresses.of(at)
      row.accepted += events
      row.seconds.add(ms)
    },
    refused(at, code) {
      const row = ingresses.of(at)
      row.received++
      row.refused.add(code)
    },
    deduplicated(at) {
      const row = ingresses.of(at)
      row.received++
      row.deduplicated++
    },
    appended(stream, events, bytes, ms) {
      const row = appended.of(stream)
      row.events += events
      row.bytes += bytes
      row.seconds.add(ms)
    },
    filterFailed(sub) {
      filterFailures.of(sub).n++
    },
    attempted(_d, _attempt, _pod, outcome, waitMs, ms, target) {
      // Nothing was sent: the machine does not count it as an attempt either.
      if (outcome.kind === 'retryable' && outcome.unattempted === true) return
      const row = attempts.of(target)
      row.outcomes[outcome.kind]++
      row.wait.add(waitMs)
      row.seconds.add(ms)
    },
    looped(d) {
      loops.of(d.sub).n++
    },
    replied(d) {
      replies.of(d.sub).n++
    },
    settled(d, how) {
      if (how !== 'delivered') return
      const { receivedMs } = d.event.envelope
      if (receivedMs > 0) endToEnd.of(d.sub).add(Math.max(0, wall() - receivedMs))
    },
    undecodable(sub) {
      undecodable.of(sub).n++
    },
    proxied(service, _pod, status, waitMs, ms) {
      const row = proxied.of(service)
      row.statuses.add(`${Math.floor(status / 100)}xx`)
      row.wait.add(waitMs)
      row.seconds.add(ms)
    },
    pod(service, _pod, phase) {
      podChanges.of(service).add(phase)
    },
  }
  const n = (row: { readonly n: number }): number => row.n
  return {
    observer,
    copy: () => ({
      ingresses: ingresses.copy((r) => ({ ...r, refused: r.refused.copy(), seconds: r.seconds.copy() })),
      appended: appended.copy((r) => ({ ...r, seconds: r.seconds.copy() })),
      attempts: attempts.copy((r) => ({ outcomes: { ...r.outcomes }, wait: r.wait.copy(), seconds: r.seconds.copy() })),
      endToEnd: endToEnd.copy((r) => r.copy()),
      filterFailures: filterFailures.copy(n),
      undecodable: undecodable.copy(n),
      loops: loops.copy(n),
      replies: replies.copy(n),
      proxied: proxied.copy((r) => ({ statuses: r.statuses.copy(), wait: r.wait.copy(), seconds: r.seconds.copy() })),
      podChanges: podChanges.copy((r) => r.copy()),
    }),
  }
}

/** Counts by a key of text, looked up by the small integer that stands for it: an array is several times cheaper than a map. */
class Rows<T> {
  readonly #byId: T[] = []
  readonly #byKey = new Map<Key, T>()
  readonly #keyOf: (id: number) => Key
  readonly #make: () => T

  constructor(keyOf: (id: number) => Key, make: () => T) {
    this.#keyOf = keyOf
    this.#make = make
  }

  of(id: number): T {
    // -1 stands for "none"; as an index it would turn the array into a dictionary.
    const known = id < 0 ? undefined : this.#byId[id]
    return known ?? this.#first(id)
  }

  #first(id: number): T {
    const key = this.#keyOf(id)
    let row = this.#byKey.get(key)
    if (row === undefined) this.#byKey.set(key, (row = this.#make()))
    if (id >= 0) this.#byId[id] = row
    return row
  }

  copy<C>(one: (row: T) => C): (readonly [Key, C])[] {
    return [...this.#byKey].map(([key, row]) => [key, one(row)] as const)
  }
}

class Tally {
  readonly #counts = new Map<string, number>()

  add(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1)
  }

  copy(): (readonly [string, number])[] {
    return [...this.#counts]
  }
}

/** Every hook calls each observer in turn; combined once, at start. */
export function combineObservers(observers: readonly Observer[]): Observer {
  const [only] = observers
  if (observers.length === 1 && only !== undefined) return only
  const hooks = Object.keys(SILENT) as (keyof Observer)[]
  const combined: Record<string, unknown> = {}
  for (const hook of hooks) {
    // An observer that leaves a hook silent costs nothing there.
    const called = observers.filter((o) => o[hook] !== SILENT[hook])
    combined[hook] =
      called.length === 0
        ? SILENT[hook]
        : called.map((o): Hook => (o as unknown as Record<string, Hook>)[hook] ?? nothing).reduce(both)
  }
  return combined as unknown as Observer
}

type Hook = (...args: unknown[]) => void
const nothing: Hook = () => {}

/** Spelled out, because rest arguments are an array an event. No hook has more than seven. */
function both(first: Hook, second: Hook): Hook {
  return (a, b, c, d, e, f, g) => {
    first(a, b, c, d, e, f, g)
    second(a, b, c, d, e, f, g)
  }
}

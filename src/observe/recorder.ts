import type { Key } from '../contract/ids.ts'
import type { Names } from '../contract/names.ts'
import { SILENT, type Observer } from '../contract/observer.ts'
import { createHistogram, type Histogram } from './histogram.ts'

/** What the recorder counts for one ingress (an address events are sent to). */
export interface IngressNumbers {
  received: number
  accepted: number
  deduplicated: number
  readonly refused: Map<string, number>
  readonly seconds: Histogram
}

/** Counts that only the hooks see; everything that parts count themselves is read from the snapshot instead. */
export interface Recorder {
  readonly observer: Observer
  readonly ingresses: ReadonlyMap<Key, IngressNumbers>
  readonly appended: ReadonlyMap<Key, { events: number; bytes: number; readonly seconds: Histogram }>
  /** Attempts by target and outcome, and their times. */
  readonly attempts: ReadonlyMap<
    Key,
    { readonly outcomes: Map<string, number>; readonly wait: Histogram; readonly seconds: Histogram }
  >
  /** From receipt to the end, by origin; by subscription with `detail`. */
  readonly endToEnd: ReadonlyMap<Key, Histogram>
  /** Counts and sums per subscription. */
  readonly filterFailures: ReadonlyMap<Key, number>
  readonly undecodable: ReadonlyMap<Key, number>
  readonly replies: ReadonlyMap<Key, number>
  readonly proxied: ReadonlyMap<
    Key,
    { readonly statuses: Map<string, number>; readonly wait: Histogram; readonly seconds: Histogram }
  >
  readonly podChanges: ReadonlyMap<string, number>
}

export interface RecorderParts {
  readonly names: Names
  /** The stream or source a subscription reads from, and the target it sends to. */
  readonly originOf: (sub: number) => Key
  readonly targetOf: (sub: number) => Key
  readonly wall: () => number
  /** Histograms by subscription instead of by origin. */
  readonly detail: boolean
}

export function createRecorder(parts: RecorderParts): Recorder {
  const { names } = parts
  const ingresses = new Map<Key, IngressNumbers>()
  const appended = new Map<Key, { events: number; bytes: number; readonly seconds: Histogram }>()
  const attempts = new Map<Key, { outcomes: Map<string, number>; wait: Histogram; seconds: Histogram }>()
  const endToEnd = new Map<Key, Histogram>()
  const filterFailures = new Map<Key, number>()
  const undecodable = new Map<Key, number>()
  const replies = new Map<Key, number>()
  const proxied = new Map<Key, { statuses: Map<string, number>; wait: Histogram; seconds: Histogram }>()
  const podChanges = new Map<string, number>()

  const ingress = (id: number): IngressNumbers =>
    made(ingresses, names.ingress(id), () => ({
      received: 0,
      accepted: 0,
      deduplicated: 0,
      refused: new Map(),
      seconds: createHistogram(),
    }))
  // Looked up by id on the hot path: an array is several times cheaper than a map of strings.
  const byTarget: { outcomes: Map<string, number>; wait: Histogram; seconds: Histogram }[] = []
  const byOrigin: Histogram[] = []

  const observer: Observer = {
    ...SILENT,
    received(at) {
      ingress(at).received++
    },
    accepted(at, events, ms) {
      const numbers = ingress(at)
      numbers.accepted += events
      numbers.seconds.add(ms)
    },
    refused(at, code) {
      count(ingress(at).refused, code)
    },
    deduplicated(at) {
      ingress(at).deduplicated++
    },
    appended(stream, events, bytes, ms) {
      const numbers = made(appended, names.stream(stream), () => ({ events: 0, bytes: 0, seconds: createHistogram() }))
      numbers.events += events
      numbers.bytes += bytes
      numbers.seconds.add(ms)
    },
    filterFailed(sub) {
      count(filterFailures, names.sub(sub))
    },
    attempted(d, _attempt, _pod, outcome, waitMs, ms) {
      const numbers = (byTarget[d.sub] ??= made(attempts, parts.targetOf(d.sub), () => ({
        outcomes: new Map(),
        wait: createHistogram(),
        seconds: createHistogram(),
      })))
      count(numbers.outcomes, outcome.kind)
      numbers.wait.add(waitMs)
      numbers.seconds.add(ms)
    },
    replied(d) {
      count(replies, names.sub(d.sub))
    },
    settled(d, how) {
      if (how !== 'delivered') return
      const histogram = (byOrigin[d.sub] ??= made(endToEnd, parts.detail ? names.sub(d.sub) : parts.originOf(d.sub), () =>
        createHistogram(),
      ))
      const receivedMs = d.event.envelope.receivedMs
      if (receivedMs > 0) histogram.add(Math.max(0, parts.wall() - receivedMs))
    },
    undecodable(sub) {
      count(undecodable, names.sub(sub))
    },
    proxied(service, _pod, status, waitMs, ms) {
      const numbers = made(proxied, names.service(service), () => ({
        statuses: new Map(),
        wait: createHistogram(),
        seconds: createHistogram(),
      }))
      count(numbers.statuses, `${Math.floor(status / 100)}xx`)
      numbers.wait.add(waitMs)
      numbers.seconds.add(ms)
    },
    pod(service, _pod, phase) {
      count(podChanges, `${names.service(service)} ${phase}`)
    },
  }
  return { observer, ingresses, appended, attempts, endToEnd, filterFailures, undecodable, replies, proxied, podChanges }
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
      called.length === 1
        ? called[0]?.[hook]
        : (...args: never[]) => {
            for (const o of called) (o[hook] as (...a: never[]) => void)(...args)
          }
  }
  return combined as unknown as Observer
}

function made<V>(map: Map<string, V>, key: string, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}

function count(map: Map<string, number>, key: string): void {
  map.set(key, (map.get(key) ?? 0) + 1)
}

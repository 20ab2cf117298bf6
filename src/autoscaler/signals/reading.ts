import type { Key } from '../../contract/ids.ts'

/** What is said of one Service at one instant, its revisions added up. */
export interface Reading {
  readonly inFlight: number
  /** Requests that wait for a credit. */
  readonly queued: number
  /** Events that wait for one; the backlog has them too. */
  readonly queuedEvents: number
  readonly backlog: number
  /** A running total; smaller than before = the gateway began anew. */
  readonly arrivals: number
  readonly arrivalsPerS: number
  readonly serviceMs: number | null
  readonly ready: number
  readonly starting: number
}

export const NO_LOAD: Reading = Object.freeze({
  inFlight: 0,
  queued: 0,
  queuedEvents: 0,
  backlog: 0,
  arrivals: 0,
  arrivalsPerS: 0,
  serviceMs: null,
  ready: 0,
  starting: 0,
})

/** One answer of a gateway. */
export interface Sample {
  /** On the gateway's own clock: two samples with one time are one sample. */
  readonly atMs: number
  /** null = it said something that is no reading. */
  readonly services: ReadonlyMap<Key, Reading | null>
}

/** A reading in the making: service times times their weights, and the weights. */
type Part = { -readonly [K in keyof Reading]: number } & { weight: number }

/** `GET /api/v1/snapshot`. Gives a sentence for what is none. */
export function sampleFromSnapshot(body: unknown): Sample | string {
  if (!isObject(body) || !isCount(body['atMs']) || !Array.isArray(body['services']))
    return 'the answer is no snapshot of a gateway'
  const parts = new Map<Key, Part>()
  for (const s of body['services'] as unknown[]) {
    if (!isObject(s) || typeof s['key'] !== 'string') return 'the answer is no snapshot of a gateway'
    const part = partOf(parts, s['key'])
    addRevision(part, isObject(s['observation']) ? s['observation'] : {})
    part.queuedEvents += numberOf(isObject(s['gate']) ? s['gate']['queuedEvents'] : null)
  }
  return { atMs: body['atMs'], services: finished(parts) }
}

function addRevision(part: Part, o: Readonly<Record<string, unknown>>): void {
  part.inFlight += numberOf(o['inFlight'])
  part.queued += numberOf(o['queued'])
  part.backlog += numberOf(o['backlog'])
  part.arrivals += numberOf(o['arrivals'])
  const rate = numberOf(o['arrivalsPerS'])
  part.arrivalsPerS += rate
  if (o['serviceMs'] !== null) addTime(part, numberOf(o['serviceMs']), rate)
  if (!Array.isArray(o['pods'])) part.ready = Number.NaN
  else
    for (const pod of o['pods'] as { phase?: unknown }[]) {
      if (pod.phase === 'ready') part.ready++
      else if (pod.phase === 'starting') part.starting++
    }
}

/** A revision nobody calls at the moment still weighs a little: its time is better than none. */
function addTime(part: Part, ms: number, rate: number): void {
  const weight = rate + 1e-6
  part.serviceMs += ms * weight
  part.weight += weight
}

const SERIES =
  /^sluice_revision_(in_flight|queued|backlog|arrivals_total|arrival_rate|service_seconds|pods)\{([^}]*)\} ([^ \n]+)(?: \d+)?$/gm
const UPTIME = /^sluice_uptime_seconds ([^ \n]+)/m

/** `GET /metrics`, the text of Prometheus. The uptime is its clock. */
export function sampleFromMetrics(text: string): Sample | string {
  const uptimeS = Number(UPTIME.exec(text)?.[1] ?? Number.NaN)
  if (!isCount(uptimeS)) return 'the answer has no sluice_uptime_seconds: it is no /metrics of a gateway'
  // What is over the most label sets of an instrument is one row for all: who is in it cannot be told.
  if (/^sluice_revision_\w+\{[^}]*"overflow"/m.test(text))
    return 'the gateway has more Services than /metrics shows one by one: give its address without /metrics'
  const parts = new Map<Key, Part>()
  const rates = new Map<string, number>()
  const times: [part: Part, revision: string, ms: number][] = []
  for (const [, name = '', labels = '', value = ''] of text.matchAll(SERIES)) {
    const part = partOf(parts, `service/${labelOf(labels, 'namespace')}/${labelOf(labels, 'service')}`)
    const revision = labels.split(',phase=')[0] ?? ''
    const n = name === 'service_seconds' ? Number(value) : numberOf(Number(value))
    if (name === 'in_flight') part.inFlight += n
    else if (name === 'queued') {
      if (labelOf(labels, 'queued') === 'request') part.queued += n
      else part.queuedEvents += n
    } else if (name === 'backlog') part.backlog += n
    else if (name === 'arrivals_total') part.arrivals += n
    else if (name === 'arrival_rate') {
      part.arrivalsPerS += n
      rates.set(revision, n)
    } else if (name === 'service_seconds') {
      // NaN is how the text says that nothing was measured yet.
      if (!Number.isNaN(n)) times.push([part, revision, n * 1000])
    } else if (labelOf(labels, 'phase') === 'ready') part.ready += n
    else if (labelOf(labels, 'phase') === 'starting') part.starting += n
  }
  for (const [part, revision, ms] of times) addTime(part, ms, rates.get(revision) ?? 0)
  return { atMs: uptimeS * 1000, services: finished(parts) }
}

function labelOf(labels: string, name: string): string {
  const at = labels.indexOf(`${name}="`)
  return at < 0 ? '' : labels.slice(at + name.length + 2, labels.indexOf('"', at + name.length + 2))
}

function partOf(parts: Map<Key, Part>, key: Key): Part {
  let part = parts.get(key)
  if (part === undefined) parts.set(key, (part = { ...NO_LOAD, serviceMs: 0, weight: 0 }))
  return part
}

function finished(parts: ReadonlyMap<Key, Part>): Map<Key, Reading | null> {
  const services = new Map<Key, Reading | null>()
  for (const [key, { serviceMs, weight, ...counts }] of parts) {
    const reading = { ...counts, serviceMs: weight === 0 ? null : serviceMs / weight }
    services.set(key, isReading(reading) ? reading : null)
  }
  return services
}

/** No number of it is missing, negative or endless. */
export function isReading(r: Reading): boolean {
  return (
    isCount(r.inFlight) &&
    isCount(r.queued) &&
    isCount(r.queuedEvents) &&
    isCount(r.backlog) &&
    isCount(r.arrivals) &&
    isCount(r.arrivalsPerS) &&
    isCount(r.ready) &&
    isCount(r.starting) &&
    (r.serviceMs === null || isCount(r.serviceMs))
  )
}

function numberOf(value: unknown): number {
  // NaN spoils every sum it gets into: a negative number must not hide behind another revision's.
  return isCount(value) ? value : Number.NaN
}

function isCount(n: unknown): n is number {
  return typeof n === 'number' && Number.isFinite(n) && n >= 0
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

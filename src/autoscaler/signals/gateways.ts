import type { Key } from '../../contract/ids.ts'
import type { Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Reading, Sample } from './reading.ts'
import type { Heard, Signals } from './signals.ts'

/** One gateway as a source of samples. */
export interface GatewaySource {
  readonly url: string
  /** Rejects where nothing can be read. A sentence = what came is no sample. */
  ask(signal: AbortSignal): Promise<Sample | string>
}

interface Entry {
  reading: Reading
  heardMs: number
}

interface Memory {
  readonly source: GatewaySource
  readonly services: Map<Key, Entry>
  /** Time of the newest sample that counted, and of the last one that came, by the gateway's clock. */
  takenAtMs: number
  cameAtMs: number
  busy: boolean
  /** Why the last call gave nothing, '' = it gave a sample. */
  trouble: string
}

/**
 * Reads every gateway again and again and adds them up.
 *
 *   sample ── not newer than the last ──► ignored, unless the gateway's clock moves on from there (it began anew)
 *      └───── newer ──► taken, Service by Service; what is no reading leaves the Service's last one as it is
 *
 * Who has said nothing for `silentMs` is missing: its last words stay in the sum, and nobody scales down on that.
 */
export function gatewaySignals(sources: readonly GatewaySource[], silentMs: number, clock: Clock): Signals {
  const gone = new AbortController()
  const arrivals = new Map<Key, number>()
  const counts = new Map<Key, number>()
  const memories: readonly Memory[] = sources.map((source) => ({
    source,
    services: new Map(),
    takenAtMs: -Infinity,
    cameAtMs: -Infinity,
    busy: false,
    trouble: '',
  }))

  const take = (memory: Memory, sample: Sample): void => {
    const restarted = sample.atMs > memory.cameAtMs && memory.cameAtMs < memory.takenAtMs
    const fresh = sample.atMs > memory.takenAtMs || restarted
    memory.cameAtMs = sample.atMs
    if (!fresh) return
    memory.takenAtMs = sample.atMs
    for (const [key, reading] of sample.services) {
      if (reading === null) continue
      const before = memory.services.get(key)
      const since = before === undefined ? reading.arrivals : before.reading.arrivals
      const added = reading.arrivals >= since ? reading.arrivals - since : reading.arrivals
      arrivals.set(key, (arrivals.get(key) ?? 0) + added)
      counts.set(key, (counts.get(key) ?? 0) + 1)
      memory.services.set(key, { reading, heardMs: clock.now() })
    }
  }

  const ask = async (memory: Memory): Promise<void> => {
    memory.busy = true
    try {
      const sample = await memory.source.ask(gone.signal)
      memory.trouble = typeof sample === 'string' ? sample : ''
      if (typeof sample !== 'string') take(memory, sample)
    } catch (e) {
      memory.trouble = messageOf(e)
    } finally {
      memory.busy = false
    }
  }

  return {
    poll() {
      for (const memory of memories) if (!memory.busy) void ask(memory)
    },
    heard(key): Heard {
      const readings: Reading[] = []
      const missing: string[] = []
      for (const memory of memories) {
        const entry = memory.services.get(key)
        if (entry !== undefined) readings.push(entry.reading)
        const why = silence(memory, entry, silentMs, clock.now())
        if (why !== '') missing.push(why)
      }
      return {
        load: readings.length === 0 ? null : { ...sum(readings), arrivals: arrivals.get(key) ?? 0 },
        samples: counts.get(key) ?? 0,
        missing: readings.length === 0 && missing.length === 0 ? 'no gateway has such a service' : missing.join('; '),
      }
    },
    close: () => gone.abort(),
  }
}

function silence(memory: Memory, entry: Entry | undefined, silentMs: number, nowMs: number): string {
  const { source, trouble, takenAtMs } = memory
  const why = trouble === '' ? '' : ` (${trouble})`
  // A gateway that answers and has no such Service has no part in it.
  if (entry === undefined) return takenAtMs === -Infinity ? `gateway ${source.url} has not been heard yet${why}` : ''
  const ms = nowMs - entry.heardMs
  return ms <= silentMs ? '' : `gateway ${source.url} has said nothing new for ${Math.round(ms / 1000)} s${why}`
}

function sum(readings: readonly Reading[]): Reading {
  let serviceMs = 0
  let weight = 0
  const total = { inFlight: 0, queued: 0, queuedEvents: 0, backlog: 0, arrivals: 0, arrivalsPerS: 0, ready: 0, starting: 0 }
  for (const r of readings) {
    total.inFlight += r.inFlight
    total.queued += r.queued
    total.queuedEvents += r.queuedEvents
    total.backlog += r.backlog
    total.arrivalsPerS += r.arrivalsPerS
    total.ready += r.ready
    total.starting += r.starting
    if (r.serviceMs === null) continue
    serviceMs += r.serviceMs * (r.arrivalsPerS + 1e-6)
    weight += r.arrivalsPerS + 1e-6
  }
  return { ...total, serviceMs: weight === 0 ? null : serviceMs / weight }
}

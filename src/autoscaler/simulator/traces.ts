import { seededRandom } from '../../runtime/random.ts'
import { lognormal, poisson, type Scene } from './scene.ts'

/** How a trace becomes a scene. A rate trace needs a service time; a trace of requests may carry its own. */
export interface TraceSettings {
  readonly name: string
  readonly seed: number
  /** Mean service time, ms, for traces that only count; per generated token where the trace has tokens. */
  readonly serviceMs: number
  readonly variation: number
  readonly limit: number
  readonly maxScale: number
  /** Only these minutes of a trace, from its first. */
  readonly fromMinute: number
  readonly minutes: number
  /** Counts are multiplied by it. */
  readonly scale: number
}

/** Prefill and decode times of a language model, ms a token. */
const PREFILL_MS = 0.25
const DECODE_MS = 20

/** The text of a trace file as a scene. Columns `period,count` (a rate a minute) or `TIMESTAMP,ContextTokens,GeneratedTokens`. */
export function sceneFromTrace(csv: string, o: TraceSettings): Scene {
  const lines = csv.split('\n')
  const header = (lines.shift() ?? '').trim()
  if (header === 'period,count') return fromCounts(lines, o)
  if (header === 'TIMESTAMP,ContextTokens,GeneratedTokens') return fromTokens(lines, o)
  throw new Error(`a trace begins with "period,count" or "TIMESTAMP,ContextTokens,GeneratedTokens", not with "${header}"`)
}

function fromCounts(lines: readonly string[], o: TraceSettings): Scene {
  const minutes = new Map<string, number>()
  for (const line of lines) {
    const comma = line.indexOf(',')
    if (comma < 0) continue
    const minute = line.slice(0, comma)
    // A minute may stand twice.
    minutes.set(minute, (minutes.get(minute) ?? 0) + Number(line.slice(comma + 1)))
  }
  const counts = [...minutes.values()].slice(o.fromMinute, o.fromMinute + o.minutes)
  const rates = new Float64Array(counts.length * 60)
  counts.forEach((count, m) => {
    const next = counts[m + 1] ?? count
    // Rates run from minute to minute without steps: a step at each full minute would be an artefact of the counting.
    for (let s = 0; s < 60; s++) rates[m * 60 + s] = ((count + ((next - count) * s) / 60) / 60) * o.scale
  })
  const random = seededRandom(o.seed)
  const arrivalsMs = poisson(rates, random)
  return {
    ...frame(o, `${counts.length} minutes of a rate a minute, × ${o.scale}`),
    arrivalsMs,
    serviceMs: lognormal(arrivalsMs.length, o.serviceMs, o.variation, random),
    endMs: counts.length * 60_000,
  }
}

function fromTokens(lines: readonly string[], o: TraceSettings): Scene {
  const rows: { atMs: number; serviceMs: number }[] = []
  let firstMs = Number.NaN
  for (const line of lines) {
    const [at = '', context, generated] = line.trim().split(',')
    if (context === undefined || generated === undefined) continue
    // Seven digits behind the second: Date takes three, the rest is added.
    const fraction = Number(`0.${at.slice(20) || '0'}`) * 1000
    const atMs = Date.parse(`${at.slice(0, 19).replace(' ', 'T')}Z`) + fraction
    if (Number.isNaN(firstMs)) firstMs = atMs
    rows.push({ atMs: atMs - firstMs, serviceMs: Math.max(1, PREFILL_MS * Number(context) + DECODE_MS * Number(generated)) })
  }
  rows.sort((a, b) => a.atMs - b.atMs)
  const fromMs = o.fromMinute * 60_000
  const kept = rows.filter((r) => r.atMs >= fromMs && r.atMs < fromMs + o.minutes * 60_000)
  const lastMs = kept.at(-1)?.atMs ?? fromMs
  return {
    ...frame(o, 'every request of a trace, its service time from its tokens'),
    arrivalsMs: Float64Array.from(kept, (r) => r.atMs - fromMs),
    serviceMs: Float32Array.from(kept, (r) => r.serviceMs),
    endMs: Math.ceil((lastMs - fromMs) / 60_000) * 60_000,
  }
}

function frame(o: TraceSettings, about: string): Omit<Scene, 'arrivalsMs' | 'serviceMs' | 'endMs'> {
  return { name: o.name, group: 'flowing', about, stored: [], storedServiceMs: 0, limit: o.limit, maxScale: o.maxScale }
}

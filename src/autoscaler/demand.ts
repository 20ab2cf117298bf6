import type { Observation, ScaleSpec } from '../contract/decider.ts'
import { rateOf, trendOf, type Flow } from './flow-rate.ts'
import { slotsFor } from './staffing.ts'
import { inWords } from './words.ts'

/** A trend is looked at this much further than one start, s: deciding and becoming busy take time too. */
const TREND_SLACK_S = 4
/** Before a start was measured. */
const COLD_START_MS = 5_000
/** What is left of the time to drain is never taken as less than this share of the drain target. */
const LEAST_DRAIN_SHARE = 0.25
/** A batch is to be gone within twice the drain target; a little is kept for starts that are longer than their mean. */
const PROMISED = 1.8

/** The moment stored work appeared, and what ran then. */
export interface Stored {
  readonly atMs: number
  readonly inFlight: number
}

export interface Demand {
  /** Slots wanted now, buffer not counted. */
  readonly slots: number
  /** Slots that what flows needs. */
  readonly keep: number
  readonly text: string
  readonly terms: Readonly<Record<string, number>>
}

/** Whether every number can be one. */
export function sane(seen: Observation): boolean {
  return (
    isCount(seen.inFlight) &&
    isCount(seen.queued) &&
    isCount(seen.backlog) &&
    isCount(seen.arrivals) &&
    (seen.serviceMs === null || isCount(seen.serviceMs)) &&
    (seen.coldStartMs === null || isCount(seen.coldStartMs)) &&
    (seen.behindGate === undefined || isCount(seen.behindGate))
  )
}

function isCount(n: number): boolean {
  return Number.isFinite(n) && n >= 0
}

/** How many slots are wanted, term by term. `readySlots` = slots of the ready pods. */
export function demandOf(
  spec: ScaleSpec,
  flow: Flow,
  seen: Observation,
  readySlots: number,
  since: Stored | null,
  nowMs: number,
): Demand {
  const coldStartMs = seen.coldStartMs ?? COLD_START_MS
  const flowing = flowingOf(spec, flow, seen, coldStartMs, nowMs)
  const queued = queuedOf(spec, flow, seen, readySlots, coldStartMs, flowing.lastSecond)
  const stored = storedOf(spec, flow, seen, coldStartMs, since, nowMs)
  // What ran when the backlog appeared is flow; what was added since is the backlog being worked off. Counting that as well
  // would start more pods for every pod that became ready.
  const inFlight = stored > 0 && flow.serviceMs !== null ? Math.min(seen.inFlight, since?.inFlight ?? 0) : seen.inFlight
  const first = flowing.keep > inFlight ? flowing.text : `${inWords(inFlight)} in flight`
  const skipped = queued < seen.queued ? ` of ${seen.queued}` : ''
  return {
    slots: Math.max(inFlight, flowing.keep) + queued + stored,
    keep: flowing.keep,
    text: `(${first} + ${inWords(queued)}${skipped} queued + ${inWords(stored)} of backlog)`,
    terms: {
      inFlight: seen.inFlight,
      queued,
      stored,
      keep: flowing.keep,
      offered: flowing.offered,
      trend: flowing.trend,
      margin: flowing.margin,
    },
  }
}

interface Flowing {
  readonly keep: number
  readonly offered: number
  /** Slots the trend adds. */
  readonly trend: number
  readonly margin: number
  readonly lastSecond: number
  readonly text: string
}

function flowingOf(spec: ScaleSpec, flow: Flow, seen: Observation, coldStartMs: number, nowMs: number): Flowing {
  const rate = rateOf(flow, nowMs)
  const serviceS = flow.serviceMs === null ? 0 : flow.serviceMs / 1000
  const offered = rate.perS * serviceS
  let load = offered
  // Beside stored work the arrivals follow the pods, so that a trend of them would feed itself.
  if (!spec.without.includes('trend') && seen.backlog === 0) {
    const ahead = trendOf(flow, coldStartMs / 1000 + TREND_SLACK_S)
    if (ahead !== null) load = Math.max(load, Math.min(ahead * serviceS, 2 * Math.max(load, flow.fast * serviceS)))
  }
  const trend = load - offered
  const staffed = spec.without.includes('staffing') ? load : slotsFor(load, flow.serviceMs ?? 0, spec.waitTargetMs)
  // Room that the buffer holds anyway is not held twice.
  const margin = Math.max(0, staffed - load - spec.podBufferSize * spec.limit)
  const keep = load + margin
  const parts = [`${inWords(offered)} by rate`]
  if (trend > 0) parts.push(`${inWords(trend)} by trend`)
  if (margin > 0) parts.push(`${inWords(margin)} margin`)
  return { keep, offered, trend, margin, lastSecond: rate.lastSecond, text: parts.join(' + ') }
}

/** Requests that wait, or none where the ready slots work them off before a pod started now could help. */
function queuedOf(
  spec: ScaleSpec,
  flow: Flow,
  seen: Observation,
  readySlots: number,
  coldStartMs: number,
  lastSecond: number,
): number {
  if (spec.without.includes('cold-start') || flow.serviceMs === null || seen.queued === 0) return seen.queued
  const used = (lastSecond * flow.serviceMs) / 1000
  const drains = ((readySlots - used) * coldStartMs) / Math.max(1, flow.serviceMs)
  return readySlots > used && seen.queued < drains ? 0 : seen.queued
}

/**
 * Pods for a backlog of which nothing is known yet: one, and one more each time it is ten times as large. The first start is
 * over before anything can be measured, and a million events will want more than one pod whatever an event takes.
 */
function firstPods(backlog: number, limit: number): number {
  return 1 + Math.floor(Math.log10(Math.max(1, backlog / Math.max(1, limit))))
}

/** Slots for what is stored: enough to drain it within the target, the time already lost to finding out and starting taken off. */
function storedOf(
  spec: ScaleSpec,
  flow: Flow,
  seen: Observation,
  coldStartMs: number,
  since: Stored | null,
  nowMs: number,
): number {
  if (seen.backlog === 0) return 0
  if (flow.serviceMs === null) return Math.min(seen.backlog, Math.max(1, spec.limit) * firstPods(seen.backlog, spec.limit))
  const targetMs = spec.drainTargetMs
  const lostMs = nowMs - (since?.atMs ?? nowMs) + coldStartMs
  const leftMs = Math.max(targetMs * LEAST_DRAIN_SHARE, Math.min(targetMs, PROMISED * targetMs - lostMs))
  return Math.min(seen.backlog, Math.ceil((seen.backlog * flow.serviceMs) / leftMs))
}

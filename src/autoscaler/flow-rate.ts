import type { Observation } from '../contract/decider.ts'

/** Closed seconds kept: the long window. */
const LONG_S = 20
const SHORT_S = 3
/** A short window is believed against the long one beyond so many standard deviations of a Poisson count, plus one burst. */
const BEYOND_NOISE = 3
/** A silence in which so many were to be expected is an end (less than one in a hundred by chance). */
const ENDED = 5
/** Time constants of the trend's two averages, s. */
const FAST_S = 4
const SLOW_S = 16
/** A sample's stored work may pass for flow up to this multiple of what came to the gate, plus one pod's worth. */
const MOST_BEHIND = 4
/** The service time is a mean over this long: what a start on a busy machine inflates must not order more starts. */
const SERVICE_S = 15

/** What flows in, remembered from decision to decision. Rates per second, times ms. */
export interface Flow {
  /** A look was taken. */
  readonly begun: boolean
  readonly atMs: number
  readonly arrivals: number
  readonly behind: number
  /** When the open second began, and what came in it. */
  readonly secondMs: number
  readonly open: number
  /** Closed seconds, oldest first. */
  readonly closed: readonly number[]
  readonly fast: number
  readonly slow: number
  readonly serviceMs: number | null
  readonly serviceAgeMs: number
}

export function startFlow(nowMs: number): Flow {
  return {
    begun: false,
    atMs: nowMs,
    arrivals: 0,
    behind: 0,
    secondMs: nowMs,
    open: 0,
    closed: [],
    fast: 0,
    slow: 0,
    serviceMs: null,
    serviceAgeMs: 0,
  }
}

/** Takes one look at the running totals. A total that fell counts as nothing new; so does a look at the past. */
export function look(flow: Flow, seen: Observation, limit: number, nowMs: number): Flow {
  if (!(nowMs >= flow.atMs)) return flow
  const { arrivals } = seen
  const behind = seen.behindGate ?? 0
  if (!flow.begun) return begin(flow, seen, nowMs)
  const came = Math.max(0, arrivals - flow.arrivals)
  // Stored work that is drained comes to the gate but is no flow: what left the stream is taken off again. What appears in the
  // stream at once (a resumed subscription, a nightly batch) is not flow either, so growth counts only beside what arrives.
  const flowed = Math.max(0, Math.min(came + behind - flow.behind, MOST_BEHIND * came + limit))
  return { begun: true, ...advance(flow, flowed, nowMs), ...service(flow, seen.serviceMs, nowMs), atMs: nowMs, arrivals, behind }
}

/** The first look has no earlier total to compare with: it begins with the rate that was measured elsewhere. */
function begin(flow: Flow, seen: Observation, nowMs: number): Flow {
  const rate = Number.isFinite(seen.arrivalsPerS) && seen.arrivalsPerS > 0 ? seen.arrivalsPerS : 0
  const { serviceMs } = service(flow, seen.serviceMs, nowMs)
  return {
    ...flow,
    begun: true,
    atMs: nowMs,
    secondMs: nowMs,
    arrivals: seen.arrivals,
    behind: seen.behindGate ?? 0,
    closed: rate > 0 ? Array.from({ length: LONG_S }, () => rate) : [],
    fast: rate,
    slow: rate,
    serviceMs,
  }
}

function advance(flow: Flow, flowed: number, nowMs: number): Pick<Flow, 'secondMs' | 'open' | 'closed' | 'fast' | 'slow'> {
  let { secondMs, open, closed, fast, slow } = flow
  if (nowMs - secondMs < 1000) return { secondMs, open: open + flowed, closed, fast, slow }
  const seconds = Math.floor((nowMs - secondMs) / 1000)
  // Nobody looked in the seconds between: what came belongs to all of them alike, and a long silence is no more than silence.
  const each = (open + flowed) / seconds
  const next = closed.slice(Math.max(0, closed.length - LONG_S + Math.min(seconds, LONG_S)))
  for (let i = 0; i < Math.min(seconds, LONG_S); i++) next.push(each)
  const kept = Math.exp(-seconds / FAST_S)
  const keptSlow = Math.exp(-seconds / SLOW_S)
  fast = fast * kept + each * (1 - kept)
  slow = slow * keptSlow + each * (1 - keptSlow)
  return { secondMs: secondMs + seconds * 1000, open: 0, closed: next, fast, slow }
}

function service(flow: Flow, serviceMs: number | null, nowMs: number): Pick<Flow, 'serviceMs' | 'serviceAgeMs'> {
  if (serviceMs === null || !Number.isFinite(serviceMs) || serviceMs < 0) return flow
  if (flow.serviceMs === null) return { serviceMs, serviceAgeMs: 0 }
  const ms = nowMs - flow.atMs
  const serviceAgeMs = Math.min(SERVICE_S * 1000, flow.serviceAgeMs + ms)
  const weight = Math.min(1, ms / Math.max(1000, serviceAgeMs))
  return { serviceMs: flow.serviceMs + (serviceMs - flow.serviceMs) * weight, serviceAgeMs }
}

export interface Rate {
  readonly perS: number
  /** The last whole second. */
  readonly lastSecond: number
}

/** Arrivals a second: the long window, unless a short one differs by more than chance explains. */
export function rateOf(flow: Flow, nowMs: number): Rate {
  const { closed, open } = flow
  const openS = Math.max(0, (nowMs - flow.secondMs) / 1000)
  const lastSecond = closed.at(-1) ?? open
  let count = open
  for (const n of closed) count += n
  // A window younger than a second would make a rate of thousands out of one arrival.
  const longS = Math.max(1, closed.length + openS)
  const long = count / longS
  const silentS = open > 0 ? 0 : openS + trailingZeros(closed)
  if (long * silentS >= ENDED) return { perS: 0, lastSecond }
  if (closed.length <= SHORT_S) return { perS: long, lastSecond }
  let short = open
  for (let i = closed.length - SHORT_S; i < closed.length; i++) short += closed[i]!
  const shortS = SHORT_S + openS
  const last = open + closed[closed.length - 1]!
  const lastS = 1 + openS
  if (differs(last, long * lastS) && last > long * lastS) return { perS: Math.max(last / lastS, short / shortS), lastSecond }
  if (differs(short, long * shortS)) return { perS: short / shortS, lastSecond }
  return { perS: long, lastSecond }
}

function trailingZeros(counts: readonly number[]): number {
  let n = 0
  while (n < counts.length && counts[counts.length - 1 - n] === 0) n++
  return n
}

function differs(count: number, expected: number): boolean {
  return Math.abs(count - expected) > BEYOND_NOISE * Math.sqrt(Math.max(expected, 1)) + 1
}

/** The noise of the difference of the two averages under a Poisson flow, in standard deviations that must be passed. */
const TREND_NOISE = 2.5
/** Half-way between the ages of the two averages. */
const TREND_AGE_S = SLOW_S - FAST_S

/** Seconds that must be seen before a line through them says anything, and how badly they may fit it (1 = Poisson noise alone). */
const TREND_LEAST_S = 6
const WORST_FIT = 2
/** The line must rise by this share of what the averages say. */
const LEAST_SLOPE = 1 / 3

/** Arrivals a second expected `leadS` from now where the flow rises beyond noise, null = no trend. */
export function trendOf(flow: Flow, leadS: number): number | null {
  const { fast, slow, closed } = flow
  if (closed.length < TREND_LEAST_S) return null
  const noise = TREND_NOISE * Math.sqrt(Math.max(fast, 0) * (1 / (2 * FAST_S) - 1 / (2 * SLOW_S)))
  if (fast - slow <= noise) return null
  // A step lifts one average above the other as well, but it does not lie on a line, and later on nothing rises any more.
  const line = lineThrough(closed)
  if (line.misfit > WORST_FIT || line.slope < (LEAST_SLOPE * (fast - slow)) / TREND_AGE_S) return null
  return fast + ((fast - slow) / TREND_AGE_S) * leadS
}

/** Slope of the line through the counts, and their squared distance from it in units of what a Poisson flow has anyway. */
function lineThrough(counts: readonly number[]): { readonly slope: number; readonly misfit: number } {
  const n = counts.length
  const middle = (n - 1) / 2
  let mean = 0
  for (const c of counts) mean += c / n
  if (mean <= 0) return { slope: 0, misfit: 0 }
  let rise = 0
  let spread = 0
  for (let i = 0; i < n; i++) {
    rise += (i - middle) * (counts[i]! - mean)
    spread += (i - middle) ** 2
  }
  const slope = rise / spread
  let off = 0
  for (let i = 0; i < n; i++) off += (counts[i]! - mean - slope * (i - middle)) ** 2
  return { slope, misfit: off / (n - 2) / mean }
}

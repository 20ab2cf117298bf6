import type { KpaSpec, Observation, PodSeen, ScaleSpec } from '../contract/decider.ts'
import { Fault } from '../runtime/errors.ts'
import { HPA_BEHAVIOR, HPA_START, hpaScale, type HpaSettings, type HpaState } from './hpa.ts'
import { CALM, kpaScale, type KpaMemory } from './kpa.ts'
import { xpa, type XpaState } from './xpa.ts'

type Fields = Readonly<Record<string, unknown>>

/** One observation in, one decision out; remembers between the two what the decider remembers. */
export type ByHand = (observation: Fields) => Fields

/** Reads settings by name: what is missing has its default, what is unknown or out of range is refused. */
class Settings {
  readonly #fields: Fields
  constructor(fields: Fields, known: readonly string[]) {
    const unknown = Object.keys(fields).find((name) => !known.includes(name))
    if (unknown !== undefined)
      throw new Fault('config.invalid', `the setting "${unknown}" is not known; there is ${known.join(', ')}`)
    this.#fields = fields
  }

  number(name: string, otherwise: number, least: number, most = Infinity): number {
    const value = this.#fields[name] ?? otherwise
    if (typeof value !== 'number' || !(value >= least && value <= most)) {
      const range = most === Infinity ? `at least ${least}` : `from ${least} to ${most}`
      throw new Fault('config.invalid', `${name} is ${JSON.stringify(value)}; it must be a number ${range}`)
    }
    return value
  }

  word<T extends string>(name: string, otherwise: T, allowed: readonly T[]): T {
    const value = this.#fields[name] ?? otherwise
    const found = allowed.find((a) => a === value)
    if (found === undefined)
      throw new Fault('config.invalid', `${name} is ${JSON.stringify(value)}; it must be one of ${allowed.join(', ')}`)
    return found
  }

  truth(name: string, otherwise: boolean): boolean {
    const value = this.#fields[name] ?? otherwise
    if (typeof value !== 'boolean')
      throw new Fault('config.invalid', `${name} is ${JSON.stringify(value)}; it must be true or false`)
    return value
  }

  words(name: string): readonly string[] {
    const value = this.#fields[name] ?? []
    if (!Array.isArray(value) || !value.every((v) => typeof v === 'string'))
      throw new Fault('config.invalid', `${name} is ${JSON.stringify(value)}; it must be a list of words`)
    return value as readonly string[]
  }

  has(name: string): boolean {
    return this.#fields[name] !== undefined && this.#fields[name] !== null
  }
}

const KPA_NAMES = [
  ...['scalingMetric', 'targetValue', 'totalValue', 'panicThreshold', 'maxScaleUpRate', 'maxScaleDownRate'],
  ...['stableWindowSeconds', 'reachable', 'scaleDownDelaySeconds', 'activationScale', 'targetBurstCapacity'],
  ...['panicSince', 'maxPanicPods'],
]

function kpaSettings(fields: Fields): KpaSpec {
  const s = new Settings(fields, KPA_NAMES)
  const total = s.number('totalValue', 100, 0.01)
  return {
    metric: s.word('scalingMetric', 'concurrency', ['concurrency', 'rps']),
    aggregation: 'linear',
    totalValue: total,
    targetValue: s.number('targetValue', Math.max(0.01, total * 0.7), 0.01),
    stableWindowMs: s.number('stableWindowSeconds', 60, 1, 3600) * 1000,
    panicWindowPercentage: 10,
    panicThresholdPercentage: s.number('panicThreshold', 200, 0),
    maxScaleUpRate: s.number('maxScaleUpRate', 1000, 1),
    maxScaleDownRate: s.number('maxScaleDownRate', 2, 1),
    scaleDownDelayMs: s.number('scaleDownDelaySeconds', 0, 0, 3600) * 1000,
    activationScale: s.number('activationScale', 1, 0),
    targetBurstCapacity: s.number('targetBurstCapacity', 211, -1),
    enableScaleToZero: true,
    scaleToZeroGracePeriodMs: 30_000,
    scaleToZeroPodRetentionPeriodMs: 0,
    progressDeadlineMs: 600_000,
    reachable: s.truth('reachable', true),
  }
}

/** Knative's decision alone: no bounds, no scale to zero. Without `panicSince` it begins calm. */
export function kpaByHand(fields: Fields): ByHand {
  let given = fields
  let spec = kpaSettings(given)
  const begin = new Settings(fields, KPA_NAMES)
  let memory: KpaMemory = begin.has('panicSince')
    ? {
        panicSinceMs: begin.number('panicSince', 0, -Infinity) * 1000,
        maxPanicPods: begin.number('maxPanicPods', 0, 0),
        delayed: [],
      }
    : CALM
  let desired = -1
  let lastMs = -Infinity
  return (seen) => {
    const t = timeOf(seen)
    if (seen['spec'] !== undefined) {
      given = { ...given, ...fieldsOf(seen['spec'], 'spec') }
      spec = kpaSettings(given)
    }
    const nowMs = t * 1000
    // What comes twice decides the same again; what is from the past decides nothing.
    const stale = !(nowMs >= lastMs)
    const input = {
      readyPods: reading(seen['readyPods']) ?? Number.NaN,
      stable: reading(seen['stable']),
      panic: reading(seen['panic']),
    }
    const result = kpaScale(spec, memory, stale ? { ...input, stable: null } : input, nowMs)
    if (result.valid) {
      memory = result.next
      desired = result.desired
      lastMs = nowMs
    }
    return {
      t,
      desired,
      valid: result.valid,
      excessBurstCapacity: result.excessBurstCapacity,
      panicking: result.panicking,
      reason: stale ? 'an observation from the past: nothing changes' : result.text,
    }
  }
}

const XPA_NAMES = [
  ...['limit', 'minScale', 'maxScale', 'podBufferSize', 'gcTimeSeconds', 'drainTargetSeconds', 'waitTargetSeconds', 'without'],
]

function xpaSettings(fields: Fields): ScaleSpec {
  const s = new Settings(fields, XPA_NAMES)
  return {
    class: 'xpa',
    limit: s.number('limit', 100, 1),
    minScale: s.number('minScale', 0, 0),
    maxScale: s.number('maxScale', 0, 0),
    initialScale: 1,
    podBufferSize: s.number('podBufferSize', 0, 0),
    gcTimeMs: s.number('gcTimeSeconds', 60, 0, 86_400) * 1000,
    drainTargetMs: s.number('drainTargetSeconds', 30, 0.001) * 1000,
    waitTargetMs: s.number('waitTargetSeconds', 0, 0) * 1000,
    without: s.words('without'),
    kpa: kpaSettings({}),
  }
}

/** The exact-state decider; `pods` as `{name, phase, inFlight, since, idleSince}`, times in the seconds of `t`. */
export function xpaByHand(fields: Fields): ByHand {
  let given = fields
  let spec = xpaSettings(given)
  let state: XpaState | null = null
  let arrivals = 0
  let lastT = Number.NaN
  const idleSince = new Map<string, number>()
  return (seen) => {
    const t = timeOf(seen)
    if (seen['spec'] !== undefined) {
      given = { ...given, ...fieldsOf(seen['spec'], 'spec') }
      spec = xpaSettings(given)
    }
    const rate = reading(seen['arrivalsPerS'] ?? 0) ?? Number.NaN
    // A rate that is none must not spoil the total of those that are.
    const total = rate >= 0 ? arrivals + (t > lastT ? rate * (t - lastT) : 0) : Number.NaN
    const pods = podsOf(seen, t, idleSince, spec.limit)
    const observation: Observation = {
      inFlight: reading(seen['inFlight'] ?? pods.reduce((sum, p) => sum + p.inFlight, 0)) ?? Number.NaN,
      queued: reading(seen['queued'] ?? 0) ?? Number.NaN,
      backlog: reading(seen['backlog'] ?? 0) ?? Number.NaN,
      arrivals: total,
      arrivalsPerS: rate,
      serviceMs: reading(seen['serviceMs']),
      coldStartMs: reading(seen['coldStartMs']),
      stable: null,
      panic: null,
      pods,
    }
    state ??= xpa.init(spec, t * 1000)
    const decision = xpa.decide(spec, state, observation, t * 1000)
    if (decision.valid) {
      arrivals = total
      lastT = t
    }
    state = decision.next
    const { desired, remove, valid } = decision
    const wakeAt = decision.wakeAtMs === Infinity ? null : decision.wakeAtMs / 1000
    return { t, desired, valid, remove, wakeAt, reason: decision.reason.text }
  }
}

function podsOf(seen: Fields, t: number, idleSince: Map<string, number>, limit: number): PodSeen[] {
  const list = seen['pods']
  if (list === undefined) return packed(reading(seen['readyPods'] ?? 0) ?? 0, reading(seen['inFlight'] ?? 0) ?? 0, limit, t)
  if (!Array.isArray(list)) throw new Fault('config.invalid', 'pods must be a list')
  return list.map((item, i) => {
    const pod = fieldsOf(item, `pods[${i}]`)
    const s = new Settings(pod, ['name', 'phase', 'inFlight', 'since', 'idleSince'])
    const name = typeof pod['name'] === 'string' ? pod['name'] : `pod-${i}`
    const phase = s.word('phase', 'ready', ['starting', 'ready', 'draining', 'failed'])
    const inFlight = s.number('inFlight', 0, 0)
    const idle = phase === 'ready' && inFlight === 0
    if (!idle) idleSince.delete(name)
    else if (s.has('idleSince')) idleSince.set(name, s.number('idleSince', t, -Infinity))
    else if (!idleSince.has(name)) idleSince.set(name, t)
    const idleAt = idleSince.get(name)
    return {
      name,
      phase,
      inFlight,
      sinceMs: s.number('since', 0, -Infinity) * 1000,
      idleSinceMs: idleAt === undefined ? null : idleAt * 1000,
    }
  })
}

/** So many ready pods with this load, packed as the gate packs. */
function packed(count: number, inFlight: number, limit: number, t: number): PodSeen[] {
  return Array.from({ length: count }, (_, i) => {
    const has = Math.max(0, Math.min(limit, inFlight - i * limit))
    return { name: `pod-${i}`, phase: 'ready', inFlight: has, sinceMs: i, idleSinceMs: has === 0 ? t * 1000 : null }
  })
}

const HPA_NAMES = ['target', 'targetValue', 'minScale', 'maxScale', 'tolerance', 'behavior']

function hpaSettings(fields: Fields): HpaSettings {
  const s = new Settings(fields, HPA_NAMES)
  return {
    target: s.word('target', 'pods', ['pods', 'value', 'average-value']),
    targetValue: s.number('targetValue', 70, Number.MIN_VALUE),
    minScale: s.number('minScale', 1, 0),
    maxScale: s.number('maxScale', 0, 0),
    tolerance: s.number('tolerance', 0.1, 0),
    behavior: s.word('behavior', 'default', ['default', 'none']) === 'none' ? null : HPA_BEHAVIOR,
  }
}

/** The HorizontalPodAutoscaler: `value` is the average of the pods (`pods`), one number (`value`) or a sum (`average-value`). */
export function hpaByHand(fields: Fields): ByHand {
  let given = fields
  let spec = hpaSettings(given)
  let state: HpaState = HPA_START
  return (seen) => {
    const t = timeOf(seen)
    if (seen['spec'] !== undefined) {
      given = { ...given, ...fieldsOf(seen['spec'], 'spec') }
      spec = hpaSettings(given)
    }
    const ready = reading(seen['readyPods']) ?? (Array.isArray(seen['pods']) ? seen['pods'].length : 0)
    const replicas = reading(seen['replicas']) ?? ready
    const result = hpaScale(spec, state, { value: reading(seen['value']), readyPods: ready, replicas }, t * 1000)
    state = result.next
    const { desired, valid, text } = result
    return { t, desired, valid, remove: [], wakeAt: t + 15, reason: text }
  }
}

function timeOf(seen: Fields): number {
  const t = seen['t']
  if (typeof t !== 'number' || !Number.isFinite(t))
    throw new Fault('config.invalid', `t is ${JSON.stringify(t)}; it must be a number of seconds`)
  return t
}

/** A number, or null for whatever is none: a text such as "NaN" is no reading. Negative ones are judged by the decider. */
function reading(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null
}

function fieldsOf(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Fault('config.invalid', `${what} must be an object`)
  return value as Fields
}

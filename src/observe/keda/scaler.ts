import type { Key } from '../../contract/ids.ts'
import type { Clock } from '../../runtime/clock.ts'
import { GrpcRefusal, type GrpcService } from '../../vendor/grpc/server.ts'
import {
  readMetricsRequest,
  readRef,
  writeIsActive,
  writeMetrics,
  writeMetricSpec,
  type MetricsRequest,
  type ScaledObjectRef,
} from './messages.ts'

/** What the scaler can be asked about, read at each call. */
export interface DemandView {
  /** Slots wanted now over all revisions, and credits of a pod (0 = without limit). undefined = no such Service. */
  service(key: Key): { readonly demand: number; readonly limit: number } | undefined
  /** Events a subscription, or all subscriptions of a source, have not settled. undefined = no such thing. */
  backlog(key: Key): number | undefined
  keys(): { readonly services: readonly Key[]; readonly backlogs: readonly Key[] }
  /** Calls `f` soon after demand may have changed; gives what ends that. */
  watch(f: () => void): () => void
}

/** Backlogs grow without anybody telling: they are looked at so often while a stream is open. */
const LOOK_MS = 100
const WITHOUT_LIMIT_TARGET = 100
const DEFAULT_LAG_THRESHOLD = 10

interface Figure {
  readonly metricName: string
  readonly target: number
  readonly value: number
  /** Over this it is active. */
  readonly activation: number
}

/**
 * KEDA's external scaler (externalscaler.proto), modes `external` and `external-push`. One trigger asks for one thing:
 *
 *   service: ns/name,          target (credits of a pod unless said), activationTarget
 *   subscription: kind/ns/name, lagThreshold (10), activationLagThreshold
 *   source: kind/ns/name,       the same
 */
export function kedaService(view: DemandView, clock: Clock): GrpcService {
  return {
    name: 'externalscaler.ExternalScaler',
    unary: {
      IsActive: (bytes) => writeIsActive(isActive(figureOf(view, refFrom(bytes)))),
      GetMetricSpec: (bytes) => writeMetricSpec(figureOf(view, refFrom(bytes))),
      GetMetrics(bytes) {
        const { ref, metricName } = requestFrom(bytes)
        const figure = figureOf(view, ref)
        if (metricName !== '' && metricName !== figure.metricName)
          throw new GrpcRefusal('NOT_FOUND', `there is no metric "${metricName}" here; this trigger has "${figure.metricName}"`)
        return writeMetrics(figure)
      },
    },
    streams: {
      StreamIsActive: (bytes, write) => pushed(view, clock, refFrom(bytes), (f) => writeIsActive(isActive(f)), write),
      StreamMetricSpec: (bytes, write) => pushed(view, clock, refFrom(bytes), writeMetricSpec, write),
    },
  }
}

function isActive(figure: Figure): boolean {
  return figure.value > figure.activation
}

/** Writes what there is, and again whenever it has become something else. What is gone from the plan counts as unchanged. */
function pushed(
  view: DemandView,
  clock: Clock,
  ref: ScaledObjectRef,
  encode: (f: Figure) => Uint8Array,
  write: (answer: Uint8Array) => void,
): () => void {
  let last = encode(figureOf(view, ref))
  write(last)
  const look = (): void => {
    let now: Uint8Array
    try {
      now = encode(figureOf(view, ref))
    } catch (e) {
      if (e instanceof GrpcRefusal) return
      throw e
    }
    if (Buffer.compare(now, last) === 0) return
    last = now
    write(now)
  }
  const timer = clock.every(LOOK_MS, look)
  const unwatch = view.watch(look)
  return () => {
    timer.cancel()
    unwatch()
  }
}

function refFrom(bytes: Uint8Array): ScaledObjectRef {
  const ref = readRef(bytes)
  if (ref === undefined) throw new GrpcRefusal('INVALID_ARGUMENT', 'the request is no ScaledObjectRef')
  return ref
}

function requestFrom(bytes: Uint8Array): MetricsRequest {
  const request = readMetricsRequest(bytes)
  if (request === undefined) throw new GrpcRefusal('INVALID_ARGUMENT', 'the request is no GetMetricsRequest')
  return request
}

function figureOf(view: DemandView, ref: ScaledObjectRef): Figure {
  const { service, subscription, source } = ref.metadata
  const given = Object.entries({ service, subscription, source }).filter(([, v]) => v !== undefined && v !== '')
  if (given.length !== 1) {
    const said = given.length === 0 ? 'none of them' : given.map(([k]) => k).join(' and ')
    throw new GrpcRefusal(
      'INVALID_ARGUMENT',
      `the metadata of ScaledObject ${ref.namespace}/${ref.name} has ${said}; it must have one of service (ns/name), subscription (kind/ns/name), source (kind/ns/name)`,
    )
  }
  if (service !== undefined && service !== '') return serviceFigure(view, ref, service)
  return backlogFigure(view, ref, subscription !== undefined && subscription !== '' ? 'subscription' : 'source')
}

function serviceFigure(view: DemandView, ref: ScaledObjectRef, text: string): Figure {
  const key = keyOf(ref, text.includes('/') ? `service/${text}` : `service/${ref.namespace}/${text}`, 'service', 'ns/name')
  const found = view.service(key)
  if (found === undefined) throw unknown('service', key, view.keys().services)
  return {
    metricName: key.replaceAll('/', '-'),
    target: numberOf(ref, 'target', found.limit > 0 ? found.limit : WITHOUT_LIMIT_TARGET, true),
    value: found.demand,
    activation: numberOf(ref, 'activationTarget', 0, false),
  }
}

function backlogFigure(view: DemandView, ref: ScaledObjectRef, field: 'subscription' | 'source'): Figure {
  const key = keyOf(ref, (ref.metadata[field] ?? '').toLowerCase(), field, 'kind/ns/name')
  const events = view.backlog(key)
  if (events === undefined) throw unknown(field, key, view.keys().backlogs)
  return {
    metricName: `backlog-${key.replaceAll('/', '-')}`,
    target: numberOf(ref, 'lagThreshold', DEFAULT_LAG_THRESHOLD, true),
    value: events,
    activation: numberOf(ref, 'activationLagThreshold', 0, false),
  }
}

function keyOf(ref: ScaledObjectRef, key: Key, field: string, shape: string): Key {
  const parts = key.split('/')
  if (parts.length === 3 && parts.every((p) => p !== '')) return key
  throw new GrpcRefusal('INVALID_ARGUMENT', `${field} is "${ref.metadata[field]}"; it must be ${shape}`)
}

function numberOf(ref: ScaledObjectRef, field: string, otherwise: number, overZero: boolean): number {
  const text = ref.metadata[field]
  if (text === undefined || text.trim() === '') return otherwise
  const n = Number(text)
  if (Number.isFinite(n) && (overZero ? n > 0 : n >= 0)) return n
  throw new GrpcRefusal('INVALID_ARGUMENT', `${field} is "${text}"; it must be a number ${overZero ? 'over' : 'of at least'} 0`)
}

/** At most so many names in an error. */
const NAMES_TOLD = 20

function unknown(what: string, key: Key, all: readonly Key[]): GrpcRefusal {
  const list = all.length === 0 ? 'none' : all.slice(0, NAMES_TOLD).join(', ') + (all.length > NAMES_TOLD ? ', …' : '')
  return new GrpcRefusal('NOT_FOUND', `there is no ${what} ${key} in this gateway's plan; there are: ${list}`)
}

import type { Start } from '../contract/feed.ts'
import type { LimitsPlan } from '../contract/plan.ts'
import { MUST_BE_DURATION, parseDuration } from './durations.ts'
import { sentence } from './issues.ts'
import { texts, type Complain } from './resource.ts'
import type { Path } from './faults.ts'
import { parseBytes, parseDecimal, parseRate, parseWhole } from './quantities.ts'

export type Annotations = Readonly<Record<string, string>>

interface Reader<T> {
  /** undefined = not allowed. */
  readonly read: (text: string) => T | undefined
  readonly must: string
  readonly kinds: readonly string[]
}

const CHANNELS = ['Channel', 'InMemoryChannel', 'KafkaChannel', 'NatsJetStreamChannel', 'RabbitmqChannel', 'RocketMQChannel']
const STREAMS = ['Broker', ...CHANNELS, 'KafkaSink', 'Sequence', 'Parallel']
const SUBSCRIPTIONS = ['Trigger', 'Subscription', 'KafkaSource', 'RocketMQSource', 'RabbitmqSource']
const FLOWS = [...SUBSCRIPTIONS, 'Sequence', 'Parallel']

const reader = <T>(kinds: readonly string[], must: string, read: (text: string) => T | undefined): Reader<T> => ({
  kinds,
  must,
  read,
})
const oneOf = <const T extends string>(kinds: readonly string[], ...allowed: readonly T[]): Reader<T> =>
  reader(kinds, `must be one of ${allowed.join(', ')}`, (text) => allowed.find((a) => a === text))
const wholeFrom = (kinds: readonly string[], least: number, most: number): Reader<number> =>
  reader(kinds, `must be a whole number from ${least} to ${most}`, (text) => {
    const n = parseWhole(text)
    return n !== undefined && n >= least && n <= most ? n : undefined
  })
const duration = (kinds: readonly string[], leastMs: number): Reader<number> =>
  reader(kinds, leastMs > 0 ? `${MUST_BE_DURATION}, longer than 0` : MUST_BE_DURATION, (text) => {
    const ms = parseDuration(text)
    return ms !== undefined && ms >= leastMs ? ms : undefined
  })
const bytes = (kinds: readonly string[]): Reader<number> =>
  reader(kinds, 'must be a size such as 1Gi, 500Mi or 1000000, over 0', (text) => {
    const n = parseBytes(text)
    return n !== undefined && n > 0 ? n : undefined
  })
const seconds = (kinds: readonly string[], least: number): Reader<number> =>
  reader(kinds, `must be a number of seconds ${least > 0 ? 'over 0' : 'of at least 0'}, without a unit`, (text) => {
    const s = parseDecimal(text)
    return s !== undefined && s >= least && s <= 1e9 ? Math.round(s * 1000) : undefined
  })

export const XPA_TERMS = ['trend', 'staffing', 'cold-start', 'keep-alive'] as const

/** Every annotation of our own and of the seeds' world: where it may stand and what it may say. DESIGN §4, §6, §8, §9, §11 */
const READERS = {
  'sluice.dev/stream': oneOf(STREAMS, 'embedded', 'memory'),
  'sluice.dev/retention': duration(STREAMS, 0),
  'sluice.dev/max-bytes': bytes(STREAMS),
  'sluice.dev/max-unsettled': bytes(STREAMS),
  'sluice.dev/dedup-window': duration(STREAMS, 0),
  'sluice.dev/max-event-bytes': bytes(STREAMS),
  'sluice.dev/max-concurrency': wholeFrom([...SUBSCRIPTIONS, 'Service'], 1, 1_000_000),
  'sluice.dev/rate': reader([...SUBSCRIPTIONS, 'Service'], 'must be a rate over 0 such as 50, 50/s, 3000/m or 10/h', (text) => {
    const perS = parseRate(text)
    return perS !== undefined && perS > 0 && perS <= 1e9 ? perS : undefined
  }),
  'sluice.dev/delivery-order': oneOf(FLOWS, 'unordered', 'ordered', 'key'),
  'sluice.dev/on-park': oneOf(FLOWS, 'continue', 'stop'),
  'sluice.dev/start': reader(SUBSCRIPTIONS, 'must be earliest, latest or a time such as 2026-11-01T00:00:00Z', parseStart),
  'sluice.dev/backoff-max': duration(FLOWS, 1),
  'sluice.dev/headers-from-secret': reader(SUBSCRIPTIONS, 'must be the name of a Secret', (text) =>
    /^[a-z0-9][-a-z0-9.]{0,252}$/.test(text) ? text : undefined,
  ),
  'sluice.dev/batch-max': wholeFrom(SUBSCRIPTIONS, 1, 10_000),
  'sluice.dev/batch-wait': duration(SUBSCRIPTIONS, 0),
  'sluice.dev/ack': oneOf(SUBSCRIPTIONS, 'response', 'callback'),
  'sluice.dev/drain-target': duration(['Service'], 1),
  'sluice.dev/wait-target': duration(['Service'], 1),
  // What `sluice autoscale` asks Prometheus, and whose replicas it sets where the Deployment has another name.
  'sluice.dev/query': reader(['Service'], 'must be a PromQL query', (text) => (text.trim() === '' ? undefined : text)),
  'sluice.dev/deployment': reader(['Service'], 'must be the name of a Deployment', (text) =>
    /^[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?$/.test(text) ? text : undefined,
  ),
  'sluice.dev/without': reader(['Service'], `must be a list of ${XPA_TERMS.join(', ')}, separated by commas`, (text) => {
    const terms = text.split(',').map((t) => t.trim())
    return terms.every((t) => (XPA_TERMS as readonly string[]).includes(t)) ? terms : undefined
  }),
  'k8s.aliyun.com/domain': reader(['KafkaSource'], 'must be a host name', (text) =>
    /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?$/i.test(text) ? text.toLowerCase() : undefined,
  ),
  'k8s.aliyun.com/retry-count': wholeFrom(['KafkaSource'], 0, 2 ** 31 - 1),
  'k8s.aliyun.com/retry-interval': seconds(['KafkaSource'], 0),
  'k8s.aliyun.com/req-timeout': seconds(['KafkaSource'], 0.001),
  'kafka.eventing.knative.dev/delivery.order': oneOf(['Trigger'], 'ordered', 'unordered'),
  'networking.knative.dev/flow-controller.class': oneOf(['Service'], 'strict'),
} as const satisfies Readonly<Record<string, Reader<unknown>>>

type Name = keyof typeof READERS
type Value<N extends Name> = Exclude<ReturnType<(typeof READERS)[N]['read']>, undefined>

/** The value of an annotation, undefined when it is not there. What is not allowed was refused by `checkAnnotations`. */
export function annotation<N extends Name>(annotations: Annotations, name: N): Value<N> | undefined {
  const text = annotations[name]
  return text === undefined ? undefined : (READERS[name].read(text) as Value<N> | undefined)
}

/** Faults of the annotations at `path` for this kind; one of ours that is not known is a typing error. */
export function checkAnnotations(kind: string, value: unknown, path: Path, complain: Complain): void {
  for (const [name, text] of Object.entries(texts(value))) {
    const known = Object.hasOwn(READERS, name) ? (READERS as Readonly<Record<string, Reader<unknown>>>)[name] : undefined
    if (known?.kinds.includes(kind) === true) {
      if (known.read(text) === undefined) complain([...path, name], sentence(known.must, text))
    } else if (name.startsWith('sluice.dev/')) {
      const allowed = Object.entries(READERS).filter(
        ([n, r]) => n.startsWith('sluice.dev/') && (r.kinds as readonly string[]).includes(kind),
      )
      const list = allowed.length === 0 ? 'none is allowed' : `allowed: ${allowed.map(([n]) => n).join(', ')}`
      complain([...path, name], `unknown annotation for ${kind}; ${list}`)
    }
  }
}

/** `sluice.dev/max-concurrency` and `/rate`, 0 where nothing is written. */
export function limitsOf(annotations: Annotations): LimitsPlan {
  return {
    maxConcurrency: annotation(annotations, 'sluice.dev/max-concurrency') ?? 0,
    ratePerS: annotation(annotations, 'sluice.dev/rate') ?? 0,
  }
}

export const NO_LIMITS: LimitsPlan = Object.freeze({ maxConcurrency: 0, ratePerS: 0 })

function parseStart(text: string): Start | undefined {
  if (text === 'earliest' || text === 'latest') return { at: text }
  if (!/^\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[Zz]|[+-]\d\d:\d\d))?$/.test(text)) return undefined
  const timeMs = Date.parse(text)
  return Number.isNaN(timeMs) ? undefined : { at: 'time', timeMs }
}

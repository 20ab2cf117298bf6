import type { Start } from '../contract/feed.ts'
import type { Key } from '../contract/ids.ts'
import type { DeliveryPlan, LimitsPlan, SubscriptionPlan } from '../contract/plan.ts'
import { Secret } from '../runtime/secret.ts'
import { annotation, type Annotations, limitsOf } from './annotations.ts'
import type { Draft } from './draft.ts'
import { parseIsoDuration } from './durations.ts'
import type { DeliverySpec } from './fields.ts'
import type { Resource } from './resource.ts'
import { lowerSink, type Role, type Sink, sinkOf } from './sinks.ts'

/** Where callbacks are posted on the data port; no namespace can be called so. */
export const CALLBACK_PATH = '/-/callback'

const BACKOFF_MAX_MS = 600_000
/** Where a retry count is written without a delay, as Knative's Kafka data plane has it. */
const BACKOFF_DELAY_MS = 200
const TIMEOUT_MS = 600_000

/** A Broker's, where neither it nor config-br-defaults says anything. */
export const BROKER_DELIVERY: DeliverySpec = { retry: 10, backoffPolicy: 'exponential', backoffDelay: 'PT0.2S' }
export const KAFKA_SOURCE_DELIVERY: DeliverySpec = {
  retry: 10,
  backoffPolicy: 'exponential',
  backoffDelay: 'PT0.3S',
  timeout: 'PT600S',
}
export const NO_DELIVERY: DeliverySpec = {}

/** Where reply events go: `to` null = dropped. Not resolved: there should be somewhere, so nothing is sent until there is. */
export interface Reply {
  readonly to: Key | null
  readonly resolved: boolean
}
export const NO_REPLY: Reply = { to: null, resolved: true }

/** Everything that is the same for a Trigger, a Subscription, a source's sink, a step and a branch. */
export interface SubscriptionParts {
  readonly owner: Resource
  readonly key: Key
  readonly from: SubscriptionPlan['from']
  readonly filter: SubscriptionPlan['filter']
  readonly annotations: Annotations
  /** Where nothing is written. */
  readonly order: SubscriptionPlan['order']
  readonly start: 'earliest' | 'latest'
  readonly delivery: DeliverySpec
  /** The namespace refs of the delivery are looked up in (a Broker's for what it passes on). */
  readonly deliveryNamespace: string
  /** A stream of the plan where a flow passes events on to itself. */
  readonly subscriber: Sink | { readonly stream: Key }
  readonly subscriberRole: Role
  /** Where it stands, for messages and for the name of the sink: `spec.subscriber`, `spec.steps[0]`. */
  readonly at: string
  /** Where the dead-letter sink stands. */
  readonly deadLetterAt: string
  readonly reply: Reply
  readonly host?: string
  /** Fields of the delivery that are said in another way (`k8s.aliyun.com/…`). */
  readonly override?: Partial<DeliveryPlan>
}

/** Adds a subscription with its targets to the plan. */
export function lowerSubscription(draft: Draft, p: SubscriptionParts): void {
  const limits = limitsOf(p.annotations)
  const headers = secretHeaders(draft, p)
  const target = lowerSubscriber(draft, p, limits)
  const dead = sinkOf(p.delivery.deadLetterSink)
  const deadLetter =
    dead === null
      ? null
      : lowerSink(draft, p.owner, dead, {
          key: `${p.key}#deadLetterSink`,
          role: 'deadLetterSink',
          namespace: p.deliveryNamespace,
          at: p.deadLetterAt,
        })
  const a = p.annotations
  draft.subscription(p.owner, {
    key: p.key,
    namespace: p.owner.namespace,
    from: p.from,
    start: { at: 'committed', otherwise: startOf(draft, p) },
    filter: p.filter,
    order: orderOf(draft, p),
    onPark: annotation(a, 'sluice.dev/on-park') ?? 'continue',
    delivery: { ...deliveryPlan(p.delivery, a, timeoutOf(draft, target)), ...p.override },
    target: headers === null || !p.reply.resolved ? null : target,
    reply: p.reply.to,
    deadLetter,
    limits,
    headers: headers ?? [],
    batchMax: batchOf(draft, p, target),
    batchWaitMs: annotation(a, 'sluice.dev/batch-wait') ?? 0,
    ack: ackOf(draft, p, target),
  })
}

/** Where it begins, which not every system knows: one that keeps nothing for those who come later begins now. */
function startOf(draft: Draft, p: SubscriptionParts): Start {
  const name = 'sluice.dev/start'
  const wanted = annotation(p.annotations, name)
  if ('source' in p.from) return wanted ?? { at: p.start }
  const on = draft.standing(p.from.stream)
  const has = wanted?.at === 'earliest' ? on.can.startEarliest : wanted?.at !== 'time' || on.can.startTime
  if (!has) {
    const allowed = ['latest', ...(on.can.startEarliest ? ['earliest'] : []), ...(on.can.startTime ? ['a time'] : [])]
    const why = `is "${p.annotations[name]}", which ${on.name} cannot do; allowed: ${allowed.join(', ')}`
    p.owner.complain(['metadata', 'annotations', name], why)
  }
  return wanted ?? { at: on.can.startEarliest ? p.start : 'latest' }
}

const ORDERS = ['sluice.dev/delivery-order', 'kafka.eventing.knative.dev/delivery.order'] as const

function orderOf(draft: Draft, p: SubscriptionParts): SubscriptionPlan['order'] {
  const order = annotation(p.annotations, 'sluice.dev/delivery-order') ?? p.order
  if ('source' in p.from) return order
  const on = draft.standing(p.from.stream)
  const name = ORDERS.find((n) => p.annotations[n] !== undefined)
  if (name !== undefined && !on.can.order.includes(order)) {
    const why = `is "${order}", which ${on.name} cannot do; allowed: ${on.can.order.join(', ')}`
    p.owner.complain(['metadata', 'annotations', name], why)
  }
  return order
}

/** A callback takes a subscriber with a life of its own; what this gateway does itself is done when it answers. */
function ackOf(draft: Draft, p: SubscriptionParts, target: Key | null): SubscriptionPlan['ack'] {
  if (annotation(p.annotations, 'sluice.dev/ack') !== 'callback') return 'response'
  const kind = target === null ? undefined : draft.targetPlan(target)?.kind
  if (kind === 'stream' || kind === 'function') {
    const why = 'is "callback", but the subscriber is this gateway itself; only a Service or a URI can call back'
    p.owner.complain(['metadata', 'annotations', 'sluice.dev/ack'], why)
  }
  draft.route({ host: '', path: CALLBACK_PATH, to: { kind: 'callback' } })
  return 'callback'
}

/** A function transforms one event. */
function batchOf(draft: Draft, p: SubscriptionParts, target: Key | null): number {
  const most = annotation(p.annotations, 'sluice.dev/batch-max') ?? 1
  if (most > 1 && target !== null && draft.targetPlan(target)?.kind === 'function') {
    const why = `is "${most}", but an EventTransform takes one event at a time`
    p.owner.complain(['metadata', 'annotations', 'sluice.dev/batch-max'], why)
  }
  return most
}

function lowerSubscriber(draft: Draft, p: SubscriptionParts, limits: LimitsPlan): Key | null {
  const key = `${p.key}#${p.subscriberRole}`
  if ('stream' in p.subscriber) return draft.target(p.owner, { kind: 'stream', key, stream: p.subscriber.stream })
  return lowerSink(draft, p.owner, p.subscriber, {
    key,
    role: p.subscriberRole,
    namespace: p.owner.namespace,
    limits,
    at: p.at,
    ...(p.host === undefined ? {} : { host: p.host }),
  })
}

/** The sink of replies of a subscription, where one is written. */
export function lowerReply(draft: Draft, owner: Resource, key: Key, sink: Sink | null, at: string): Reply {
  if (sink === null) return NO_REPLY
  const to = lowerSink(draft, owner, sink, { key: `${key}#reply`, role: 'reply', namespace: owner.namespace, at })
  return { to, resolved: to !== null }
}

export function deliveryPlan(d: DeliverySpec, annotations: Annotations, timeoutMs: number): DeliveryPlan {
  return {
    retry: d.retry ?? 0,
    backoffPolicy: d.backoffPolicy ?? 'exponential',
    backoffDelayMs: milliseconds(d.backoffDelay) ?? BACKOFF_DELAY_MS,
    backoffMaxMs: annotation(annotations, 'sluice.dev/backoff-max') ?? BACKOFF_MAX_MS,
    // A time-out under a millisecond is still one.
    timeoutMs: d.timeout === undefined ? timeoutMs : Math.max(1, milliseconds(d.timeout) ?? timeoutMs),
    retryAfterMaxMs: milliseconds(d.retryAfterMax) ?? 0,
    format: d.format ?? 'binary',
  }
}

function milliseconds(text: string | undefined): number | undefined {
  return text === undefined ? undefined : parseIsoDuration(text)
}

/** The Service's own where the target is one: waiting longer than it works makes no sense. */
function timeoutOf(draft: Draft, target: Key | null): number {
  const plan = target === null ? undefined : draft.targetPlan(target)
  const service = plan?.kind === 'service' ? draft.servicePlan(plan.service) : undefined
  return service?.timeoutMs ?? TIMEOUT_MS
}

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/i
/** What the sender writes itself, and what could split or end the message. */
const FORBIDDEN =
  /^(?:connection|content-length|content-type|expect|host|keep-alive|proxy-connection|te|trailer|transfer-encoding|upgrade|ce-.*)$/i

/** `sluice.dev/headers-from-secret`: each key of the Secret is a header. null = not usable, and the status says why. */
function secretHeaders(draft: Draft, p: SubscriptionParts): SubscriptionPlan['headers'] | null {
  const name = annotation(p.annotations, 'sluice.dev/headers-from-secret')
  if (name === undefined) return []
  const where = `sluice.dev/headers-from-secret: Secret ${p.owner.namespace}/${name}`
  const bad = (reason: string, message: string): null => {
    draft.unresolved(p.owner.key, 'SecretResolved', reason, `${where} ${message}`)
    return null
  }
  const data = draft.secret(p.owner.namespace, name)
  if (data === undefined) return bad('NotFound', 'is missing; nothing is sent without it')
  const headers: [string, Secret][] = []
  for (const [key, value] of Object.entries(data)) {
    if (!HEADER_NAME.test(key) || FORBIDDEN.test(key))
      return bad('BadHeader', `has the key ${key}, which is no header that may be added`)
    const text = value.reveal().replace(/[\r\n]+$/, '')
    if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(text)) return bad('BadHeader', `has a value of ${key} that no header can carry`)
    headers.push([key.toLowerCase(), new Secret(text)])
  }
  return headers.sort((x, y) => (x[0] < y[0] ? -1 : 1))
}

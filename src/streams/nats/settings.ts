import { createHash } from 'node:crypto'
import type { Start } from '../../contract/feed.ts'
import type { Key } from '../../contract/ids.ts'
import type { ConsumerCreate, ConsumerStart, StreamCreate } from '../../vendor/nats/admin.ts'
import type { NatsLinkOptions } from '../../vendor/nats/link.ts'

/** `StreamPlan.settings` of a stream whose system is nats. */
export interface NatsStreamSettings extends Pick<NatsLinkOptions, 'servers' | 'login' | 'tls'> {
  /** How the JetStream stream is made when it is missing; one that is there is taken as it is. */
  readonly stream: StreamCreate
  /** Where events are published; one of the stream's subjects. */
  readonly subject: string
  /** What the resource asks of the consumers of its subscriptions. */
  readonly consumer: ConsumerTemplate
  /** Of the resource. */
  readonly namespace: string
  readonly name: string
}

/** Times ms; 0, '' and null = as we have it. */
export interface ConsumerTemplate {
  readonly ackWaitMs: number
  readonly maxAckPending: number
  readonly filterSubject: string
  readonly replay: 'instant' | 'original'
  readonly rateLimitBps: number
  readonly sampleFrequency: string
  /** Where a new subscription begins that does not say it itself. */
  readonly start: ConsumerStart | null
}

/** A message we hold is nobody else's for so long; the server's own figure. Renewed when half of it is over. */
const ACK_WAIT_MS = 30_000
/** What all gateways may hold of one subscription; each holds no more than it has room for. */
const MOST_PENDING = 65_536

/** How the durable consumer of a subscription is made. `ordered`: one unsettled event, over all gateways. */
export function consumerOf(name: string, key: Key, from: Start, ordered: boolean, t: ConsumerTemplate): ConsumerCreate {
  const start = startOf(from)
  return {
    name,
    description: key,
    filterSubject: t.filterSubject,
    // The end is what a subscription has that says nothing.
    start: start.at === 'new' && t.start !== null ? t.start : start,
    ackWaitMs: t.ackWaitMs > 0 ? t.ackWaitMs : ACK_WAIT_MS,
    maxAckPending: ordered ? 1 : t.maxAckPending > 0 ? t.maxAckPending : MOST_PENDING,
    replay: t.replay,
    rateLimitBps: t.rateLimitBps,
    sampleFrequency: t.sampleFrequency,
  }
}

/** Of the stream in which deliveries wait: what is acknowledged there is gone. */
export function retryStreamOf(s: StreamCreate): StreamCreate {
  const name = `SLUICE_RETRY_${s.name}`
  return {
    name,
    subjects: [`_sluice_retry.${s.name}.>`],
    retention: 'workqueue',
    // An event that waits is never thrown out for a newer one.
    discard: 'new',
    storage: s.storage,
    replicas: s.replicas,
    maxConsumers: 0,
    maxMsgs: 0,
    maxBytes: 0,
    maxAgeMs: 0,
    maxMsgSize: 0,
    duplicateWindowMs: 0,
    placement: s.placement,
  }
}

export function retrySubjectOf(stream: string, consumer: string): string {
  return `_sluice_retry.${stream}.${consumer}`
}

/** What waits stays with the server until it is due, and there may be any number of it. */
export function retryConsumerOf(stream: string, c: ConsumerCreate): ConsumerCreate {
  return {
    ...c,
    filterSubject: retrySubjectOf(stream, c.name),
    start: { at: 'all' },
    maxAckPending: -1,
    replay: 'instant',
    rateLimitBps: 0,
    sampleFrequency: '',
  }
}

/** The durable consumer Knative has for a Trigger or a Subscription. eventing-natss `pkg/{broker,channel/jetstream}/utils` */
export function consumerName(key: Key, uid: string): string {
  const id = uid.replaceAll('-', '').toUpperCase()
  if (id !== '' && key.startsWith('trigger/')) return `KN_TRIGGER_${id}`
  if (id !== '' && key.startsWith('subscription/')) return `KN_SUB_${id}`
  // What Knative has no consumer for: a step or branch of a flow. The digest tells apart what the letters cannot.
  const digest = createHash('sha256').update(key).digest('hex').slice(0, 8)
  return `SLUICE_${key.replaceAll(/[^A-Za-z0-9_-]/g, '_').slice(0, 100)}_${digest}`
}

/** A consumer that is there goes on where it stands, whatever `from` says. */
export function startOf(from: Start): ConsumerStart {
  switch (from.at) {
    case 'earliest':
      return { at: 'all' }
    case 'latest':
      return { at: 'new' }
    case 'time':
      return { at: 'time', timeMs: from.timeMs }
    case 'position':
      return { at: 'sequence', sequence: from.position }
    case 'committed':
      return startOf(from.otherwise)
  }
}

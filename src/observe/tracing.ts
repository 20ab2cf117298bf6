import type { Key, SubId } from '../contract/ids.ts'
import type { Outcome } from '../contract/outcome.ts'
import type { Attempt, Credit } from '../contract/target.ts'
import type { CloudEvent } from '../event/event.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import type { OpenSpan, TraceContext, Tracer } from '../vendor/opentelemetry/tracer.ts'

/** An event on its way in, under spans of its own. */
export interface Taken {
  /** The same event; what continues its trace is a child of its append. */
  readonly event: CloudEvent
  /** Durable, or why not. */
  end(error: string): void
}

/**
 * Spans of what the gateway does with events: `receive` → `append` → `deliver`, one a attempt. Made only where an OTLP endpoint
 * is given; without one nothing here is called, and trace context is passed on as it came.
 */
export interface Tracing {
  received(at: Key, e: CloudEvent): Taken
  /** An event that is handed to a target while its producer waits: there is no append. */
  passed(at: Key, e: CloudEvent): Taken
  /** The attempt with the context of its span in its headers; the span ends with its outcome. */
  attempt(path: string, a: Attempt, c: Credit): Attempt
  close(): Promise<void>
}

/** A collector that cannot be reached is told at most so often. */
const WARNING_MS = 60_000

/** The OpenTelemetry packages are loaded here, and only when somebody collects spans. */
export async function loadTracing(subKey: (sub: SubId) => Key, clock: Clock, log: Log): Promise<Tracing> {
  const { openTracer } = await import('../vendor/opentelemetry/tracer.ts')
  let warnedMs = -Infinity
  const warn = (what: string): void => {
    if (clock.now() - warnedMs < WARNING_MS) return
    warnedMs = clock.now()
    log.warn('spans could not be sent', { reason: what })
  }
  return createTracing(openTracer(warn), subKey)
}

export function createTracing(tracer: Tracer, subKey: (sub: SubId) => Key): Tracing {
  const receive = (at: Key, e: CloudEvent): OpenSpan =>
    tracer.start({
      name: `receive ${at}`,
      kind: 'server',
      parent: contextOf(e),
      attributes: { ...eventAttributes(e), ...operation('receive', 'receive', at) },
    })
  return {
    received(at, e) {
      const outer = receive(at, e)
      const attributes = { ...eventAttributes(e), ...operation('append', 'send', at) }
      const inner = tracer.start({ name: `append ${at}`, kind: 'producer', parent: outer, attributes })
      return {
        event: under(e, inner),
        end(error) {
          inner.end(error)
          outer.end(error)
        },
      }
    },
    passed(at, e) {
      const span = receive(at, e)
      return { event: under(e, span), end: (error) => span.end(error) }
    },
    attempt(path, a, c) {
      const subscription = a.delivery.sub < 0 ? '' : subKey(a.delivery.sub)
      const to = subscription === '' ? c.origin.host : subscription
      const span = tracer.start({
        name: `deliver ${to}`,
        kind: 'client',
        parent: contextOf(a.event),
        attributes: {
          ...eventAttributes(a.event),
          ...operation('deliver', 'send', to),
          ...(subscription === '' ? {} : { 'messaging.destination.subscription.name': subscription }),
          ...(a.batch === undefined ? {} : { 'messaging.batch.message_count': a.batch.length }),
          ...(a.attempt > 1 ? { 'http.request.resend_count': a.attempt - 1 } : {}),
          'http.request.method': 'POST',
          'server.address': c.origin.host,
          'server.port': c.origin.port,
          'url.path': path.split('?')[0] ?? path,
          'sluice.attempt': a.attempt,
          'sluice.leg': a.leg ?? 'subscriber',
          'sluice.pod': c.pod,
        },
      })
      return new TracedAttempt(a, span)
    },
    close: () => tracer.close(),
  }
}

/** The attempt as the sender sees it; whoever made it hears of the outcome as before. */
class TracedAttempt implements Attempt {
  readonly delivery: Attempt['delivery']
  readonly event: CloudEvent
  readonly attempt: number
  readonly deadlineMs: number
  readonly wantsReply: boolean
  readonly structured: boolean
  readonly namespace: string
  readonly headers: readonly string[]
  declare readonly batch?: readonly CloudEvent[]
  readonly #inner: Attempt
  readonly #span: OpenSpan

  constructor(a: Attempt, span: OpenSpan) {
    this.#inner = a
    this.#span = span
    this.delivery = a.delivery
    this.event = a.event
    this.attempt = a.attempt
    this.deadlineMs = a.deadlineMs
    this.wantsReply = a.wantsReply
    this.structured = a.structured
    this.namespace = a.namespace
    const state = span.tracestate === '' ? [] : ['tracestate', span.tracestate]
    this.headers = [...a.headers, 'traceparent', span.traceparent, ...state]
    if (a.batch !== undefined) this.batch = a.batch
  }

  done(o: Outcome): void {
    const status = o.kind === 'pending' ? 202 : o.status
    const error = o.kind === 'retryable' || o.kind === 'rejected' ? o.why : ''
    this.#span.end(error, {
      ...(status === 0 ? {} : { 'http.response.status_code': status }),
      ...(error === '' ? {} : { 'error.type': status === 0 ? o.kind : String(status) }),
    })
    this.#inner.done(o)
  }

  late(o: Outcome): void {
    this.#inner.late?.(o)
  }
}

/** The header wins; else the extension, which a producer may have set where nothing in between knew headers. */
function contextOf(e: CloudEvent): TraceContext {
  if (e.envelope.traceparent !== '') return e.envelope
  return { traceparent: textOf(e, 'traceparent'), tracestate: textOf(e, 'tracestate') }
}

function textOf(e: CloudEvent, name: string): string {
  const value = e.attribute(name)
  return typeof value === 'string' ? value : ''
}

function under(e: CloudEvent, { traceparent, tracestate }: TraceContext): CloudEvent {
  return e.with({ envelope: { ...e.envelope, traceparent, tracestate } })
}

/** OpenTelemetry semantic conventions, "Messaging" and "CloudEvents". */
function operation(name: string, type: string, destination: string): Record<string, string> {
  return {
    'messaging.system': 'sluice',
    'messaging.operation.name': name,
    'messaging.operation.type': type,
    'messaging.destination.name': destination,
  }
}

function eventAttributes(e: CloudEvent): Record<string, string | number> {
  return {
    'messaging.message.id': e.id,
    'messaging.message.body.size': e.data?.length ?? 0,
    'cloudevents.event_id': e.id,
    'cloudevents.event_source': e.source,
    'cloudevents.event_type': e.type,
    'cloudevents.event_spec_version': e.specversion,
    ...(e.subject === undefined ? {} : { 'cloudevents.event_subject': e.subject }),
  }
}

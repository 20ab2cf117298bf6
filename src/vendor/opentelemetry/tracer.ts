import {
  createTraceState,
  diag,
  DiagLogLevel,
  ROOT_CONTEXT,
  type Attributes,
  type Context,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
} from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources'
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
  type Sampler,
} from '@opentelemetry/sdk-trace'

/** W3C trace context as it travels in headers, '' = none. */
export interface TraceContext {
  readonly traceparent: string
  readonly tracestate: string
}

export interface SpanStart {
  readonly name: string
  readonly kind: 'server' | 'client' | 'producer'
  readonly parent: TraceContext
  readonly attributes: Attributes
}

/** A span that has begun; its context is what the next one continues. */
export interface OpenSpan extends TraceContext {
  /** Once. `error` '' = it went well. */
  end(error: string, attributes?: Attributes): void
}

export interface Tracer {
  start(s: SpanStart): OpenSpan
  /** Sends what waits and ends, within `CLOSE_MS`. */
  close(): Promise<void>
}

/** Version 00, and what a later one must look like to be read as one. W3C Trace Context §3.2 */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-|$)/

/**
 * Spans by OTLP over HTTP, as the OTEL_ variables of the environment say: endpoint, headers, time-out, resource attributes,
 * service name, sampler and the delay between two batches. What cannot be sent is dropped and told to `warn`.
 */
export function openTracer(warn: (what: string) => void): Tracer {
  diag.setLogger(
    { error: warn, warn, info() {}, debug() {}, verbose() {} },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  )
  const own = resourceFromAttributes({ 'service.name': 'sluice' })
  const exporter = new OTLPTraceExporter()
  const scheduledDelayMillis = Number(process.env['OTEL_BSP_SCHEDULE_DELAY'] ?? 5_000)
  const provider = new TracerProvider({
    sampler: samplerFrom(process.env['OTEL_TRACES_SAMPLER'] ?? '', Number(process.env['OTEL_TRACES_SAMPLER_ARG'] ?? 1)),
    resource: own.merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new BatchSpanProcessor({ exporter, scheduledDelayMillis, maxQueueSize: 8_192 })],
  })
  const tracer = provider.getTracer('sluice')
  return {
    start({ name, kind, parent, attributes }) {
      const span = tracer.startSpan(name, { kind: KINDS[kind], attributes }, contextOf(parent))
      const context = span.spanContext()
      return {
        traceparent: `00-${context.traceId}-${context.spanId}-${context.traceFlags.toString(16).padStart(2, '0')}`,
        tracestate: context.traceState?.serialize() ?? '',
        end(error, more) {
          if (more !== undefined) span.setAttributes(more)
          if (error !== '') span.setStatus({ code: SpanStatusCode.ERROR, message: error })
          span.end()
        },
      }
    },
    close: () => Promise.race([provider.shutdown().catch(() => {}), patience()]),
  }
}

/** A collector that does not answer must not hold up the end of the gateway. */
const CLOSE_MS = 2_000

function patience(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, CLOSE_MS).unref()
  })
}

const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT, producer: SpanKind.PRODUCER } as const

/** What is no trace context begins a new trace. */
function contextOf({ traceparent, tracestate }: TraceContext): Context {
  const found = TRACEPARENT.exec(traceparent)
  if (found === null) return ROOT_CONTEXT
  const [, traceId = '', spanId = '', flags = '00'] = found
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    isRemote: true,
    traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED,
    ...(tracestate === '' ? {} : { traceState: createTraceState(tracestate) }),
  })
}

/** The names of the OpenTelemetry specification, "General SDK Configuration". */
function samplerFrom(name: string, ratio: number): Sampler {
  const parentBased = name === '' || name.startsWith('parentbased_')
  const plain = name.replace(/^parentbased_/, '')
  const root: Sampler =
    plain === 'always_off'
      ? new AlwaysOffSampler()
      : plain === 'traceidratio'
        ? new TraceIdRatioBasedSampler(Number.isFinite(ratio) ? ratio : 1)
        : new AlwaysOnSampler()
  return parentBased ? new ParentBasedSampler({ root }) : root
}

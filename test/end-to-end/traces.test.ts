import { createServer, type Server } from 'node:http'
import { afterEach, expect, test } from 'vitest'
import { broker, post, startGateway, trigger, type RunningGateway } from '../gateway.ts'
import { startSink, type Sink } from '../sink.ts'
import { until } from '../until.ts'

interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly kind: number
  readonly status: { readonly code?: number; readonly message?: string }
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly traceState?: string
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[]
}

const KINDS = { server: 2, client: 3, producer: 4 }
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const PARENT = '00f067aa0ba902b7'

const open: { server: Server[]; gateways: RunningGateway[]; sinks: Sink[] } = { server: [], gateways: [], sinks: [] }
afterEach(async () => {
  for (const g of open.gateways.splice(0)) await g.stop()
  for (const s of open.sinks.splice(0)) await s.close()
  for (const s of open.server.splice(0)) s.close()
})

/** Stands for a collector: keeps every span it is sent. */
async function collector(): Promise<{ url: string; spans: Span[]; resources: unknown[]; paths: Set<string> }> {
  const spans: Span[] = []
  const resources: unknown[] = []
  const paths = new Set<string>()
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      paths.add(request.url ?? '')
      const body = JSON.parse(Buffer.concat(chunks).toString()) as {
        resourceSpans: { resource: unknown; scopeSpans: { spans: Span[] }[] }[]
      }
      for (const r of body.resourceSpans) {
        resources.push(r.resource)
        for (const s of r.scopeSpans) spans.push(...s.spans)
      }
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  open.server.push(server)
  const address = server.address()
  return { url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`, spans, resources, paths }
}

async function gateway(sink: Sink, env: Readonly<Record<string, string>>): Promise<RunningGateway> {
  const spec = { delivery: { retry: 2, backoffPolicy: 'linear', backoffDelay: 'PT0.01S' } }
  const g = await startGateway({ manifests: [broker(), trigger('traced', sink.url, { spec })], env })
  open.gateways.push(g)
  return g
}

const attributesOf = (s: Span): Record<string, unknown> =>
  Object.fromEntries(s.attributes.map((a) => [a.key, Object.values(a.value)[0]]))

test('an event is received, appended and delivered under one trace, each attempt a span that the subscriber sees', async () => {
  const sink = await startSink((_seen, response, nth) => response.writeHead(nth === 1 ? 503 : 200).end())
  open.sinks.push(sink)
  const { url, spans, resources, paths } = await collector()
  const g = await gateway(sink, {
    OTEL_EXPORTER_OTLP_ENDPOINT: url,
    OTEL_BSP_SCHEDULE_DELAY: '50',
    OTEL_SERVICE_NAME: 'gateway-under-test',
  })
  const traced = { traceparent: `00-${TRACE}-${PARENT}-01`, tracestate: 'vendor=1' }
  expect(await post(`${g.listen}/default/default`, 'one', traced)).toBe(202)
  await until('four spans arrive', () => spans.length === 4)
  expect([...paths]).toEqual(['/v1/traces'])
  expect(JSON.stringify(resources[0])).toContain('gateway-under-test')
  expect(new Set(spans.map((s) => s.traceId))).toEqual(new Set([TRACE]))

  const named = (name: string): Span[] => spans.filter((s) => s.name === name)
  const [received] = named('receive broker/default/default')
  const [appended] = named('append broker/default/default')
  const attempts = named('deliver trigger/default/traced').toSorted((a, b) =>
    a.startTimeUnixNano < b.startTimeUnixNano ? -1 : 1,
  )
  expect(received).toMatchObject({ kind: KINDS.server, parentSpanId: PARENT, traceState: 'vendor=1' })
  expect(appended).toMatchObject({ kind: KINDS.producer, parentSpanId: received?.spanId })
  expect(attempts).toHaveLength(2)
  for (const attempt of attempts) expect(attempt).toMatchObject({ kind: KINDS.client, parentSpanId: appended?.spanId })
  expect(attempts[0]).toMatchObject({ status: { code: 2 } })
  expect(attributesOf(attempts[0]!)).toMatchObject({
    'http.response.status_code': 503,
    'error.type': '503',
    'server.port': sink.port,
    'messaging.system': 'sluice',
    'messaging.message.id': 'one',
    'messaging.operation.type': 'send',
    'messaging.destination.subscription.name': 'trigger/default/traced',
    'cloudevents.event_source': '/test',
  })
  expect(attributesOf(attempts[1]!)).toMatchObject({ 'http.response.status_code': 200, 'http.request.resend_count': 1 })
  expect(attempts[1]?.status.code ?? 0).not.toBe(2)
  expect(BigInt(attempts[0]!.endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(attempts[0]!.startTimeUnixNano))
  // What the subscriber continues is the span of the very attempt that reached it.
  expect(sink.seen.map((s) => s.headers['traceparent'])).toEqual(attempts.map((a) => `00-${TRACE}-${a.spanId}-01`))
  expect(sink.seen.map((s) => s.headers['tracestate'])).toEqual(['vendor=1', 'vendor=1'])
})

test('without a parent a trace begins here; one that is not sampled is passed on and not recorded', async () => {
  const sink = await startSink()
  open.sinks.push(sink)
  const { url, spans } = await collector()
  const g = await gateway(sink, { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${url}/v1/traces`, OTEL_BSP_SCHEDULE_DELAY: '50' })
  expect(await post(`${g.listen}/default/default`, 'dark', { traceparent: `00-${TRACE}-${PARENT}-00` })).toBe(202)
  await until('it arrives', () => sink.seen.length === 1)
  expect(sink.seen[0]?.headers['traceparent']).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`))
  expect(await post(`${g.listen}/default/default`, 'root')).toBe(202)
  await until('three spans arrive', () => spans.length === 3)
  const root = spans.find((s) => s.name.startsWith('receive'))
  expect(root?.parentSpanId ?? '').toBe('')
  expect(root?.traceId).toMatch(/^[0-9a-f]{32}$/)
  expect(spans.every((s) => s.traceId === root?.traceId && s.traceId !== TRACE)).toBe(true)
})

test('without an endpoint the context passes as it came; with a collector that is gone events pass all the same', async () => {
  const sink = await startSink()
  open.sinks.push(sink)
  const plain = await gateway(sink, {})
  const traced = { traceparent: `00-${TRACE}-${PARENT}-01`, tracestate: 'vendor=1' }
  expect(await post(`${plain.listen}/default/default`, 'plain', traced)).toBe(202)
  await until('it arrives', () => sink.seen.length === 1)
  expect(sink.seen[0]?.headers).toMatchObject(traced)
  const lonely = await gateway(sink, { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', OTEL_BSP_SCHEDULE_DELAY: '20' })
  for (let i = 0; i < 5; i++) expect(await post(`${lonely.listen}/default/default`, `lonely-${i}`)).toBe(202)
  await until('they arrive', () => sink.seen.length === 6)
  expect(lonely.log.filter((line) => line.includes('spans could not be sent')).length).toBeLessThanOrEqual(1)
})

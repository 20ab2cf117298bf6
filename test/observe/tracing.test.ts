import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { SILENT_DELIVERY } from '../../src/contract/delivery.ts'
import type { Outcome } from '../../src/contract/outcome.ts'
import type { Appended } from '../../src/contract/stream.ts'
import { DURABLE } from '../../src/contract/stream.ts'
import type { Attempt, Credit } from '../../src/contract/target.ts'
import { tracedDestination, tracedSender } from '../../src/engine/traced.ts'
import { CloudEvent, NEW_ENVELOPE } from '../../src/event/event.ts'
import { decodeHttp } from '../../src/event/http.ts'
import { STRUCTURED_JSON } from '../../src/event/json.ts'
import { fromKafkaRecord, toKafkaRecord, wrapKafkaRecord } from '../../src/event/kafka.ts'
import { decodeStored, encodeStored } from '../../src/event/stored.ts'
import type { Destination } from '../../src/ingress/destination.ts'
import { createTracing, type Tracing } from '../../src/observe/tracing.ts'
import { RequestHeads } from '../../src/sender/request-head.ts'
import type { Sender } from '../../src/sender/sender.ts'
import type { SpanStart, Tracer } from '../../src/vendor/opentelemetry/tracer.ts'

const CONTEXT = { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', tracestate: 'vendor=1' }
const bytes = (text: string): Uint8Array => Buffer.from(text)
const eventOf = (change: object = {}): CloudEvent =>
  new CloudEvent({ id: '1', source: '/s', type: 't', envelope: { ...NEW_ENVELOPE, ...CONTEXT }, ...change })
const CREDIT: Credit = {
  pod: 'pod-1',
  origin: { protocol: 'http:', host: 'sink', port: 80, caCerts: '' },
  abandon() {},
  release() {},
  onGone() {},
}
function attemptOf(change: Partial<Attempt> = {}): Attempt & { readonly outcomes: Outcome[]; readonly lates: Outcome[] } {
  const outcomes: Outcome[] = []
  const lates: Outcome[] = []
  const delivery = { ...SILENT_DELIVERY, sub: 3 }
  const plain = {
    delivery,
    event: eventOf(),
    attempt: 1,
    deadlineMs: 9,
    wantsReply: true,
    structured: false,
    namespace: 'n',
    headers: [],
  }
  return { ...plain, done: (o) => outcomes.push(o), late: (o) => lates.push(o), outcomes, lates, ...change }
}

describe('trace context passes without a tracer', () => {
  const headers = (list: Record<string, string>): Parameters<typeof decodeHttp>[0] => ({
    get: (name) => list[name],
    each: (f) => Object.entries(list).forEach(([n, v]) => f(n, v)),
  })
  const ce = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't' }

  test.each([
    ['binary', { ...ce, ...CONTEXT }, ''],
    ['structured', { 'content-type': STRUCTURED_JSON, ...CONTEXT }, '{"specversion":"1.0","id":"1","source":"/s","type":"t"}'],
  ])('from the headers of HTTP, %s', (_mode, list, body) => {
    const decoded = decodeHttp(headers(list), bytes(body))
    expect(decoded).toMatchObject({ events: [{ envelope: CONTEXT }] })
  })

  test('from and to the headers of a Kafka record, also one that is wrapped, and through the store', () => {
    const record = toKafkaRecord(eventOf())
    const asRead = (
      value: Uint8Array | null,
      list: readonly (readonly [Uint8Array, Uint8Array])[],
    ): Parameters<typeof wrapKafkaRecord>[0] =>
      ({ key: null, value, headers: list, topic: 't', partition: 0, offset: 1, timestampMs: 1 }) as unknown as Parameters<
        typeof wrapKafkaRecord
      >[0]
    const sent = record.headers.map(([n, v]) => `${Buffer.from(n).toString()}=${Buffer.from(v).toString()}`)
    expect(sent).toContain(`traceparent=${CONTEXT.traceparent}`)
    expect(sent).toContain(`tracestate=${CONTEXT.tracestate}`)
    expect(fromKafkaRecord(asRead(record.value, record.headers))?.envelope).toMatchObject(CONTEXT)
    const own = Object.entries(CONTEXT).map(([n, v]) => [bytes(n), bytes(v)] as const)
    const options = { namespace: 'n', name: 's', keyType: 'string' } as unknown as Parameters<typeof wrapKafkaRecord>[1]
    expect(wrapKafkaRecord(asRead(bytes('plain'), own), options).envelope).toMatchObject(CONTEXT)
    expect(decodeStored(encodeStored(eventOf())).envelope).toMatchObject(CONTEXT)
  })

  test('to the headers of an attempt', () => {
    const head = new RequestHeads().ofAttempt(CREDIT.origin, '/', '', attemptOf())
    expect(head).toContain(`\r\ntraceparent: ${CONTEXT.traceparent}\r\ntracestate: ${CONTEXT.tracestate}\r\n`)
  })

  test('nothing of OpenTelemetry is loaded by an import that is always there', () => {
    const src = join(import.meta.dirname, '..', '..', 'src')
    const importers = readdirSync(src, { recursive: true, encoding: 'utf8' })
      .filter((f) => f.endsWith('.ts') && !f.startsWith('vendor'))
      .flatMap((f) => readFileSync(join(src, f), 'utf8').split('\n'))
      .filter((line) => /opentelemetry\//.test(line) && /import/.test(line))
    expect(importers.length).toBeGreaterThanOrEqual(2)
    for (const line of importers) expect(line).toMatch(/^import type |await import\(/)
  })
})

interface Made extends SpanStart {
  readonly context: string
  error: string | null
  more: Readonly<Record<string, unknown>>
}
function traced(): { spans: Made[]; tracing: Tracing } {
  const spans: Made[] = []
  const tracer: Tracer = {
    start(s) {
      const made: Made = { ...s, context: `span-${spans.length}`, error: null, more: {} }
      spans.push(made)
      return {
        traceparent: made.context,
        tracestate: s.parent.tracestate,
        end(error, more = {}) {
          if (made.error !== null) throw new Error('a span ends once')
          made.error = error
          made.more = more
        },
      }
    },
    close: () => Promise.resolve(),
  }
  return { spans, tracing: createTracing(tracer, (sub) => `trigger/default/t${sub}`) }
}

describe('with a tracer', () => {
  test('an append is the child of its receipt and the parent of what comes after', () => {
    const { spans, tracing } = traced()
    const appended: CloudEvent[] = []
    const answers: Appended[] = []
    const results: Appended[] = [DURABLE, { kind: 'full', retryAfterMs: 1, why: 'no room' }]
    const plain: Destination = {
      kind: 'stream',
      id: 1,
      maxEventBytes: 1,
      dedupWindowMs: 0,
      append(events, done) {
        appended.push(...events)
        done(results.shift() ?? DURABLE)
      },
    }
    const to = tracedDestination(plain, 'broker/default/b', tracing)
    if (to.kind !== 'stream') throw new Error('it stays a stream')
    to.append([eventOf(), eventOf({ id: '2', envelope: NEW_ENVELOPE })], (r) => answers.push(r))
    expect(spans.map((s) => [s.name, s.kind, s.parent.traceparent, s.error])).toEqual([
      ['receive broker/default/b', 'server', CONTEXT.traceparent, ''],
      ['append broker/default/b', 'producer', 'span-0', ''],
      ['receive broker/default/b', 'server', '', ''],
      ['append broker/default/b', 'producer', 'span-2', ''],
    ])
    expect(appended.map((e) => [e.id, e.envelope.traceparent])).toEqual([
      ['1', 'span-1'],
      ['2', 'span-3'],
    ])
    to.append([eventOf()], (r) => answers.push(r))
    expect(spans.slice(4).map((s) => s.error)).toEqual(['no room', 'no room'])
    expect(answers.map((a) => a.kind)).toEqual(['durable', 'full'])
  })

  test('an attempt carries its own span, ends it with its outcome, and passes both on', () => {
    const { spans, tracing } = traced()
    const sent: Attempt[] = []
    const sender = tracedSender({ send: (_p: string, _h: string, a: Attempt) => sent.push(a) } as unknown as Sender, tracing)
    const attempts = [1, 2, 3].map((attempt) => attemptOf({ attempt, headers: ['authorization', 'x'] }))
    for (const a of attempts) sender.send('/path?query=1', 'host', a, CREDIT)
    expect(sent[0]?.headers).toEqual(['authorization', 'x', 'traceparent', 'span-0', 'tracestate', 'vendor=1'])
    const head = new RequestHeads().ofAttempt(CREDIT.origin, '/', '', sent[0]!)
    expect(head.match(/traceparent/g)).toHaveLength(1)
    expect(head).toContain('traceparent: span-0')
    const outcomes: Outcome[] = [
      { kind: 'accepted', status: 202 },
      { kind: 'retryable', status: 0, why: 'timed out' },
      { kind: 'rejected', status: 400, why: 'no' },
    ]
    sent.forEach((a, i) => a.done(outcomes[i]!))
    sent[1]?.late?.({ kind: 'accepted', status: 200 })
    expect(attempts.map((a) => a.outcomes)).toEqual(outcomes.map((o) => [o]))
    expect(attempts[1]?.lates).toEqual([{ kind: 'accepted', status: 200 }])
    expect(spans.map((s) => [s.error, s.more['http.response.status_code'], s.more['error.type']])).toEqual([
      ['', 202, undefined],
      ['timed out', undefined, 'retryable'],
      ['no', 400, '400'],
    ])
    expect(spans[1]).toMatchObject({
      name: 'deliver trigger/default/t3',
      kind: 'client',
      parent: CONTEXT,
      attributes: { 'url.path': '/path', 'http.request.resend_count': 1, 'sluice.pod': 'pod-1', 'server.address': 'sink' },
    })
    expect(spans[0]?.attributes).not.toHaveProperty('http.request.resend_count')
  })

  test('where no header came the extension is the parent', () => {
    const { spans, tracing } = traced()
    tracing.passed('x', eventOf({ envelope: NEW_ENVELOPE, extensions: [['traceparent', CONTEXT.traceparent]] })).end('')
    expect(spans[0]?.parent).toEqual({ traceparent: CONTEXT.traceparent, tracestate: '' })
  })
})

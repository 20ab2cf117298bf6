import { Buffer } from 'node:buffer'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type AmqpMessage, fromAmqpMessage, headerTexts, toAmqpMessage, wrapAmqpMessage } from '../../src/event/amqp.ts'
import { CloudEvent, NEW_ENVELOPE } from '../../src/event/event.ts'
import { isJsonType } from '../../src/event/media.ts'
import { anEvent, bytes, shape } from './events.ts'

const message = (change: Partial<AmqpMessage> = {}): AmqpMessage => ({
  body: bytes('data'),
  headers: {},
  contentType: '',
  messageId: '',
  timestamp: 0,
  ...change,
})
const attributes = (prefix: string, more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries({ specversion: '1.0', id: '1', source: '/s', type: 't', ...more }).map(([name, v]) => [prefix + name, v]),
  )
const read = (e: CloudEvent, structured = false): CloudEvent | null =>
  fromAmqpMessage({ ...toAmqpMessage(e, structured), timestamp: 0 })
const OPTIONS = { source: '/apis/v1/namespaces/ns/rabbitmqsources/n#q', newId: () => 'new' }

describe('an event as a message', () => {
  test('is the same after, with the types of its extensions, binary', () => {
    fc.assert(
      fc.property(anEvent, (e) => {
        expect(shape(read(e)!)).toEqual(shape(e))
      }),
      { numRuns: 400 },
    )
  })

  test('keeps integers at their ends, and shows larger numbers as text', () => {
    const ends = [-(2 ** 31), -1, 0, 2 ** 31 - 1]
    const e = new CloudEvent({ id: 'i', source: '/s', type: 't', extensions: ends.map((n, i) => [`n${i}`, n]) })
    expect(read(e)!.extensions.map(([, value]) => value)).toEqual(ends)
    const message = toAmqpMessage(e)
    const large = fromAmqpMessage({ ...message, headers: { ...message.headers, n0: 2 ** 31 }, timestamp: 0 })
    expect(large!.attribute('n0')).toBe('2147483648')
  })

  test('is the same after, structured', () => {
    fc.assert(
      fc.property(anEvent, (e) => {
        const back = read(e, true)!
        const trimmed = (x: CloudEvent): unknown =>
          isJsonType(x.datacontenttype) && x.data !== null ? Buffer.from(x.data).toString('latin1').trim() : shape(x)['data']
        expect([back.id, back.type, back.subject, trimmed(back)]).toEqual([e.id, e.type, e.subject, trimmed(e)])
      }),
      { numRuns: 200 },
    )
  })

  test('is written as eventing-rabbitmq writes it: bare headers, content type, message id', () => {
    const e = new CloudEvent({
      id: 'i',
      source: '/s',
      type: 't',
      subject: 'ü',
      time: '2026-01-01T00:00:00Z',
      datacontenttype: 'text/plain',
      extensions: [['n', 3]],
      data: bytes('x'),
      envelope: { ...NEW_ENVELOPE, traceparent: '00-1', tracestate: 'a=b' },
    })
    expect(toAmqpMessage(e)).toEqual({
      headers: {
        specversion: '1.0',
        id: 'i',
        source: '/s',
        type: 't',
        subject: 'ü',
        time: '2026-01-01T00:00:00Z',
        'content-type': 'text/plain',
        n: 3,
        traceparent: '00-1',
        tracestate: 'a=b',
      },
      contentType: 'text/plain',
      messageId: 'i',
      body: bytes('x'),
    })
    expect(fromAmqpMessage({ ...toAmqpMessage(e), timestamp: 0 })?.envelope).toMatchObject({
      traceparent: '00-1',
      tracestate: 'a=b',
    })
  })

  test('keeps an extension called traceparent apart from the trace itself', () => {
    const e = new CloudEvent({ id: 'i', source: '/s', type: 't', extensions: [['traceparent', 'ext']] })
    const traced = e.with({ envelope: { ...NEW_ENVELOPE, traceparent: 'own' } })
    const back = read(traced)!
    expect(back.attribute('traceparent')).toBe('ext')
    expect(back.envelope.traceparent).toBe('own')
  })

  test('carries hidden what is no attribute of it, and data of no length', () => {
    const envelope = { ...NEW_ENVELOPE, ttl: 7, hops: 2, root: 'r', headers: ['x-request-id', 'q'], key: 'k' }
    const e = new CloudEvent({ id: 'i', source: '/s', type: 't', data: new Uint8Array(0), envelope })
    for (const structured of [false, true]) {
      const back = read(e, structured)!
      expect(back.envelope).toEqual(envelope)
      expect(back.extensions).toEqual([])
    }
    expect(read(e)!.data).toHaveLength(0)
    expect(read(e.with({ data: null }))!.data).toBeNull()
    expect(Object.keys(toAmqpMessage(e.with({ data: null, envelope: NEW_ENVELOPE })).headers)).toEqual([
      'specversion',
      'id',
      'source',
      'type',
    ])
  })

  test('goes structured where its attributes are too many for the headers of a message', () => {
    const e = new CloudEvent({ id: 'i', source: '/s', type: 't', extensions: [['long', 'ä'.repeat(20_000)]], data: bytes('x') })
    const written = toAmqpMessage(e)
    expect(written.contentType).toBe('application/cloudevents+json')
    expect(JSON.stringify(written.headers).length).toBeLessThan(1_000)
    expect(shape(read(e)!)).toEqual(shape(e))
  })
})

describe('a message as an event', () => {
  test.for(['cloudEvents:', 'cloudEvents_', 'ce-', 'ce_'])('is read with the prefix %s, other headers left alone', (prefix) => {
    const headers = { ...attributes(prefix, { n: 1 }), type: 'of the application', other: 'x', 'x-death': [{}] }
    const e = fromAmqpMessage(message({ headers, contentType: 'text/plain' }))
    expect(e).toMatchObject({ id: '1', type: 't', datacontenttype: 'text/plain', extensions: [['n', 1]] })
  })

  test('has header values of every kind', () => {
    const headers = attributes('', {
      id: 5,
      text: 'é€😀',
      whole: -3,
      big: 2 ** 40,
      part: 1.5,
      yes: true,
      raw: Buffer.from([0, 255]),
      at: { '!': 'timestamp', value: 1_700_000_000 },
      decimal: { '!': 'decimal', value: { places: 2, digits: 314 } },
      table: { a: [1, 'x'] },
      nothing: null,
      'x-delivery-count': 3,
      'sluice-id': 'own',
      Not_A_Name: 'x',
    })
    const e = fromAmqpMessage(message({ headers }))!
    expect(e.id).toBe('5')
    expect(Object.fromEntries(e.extensions)).toEqual({
      text: 'é€😀',
      whole: -3,
      big: String(2 ** 40),
      part: '1.5',
      yes: true,
      raw: Buffer.from([0, 255]),
      at: '2023-11-14T22:13:20.000Z',
      decimal: '3.14',
      table: '{"a":[1,"x"]}',
    })
  })

  test("has no time where Go's zero time stands, and the content type of the header before that of the property", () => {
    const headers = { ...attributes('', { time: '0001-01-01T00:00:00Z' }), 'content-type': 'a/b' }
    expect(fromAmqpMessage(message({ headers, contentType: 'c/d' }))).toMatchObject({ time: undefined, datacontenttype: 'a/b' })
    expect(fromAmqpMessage(message({ headers: { ...headers, 'content-type': '' }, contentType: 'c/d' }))?.datacontenttype).toBe(
      'c/d',
    )
  })

  test.for([
    ['no headers', message()],
    ['an attribute missing', message({ headers: { specversion: '1.0', id: '1', source: '/s' } })],
    ['a version nobody knows', message({ headers: attributes('', { specversion: '9' }) })],
    ['JSON that is no event', message({ contentType: 'application/cloudevents+json', body: bytes('{}') })],
    ['a batch', message({ contentType: 'application/cloudevents-batch+json', body: bytes('[]') })],
    ['an attribute in the prefix of nobody', message({ headers: attributes('app-') })],
  ] as const)('is none with %s, and is wrapped', ([, m]) => {
    expect(fromAmqpMessage(m)).toBeNull()
    expect(wrapAmqpMessage(m, OPTIONS).type).toBe('dev.knative.rabbitmq.event')
  })

  test('is wrapped as RabbitmqSource wraps it', () => {
    const m = message({ messageId: 'm', contentType: 'text/plain', timestamp: 1_700_000_000 })
    expect(wrapAmqpMessage(m, OPTIONS, 5)).toMatchObject({
      id: 'm',
      subject: 'm',
      source: OPTIONS.source,
      type: 'dev.knative.rabbitmq.event',
      time: '2023-11-14T22:13:20.000Z',
      datacontenttype: 'text/plain',
      envelope: { receivedMs: 5 },
    })
    const bare = wrapAmqpMessage(message({ body: new Uint8Array(0) }), OPTIONS)
    expect(bare).toMatchObject({ id: 'new', subject: 'new', time: undefined, datacontenttype: undefined, data: null })
  })

  test.for(['{}', '[1]', '[1,0,"r",[1],"k"]', 'x'])('trusts no foreign text as what is hidden: %s', (text) => {
    const headers = { ...attributes(''), 'sluice-envelope': text }
    expect(fromAmqpMessage(message({ headers }))?.envelope).toEqual(NEW_ENVELOPE)
  })

  test('shows its headers as text, without our own', () => {
    const headers = { a: 1, b: [2], 'sluice-id': 'x', c: null }
    expect(headerTexts(headers)).toEqual([
      ['a', '1'],
      ['b', '[2]'],
      ['c', ''],
    ])
  })
})

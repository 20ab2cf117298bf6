import { CloudEvent as SdkEvent, HTTP } from 'cloudevents'
import { describe, expect, test } from 'vitest'
import { CloudEvent } from '../../src/event/event.ts'
import type { DecodedHttp, DecodeOptions } from '../../src/event/http.ts'
import { binaryHead, binaryHeaders, decodeHttp } from '../../src/event/http.ts'
import { bytes, headerView, pairsOf } from './events.ts'

const REQUIRED = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't' }
const ONE = '{"specversion":"1.0","id":"1","source":"/s","type":"t"}'
const STRUCTURED = { 'content-type': 'application/cloudevents+json' }
const BATCH = { 'content-type': 'application/cloudevents-batch+json' }

function decode(headers: Record<string, string | string[]>, body = '', o: DecodeOptions = {}): DecodedHttp {
  const pairs = Object.entries(headers).flatMap(([name, value]) => [value].flat().map((v) => [name, v] as const))
  return decodeHttp(headerView(pairs), bytes(body), o)
}

function event(headers: Record<string, string | string[]>, body = '', o: DecodeOptions = {}): CloudEvent {
  const decoded = decode(headers, body, o)
  if (decoded.kind !== 'events' || decoded.events.length !== 1) throw new Error(JSON.stringify(decoded))
  return decoded.events[0] as CloudEvent
}

describe('what a request is', () => {
  test('nothing where no header claims to be an event', () => {
    expect(decode({ 'content-type': 'application/json', 'ce-extra': 'x' }, '{}')).toEqual({ kind: 'none' })
    expect(decodeHttp(headerView([]), null)).toEqual({ kind: 'none' })
  })
  test('binary, with the data untouched and not copied', () => {
    const body = Buffer.from([0, 255, 1])
    const headers = headerView(Object.entries({ ...REQUIRED, 'Content-Type': 'image/png', 'ce-subject': 'a%20b' }))
    const decoded = decodeHttp(headers, body)
    expect(decoded).toMatchObject({ kind: 'events', mode: 'binary' })
    const [e] = decoded.kind === 'events' ? decoded.events : []
    expect(e).toMatchObject({ id: '1', datacontenttype: 'image/png', subject: 'a b' })
    expect(e?.data).toBe(body)
  })
  test('structured and batch, in any case and with parameters', () => {
    expect(decode({ 'content-type': 'Application/CloudEvents+JSON; charset="UTF-8"' }, ONE)).toMatchObject({ mode: 'structured' })
    expect(decode({ 'content-type': 'application/cloudevents' }, ONE)).toMatchObject({ mode: 'structured' })
    expect(decode(BATCH, `[${ONE},${ONE}]`)).toMatchObject({ mode: 'batch', events: [{ id: '1' }, { id: '1' }] })
    expect(decode(BATCH, '[]')).toEqual({ kind: 'events', mode: 'batch', events: [] })
  })
  test('structured attributes win over ce- headers, which are not looked at', () => {
    expect(event({ ...STRUCTURED, 'ce-id': 'other', 'ce-bad_name': 'x' }, ONE).id).toBe('1')
  })
  test('0.3 stays 0.3', () => {
    const e = event({ ...REQUIRED, 'ce-specversion': '0.3', 'ce-schemaurl': '/schema' })
    expect(e).toMatchObject({ specversion: '0.3', dataschema: '/schema' })
    expect(binaryHead(e)).toContain('ce-specversion: 0.3\r\n')
    expect(binaryHead(e)).toContain('ce-schemaurl: /schema\r\n')
  })
  test('the schema name of the other version is an extension', () => {
    const e = event({ ...REQUIRED, 'ce-schemaurl': 'x' })
    expect(e.extensions).toEqual([['schemaurl', 'x']])
    expect(e.dataschema).toBeUndefined()
  })
  test('an empty body is no data', () => {
    expect(event({ ...REQUIRED, 'content-type': 'text/plain' })).toMatchObject({ data: null, datacontenttype: 'text/plain' })
    expect(decodeHttp(headerView(Object.entries(REQUIRED)), null)).toMatchObject({ kind: 'events', events: [{ data: null }] })
  })
  test('a foreign format is the data of a binary event where the headers make one', () => {
    const avro = { 'content-type': 'application/cloudevents+avro' }
    expect(event({ ...REQUIRED, ...avro }, 'x').datacontenttype).toBe('application/cloudevents+avro')
    expect(decode(avro, 'x')).toMatchObject({ kind: 'bad', code: 'ingress.media-type' })
  })
})

describe('a bad event', () => {
  test.for(['specversion', 'id', 'source', 'type'])('without %s is named by it', (name) => {
    const { [`ce-${name}` as keyof typeof REQUIRED]: _, ...rest } = REQUIRED
    expect(decode(rest)).toEqual({
      kind: 'bad',
      code: 'ingress.bad-event',
      attribute: name,
      message: `the attribute "${name}" is missing`,
    })
  })
  test.for([
    [{ 'ce-id': '' }, 'id'],
    [{ 'ce-specversion': '2.0' }, 'specversion'],
    [{ 'ce-time': 'lunchtime' }, 'time'],
    [{ 'ce-subject': '' }, 'subject'],
    [{ 'ce-dataschema': '/relative' }, 'dataschema'],
    [{ 'content-type': 'xyz' }, 'datacontenttype'],
    [{ 'ce-my_ext': 'x' }, 'my_ext'],
    [{ 'ce-': 'x' }, ''],
    [{ 'ce-data': 'x' }, 'data'],
    [{ 'ce-ext': '%zz' }, 'ext'],
    [{ 'ce-id': 'a%0D%0Ab' }, 'id'],
    [{ 'ce-ext': '%00' }, 'ext'],
    [{ 'ce-ext': '%0A' }, 'ext'],
    [{ 'ce-id': ['1', '2'] }, 'id'],
    [{ 'ce-ext': ['1', '2'] }, 'ext'],
  ] as const)('%j is named by "%s"', ([headers, attribute]) => {
    const all = Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, typeof value === 'string' ? value : [...value]]),
    )
    expect(decode({ ...REQUIRED, ...all })).toMatchObject({ kind: 'bad', code: 'ingress.bad-event', attribute })
  })
  test('quotes what it found, bounded and on one line', () => {
    const decoded = decode({ ...REQUIRED, 'ce-time': `\t${'x'.repeat(500)}` })
    const message = decoded.kind === 'bad' ? decoded.message : ''
    expect(message).toMatch(/^the attribute "time" .*\\tx{79}…"$/)
  })
  test('in a batch refuses the batch', () => {
    expect(decode(BATCH, `[${ONE},{}]`)).toMatchObject({ kind: 'bad', attribute: 'specversion', message: /^event 1 of/ })
  })
  test('with a form but no body, or in another charset', () => {
    expect(decode(STRUCTURED)).toMatchObject({ kind: 'bad', code: 'ingress.bad-event' })
    expect(decodeHttp(headerView(Object.entries(STRUCTURED)), null)).toMatchObject({ kind: 'bad' })
    expect(decode({ 'content-type': 'application/cloudevents+json; charset=utf-16' }, ONE)).toMatchObject({
      code: 'ingress.media-type',
    })
  })
  test('of too many in a batch', () => {
    expect(decode(BATCH, `[${ONE},${ONE}]`, { mostEvents: 1 })).toMatchObject({ code: 'ingress.too-large' })
  })
  test('leaves no trace in the next one', () => {
    decode({ ...REQUIRED, 'ce-subject': 'x', 'ce-ext': '%zz', 'ce-knativebrokerttl': '0', traceparent: 'tp' })
    const e = event(REQUIRED)
    expect(e).toMatchObject({ subject: undefined, extensions: [], envelope: { ttl: 255, traceparent: '' } })
  })
})

describe('the time to live', () => {
  test.for([
    ['10', 9],
    ['2', 1],
    ['1000', 255],
    ['XYZ', 255],
  ] as const)('%s leaves %i in the envelope and nothing for the subscriber', ([value, ttl]) => {
    const e = event({ ...REQUIRED, 'ce-knativebrokerttl': value })
    expect(e.envelope.ttl).toBe(ttl)
    expect(e.attribute('knativebrokerttl')).toBeUndefined()
    expect(binaryHead(e)).not.toContain('ttl')
  })
  test.for(['1', '0', '-5'])('%s is used up: refused in every mode', (value) => {
    const bad = { kind: 'bad', code: 'ingress.loop', attribute: 'knativebrokerttl' }
    const one = ONE.replace('}', `,"knativebrokerttl":${value}}`)
    expect(decode({ ...REQUIRED, 'ce-knativebrokerttl': value })).toMatchObject(bad)
    expect(decode(STRUCTURED, one)).toMatchObject(bad)
    expect(decode(BATCH, `[${ONE},${one}]`)).toMatchObject(bad)
  })
})

test('trace context and the headers Knative passes travel in the envelope, of all events of a request', () => {
  const headers = {
    traceparent: '00-a-b-01',
    tracestate: ['x=1', 'y=2'],
    'X-Request-Id': 'r',
    'Knative-Foo': 'f',
    'X-B3-TraceId': 'b',
    authorization: 'no',
  }
  const envelope = {
    ttl: 255,
    hops: 0,
    root: '',
    traceparent: '00-a-b-01',
    tracestate: 'x=1,y=2',
    headers: ['x-request-id', 'r', 'knative-foo', 'f', 'x-b3-traceid', 'b'],
    key: '',
    receivedMs: 5,
  }
  expect(event({ ...REQUIRED, ...headers }, '', { receivedMs: 5 }).envelope).toEqual(envelope)
  const batch = decode({ ...BATCH, ...headers }, `[${ONE},${ONE}]`, { receivedMs: 5 })
  expect(batch.kind === 'events' && batch.events.map((e) => e.envelope)).toEqual([envelope, envelope])
})

describe('a binary head', () => {
  const base = { id: '1', source: '/s', type: 't' }
  test('has every attribute once, in ASCII, and no content-length', () => {
    const e = new CloudEvent({
      ...base,
      subject: 'a b',
      time: '2018-04-05T17:31:00Z',
      datacontenttype: 'text/plain; charset="utf-8"',
      dataschema: 'https://x/y',
      extensions: [
        ['int', -1],
        ['bool', true],
        ['bin', Uint8Array.of(77, 97)],
        ['euro', '€'],
      ],
    })
    expect(binaryHead(e)).toBe(
      'ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: t\r\nce-subject: a%20b\r\nce-time: 2018-04-05T17:31:00Z\r\n' +
        'ce-dataschema: https://x/y\r\nce-int: -1\r\nce-bool: true\r\nce-bin: TWE=\r\nce-euro: %E2%82%AC\r\n' +
        'content-type: text/plain; charset="utf-8"\r\n',
    )
    expect(
      pairsOf(binaryHeaders(e))
        .map(([name, value]) => `${name}: ${value}\r\n`)
        .join(''),
    ).toBe(binaryHead(e))
  })
  test('cannot be broken out of by any value or name', () => {
    const evil = 'x\r\nevil: 1'
    const fields = { id: evil, source: evil, type: evil, subject: evil, time: evil, datacontenttype: evil, dataschema: evil }
    const head = binaryHead(
      new CloudEvent({
        ...fields,
        extensions: [
          [evil, evil],
          ['Kept-Name', 'v'],
        ],
      }),
    )
    expect(head.split('\r\n').filter((line) => line.startsWith('evil'))).toEqual([])
    expect(head).toContain('ce-xevil1: x%0D%0Aevil:%201\r\n')
    expect(head).toContain('ce-keptname: v\r\n')
    expect(head).toContain('content-type: x%0D%0Aevil: 1\r\n')
  })
  test('is read by the official SDK, and its binary events are read here', () => {
    const sdk = new SdkEvent({ id: '1', source: '/s', type: 't', ext: 'x', data: { a: 1 }, datacontenttype: 'application/json' })
    const message = HTTP.binary(sdk)
    const ours = event(message.headers as Record<string, string>, message.body as string)
    expect(ours).toMatchObject({ id: '1', source: '/s', type: 't', extensions: [['ext', 'x']] })
    const headers = Object.fromEntries(pairsOf(binaryHeaders(ours)))
    expect(HTTP.toEvent({ headers, body: Buffer.from(ours.data ?? []).toString() })).toMatchObject({
      id: '1',
      ext: 'x',
      data: { a: 1 },
    })
  })
})

import { describe, expect, test } from 'vitest'
import { CloudEvent } from '../../src/event/event.ts'
import { binaryHead } from '../../src/event/http.ts'
import type { KafkaKeyType, RawRecord } from '../../src/event/kafka.ts'
import { fromKafkaRecord, toKafkaRecord, wrapKafkaRecord } from '../../src/event/kafka.ts'
import { bytes, shape } from './events.ts'

type Headers = readonly (readonly [string | Uint8Array, string | Uint8Array | null])[]

const raw = (x: string | Uint8Array): Uint8Array => (typeof x === 'string' ? bytes(x) : x)

function record(headers: Headers, more: Partial<RawRecord> = {}): RawRecord {
  const list = headers.map(([name, value]) => [raw(name), value === null ? null : raw(value)] as const)
  return {
    topic: 'orders',
    partition: 3,
    offset: 42,
    timestampMs: 1_700_000_000_500,
    key: null,
    value: null,
    headers: list,
    ...more,
  }
}

const REQUIRED: Headers = [
  ['ce_specversion', '1.0'],
  ['ce_id', '1'],
  ['ce_source', '/s'],
  ['ce_type', 't'],
]
const ONE = '{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":1.0}}'

describe('a record that is an event', () => {
  test('in binary mode keeps its value untouched and uncopied', () => {
    const value = Buffer.from([0, 255])
    const e = fromKafkaRecord(record([...REQUIRED, ['content-type', 'image/png'], ['ce_ext', 'é%41'], ['other', 'x']], { value }))
    expect(e).toMatchObject({ id: '1', datacontenttype: 'image/png', extensions: [['ext', 'é%41']] })
    expect(e?.data).toBe(value)
  })
  test('in structured mode is the document', () => {
    for (const type of [
      'application/cloudevents+json',
      'application/cloudevents+json; charset=utf-8',
      'application/cloudevents',
    ]) {
      const e = fromKafkaRecord(record([['content-type', type]], { value: bytes(ONE) }))
      expect(e).toMatchObject({ id: '1', data: bytes('{"a":1.0}') })
    }
  })
  test('may be a tombstone in binary mode', () => {
    expect(fromKafkaRecord(record(REQUIRED))).toMatchObject({ id: '1', data: null })
    expect(fromKafkaRecord(record(REQUIRED, { value: new Uint8Array(0) }))?.data).toHaveLength(0)
  })
  test('takes the last of repeated headers, and skips those without a value', () => {
    const e = fromKafkaRecord(record([...REQUIRED, ['ce_id', '2'], ['ce_ext', 'a'], ['ce_ext', 'b'], ['ce_type', null]]))
    expect(e).toMatchObject({ id: '2', type: 't', extensions: [['ext', 'b']] })
  })
  test('brings its key and trace context in the envelope, its key in no attribute', () => {
    const e = fromKafkaRecord(record([...REQUIRED, ['traceparent', '00-a'], ['tracestate', 'x=1']], { key: bytes('ключ') }), 7)
    expect(e?.envelope).toEqual({
      ttl: 255,
      hops: 0,
      root: '',
      traceparent: '00-a',
      tracestate: 'x=1',
      headers: [],
      key: 'ключ',
      receivedMs: 7,
    })
    expect(e?.extensions).toEqual([])
    const odd = fromKafkaRecord(record(REQUIRED, { key: Buffer.from([0xff, 0x41]) }))
    expect(odd?.envelope.key).toBe('\xffA')
  })
  test('hides its time to live', () => {
    const e = fromKafkaRecord(record([...REQUIRED, ['ce_knativebrokerttl', '5']]))
    expect(e).toMatchObject({ extensions: [], envelope: { ttl: 4 } })
  })
  test('is taken as Knative takes it where its producer was careless', () => {
    const e = fromKafkaRecord(record([...REQUIRED, ['content-type', 'json'], ['ce_dataschema', '/rel'], ['ce_subject', '']]))
    expect(e).toMatchObject({ datacontenttype: 'json', dataschema: '/rel', subject: undefined })
  })
  test('may have the content type in another case', () => {
    expect(fromKafkaRecord(record([...REQUIRED, ['Content-Type', 'text/plain']]))?.datacontenttype).toBe('text/plain')
  })
})

describe('a record that is none', () => {
  test.for([
    ['without headers', []],
    ['without an id', REQUIRED.filter(([name]) => name !== 'ce_id')],
    ['without a version', REQUIRED.slice(1)],
    ['of another version', [['ce_specversion', '9'], ...REQUIRED.slice(1)]],
    ['with an impossible time', [...REQUIRED, ['ce_time', 'lunchtime']]],
    ['with an impossible name', [...REQUIRED, ['ce_my-ext', 'x']]],
    ['with an impossible name in capitals', [...REQUIRED, ['ce_EXT', 'x']]],
    ['with a binary attribute', [...REQUIRED, ['ce_ext', Uint8Array.of(0xff, 0xfe)]]],
    ['with a control character', [...REQUIRED, ['ce_subject', '\u0000']]],
    ['structured but broken', [['content-type', 'application/cloudevents+json']]],
    ['a batch', [['content-type', 'application/cloudevents-batch+json']]],
    ['of an unknown format', [['content-type', 'application/cloudevents+avro']]],
  ] as const)('%s', ([, headers]) => {
    expect(fromKafkaRecord(record(headers as Headers, { value: bytes('{"a":1}') }))).toBeNull()
  })
  test('a structured tombstone', () => {
    expect(fromKafkaRecord(record([['content-type', 'application/cloudevents+json']]))).toBeNull()
  })
})

describe('a wrapped record', () => {
  const o = { namespace: 'ns', name: 'src', topic: 'orders', keyType: 'string' as KafkaKeyType }

  test('is what KafkaSource makes of it', () => {
    const headers: Headers = [
      ['Content-Type', 'Text/Plain'],
      ['X-Trace_Id', 'abc'],
      ['x.trace.id', 'last wins'],
      ['bin', Uint8Array.of(0xff)],
      ['none', null],
      ['empty', ''],
    ]
    expect(shape(wrapKafkaRecord(record(headers, { key: bytes('k1'), value: bytes('raw') }), o))).toEqual({
      specversion: '1.0',
      id: 'partition:3/offset:42',
      source: '/apis/v1/namespaces/ns/kafkasources/src#orders',
      type: 'dev.knative.kafka.event',
      subject: 'partition:3#42',
      time: '2023-11-14T22:13:20.5Z',
      datacontenttype: 'text/plain',
      dataschema: undefined,
      data: 'raw',
      extensions: {
        partitionkey: 'k1',
        key: 'k1',
        kafkaheaderxtraceid: 'last wins',
        kafkaheaderbin: '\ufffd',
        kafkaheaderempty: '',
      },
    })
  })
  test('of a tombstone has no data, of an empty key none', () => {
    const e = wrapKafkaRecord(record([], { key: new Uint8Array(0) }), o)
    expect(e).toMatchObject({ data: null, extensions: [], datacontenttype: undefined })
  })

  const int = (value: number): Uint8Array => {
    const b = Buffer.alloc(4)
    b.writeInt32BE(value)
    return b
  }
  const float = (value: number): Uint8Array => {
    const b = Buffer.alloc(4)
    b.writeFloatBE(value)
    return b
  }
  const double = (value: number): Uint8Array => {
    const b = Buffer.alloc(8)
    b.writeDoubleBE(value)
    return b
  }
  test.for([
    ['string', bytes('é'), 'é'],
    ['string', Uint8Array.of(0xff), '\ufffd'],
    ['int', int(-7), -7],
    ['int', bytes('five5'), 'five5'],
    ['float', float(1), '1.0'],
    ['float', float(0.1), '0.1'],
    ['float', float(3.4028235e38), '3.4028235E38'],
    ['float', double(1e7), '1.0E7'],
    ['float', double(9999999), '9999999.0'],
    ['float', double(-0.001), '-0.001'],
    ['float', double(0.00015), '1.5E-4'],
    ['float', double(-0), '-0.0'],
    ['float', double(NaN), 'NaN'],
    ['float', bytes('abc'), 'abc'],
    ['byte-array', Uint8Array.of(1, 2), Uint8Array.of(1, 2)],
  ] as const)('reads a %s key of %j as %j, as Java prints it', ([keyType, key, value]) => {
    const e = wrapKafkaRecord(record([], { key }), { ...o, keyType })
    expect(e.extensions).toEqual([
      ['partitionkey', value],
      ['key', value],
    ])
  })
  test.for([
    [0, '1970-01-01T00:00:00Z'],
    [-1, '1969-12-31T23:59:59.999Z'],
    [1_700_000_000_010, '2023-11-14T22:13:20.01Z'],
    [253_402_300_799_999, '9999-12-31T23:59:59.999Z'],
    [253_402_300_800_000, undefined],
    [NaN, undefined],
  ] as const)('has the time of %i ms as %s', ([timestampMs, time]) => {
    expect(wrapKafkaRecord(record([], { timestampMs }), o).time).toBe(time)
  })
  test('cannot break a head, whatever its headers are', () => {
    const e = wrapKafkaRecord(
      record([
        ['content-type', 'a\r\nevil: 1'],
        ['x', '\r\nevil: 2'],
      ]),
      o,
    )
    expect(binaryHead(e)).not.toMatch(/^evil/m)
  })
})

describe('the record of an event', () => {
  const e = new CloudEvent({
    id: '1',
    source: '/s',
    type: 'é',
    datacontenttype: 'text/plain',
    extensions: [
      ['partitionkey', 'pk'],
      ['n', 5],
    ],
    data: bytes('x'),
    envelope: { ttl: 3, hops: 1, traceparent: '00-a', tracestate: 'x=1', headers: [], key: 'other', receivedMs: 0, root: '' },
  })
  const text = (b: Uint8Array | null): string | null => (b === null ? null : Buffer.from(b).toString())

  test('has its partition key as key and its attributes as headers', () => {
    const r = toKafkaRecord(e)
    expect([text(r.key), text(r.value)]).toEqual(['pk', 'x'])
    expect(r.headers.map(([name, value]) => `${text(name)}=${text(value)}`)).toEqual([
      'traceparent=00-a',
      'tracestate=x=1',
      'ce_specversion=1.0',
      'ce_id=1',
      'ce_source=/s',
      'ce_type=é',
      'ce_partitionkey=pk',
      'ce_n=5',
      'content-type=text/plain',
    ])
  })
  test('has no key without one, and no value without data', () => {
    const r = toKafkaRecord(new CloudEvent({ id: '1', source: '/s', type: 't' }))
    expect([r.key, r.value]).toEqual([null, null])
  })
  test('may have a number or bytes as its key', () => {
    const keyed = (key: number | Uint8Array): string | null =>
      text(toKafkaRecord(e.with({ extensions: [['partitionkey', key]] })).key)
    expect([keyed(5), keyed(bytes('b'))]).toEqual(['5', 'b'])
  })
})

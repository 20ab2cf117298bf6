import { describe, expect, test } from 'vitest'
import { isBad } from '../../src/event/attributes.ts'
import { CloudEvent } from '../../src/event/event.ts'
import { decodeProtobuf, decodeProtobufBatch, encodeProtobuf, encodeProtobufBatch } from '../../src/event/protobuf.ts'
import { BATCH, EVENT, peerBytes, peerJson } from '../conformance/protobuf-peer.ts'
import { bytes, shape } from './events.ts'

const MINIMAL = { id: '1', source: '/s', specVersion: '1.0', type: 't' }

function read(json: Parameters<typeof peerBytes>[1]): CloudEvent {
  const result = decodeProtobuf(peerBytes(EVENT, json))
  if (isBad(result)) throw new Error(result.message)
  return result
}

describe('an event in protobuf', () => {
  test('is read by another library as it was meant', () => {
    const e = new CloudEvent({
      id: '1',
      source: '/s',
      type: 't',
      time: '2018-04-05T18:31:00.5+01:00',
      dataschema: 'https://x/y',
      datacontenttype: 'application/json',
      extensions: [
        ['i', -3],
        ['b', true],
        ['s', 'é'],
        ['bin', Uint8Array.of(77, 97)],
      ],
      data: bytes('{"a":1}'),
    })
    expect(peerJson(EVENT, encodeProtobuf(e))).toEqual({
      ...MINIMAL,
      attributes: {
        datacontenttype: { ceString: 'application/json' },
        dataschema: { ceUri: 'https://x/y' },
        time: { ceTimestamp: '2018-04-05T17:31:00.500Z' },
        i: { ceInteger: -3 },
        b: { ceBoolean: true },
        s: { ceString: 'é' },
        bin: { ceBytes: 'TWE=' },
      },
      textData: '{"a":1}',
    })
    const batch = encodeProtobufBatch([new CloudEvent({ id: '1', source: '/s', type: 't' })])
    expect(peerJson(BATCH, batch)).toEqual({ events: [MINIMAL] })
  })
  test('keeps integers at their ends, and instants before 1970', () => {
    const attributes = {
      min: { ceInteger: -2147483648 },
      max: { ceInteger: 2147483647 },
      time: { ceTimestamp: '0001-01-01T00:00:00.000000001Z' },
    }
    const e = read({ ...MINIMAL, attributes })
    expect(e.time).toBe('0001-01-01T00:00:00.000000001Z')
    expect([e.attribute('min'), e.attribute('max')]).toEqual([-2147483648, 2147483647])
    expect(peerJson(EVENT, encodeProtobuf(e))).toEqual({ ...MINIMAL, attributes })
  })
  test('writes bytes as bytes, and a time that is no instant as text', () => {
    const e = new CloudEvent({ id: '1', source: '/s', type: 't', time: '2016-12-31T23:59:60Z', data: Uint8Array.of(255) })
    expect(peerJson(EVENT, encodeProtobuf(e))).toEqual({
      ...MINIMAL,
      attributes: { time: { ceString: '2016-12-31T23:59:60Z' } },
      binaryData: '/w==',
    })
  })
  test('may carry a message, whose type it then names', () => {
    // Field 8 with type_url "https://x/T" and value "v", by hand: the peer would want to know the type.
    const any = Buffer.concat([Buffer.from([10, 11]), bytes('https://x/T'), Buffer.from([18, 1]), bytes('v')])
    const whole = Buffer.concat([peerBytes(EVENT, MINIMAL), Buffer.from([66, any.length]), any])
    expect(shape(decodeProtobuf(whole) as CloudEvent)).toMatchObject({
      data: 'v',
      datacontenttype: 'application/protobuf',
      dataschema: 'https://x/T',
    })
  })
  test('is refused with the name of the attribute whose characters are no text', () => {
    for (const json of [
      { ...MINIMAL, type: 'a\u0000b' },
      { ...MINIMAL, id: 'a\nb' },
      { ...MINIMAL, attributes: { x: { ceString: 'a\u007fb' } } },
    ]) {
      const result = decodeProtobuf(peerBytes(EVENT, json))
      expect(isBad(result) ? result.message : 'taken').toMatch(/"(type|id|x)" has characters that are no text/)
    }
  })

  test('is read past fields that are not known', () => {
    const unknown = Buffer.from([0x78, 1, 0x82, 1, 1, 0, 0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x95, 1, 0, 0, 0, 0])
    expect(decodeProtobuf(Buffer.concat([unknown, peerBytes(EVENT, MINIMAL)]))).toMatchObject({ id: '1' })
  })
  test('hides its time to live', () => {
    const e = read({ ...MINIMAL, attributes: { knativebrokerttl: { ceInteger: 9 } } })
    expect(e).toMatchObject({ extensions: [], envelope: { ttl: 8 } })
  })
  test.for([
    ['cut anywhere', peerBytes(EVENT, MINIMAL).subarray(0, 5)],
    ['not UTF-8', Uint8Array.of(10, 1, 255)],
    ['a field of number 0', Uint8Array.of(0, 0)],
    ['a group', Uint8Array.of(0x7b)],
    ['an endless number', new Uint8Array(12).fill(255)],
    ['empty', new Uint8Array(0)],
    ['its id among the attributes', peerBytes(EVENT, { ...MINIMAL, attributes: { id: { ceString: '2' } } })],
    ['a time out of range', Buffer.concat([peerBytes(EVENT, MINIMAL), timeOf(253_402_300_800n)])],
  ] as const)('is refused: %s', ([, body]) => {
    expect(decodeProtobuf(body)).toMatchObject({ kind: 'bad', code: 'ingress.bad-event' })
  })
})

/** The attribute `time` with so many seconds, which no library would write. */
function timeOf(seconds: bigint): Uint8Array {
  const varint: number[] = []
  for (let rest = seconds; ; rest >>= 7n) {
    varint.push(Number(rest & 127n) | (rest > 127n ? 128 : 0))
    if (rest < 128n) break
  }
  const stamp = [8, ...varint]
  const value = [58, stamp.length, ...stamp]
  const entry = [10, 4, ...bytes('time'), 18, value.length, ...value]
  return Uint8Array.from([42, entry.length, ...entry])
}

describe('a batch in protobuf', () => {
  test('is empty where there are no bytes', () => {
    expect(decodeProtobufBatch(new Uint8Array(0))).toEqual([])
  })
  test('names the event that is wrong, and has a limit where one is given', () => {
    const batch = peerBytes(BATCH, { events: [MINIMAL, { ...MINIMAL, id: '' }] })
    expect(decodeProtobufBatch(batch)).toMatchObject({ attribute: 'id', message: /^event 1 of the batch/ })
    const two = peerBytes(BATCH, { events: [MINIMAL, MINIMAL] })
    expect(decodeProtobufBatch(two, undefined, 2)).toHaveLength(2)
    expect(decodeProtobufBatch(two, undefined, 1)).toMatchObject({ code: 'ingress.too-large' })
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { BadEvent } from '../../src/event/attributes.ts'
import { checkEvent, isBad } from '../../src/event/attributes.ts'
import type { CloudEvent, Envelope } from '../../src/event/event.ts'
import { binaryHead, binaryHeaders, decodeHttp } from '../../src/event/http.ts'
import { BATCH_JSON, decodeStructured, encodeBatch, encodeStructured, STRUCTURED_JSON } from '../../src/event/json.ts'
import { fromKafkaRecord, toKafkaRecord } from '../../src/event/kafka.ts'
import { isJsonType } from '../../src/event/media.ts'
import {
  BATCH_PROTOBUF,
  decodeProtobuf,
  encodeProtobuf,
  encodeProtobufBatch,
  STRUCTURED_PROTOBUF,
} from '../../src/event/protobuf.ts'
import { fromRocketMqMessage, toRocketMqMessage } from '../../src/event/rocketmq.ts'
import { decodeStored, encodeStored } from '../../src/event/stored.ts'
import { anEvent, headerView, pairsOf, shape, textShape } from './events.ts'

const RUNS = { numRuns: 400 }

function good<T extends CloudEvent>(result: T | BadEvent | null): T {
  if (result === null) throw new Error('no event')
  if (isBad(result)) throw new Error(result.message)
  return result
}

function viaHttp(pairs: readonly (readonly [string, string])[], body: Uint8Array | null): readonly CloudEvent[] {
  const decoded = decodeHttp(headerView(pairs), body)
  if (decoded.kind !== 'events') throw new Error(decoded.kind === 'bad' ? decoded.message : 'none')
  return decoded.events
}

/** Binary values are text in a format without types; white space around JSON is dropped where the data is cut out. */
function typedShape(e: CloudEvent): Record<string, unknown> {
  const whole = shape(e)
  return isJsonType(e.datacontenttype) && e.data !== null ? { ...whole, data: (whole['data'] as string).trim() } : whole
}

/** The protobuf format keeps the instant of a time, not how it was written. */
function instantShape(whole: Record<string, unknown>): Record<string, unknown> {
  const time = whole['time'] as string | undefined
  return time === undefined ? whole : { ...whole, time: Date.parse(time.toUpperCase()) }
}

describe('an event is the same after', () => {
  test('being checked: every generated one is valid', () => {
    fc.assert(
      fc.property(anEvent, (e) => {
        expect(checkEvent(e)).toBeNull()
      }),
      RUNS,
    )
  })
  test('binary HTTP', () => {
    fc.assert(
      fc.property(anEvent, (e) => {
        expect(viaHttp(pairsOf(binaryHeaders(e)), e.data).map(textShape)).toEqual([textShape(e)])
      }),
      RUNS,
    )
  })
  test('binary HTTP as the head that is written, which nothing can break out of', () => {
    fc.assert(
      fc.property(anEvent, (e) => {
        const head = binaryHead(e)
        const lines = head.split('\r\n')
        expect(lines.pop()).toBe('')
        expect(lines.every((line) => /^[a-z0-9-]+: [\x20-\x7e]*$/.test(line))).toBe(true)
        const pairs = lines.map((line) => line.split(/: (.*)/).slice(0, 2) as [string, string])
        // The order of a head is its own.
        expect(new Map(pairs)).toEqual(new Map(pairsOf(binaryHeaders(e))))
      }),
      RUNS,
    )
  })
  test('structured JSON', () => {
    fc.assert(
      fc.property(anEvent, (e) => {
        const bytes = encodeStructured(e)
        expect(JSON.parse(Buffer.from(bytes).toString())).toMatchObject({ id: e.id, specversion: e.specversion })
        expect(viaHttp([['content-type', STRUCTURED_JSON]], bytes).map(typedShape)).toEqual([typedShape(e)])
      }),
      RUNS,
    )
  })
  test('a JSON batch', () => {
    fc.assert(
      fc.property(fc.array(anEvent, { maxLength: 4 }), (events) => {
        expect(viaHttp([['content-type', BATCH_JSON]], encodeBatch(events)).map(typedShape)).toEqual(events.map(typedShape))
      }),
      RUNS,
    )
  })
  test('Kafka, binary and structured', () => {
    fc.assert(
      fc.property(anEvent, (e) => {
        const at = { topic: 't', partition: 0, offset: 0, timestampMs: 0 }
        expect(textShape(good(fromKafkaRecord({ ...at, ...toKafkaRecord(e) })))).toEqual(textShape(e))
        expect(typedShape(good(fromKafkaRecord({ ...at, ...toKafkaRecord(e, true) })))).toEqual(typedShape(e))
      }),
      RUNS,
    )
  })
  test('RocketMQ', () => {
    fc.assert(
      fc.property(anEvent, fc.boolean(), (e, structured) => {
        const back = good(fromRocketMqMessage(toRocketMqMessage(e, { topic: 't', structured })))
        expect({ ...typedShape(back), extensions: textShape(back)['extensions'] }).toEqual({
          ...typedShape(e),
          extensions: textShape(e)['extensions'],
        })
      }),
      RUNS,
    )
  })
  test('protobuf, alone and in a batch', () => {
    fc.assert(
      fc.property(anEvent, (e) => {
        const wanted = instantShape(shape(e))
        expect(instantShape(shape(good(decodeProtobuf(encodeProtobuf(e)))))).toEqual(wanted)
        const alone = viaHttp([['content-type', STRUCTURED_PROTOBUF]], encodeProtobuf(e))
        const batch = viaHttp([['content-type', BATCH_PROTOBUF]], encodeProtobufBatch([e, e]))
        expect([...alone, ...batch].map((x) => instantShape(shape(x)))).toEqual([wanted, wanted, wanted])
      }),
      RUNS,
    )
  })
  test('the store, envelope and types included', () => {
    const anEnvelope: fc.Arbitrary<Envelope> = fc.record({
      ttl: fc.nat({ max: 255 }),
      hops: fc.nat(),
      traceparent: fc.string(),
      tracestate: fc.string({ unit: 'grapheme' }),
      headers: fc.array(fc.string(), { maxLength: 6 }),
      key: fc.string({ unit: 'grapheme' }),
      receivedMs: fc.nat({ max: 4_102_444_800_000 }),
      root: fc.string({ unit: 'grapheme' }),
    })
    fc.assert(
      fc.property(anEvent, fc.option(anEnvelope), (made, envelope) => {
        const e = envelope === null ? made : made.with({ envelope })
        const back = decodeStored(encodeStored(e))
        expect({ ...shape(back), envelope: back.envelope }).toEqual({ ...shape(e), envelope: e.envelope })
        // Types survive: a number is a number, bytes are bytes.
        expect(back.extensions.map(([, value]) => typeof value)).toEqual(e.extensions.map(([, value]) => typeof value))
      }),
      RUNS,
    )
  })
  test('one way after the other', () => {
    fc.assert(
      fc.property(anEvent, (e) => {
        const stored = decodeStored(encodeStored(e))
        const [http] = viaHttp([['content-type', STRUCTURED_JSON]], encodeStructured(stored))
        const proto = good(decodeProtobuf(encodeProtobuf(good(http ?? null))))
        const back = good(decodeStructured(encodeStructured(proto)))
        expect(instantShape(typedShape(back))).toEqual(instantShape(typedShape(e)))
      }),
      RUNS,
    )
  })
})

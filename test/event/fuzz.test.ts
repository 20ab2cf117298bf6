import fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkEvent, dataAsJson } from '../../src/event/attributes.ts'
import { CloudEvent } from '../../src/event/event.ts'
import { binaryHead, decodeHttp } from '../../src/event/http.ts'
import { encodeStructured, STRUCTURED_JSON } from '../../src/event/json.ts'
import { fromKafkaRecord, toKafkaRecord, wrapKafkaRecord } from '../../src/event/kafka.ts'
import { encodeProtobuf, STRUCTURED_PROTOBUF } from '../../src/event/protobuf.ts'
import { fromRocketMqMessage } from '../../src/event/rocketmq.ts'
import { decodeStored, encodeStored } from '../../src/event/stored.ts'
import { Fault } from '../../src/runtime/errors.ts'
import { anEvent, headerView } from './events.ts'

/** FUZZ_RUNS=16000 tries 100,000 inputs. */
const RUNS = Number(process.env['FUZZ_RUNS'] ?? 3500)
const FORMS = ['json', 'protobuf'].flatMap((format) => [
  `application/cloudevents+${format}`,
  `application/cloudevents-batch+${format}`,
])

/** Anything as bytes: noise, or good bytes with some places overwritten, taken out or doubled. */
function damaged(good: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  const cut = fc.record({ at: fc.nat(), length: fc.nat({ max: 8 }), put: fc.uint8Array({ maxLength: 8 }) })
  return fc.tuple(good, fc.array(cut, { maxLength: 3 })).map(([bytes, cuts]) =>
    cuts.reduce((b: Uint8Array, { at, length, put }) => {
      const start = b.length === 0 ? 0 : at % b.length
      return Buffer.concat([b.subarray(0, start), put, b.subarray(start + length)])
    }, bytes),
  )
}

const noise = fc.uint8Array({ maxLength: 80 })
const almostJson = damaged(anEvent.map(encodeStructured))
const almostProtobuf = damaged(anEvent.map(encodeProtobuf))

/** Whatever came out as an event can be used everywhere. */
function usable(e: CloudEvent): boolean {
  events++
  dataAsJson(e)
  const again = decodeStored(encodeStored(e))
  return binaryHead(again) === binaryHead(e) && encodeStructured(e).length > 0 && toKafkaRecord(e).headers.length > 3
}

let tried = 0
/** Of them came out as events: damage has to leave enough of them whole for the test to mean something. */
let events = 0

test('no bytes as a body make anything but an event or a reason', () => {
  fc.assert(
    fc.property(fc.constantFrom(...FORMS), fc.oneof(noise, almostJson, almostProtobuf), (contentType, body) => {
      tried++
      const decoded = decodeHttp(headerView([['content-type', contentType]]), body)
      const whole =
        decoded.kind === 'events' ? decoded.events.every((e) => checkEvent(e) === null && usable(e)) : decoded.kind === 'bad'
      expect(whole).toBe(true)
    }),
    { numRuns: RUNS * 2 },
  )
})

test('no headers make anything but an event, a reason, or nothing', () => {
  const name = fc.oneof(
    fc.constantFrom(
      'ce-id',
      'ce-source',
      'ce-type',
      'ce-time',
      'ce-subject',
      'ce-dataschema',
      'ce-x',
      'ce-',
      'content-type',
      'traceparent',
    ),
    fc.string({ maxLength: 12 }).map((s) => `ce-${s.toLowerCase()}`),
  )
  const value = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('1.0', '/s', 'a/b', '%E2%82', '"', '%', '', STRUCTURED_JSON),
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 8 }), noise, (pairs, body) => {
      tried++
      const decoded = decodeHttp(headerView([['ce-specversion', '1.0'], ['ce-id', '1'], ...pairs]), body)
      expect(decoded.kind !== 'events' || decoded.events.every((e) => checkEvent(e) === null && usable(e))).toBe(true)
    }),
    { numRuns: RUNS },
  )
})

test('no Kafka record makes anything but an event or null, and every one can be wrapped', () => {
  const header = fc.tuple(
    fc.oneof(
      noise,
      fc.constantFrom('ce_specversion', 'ce_id', 'ce_type', 'ce_source', 'content-type', 'X-é').map((s) => Buffer.from(s)),
    ),
    fc.option(
      fc.oneof(
        noise,
        fc.constantFrom('1.0', STRUCTURED_JSON, STRUCTURED_PROTOBUF, 'x').map((s) => Buffer.from(s)),
      ),
    ),
  )
  const record = fc.record({
    topic: fc.constant('t'),
    partition: fc.nat(),
    offset: fc.maxSafeNat(),
    timestampMs: fc.oneof(fc.constantFrom(-1, 0, Infinity), fc.maxSafeInteger()),
    key: fc.option(noise),
    value: fc.option(fc.oneof(noise, almostJson, almostProtobuf)),
    headers: fc.array(header, { maxLength: 7 }),
  })
  const keyType = fc.constantFrom('string' as const, 'int' as const, 'float' as const, 'byte-array' as const)
  fc.assert(
    fc.property(record, keyType, (r, type) => {
      tried++
      const event = fromKafkaRecord(r)
      const wrapped = wrapKafkaRecord(r, { namespace: 'ns', name: 'n', topic: 't', keyType: type })
      expect((event === null || usable(event)) && usable(wrapped)).toBe(true)
    }),
    { numRuns: RUNS },
  )
})

test('no RocketMQ message makes anything but an event or null', () => {
  const properties = fc.dictionary(
    fc.oneof(fc.string(), fc.constantFrom('CE_specversion', 'CE_id', 'CE_type', 'CE_source', 'CE_contenttype', 'CE_')),
    fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('1.0', STRUCTURED_JSON)),
  )
  fc.assert(
    fc.property(properties, fc.option(fc.oneof(noise, almostJson)), (p, body) => {
      tried++
      const event = fromRocketMqMessage({ topic: 't', tag: '', keys: '', properties: p, body })
      expect(event === null || usable(event)).toBe(true)
    }),
    { numRuns: RUNS },
  )
})

function readOrFault(bytes: Uint8Array): boolean {
  try {
    return decodeStored(bytes) instanceof CloudEvent
  } catch (e) {
    return e instanceof Fault && e.code === 'store.format'
  }
}

test('no bytes in the store make anything but an event or the fault that says so', () => {
  const almostStored = damaged(anEvent.map(encodeStored))
  fc.assert(
    fc.property(fc.oneof(noise, almostStored), (bytes) => {
      tried++
      expect(readOrFault(bytes)).toBe(true)
    }),
    { numRuns: RUNS },
  )
})

test('some 20,000 inputs were tried', () => {
  expect(tried).toBeGreaterThanOrEqual(RUNS * 6)
  expect(events).toBeGreaterThan(RUNS)
  expect(events).toBeLessThan(tried * 2)
})

import { describe, expect, test } from 'vitest'
import type { DetachedState } from '../../../../src/contract/delivery.ts'
import { CloudEvent, NEW_ENVELOPE } from '../../../../src/event/event.ts'
import {
  dueOf,
  type Origin,
  parkedKey,
  parkedRecord,
  type ParkedRecord,
  readParked,
  readRetry,
  retryRecord,
} from '../../../../src/streams/kafka/kept/record.ts'
import type { RecordRead } from '../../../../src/streams/kafka/record.ts'
import type { OutRecord } from '../../../../src/vendor/kafka/produce.ts'

const WRAP = { namespace: 'ns', name: 'n', topic: 'main', keyType: 'string' } as const
const ORIGIN: Origin = { topic: 'main', partition: 3, offset: 2 ** 40, redelivery: 2 }
const STATE: DetachedState = {
  dueMs: 1_700_000_000_000,
  story: [{ attempt: 1, atMs: 5, tookMs: 7, to: 'http://sink', status: 503, error: 'busy' }],
  phase: 'dead-letter',
  reason: 'exhausted',
}
const EVENT = new CloudEvent({
  id: 'e',
  source: '/s',
  type: 't',
  subject: 'ü',
  extensions: [['ext', 'x']],
  datacontenttype: 'text/plain',
  data: Buffer.from('data'),
  envelope: { ...NEW_ENVELOPE, ttl: 7, hops: 2, root: 'r', headers: ['x-request-id', '1'], key: 'k', traceparent: '00-a-b-01' },
})

function read(r: OutRecord): RecordRead {
  return { offset: 11, timestampMs: 12, ...r }
}

describe.each([false, true])('a delivery that waits, structured %s', (structured) => {
  test('comes out as it went in, with what was known of it', () => {
    const record = retryRecord(EVENT, STATE, ORIGIN, structured)
    expect(Buffer.from(record.key!).toString()).toBe('k')
    const { event, state, origin } = readRetry(read(record), { topic: 'main', partition: 3 }, WRAP, 99)
    expect({ state, origin }).toEqual({ state: STATE, origin: ORIGIN })
    expect(event.with({ envelope: NEW_ENVELOPE, data: null })).toEqual(EVENT.with({ envelope: NEW_ENVELOPE, data: null }))
    expect(Buffer.from(event.data!).toString()).toBe('data')
    expect(event.envelope).toEqual({ ...EVENT.envelope, receivedMs: 99 })
  })

  test('says when it is due without being read as an event', () => {
    expect(dueOf(retryRecord(EVENT, STATE, ORIGIN, structured).headers)).toBe(STATE.dueMs)
  })
})

test('a record of somebody else in the retry topic waits for nothing, and is delivered as what it is', () => {
  const foreign = read({ key: null, value: Buffer.from('plain'), headers: [] })
  expect(dueOf(foreign.headers)).toBe(0)
  const { event, state, origin } = readRetry(foreign, { topic: 'main', partition: 0 }, WRAP, 1)
  expect(event.type).toBe('dev.knative.kafka.event')
  expect(state).toEqual({ dueMs: 0, story: [], phase: 'subscriber', reason: '' })
  expect(origin.partition).toBe(-1)
})

describe('what is parked', () => {
  const parked = (change: Partial<ParkedRecord>): ParkedRecord => ({
    event: EVENT,
    undecodable: null,
    state: STATE,
    origin: ORIGIN,
    subscription: 'trigger/a/x',
    parkedMs: 1_700_000_000_001,
    ...change,
  })

  test('has one key however often it is parked, and another for every place', () => {
    const first = parkedRecord(parked({}), false)
    expect(first.key).toEqual(parkedRecord(parked({ parkedMs: 5, state: { ...STATE, reason: 'loop' } }), true).key)
    expect(Buffer.from(first.key!).toString()).toBe(`main/3/${2 ** 40}`)
    const others = [{ partition: 4 }, { offset: 1 }, { topic: 'other' }].map((c) => parkedKey({ ...ORIGIN, ...c }))
    expect(new Set([...others, parkedKey(ORIGIN)]).size).toBe(4)
  })

  test.each([false, true])('comes out as it went in, structured %s', (structured) => {
    const back = readParked(read(parkedRecord(parked({}), structured)), 'g.parked', WRAP)!
    expect(back).toMatchObject({ state: STATE, origin: ORIGIN, subscription: 'trigger/a/x', parkedMs: 1_700_000_000_001 })
    expect(back.event!.envelope).toEqual({ ...EVENT.envelope, receivedMs: 1_700_000_000_001 })
    expect(back.event!.attribute('ext')).toBe('x')
    expect(Buffer.from(back.event!.data!).toString()).toBe('data')
  })

  test('an event without data is no tombstone', () => {
    const record = parkedRecord(parked({ event: EVENT.with({ data: null }) }), false)
    expect(record.value).not.toBeNull()
    expect(readParked(read(record), 'g.parked', WRAP)!.event!.data).toBeNull()
    const empty = parkedRecord(parked({ event: EVENT.with({ data: Buffer.alloc(0) }) }), false)
    expect(readParked(read(empty), 'g.parked', WRAP)!.event!.data).toHaveLength(0)
  })

  test('bytes that are no event come out as they went in', () => {
    const undecodable = { raw: Buffer.from([0, 255, 7]), headers: [['h', 'v']] as const, why: 'no event' }
    const back = readParked(read(parkedRecord(parked({ event: null, undecodable }), false)), 'g.parked', WRAP)!
    expect(back.event).toBeNull()
    expect(Buffer.from(back.undecodable!.raw)).toEqual(undecodable.raw)
    expect(back.undecodable).toMatchObject({ headers: [['h', 'v']], why: 'no event' })
  })

  test('tombstones and records of somebody else are nothing parked', () => {
    const record = parkedRecord(parked({}), false)
    expect(readParked(read({ ...record, value: null }), 'g.parked', WRAP)).toBeNull()
    expect(readParked(read({ ...record, headers: [] }), 'g.parked', WRAP)).toBeNull()
    const broken = record.headers.map(([name, value]): readonly [Uint8Array, Uint8Array] => [name, value.subarray(1)])
    expect(readParked(read({ ...record, headers: broken }), 'g.parked', WRAP)).toBeNull()
  })
})

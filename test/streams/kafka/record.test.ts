import { beforeAll, describe, expect, test } from 'vitest'
import { CloudEvent, NEW_ENVELOPE } from '../../../src/event/event.ts'
import { eventOf, recordOf } from '../../../src/streams/kafka/record.ts'
import { groupOf, sharedGroup } from '../../../src/streams/kafka/settings.ts'
import { loadKafkaLibrary } from '../../../src/vendor/kafka/library.ts'
import { encodeBatch, type OutRecord, partitionOfKey } from '../../../src/vendor/kafka/produce.ts'
import { RecordCursor } from '../../../src/vendor/kafka/records.ts'

beforeAll(loadKafkaLibrary)

const WRAP = { namespace: 'ns', name: 'b', topic: 't', keyType: 'string' } as const

function back(records: readonly OutRecord[], timeMs = 1_700_000_000_123): CloudEvent[] {
  const c = new RecordCursor(encodeBatch(records, timeMs), 0, null)
  const events: CloudEvent[] = []
  while (c.next() === 'record') events.push(eventOf(c, 't', 3, WRAP, 7))
  expect(events.length).toBe(records.length)
  expect(c.timestampMs).toBe(timeMs)
  return events
}

const event = (id: string, more: Partial<ConstructorParameters<typeof CloudEvent>[0]> = {}): CloudEvent =>
  new CloudEvent({ id, source: '/s', type: 't', ...more })

describe('a batch', () => {
  test('is read back as it was written, over one-byte and many-byte lengths', () => {
    const sizes = [0, 1, 63, 64, 8_191, 8_192, 300_000]
    const events = sizes.map((n, i) => event(`e${i}`, { data: Buffer.alloc(n, 'x'), extensions: [['partitionkey', `k${i}`]] }))
    const read = back(events.map((e) => recordOf(e, false)))
    expect(read.map((e) => e.id)).toEqual(events.map((e) => e.id))
    expect(read.map((e) => e.data?.length)).toEqual(sizes)
    expect(read.map((e) => e.envelope.key)).toEqual(sizes.map((_, i) => `k${i}`))
    expect(back([recordOf(event('none', { data: null }), false)])[0]?.data).toBeNull()
  })

  test('holds more records than one byte counts', () => {
    const read = back(Array.from({ length: 1_000 }, (_, i) => recordOf(event(`e${i}`), false)))
    expect(read[999]?.id).toBe('e999')
  })

  test("a key's partition is that of every Java producer", () => {
    // murmur2 of the Java client's own test: Utils.murmur2("21") = -973932308, of "foobar" = -790332482.
    expect(partitionOfKey(Buffer.from('21'), 1_000)).toBe((-973_932_308 & 0x7fff_ffff) % 1_000)
    expect(partitionOfKey(Buffer.from('foobar'), 7)).toBe((-790_332_482 & 0x7fff_ffff) % 7)
  })
})

describe('a record', () => {
  test("of an event from outside has Knative's headers and no other", () => {
    const r = recordOf(event('a', { subject: 'x', datacontenttype: 'text/plain', data: Buffer.from('d') }), false)
    expect(r.headers.map(([name]) => Buffer.from(name).toString())).toEqual([
      'ce_specversion',
      'ce_id',
      'ce_source',
      'ce_type',
      'ce_subject',
      'content-type',
    ])
    expect(r.key).toBeNull()
  })

  test('carries passes left, hops and root of what has gone round, and whoever reads them sees the event unchanged', () => {
    const envelope = { ...NEW_ENVELOPE, ttl: 253, hops: 2, root: 'r', headers: ['x-request-id', '1'] }
    const [read] = back([recordOf(event('a', { envelope }), false)])
    expect(read?.envelope).toMatchObject({ ttl: 253, hops: 2, root: 'r', headers: ['x-request-id', '1'] })
    expect(read?.extensions).toEqual([])
  })

  test.each(['', '[]', '{', '["255",0,"",[]]', '[1.5,0,"",[]]', '[1,0,"",[3]]'])(
    'a foreign envelope %s is nothing to us',
    (text) => {
      const r = recordOf(event('a'), false)
      const [read] = back([{ ...r, headers: [...r.headers, [Buffer.from('sluice-envelope'), Buffer.from(text)]] }])
      expect(read?.id).toBe('a')
      expect(read?.envelope.ttl).toBe(NEW_ENVELOPE.ttl)
    },
  )

  test('that is no event is wrapped, not dropped', () => {
    const [read] = back([{ key: Buffer.from('k'), value: Buffer.from('plain'), headers: [] }])
    expect(read).toMatchObject({ type: 'dev.knative.kafka.event', id: 'partition:3/offset:0' })
  })
})

test("groups are called as Knative's dispatcher calls them", () => {
  const topic = 'knative-broker-ns-b'
  expect(groupOf('trigger/ns/t', 'uid', { topic, channel: '' })).toBe('knative-trigger-ns-t')
  expect(groupOf('subscription/ns/s', 'uid', { topic, channel: 'ns.c' })).toBe('kafka.ns.c.uid')
  expect(groupOf('subscription/ns/s', '', { topic, channel: 'ns.c' })).toBe(`${sharedGroup(topic)}.subscription.ns.s`)
})

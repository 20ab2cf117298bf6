import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type CloudEvent, NEW_ENVELOPE } from '../../../src/event/event.ts'
import { type Addressed, eventOf, messageOf } from '../../../src/streams/rocketmq/message.ts'
import { groupOf, retryGroupOf, retryTopicOf } from '../../../src/streams/rocketmq/names.ts'
import { event } from '../rig.ts'
import { received, STATE } from './double.ts'

const over = (e: CloudEvent, to: Partial<Addressed> = {}): ReturnType<typeof eventOf> =>
  eventOf(received(messageOf(e, { topic: 't', ...to })), '/stream', 0)
const plain = (e: CloudEvent): unknown => ({ ...e, envelope: null, parsed: null, data: e.data && Buffer.from(e.data) })

describe('an event on RocketMQ', () => {
  test('is a binary message as the binding has it, and nothing besides', () => {
    const m = messageOf(event('e1', { datacontenttype: 'text/plain', extensions: [['n', 1]] }), { topic: 't' })
    expect(m).toEqual({
      topic: 't',
      tag: '',
      group: '',
      deliverAtMs: 0,
      body: Buffer.from('data of e1'),
      properties: {
        CE_specversion: '1.0',
        CE_id: 'e1',
        CE_source: '/test',
        CE_type: 'test.made',
        CE_datacontenttype: 'text/plain',
        CE_n: '1',
      },
    })
  })

  const odd: readonly (readonly [string, CloudEvent])[] = [
    ['no data', event('e', { data: null })],
    ['empty data', event('e', { data: new Uint8Array(0) })],
    ['empty text as data', event('e', { data: new Uint8Array(0), datacontenttype: 'text/plain' })],
    ['an empty attribute', event('e', { extensions: [['x', '']] })],
    ['names RocketMQ has for itself', event('e', { extensions: [['tags', 'a'], ['keys', 'b'], ['delay', '3']] })], // prettier-ignore
    ['non-ASCII', event('ü', { subject: '日本', extensions: [['x', '🎈']] })],
    ['attributes over 16 KiB', event('e', { extensions: [['x', 'y'.repeat(20_000)]] })],
    ['more than 128 attributes', event('e', { extensions: Array.from({ length: 150 }, (_, i) => [`x${i}`, 'y']) })],
    ['binary data beside an odd attribute', event('e', { data: Buffer.from([0, 255, 1]), extensions: [['x', '']] })],
  ]
  test.each(odd)('with %s arrives whole, also while it waits and with all that travels beside it', (_what, e) => {
    expect(plain(over(e).event)).toEqual(plain(e))
    const envelope = { ...NEW_ENVELOPE, ttl: 7, hops: 2, root: 'r\n', headers: ['x-request-id', 'ü\u0001\u007f\u0080'], key: 'k' }
    const travelled = over(e.with({ envelope }), { state: STATE, tag: 'group', deliverAtMs: 9 })
    expect(plain(travelled.event)).toEqual(plain(e))
    expect(travelled.event.envelope).toEqual(envelope)
    expect(travelled.state).toEqual(STATE)
  })

  test('whatever its attributes and data are, it is taken and comes out as it went in', () => {
    const any = fc.string({
      unit: fc.constantFrom('a', ' ', '"', '\\', 'ü', '日', '🎈', '\u0001', '\n', '\u007f', '\u0085', '\u00a0', '%'),
      maxLength: 20,
    })
    // What an attribute may hold: no control characters.
    const text = any.map((s) => s.replaceAll(/\p{Cc}/gu, 'x'))
    const event_ = fc.record({
      id: text.filter((s) => s !== ''),
      subject: fc.option(
        text.filter((s) => s !== ''),
        { nil: undefined },
      ),
      data: fc.option(fc.uint8Array({ maxLength: 50 })),
      value: text,
      root: any,
      fifo: fc.boolean(),
      key: any,
    })
    fc.assert(
      fc.property(event_, ({ id, subject, data, value, root, fifo, key }) => {
        const e = event(id, { subject, data, extensions: [['x', value]], envelope: { ...NEW_ENVELOPE, root, key } })
        const back = over(e, { fifo }).event
        expect(plain(back)).toEqual(plain(e))
        expect(back.envelope).toMatchObject({ root, key })
      }),
      { numRuns: 300 },
    )
  })

  test('tells its trace in the open', () => {
    const envelope = { ...NEW_ENVELOPE, traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`, tracestate: 'a=b' }
    const m = messageOf(event('e', { envelope }), { topic: 't' })
    expect(m.properties).toMatchObject({ traceparent: envelope.traceparent, tracestate: 'a=b' })
    expect(over(event('e', { envelope })).event.envelope).toEqual(envelope)
  })

  test('is ordered by its key on a FIFO topic, in a group of its own without one', () => {
    const group = (e: CloudEvent): string => messageOf(e, { topic: 't', fifo: true }).group
    expect(group(event('e', { extensions: [['partitionkey', 'red']] }))).toBe('red')
    expect(group(event('e', { envelope: { ...NEW_ENVELOPE, key: 'blue' } }))).toBe('blue')
    expect(group(event('e'))).toBe('e')
    expect(group(event('a b'))).toMatch(/^[0-9a-f]{64}$/)
    expect(group(event('x'.repeat(65)))).toMatch(/^[0-9a-f]{64}$/)
  })

  test('that is none is wrapped, and what claims to be ours is looked at', () => {
    const raw = {
      ...received(messageOf(event('e'), { topic: 't' })),
      properties: { 'sluice-envelope': '[1', 'sluice-state': '{}' },
    }
    const { event: wrapped, state } = eventOf(raw, '/stream', 0)
    expect(wrapped).toMatchObject({ type: 'dev.knative.rocketmq.event', source: '/stream/t', id: 'm1' })
    expect(wrapped.envelope.ttl).toBe(255)
    expect(state).toBeNull()
    const foreign = {
      ...raw,
      properties: { ...received(messageOf(event('e'), { topic: 't' })).properties, 'sluice-envelope': '[0,1,2]' },
    }
    expect(eventOf(foreign, '/stream', 0).event.envelope.ttl).toBe(255)
  })
})

test('no two subscriptions have one group, and none is too long for RocketMQ', () => {
  const keys = [
    'trigger/a/b-c',
    'trigger/a-b/c',
    'trigger/a/b.c',
    'subscription/a/b-c',
    'trigger/a/b%2ec',
    `trigger/a/${'x'.repeat(250)}`,
  ]
  const groups = keys.flatMap((key) => ['t1', 't2'].map((topic) => groupOf(topic, key)))
  expect(new Set([...groups, ...groups.map(retryGroupOf)]).size).toBe(2 * groups.length)
  for (const group of groups) expect(retryGroupOf(group)).toMatch(/^[A-Za-z0-9_%|-]{1,255}$/)
  expect(groupOf('knative-broker-a_b', 'trigger/a/b.c')).toBe('knative-broker-a_b-trigger_a_b%2ec')
  expect(retryTopicOf('t')).toBe('t-retry')
})

import { describe, expect, test } from 'vitest'
import { ackTokens, stateLine } from '../../../src/streams/nats/message.ts'
import { covers } from '../../../src/streams/nats/place.ts'
import { consumerName, consumerOf, retryConsumerOf, retryStreamOf, startOf } from '../../../src/streams/nats/settings.ts'
import { natsSettings } from './settings.ts'

const { stream, consumer: template } = natsSettings('nats://one:4222', 'ns', 'c')

describe('consumers', () => {
  test('are named as eventing-natss names them, by uid', () => {
    const uid = '0a1b2c3d-0000-4000-8000-00000000abcd'
    expect(consumerName('trigger/ns/t', uid)).toBe('KN_TRIGGER_0A1B2C3D00004000800000000000ABCD')
    expect(consumerName('subscription/ns/s', uid)).toBe('KN_SUB_0A1B2C3D00004000800000000000ABCD')
  })

  test('of what Knative has none for have a name that no other key has, and that JetStream allows', () => {
    const keys = ['sequence/ns/a/0', 'sequence/ns/a.0', 'sequence/ns/a_0', 'trigger/ns/t', `trigger/ns/${'x'.repeat(250)}`]
    const names = keys.map((key) => consumerName(key, ''))
    expect(new Set(names).size).toBe(keys.length)
    for (const name of names) expect(name).toMatch(/^[A-Za-z0-9_-]{1,120}$/)
  })

  test('begin where the subscription says, else where the channel says', () => {
    const from = (start: Parameters<typeof startOf>[0], t = template) => consumerOf('n', 'k', start, false, t).start
    const all = { ...template, start: { at: 'all' } as const }
    expect(from({ at: 'committed', otherwise: { at: 'latest' } })).toEqual({ at: 'new' })
    expect(from({ at: 'committed', otherwise: { at: 'latest' } }, all)).toEqual({ at: 'all' })
    expect(from({ at: 'time', timeMs: 5 }, all)).toEqual({ at: 'time', timeMs: 5 })
    expect(from({ at: 'earliest' })).toEqual({ at: 'all' })
    expect(from({ at: 'position', position: 7 })).toEqual({ at: 'sequence', sequence: 7 })
  })

  test('that are ordered have one event unsettled, those of waiting deliveries any number', () => {
    const latest = { at: 'latest' } as const
    expect(consumerOf('n', 'k', latest, true, { ...template, maxAckPending: 500 }).maxAckPending).toBe(1)
    expect(consumerOf('n', 'k', latest, false, { ...template, maxAckPending: 500 }).maxAckPending).toBe(500)
    const unordered = consumerOf('n', 'k', latest, false, { ...template, filterSubject: 'a.b', ackWaitMs: 5_000 })
    expect(unordered).toMatchObject({ description: 'k', filterSubject: 'a.b', ackWaitMs: 5_000 })
    const retry = retryConsumerOf('S', unordered)
    expect(retry).toMatchObject({ filterSubject: '_sluice_retry.S.n', start: { at: 'all' }, maxAckPending: -1, ackWaitMs: 5_000 })
  })
})

test('what waits has a stream of its own that drops nothing and forgets what is acknowledged', () => {
  expect(retryStreamOf({ ...stream, maxMsgs: 5, maxAgeMs: 5, replicas: 3 })).toMatchObject({
    name: 'SLUICE_RETRY_KN_NS__C',
    subjects: ['_sluice_retry.KN_NS__C.>'],
    retention: 'workqueue',
    discard: 'new',
    maxMsgs: 0,
    maxAgeMs: 0,
    replicas: 3,
  })
})

describe('the subject of an acknowledgement', () => {
  test.each([
    ['as servers without domains write it', '$JS.ACK.S.C.3.42.7.1795279233717422962.4', { sequence: 42, deliveries: 3 }],
    [
      'with domain and account',
      '$JS.ACK._.ACC.S.C.1.9007199254740991.7.1795279233717422962.4.x',
      { sequence: 9007199254740991, deliveries: 1 },
    ],
  ])('says sequence and deliveries, %s', (_what, subject, tokens) => {
    expect(ackTokens(subject)).toEqual(tokens)
  })
  test.each(['', '_INBOX.x.1', '$JS.ACK.S.C.1', '$JS.ACK.S.C.a.42.7.1.4', '$JS.API.S.C.3.42.7.1.4'])(
    'is none: "%s"',
    (subject) => {
      expect(ackTokens(subject)).toBeNull()
    },
  )
})

test.each([
  ['a.b', 'a.b', true],
  ['a.>', 'a.b.c', true],
  ['a.*.c', 'a.b.c', true],
  ['a.>', 'a', false],
  ['a.*', 'a.b.c', false],
  ['a.b.c', 'a.b', false],
  ['a.b', 'a.c', false],
])('subject %s takes %s: %s', (pattern, subject, taken) => {
  expect(covers(pattern, subject)).toBe(taken)
})

test('the state of what waits is one line of ASCII, whatever an error said', () => {
  const story = [{ attempt: 1, atMs: 1, tookMs: 1, to: 'http://ü', status: 0, error: 'a\r\nb: c' }]
  expect(stateLine({ dueMs: 5, story, phase: 'subscriber', reason: '' })).toMatch(/^sluice-state: [\x21-\x7e]+\r\n$/)
})

import { beforeAll, expect, test } from 'vitest'
import { Secret } from '../../../src/runtime/secret.ts'
import { KafkaLink, parseBootstrap, troubleOf } from '../../../src/vendor/kafka/link.ts'
import { assign, decodeAssignment, encodeSubscription } from '../../../src/vendor/kafka/assignment.ts'
import { loadKafkaLibrary } from '../../../src/vendor/kafka/library.ts'

beforeAll(loadKafkaLibrary)

test.each([
  ['kafka:9093', { host: 'kafka', port: 9093 }],
  [' kafka ', { host: 'kafka', port: 9092 }],
  ['[::1]:9094', { host: '::1', port: 9094 }],
  ['10.0.0.1:1', { host: '10.0.0.1', port: 1 }],
])('the bootstrap server %j', (text, address) => {
  expect(parseBootstrap(text)).toEqual(address)
})

test('trouble is told in one sentence with its causes', () => {
  const refused = Object.assign(new Error('Connection to h:1 failed.', { cause: new Error('connect ECONNREFUSED') }), {
    code: 'PLT_KFK_NETWORK',
  })
  expect(troubleOf(refused)).toEqual({ reason: 'unreachable', message: 'Connection to h:1 failed. connect ECONNREFUSED' })
  const login = new AggregateError(
    [Object.assign(new Error('SASL authentication failed.'), { code: 'PLT_KFK_AUTHENTICATION' })],
    'no',
  )
  expect(troubleOf(login).reason).toBe('authentication')
  const tls = new Error('Connection failed', {
    cause: Object.assign(new Error('self-signed'), { code: 'SELF_SIGNED_CERT_IN_CHAIN' }),
  })
  expect(troubleOf(tls).reason).toBe('authentication')
  expect(troubleOf('odd')).toEqual({ reason: 'unreachable', message: 'odd' })
})

test('a password is nowhere to be seen in a link', async () => {
  const { inspect } = await import('node:util')
  const sasl = { mechanism: 'PLAIN', user: 'u', password: new Secret('hush-hush') } as const
  const link = new KafkaLink({ clientId: 'c', sasl, tls: null, byName: true }, 1_000)
  // Nobody listens there; the connection is made, with the login, and fails.
  const failed = await link.connection({ host: '127.0.0.1', port: 1 }).catch((e: unknown) => e)
  expect(troubleOf(failed).message).toContain('ECONNREFUSED')
  expect(inspect([link, failed], { depth: 10, showHidden: true })).not.toContain('hush-hush')
  await link.close()
})

test('a new member gets only what the others give up first, then its share', () => {
  const count = (): number => 4
  const owns = (partitions: readonly number[]): Buffer =>
    encodeSubscription(['t'], partitions.length === 0 ? [] : [{ topic: 't', partitions }], 1)
  const shares = (a: readonly number[], b: readonly number[]): Record<string, readonly number[]> =>
    Object.fromEntries(
      assign(
        [
          { memberId: 'a', subscription: owns(a) },
          { memberId: 'b', subscription: owns(b) },
        ],
        count,
      ).map((x) => [x.memberId, decodeAssignment(x.assignment).flatMap((t) => t.partitions)]),
    )
  const first = shares([0, 1, 2, 3], [])
  expect(first['a']).toHaveLength(2)
  expect(first['b']).toEqual([])
  const kept = first['a'] ?? []
  const second = shares(kept, [])
  expect(second['a']).toEqual(kept)
  expect(second['b']?.toSorted()).toEqual([0, 1, 2, 3].filter((p) => !kept.includes(p)))
})

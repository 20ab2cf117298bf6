import { expect, test } from 'vitest'
import { queueOf } from '../../../src/streams/rabbitmq/settings.ts'

const BROKER = { role: 'broker', namespace: 'ns', name: 'b', uid: 'b-uid', exchange: 'b.ns.b.b-uid' } as const
const CHANNEL = { role: 'channel', namespace: 'ns', name: 'c', uid: 'c-uid', exchange: 'c.ns.c.c-uid' } as const

test('queues are called as eventing-rabbitmq calls them', () => {
  expect(queueOf('trigger/ns/t', 't-uid', BROKER)).toBe('ns.t.b-uid')
  expect(queueOf('subscription/ns/s', 's-uid', CHANNEL)).toBe('s.ns.c.s-uid')
})

test('what Knative has no name for has one of its own, within the limit of RabbitMQ', () => {
  expect(queueOf('trigger/ns/t', 't-uid', CHANNEL)).toBe('c.ns.c.c-uid.trigger.ns.t')
  expect(queueOf('subscription/ns/step', '', CHANNEL)).toBe('c.ns.c.c-uid.subscription.ns.step')
  const long = queueOf(`subscription/ns/${'x'.repeat(300)}`, '', CHANNEL)
  expect(`${long}.retry.86400`.length).toBeLessThanOrEqual(255)
})

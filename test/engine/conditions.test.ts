import { expect, test } from 'vitest'
import type { ResourceView } from '../../src/contract/plan.ts'
import { conditionsOf } from '../../src/engine/conditions.ts'
import { isKind } from '../../src/engine/kinds.ts'

const view = (kind: string): ResourceView => ({
  apiVersion: 'v1',
  kind,
  namespace: 'default',
  name: 'x',
  key: `${kind.toLowerCase()}/default/x`,
  uid: 'u',
  spec: {},
  annotations: {},
  labels: {},
  address: '',
  sinks: {},
  items: [],
  unresolved: [],
})

test('without trouble every condition Knative has for the kind is True, Ready first', () => {
  expect(conditionsOf(view('Trigger'), [])).toEqual(
    ['Ready', 'BrokerReady', 'SubscriberResolved', 'DeadLetterSinkResolved', 'SubscriptionReady', 'DependencyReady'].map(
      (type) => ({
        type,
        status: 'True',
      }),
    ),
  )
  for (const kind of ['Broker', 'Channel', 'InMemoryChannel', 'Subscription', 'Sequence', 'Parallel', 'Service', 'KafkaSource'])
    expect(conditionsOf(view(kind), []).length, kind).toBeGreaterThan(2)
  expect(conditionsOf(view('EventType'), [])).toEqual([{ type: 'Ready', status: 'True' }])
})

test('a trouble makes its condition and Ready False with reason and words; the first one speaks for Ready', () => {
  const troubles = [
    { condition: 'SubscriberResolved', reason: 'NotFound', message: 'there is no Service x' },
    { condition: 'BrokerReady', reason: 'BrokerDoesNotExist', message: 'there is no Broker y' },
  ]
  const conditions = conditionsOf(view('Trigger'), troubles)
  expect(conditions[0]).toEqual({ type: 'Ready', status: 'False', reason: 'NotFound', message: 'there is no Service x' })
  expect(conditions.find((c) => c.type === 'BrokerReady')).toEqual({
    type: 'BrokerReady',
    status: 'False',
    reason: 'BrokerDoesNotExist',
    message: 'there is no Broker y',
  })
  expect(conditions.filter((c) => c.status === 'False')).toHaveLength(3)
  expect(conditions.filter((c) => c.type === 'SubscriberResolved')).toHaveLength(1)
})

test('a condition the kind does not have is shown all the same, and Ready is never there twice', () => {
  const odd = conditionsOf(view('Broker'), [{ condition: 'Weather', reason: 'Rain', message: 'it rains' }])
  expect(odd.find((c) => c.type === 'Weather')).toMatchObject({ status: 'False', reason: 'Rain' })
  const ready = conditionsOf(view('Broker'), [{ condition: 'Ready', reason: 'Not', message: 'no' }])
  expect(ready.filter((c) => c.type === 'Ready')).toEqual([{ type: 'Ready', status: 'False', reason: 'Not', message: 'no' }])
})

test('kinds are found as people write them', () => {
  for (const kind of ['Trigger', 'trigger', 'triggers', 'TRIGGERS']) expect(isKind({ kind: 'Trigger' }, kind), kind).toBe(true)
  expect(isKind({ kind: 'Service' }, 'ksvc')).toBe(true)
  expect(isKind({ kind: 'InMemoryChannel' }, 'imc')).toBe(true)
  expect(isKind({ kind: 'Trigger' }, 'ksvc')).toBe(false)
  expect(isKind({ kind: 'Trigger' }, 'trig')).toBe(false)
})

import { describe, expect, test } from 'vitest'
import type { SubscriptionPlan } from '../../src/contract/plan.ts'
import { Secret } from '../../src/runtime/secret.ts'
import { item, planOf, read } from './planning.ts'

function triggerOf(broker: string, delivery: string, more = '', annotations = '{}'): SubscriptionPlan {
  const plan = planOf(`apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: default}
spec: ${broker}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: t, annotations: ${annotations}}
spec: {broker: default, subscriber: {uri: http://a.example}${delivery}}
---
${more}`)
  return item(plan.subscriptions, 'trigger/default/t')
}

describe('whose delivery holds', () => {
  test('the Broker’s as Knative has it by default', () => {
    expect(triggerOf('{}', '').delivery).toMatchObject({ retry: 10, backoffPolicy: 'exponential', backoffDelayMs: 200 })
  })
  test('that of config-br-defaults where the Broker says nothing', () => {
    const config = `apiVersion: v1
kind: ConfigMap
metadata: {name: config-br-defaults, namespace: knative-eventing}
data:
  default-br-config: |
    clusterDefault: {delivery: {retry: 1}}
    namespaceDefaults: {default: {delivery: {retry: 2, backoffPolicy: linear, backoffDelay: PT1S}}}`
    expect(triggerOf('{}', '', config).delivery).toMatchObject({ retry: 2, backoffPolicy: 'linear', backoffDelayMs: 1000 })
    expect(triggerOf('{delivery: {retry: 3}}', '', config).delivery.retry).toBe(3)
  })
  test('the Trigger’s replaces the Broker’s as a whole', () => {
    const s = triggerOf(
      '{delivery: {retry: 7, backoffDelay: PT9S, timeout: PT5S, deadLetterSink: {uri: http://dead.example}}}',
      ', delivery: {backoffPolicy: linear}',
    )
    expect(s.delivery).toEqual({
      retry: 0,
      backoffPolicy: 'linear',
      backoffDelayMs: 200,
      backoffMaxMs: 600_000,
      timeoutMs: 600_000,
      retryAfterMaxMs: 0,
      format: 'binary',
    })
    expect(s.deadLetter).toBeNull()
  })
  test('every field is carried over', () => {
    const s = triggerOf(
      '{}',
      ', delivery: {retry: 2, backoffPolicy: linear, backoffDelay: PT1S, timeout: PT2S, retryAfterMax: PT3S, format: json, deadLetterSink: {uri: http://dead.example}}',
      '',
      '{sluice.dev/backoff-max: 1m}',
    )
    expect(s.delivery).toEqual({
      retry: 2,
      backoffPolicy: 'linear',
      backoffDelayMs: 1000,
      backoffMaxMs: 60_000,
      timeoutMs: 2000,
      retryAfterMaxMs: 3000,
      format: 'json',
    })
    expect(s.deadLetter).toBe('trigger/default/t#deadLetterSink')
  })
})

test('annotations say order, start, parking, batches and acknowledgement', () => {
  const annotations =
    '{sluice.dev/delivery-order: key, sluice.dev/on-park: stop, sluice.dev/start: "2026-11-01T00:00:00Z", sluice.dev/batch-max: "10", sluice.dev/batch-wait: PT0.2S, sluice.dev/ack: callback}'
  expect(triggerOf('{}', '', '', annotations)).toMatchObject({
    order: 'key',
    onPark: 'stop',
    start: { at: 'committed', otherwise: { at: 'time', timeMs: Date.UTC(2026, 10, 1) } },
    batchMax: 10,
    batchWaitMs: 200,
    ack: 'callback',
  })
  expect(triggerOf('{}', '', '', '{kafka.eventing.knative.dev/delivery.order: ordered}').order).toBe('ordered')
})

describe('filters', () => {
  const filterOf = (more: string): unknown => triggerOf('{}', more).filter
  test('nothing written lets everything through', () => {
    expect(filterOf('')).toBeNull()
    expect(filterOf(', filter: {}, filters: []')).toBeNull()
    expect(filterOf(', filter: {attributes: {}}')).toBeNull()
  })
  test('filters win over filter', () => {
    expect(filterOf(', filter: {attributes: {type: a}}, filters: [{exact: {type: b}}]')).toEqual({
      dialect: 'exact',
      attributes: { type: 'b' },
    })
  })
  test('every dialect, at any depth', () => {
    expect(
      filterOf(`, filters: [{prefix: {type: a}}, {any: [{not: {suffix: {type: b}}}, {cesql: "id = '1'"}]}, {cel: "true"}, {}]`),
    ).toEqual({
      dialect: 'all',
      filters: [
        { dialect: 'prefix', attributes: { type: 'a' } },
        {
          dialect: 'any',
          filters: [
            { dialect: 'not', filter: { dialect: 'suffix', attributes: { type: 'b' } } },
            { dialect: 'cesql', expression: "id = '1'" },
          ],
        },
        { dialect: 'cel', expression: 'true' },
        { dialect: 'all', filters: [] },
      ],
    })
  })
  test('the oldest spelling, in which Any is any', () => {
    const plan = planOf(`apiVersion: eventing.knative.dev/v1alpha1
kind: Trigger
metadata: {name: t}
spec: {filter: {sourceAndType: {source: /s, type: Any}}, subscriber: {uri: http://a.example}}
---
{apiVersion: eventing.knative.dev/v1, kind: Broker, metadata: {name: default}}`)
    expect(item(plan.subscriptions, 'trigger/default/t').filter).toEqual({ dialect: 'attributes', attributes: { source: '/s' } })
  })
})

describe('headers from a Secret', () => {
  const withSecret = (data: string): ReturnType<typeof read> =>
    read(`apiVersion: v1
kind: Secret
metadata: {name: credentials, annotations: {kubectl.kubernetes.io/last-applied-configuration: hunter2}}
stringData: ${data}
---
{apiVersion: eventing.knative.dev/v1, kind: Broker, metadata: {name: default}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: t, annotations: {sluice.dev/headers-from-secret: credentials}}
spec: {broker: default, subscriber: {uri: http://a.example}}`)

  test('are sent, and shown nowhere', () => {
    const { plan, texts } = withSecret('{X-Key: hunter2, authorization: "Bearer hunter2\\n"}')
    expect(texts).toEqual([])
    const { headers } = item(plan.subscriptions, 'trigger/default/t')
    expect(headers.map(([name, value]) => [name, value instanceof Secret && value.reveal()])).toEqual([
      ['authorization', 'Bearer hunter2'],
      ['x-key', 'hunter2'],
    ])
    expect(JSON.stringify(plan)).not.toContain('hunter2')
  })

  const bad: readonly [string, string][] = [
    ['{"a b": x}', 'has the key a b, which is no header that may be added'],
    ['{Host: x}', 'has the key Host, which is no header that may be added'],
    ['{Ce-Id: x}', 'has the key Ce-Id, which is no header that may be added'],
    ['{x-key: "a\\r\\nb"}', 'has a value of x-key that no header can carry'],
  ]
  test.for(bad)('%s holds the subscription', ([data, message]) => {
    const { plan } = withSecret(data)
    expect(item(plan.subscriptions, 'trigger/default/t').target).toBeNull()
    expect(item(plan.resources, 'trigger/default/t').unresolved.map((u) => u.message)).toEqual([
      `sluice.dev/headers-from-secret: Secret default/credentials ${message}`,
    ])
  })

  test('a Secret that is missing holds it as well: nothing goes out without its credentials', () => {
    const { plan } = read(`{apiVersion: eventing.knative.dev/v1, kind: Broker, metadata: {name: default}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: t, annotations: {sluice.dev/headers-from-secret: gone}}
spec: {broker: default, subscriber: {uri: http://a.example}}`)
    expect(item(plan.subscriptions, 'trigger/default/t')).toMatchObject({ target: null, headers: [] })
  })
})

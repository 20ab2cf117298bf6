import { describe, expect, test } from 'vitest'
import type { TargetPlan } from '../../src/contract/plan.ts'
import { item, planOf, read } from './planning.ts'

const WORLD = `
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: default}
---
apiVersion: messaging.knative.dev/v1
kind: Channel
metadata: {name: channel}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: shown}
spec:
  template: {spec: {timeoutSeconds: 20, containers: [{image: a}]}}
  traffic: [{percent: 100}, {tag: old, revisionName: shown-1}]
---
`

function targetOf(subscriber: string, settings: Parameters<typeof planOf>[1] = {}): Partial<TargetPlan> {
  const trigger = `apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: t}\nspec: {broker: default, subscriber: ${subscriber}}`
  const { key: _key, ...target } = item(planOf(WORLD + trigger, settings).targets, 'trigger/default/t#subscriber')
  return target
}
const uri = (text: string): string => `{uri: "${text}"}`
const stream = { kind: 'stream', stream: 'broker/default/default' }
const service = { kind: 'service', service: 'service/default/shown', tag: '', path: '/' }
const outside = (text: string): object => ({
  kind: 'uri',
  uri: text,
  host: '',
  caCerts: '',
  limits: { maxConcurrency: 0, ratePerS: 0 },
})

describe('a sink that is this gateway is lowered to what stands at its address', () => {
  const rows: readonly [string, string, object][] = [
    ['a listener and a path', uri('http://127.0.0.1:8080/default/default'), stream],
    ['a listener by another name of this machine', uri('http://localhost:8080/default/default/'), stream],
    [
      'the long path',
      uri('http://127.0.0.1:8080/default/channels/channel'),
      { kind: 'stream', stream: 'channel/default/channel' },
    ],
    [
      'Knative’s name of the broker ingress',
      uri('http://broker-ingress.knative-eventing.svc.cluster.local/default/default'),
      stream,
    ],
    [
      'a channel’s host',
      uri('http://channel-kn-channel.default.svc.cluster.local'),
      { kind: 'stream', stream: 'channel/default/channel' },
    ],
    ['a service’s host', uri('http://shown.default.svc.cluster.local/in?x=1'), { ...service, path: '/in?x=1' }],
    ['a service’s public host', uri('http://shown.default.example.com'), service],
    ['a tag', uri('http://old-shown.default.example.com'), { ...service, tag: 'old' }],
    ['a ref to a Service', '{ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: shown}}', service],
    [
      'a ref and a relative uri',
      '{ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: shown}, uri: in/x}',
      { ...service, path: '/in/x' },
    ],
    ['a ref to a Broker', '{ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: default}}', stream],
    [
      'a ref to the backing of a Channel',
      '{ref: {apiVersion: messaging.knative.dev/v1, kind: InMemoryChannel, name: channel}}',
      { kind: 'stream', stream: 'channel/default/channel' },
    ],
    ['a ref to the core Service of the same name', '{ref: {apiVersion: v1, kind: Service, name: shown}}', service],
  ]
  test.for(rows)('%s', ([, subscriber, want]) => {
    expect(targetOf(subscriber)).toEqual(want)
  })

  test('a --self URL counts as well, and a listener on every address is also this machine', () => {
    expect(targetOf(uri('https://events.example.org/default/default'), { self: ['https://events.example.org'] })).toEqual(stream)
    expect(targetOf(uri('http://127.0.0.1:9000/default/default'), { self: ['0.0.0.0:9000'] })).toEqual(stream)
  })
})

describe('any other sink stays a URI', () => {
  const rows = [
    'http://elsewhere.example/in',
    'http://127.0.0.1:8081/default/default',
    'https://shown.default.example.com',
    'http://shown.default.example.com:8443',
    'http://unknown.default.svc.cluster.local',
  ]
  test.for(rows)('%s', (text) => {
    expect(targetOf(uri(text))).toEqual(outside(text))
  })

  test('with the limits of its subscription', () => {
    const plan = planOf(`${WORLD}apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: t, annotations: {sluice.dev/max-concurrency: "4", sluice.dev/rate: 120/m}}
spec: {broker: default, subscriber: {uri: http://a.example, CACerts: PEM}}`)
    const limits = { maxConcurrency: 4, ratePerS: 2 }
    expect(item(plan.targets, 'trigger/default/t#subscriber')).toMatchObject({ limits, caCerts: 'PEM' })
    expect(item(plan.subscriptions, 'trigger/default/t').limits).toEqual(limits)
  })
})

describe('a sink that is missing leaves its subscription waiting, and the status says why', () => {
  const rows: readonly [string, string][] = [
    [
      '{ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: gone}}',
      'spec.subscriber: there is no Service default/gone',
    ],
    [
      '{ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: gone, namespace: other}}',
      'spec.subscriber: there is no Broker other/gone',
    ],
    [
      '{ref: {apiVersion: eventing.knative.dev/v1, kind: Trigger, name: t}}',
      'spec.subscriber: Trigger default/t takes no events',
    ],
    [
      '{uri: "http://127.0.0.1:8080/default/gone"}',
      'spec.subscriber: http://127.0.0.1:8080/default/gone is this gateway, but it has no broker, channel or service at 127.0.0.1:8080/default/gone',
    ],
  ]
  test.for(rows)('%s', ([subscriber, message]) => {
    const { plan, texts } = read(
      `${WORLD}apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: t}\nspec: {broker: default, subscriber: ${subscriber}}`,
    )
    expect(texts).toEqual([])
    expect(item(plan.subscriptions, 'trigger/default/t').target).toBeNull()
    expect(item(plan.resources, 'trigger/default/t').unresolved).toEqual([
      { condition: 'SubscriberResolved', reason: 'NotFound', message },
    ])
  })

  test('a Trigger without its Broker makes no subscription at all', () => {
    const { plan, texts } = read(
      'apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: t}\nspec: {broker: gone, subscriber: {uri: http://a.example}}',
    )
    expect(texts).toEqual([])
    expect(plan.subscriptions).toEqual([])
    expect(item(plan.resources, 'trigger/default/t').unresolved).toEqual([
      { condition: 'BrokerReady', reason: 'BrokerDoesNotExist', message: 'spec.broker: there is no Broker default/gone' },
    ])
  })
})

describe('the Host of k8s.aliyun.com/domain', () => {
  const source = (uriText: string): string => `${WORLD}apiVersion: sources.knative.dev/v1alpha1
kind: KafkaSource
metadata: {name: k, annotations: {k8s.aliyun.com/domain: Shown.default.example.com}}
spec: {bootstrapServers: "a:9092", topics: t, consumerGroup: g, sink: {uri: "${uriText}"}}`

  test('chooses the service behind an address of this gateway', () => {
    expect(item(planOf(source('http://127.0.0.1:8080/in')).targets, 'kafkasource/default/k#sink')).toEqual({
      ...service,
      key: 'kafkasource/default/k#sink',
      path: '/in',
    })
  })
  test('is sent along to any other address', () => {
    expect(item(planOf(source('http://10.0.0.7')).targets, 'kafkasource/default/k#sink')).toMatchObject({
      kind: 'uri',
      uri: 'http://10.0.0.7',
      host: 'shown.default.example.com',
    })
  })
})

describe('the time-out of an attempt', () => {
  const timeoutOf = (subscriber: string, delivery: string): number => {
    const yaml = `${WORLD}apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: t}\nspec: {broker: default, subscriber: ${subscriber}${delivery}}`
    return item(planOf(yaml).subscriptions, 'trigger/default/t').delivery.timeoutMs
  }
  test('is the delivery’s, else the Service’s, else ten minutes', () => {
    const shown = '{ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: shown}}'
    expect(timeoutOf(shown, ', delivery: {timeout: PT3S}')).toBe(3000)
    expect(timeoutOf(shown, '')).toBe(20_000)
    expect(timeoutOf('{uri: http://a.example}', '')).toBe(600_000)
  })
})

import { describe, expect, test } from 'vitest'
import type { Plan } from '../../src/contract/plan.ts'
import { Secret } from '../../src/runtime/secret.ts'
import { item, planOf, read } from './planning.ts'

const SECRET =
  'apiVersion: v1\nkind: Secret\nmetadata: {name: kafka}\nstringData: {user: alice, password: hunter2, mechanism: SCRAM-SHA-512, ca.crt: CA, user.crt: CERT, user.key: KEY}\n---\n'
const source = (spec: string, version = 'v1', metadata = 'name: k'): string =>
  `${SECRET}apiVersion: sources.knative.dev/${version}\nkind: KafkaSource\nmetadata: {${metadata}}\nspec:\n  sink: {uri: http://a.example}\n${spec}`
const LISTS = '  bootstrapServers: ["a.example:9092", "[::1]:9093"]\n  topics: [orders, returns]\n'
const settingsOf = (plan: Plan): Readonly<Record<string, unknown>> => item(plan.sources, 'kafkasource/default/k').settings

test('v1 reads a list of servers and topics, ordered, from the end, ten times', () => {
  const plan = planOf(source(LISTS, 'v1', 'name: k, uid: 0a'))
  expect(item(plan.sources, 'kafkasource/default/k')).toMatchObject({ system: 'kafka', namespace: 'default', name: 'k' })
  expect(settingsOf(plan)).toEqual({
    bootstrapServers: ['a.example:9092', '[::1]:9093'],
    topics: ['orders', 'returns'],
    consumerGroup: 'knative-kafka-source-0a',
    initialOffset: 'latest',
    consumers: 1,
    keyType: 'string',
    namespace: 'default',
    name: 'k',
    sasl: null,
    tls: null,
  })
  expect(item(plan.subscriptions, 'kafkasource/default/k')).toMatchObject({
    from: { source: 'kafkasource/default/k' },
    start: { at: 'committed', otherwise: { at: 'latest' } },
    order: 'ordered',
    reply: null,
    filter: null,
    delivery: { retry: 10, backoffPolicy: 'exponential', backoffDelayMs: 300, timeoutMs: 600_000 },
    target: 'kafkasource/default/k#sink',
  })
})

test('a delivery of its own replaces the default as a whole', () => {
  const plan = planOf(source(`${LISTS}  delivery: {backoffDelay: PT1S}\n  ordering: unordered\n  initialOffset: earliest`))
  expect(item(plan.subscriptions, 'kafkasource/default/k')).toMatchObject({
    order: 'unordered',
    start: { at: 'committed', otherwise: { at: 'earliest' } },
    delivery: { retry: 0, backoffDelayMs: 1000, timeoutMs: 600_000 },
  })
})

describe('v1alpha1, flat', () => {
  const flat = '  bootstrapServers: "a.example:9092, b.example:9092"\n  topics: orders,returns\n  consumerGroup: g\n'
  test('has texts separated by commas, and is unordered', () => {
    const plan = planOf(source(flat, 'v1alpha1'))
    expect(settingsOf(plan)).toMatchObject({
      bootstrapServers: ['a.example:9092', 'b.example:9092'],
      topics: ['orders', 'returns'],
      consumerGroup: 'g',
    })
    expect(item(plan.subscriptions, 'kafkasource/default/k').order).toBe('unordered')
    expect(planOf(source(LISTS, 'v1alpha1')).sources[0]?.settings).toMatchObject({ topics: ['orders', 'returns'] })
  })
  test('k8s.aliyun.com says retries, one interval between all of them, and the time-out', () => {
    const metadata =
      'name: k, annotations: {k8s.aliyun.com/retry-count: "5", k8s.aliyun.com/retry-interval: "1.5", k8s.aliyun.com/req-timeout: "60"}'
    expect(item(planOf(source(flat, 'v1alpha1', metadata)).subscriptions, 'kafkasource/default/k').delivery).toMatchObject({
      retry: 5,
      backoffPolicy: 'linear',
      backoffDelayMs: 1500,
      backoffMaxMs: 1500,
      timeoutMs: 60_000,
    })
    const both = `${flat}  delivery: {retry: 1, backoffDelay: PT9S, timeout: PT8S}`
    expect(item(planOf(source(both, 'v1alpha1', metadata)).subscriptions, 'kafkasource/default/k').delivery).toMatchObject({
      retry: 1,
      backoffPolicy: 'exponential',
      backoffDelayMs: 9000,
      timeoutMs: 8000,
    })
  })
  const bad: readonly [string, string][] = [
    ['k8s.aliyun.com/retry-count: "-1"', 'is "-1", must be a whole number from 0 to 2147483647'],
    ['k8s.aliyun.com/retry-interval: 2s', 'is "2s", must be a number of seconds of at least 0, without a unit'],
    ['k8s.aliyun.com/req-timeout: "0"', 'is "0", must be a number of seconds over 0, without a unit'],
    ['k8s.aliyun.com/domain: "http://x"', 'is "http://x", must be a host name'],
  ]
  test.for(bad)('%s is refused', ([annotation, message]) => {
    expect(read(source(flat, 'v1alpha1', `name: k, annotations: {${annotation}}`)).faults.map((f) => f.message)).toEqual([
      message,
    ])
  })
})

describe('credentials', () => {
  const ref = (key: string): string => `{secretKeyRef: {name: kafka, key: ${key}}}`
  test('come from Secrets and are shown nowhere', () => {
    const net = `  net:\n    sasl: {enable: true, user: ${ref('user')}, password: ${ref('password')}, type: ${ref('mechanism')}}\n    tls: {enable: true, caCert: ${ref('ca.crt')}, cert: ${ref('user.crt')}, key: ${ref('user.key')}}`
    const plan = planOf(source(LISTS + net))
    const { sasl, tls } = settingsOf(plan) as { sasl: Record<string, unknown>; tls: Record<string, unknown> }
    expect(sasl).toMatchObject({ mechanism: 'SCRAM-SHA-512', user: 'alice' })
    expect((sasl['password'] as Secret).reveal()).toBe('hunter2')
    expect(tls).toMatchObject({ ca: 'CA', cert: 'CERT' })
    expect((tls['key'] as Secret).reveal()).toBe('KEY')
    expect(JSON.stringify(plan)).not.toMatch(/hunter2|"KEY"/)
  })
  test('are not asked for where the net is off, as the API server fills it in', () => {
    const net = '  net:\n    sasl: {user: {}, password: {}, type: {}}\n    tls: {caCert: {}, cert: {}, key: {}}'
    expect(settingsOf(planOf(source(LISTS + net)))).toMatchObject({ sasl: null, tls: null })
  })
  test('TLS alone needs no key', () => {
    expect(settingsOf(planOf(source(`${LISTS}  net: {tls: {enable: true}}`)))['tls']).toEqual({ ca: '', cert: '', key: null })
  })
  const missing: readonly [string, string][] = [
    [`{enable: true, user: ${ref('user')}}`, 'spec.net.sasl.password.secretKeyRef is not written'],
    [
      `{enable: true, user: ${ref('gone')}, password: ${ref('password')}}`,
      'spec.net.sasl.user: there is no key gone in a Secret default/kafka',
    ],
    [
      `{enable: true, user: ${ref('user')}, password: ${ref('password')}, type: ${ref('user')}}`,
      'spec.net.sasl.type: the mechanism is not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512',
    ],
  ]
  test.for(missing)('%s: nothing is read, and the status says why', ([sasl, message]) => {
    const { plan, texts } = read(source(`${LISTS}  net: {sasl: ${sasl}}`))
    expect(texts).toEqual([])
    expect(plan.sources).toEqual([])
    expect(item(plan.resources, 'kafkasource/default/k').unresolved.map((u) => u.message)).toEqual([message])
  })
})

test('its faults', () => {
  const spec =
    '  bootstrapServers: [a, "b:99999999"]\n  topics: []\n  consumers: -1\n  initialOffset: middle\n  ordering: random\n  ceOverrides: {extensions: {A: b}}'
  expect(
    read(source(spec, 'v1', 'name: k, labels: {kafkasources.sources.knative.dev/key-type: uuid}')).faults.map(
      (f) => `${f.path}: ${f.message}`,
    ),
  ).toEqual([
    'metadata.labels["kafkasources.sources.knative.dev/key-type"]: is "uuid", must be one of string, int, float, byte-array',
    'spec.bootstrapServers[0]: is "a", must be host:port',
    'spec.bootstrapServers[1]: is "b:99999999", must be host:port',
    'spec.topics: is [], must name at least one topic',
    'spec.consumers: is -1, must be a whole number from 0 to 10000',
    'spec.initialOffset: is "middle", must be one of earliest, latest',
    'spec.ordering: is "random", must be one of ordered, unordered',
    'spec.ceOverrides.extensions.A: is "b", must be lower-case letters and digits',
  ])
})

import { describe, expect, test } from 'vitest'
import type { Plan } from '../../src/contract/plan.ts'
import { Secret } from '../../src/runtime/secret.ts'
import { item, planOf, read } from './planning.ts'

const KEY = 'rocketmqsource/default/orders'
const TOKEN = { url: 'https://mq.example:8443', accessKeyId: 'alice', accessKeySecret: 'hunter2' }
const base64 = (text: string): string => Buffer.from(text).toString('base64')
const secretOf = (token: string): string =>
  `apiVersion: v1\nkind: Secret\nmetadata: {name: mq}\nstringData: {token: '${token}', ca.crt: CA}\n---\n`
const source = (spec: string, version = 'sources.knative.dev/v1alpha1', sink = '{uri: http://a.example}'): string =>
  `apiVersion: ${version}\nkind: RocketMQSource\nmetadata: {name: orders}\nspec:\n  topic: orders\n  groupName: g\n  sink: ${sink}\n${spec}`
const settingsOf = (plan: Plan): Readonly<Record<string, unknown>> => item(plan.sources, KEY).settings
const ENDPOINTS = "  endpoints: 'a.example:8081;b.example'\n"
const ACCESS = '  accessToken: {secretKeyRef: {name: mq, key: token}}\n'

test('reads topic, group and endpoints; every message, by message group, ten times', () => {
  const plan = planOf(source(ENDPOINTS))
  expect(item(plan.sources, KEY)).toMatchObject({ system: 'rocketmq', namespace: 'default', name: 'orders' })
  expect(settingsOf(plan)).toEqual({
    endpoints: ['a.example:8081', 'b.example'],
    topic: 'orders',
    group: 'g',
    filter: { kind: 'tag', expression: '*' },
    credentials: null,
    tls: null,
    instance: '/apis/v1/namespaces/default/rocketmqsources/orders',
  })
  expect(item(plan.subscriptions, KEY)).toMatchObject({
    from: { source: KEY },
    order: 'key',
    filter: null,
    reply: null,
    target: `${KEY}#sink`,
    delivery: { retry: 10, backoffPolicy: 'exponential', backoffDelayMs: 300 },
  })
})

test('the first shape has a flat sink and the address of a name server', () => {
  const flat = '{apiVersion: eventing.knative.dev/v1, kind: Broker, name: default}'
  const broker = 'apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: default}\n---\n'
  const plan = planOf(
    broker + source("  namesrvAddr: 'http://mq.example:80'\n  tag: paid\n", 'sources.eventing.knative.dev/v1alpha1', flat),
  )
  expect(settingsOf(plan)).toMatchObject({ endpoints: ['mq.example:80'], filter: { kind: 'tag', expression: 'paid' }, tls: null })
  expect(item(plan.targets, `${KEY}#sink`)).toMatchObject({ kind: 'stream', stream: 'broker/default/default' })
  expect(read(source(ENDPOINTS, 'sources.knative.dev/v1alpha1', flat)).texts.length).toBeGreaterThan(0)
})

describe('the access token', () => {
  test.each([
    ['once', base64(JSON.stringify(TOKEN))],
    ['not at all', JSON.stringify(TOKEN)],
  ])('is JSON in base64 (%s) with address and key; https is TLS', (_name, token) => {
    const settings = settingsOf(planOf(secretOf(token) + source(ACCESS)))
    expect(settings).toMatchObject({ endpoints: ['mq.example:8443'], tls: { ca: '', cert: '', key: null } })
    expect(settings['credentials']).toEqual({ accessKey: 'alice', accessSecret: new Secret('hunter2') })
    expect(JSON.stringify(settings)).not.toContain('hunter2')
  })

  test('does not hide the endpoints that are written', () => {
    const settings = settingsOf(planOf(secretOf(base64(JSON.stringify(TOKEN))) + source(ENDPOINTS + ACCESS)))
    expect(settings).toMatchObject({ endpoints: ['a.example:8081', 'b.example'], tls: null })
  })

  test.each([
    ['is missing', 'apiVersion: v1\nkind: Secret\nmetadata: {name: other}\nstringData: {a: b}\n---\n', 'is missing'],
    ['is no JSON', secretOf('hunter2'), 'must be JSON in base64'],
    ['has no key', secretOf(JSON.stringify({ url: TOKEN.url })), 'must be JSON in base64'],
  ])('that %s leaves the source without a reader, and the status says why', (_name, secret, why) => {
    const plan = planOf(secret + source(ENDPOINTS + ACCESS))
    expect(plan.sources).toEqual([])
    const view = item(plan.resources, KEY)
    expect(view.unresolved).toMatchObject([{ condition: 'ConnectionEstablished', reason: 'SecretMissing' }])
    expect(view.unresolved[0]!.message).toContain(why)
    expect(view.unresolved[0]!.message).not.toContain('hunter2')
  })
})

test('TLS has an authority of its own', () => {
  const tls = '  net: {tls: {enable: true, caCert: {secretKeyRef: {name: mq, key: ca.crt}}}}\n'
  expect(settingsOf(planOf(secretOf('x') + source(ENDPOINTS + tls)))).toMatchObject({ tls: { ca: 'CA', cert: '', key: null } })
})

test('without any address the status says so', () => {
  const plan = planOf(source(''))
  expect(plan.sources).toEqual([])
  expect(item(plan.resources, KEY).unresolved).toMatchObject([{ reason: 'EndpointMissing' }])
})

test('a filter is a tag expression or SQL92, not both; faults name the field', () => {
  expect(settingsOf(planOf(source(`${ENDPOINTS}  sql: "a > 5"\n`)))).toMatchObject({
    filter: { kind: 'sql', expression: 'a > 5' },
  })
  const { texts } = read(source(`  endpoints: 'no port:x'\n  tag: a\n  sql: b\n`))
  expect(texts.join('\n')).toContain('spec.sql: cannot stand beside tag')
  expect(texts.join('\n')).toContain('spec.endpoints: is "no port:x", must be host:port')
})

describe('name servers', () => {
  test.each([
    ['both are written', "  endpoints: 'p.example'\n  namesrvAddr: 'n.example'\n", ['p.example'], ['n.example:9876']],
    ['the port is theirs', "  namesrvAddr: 'n1.example:9876;n2.example:9876'\n", ['n1.example:8081', 'n2.example:8081'], 'same'],
  ])('are what namesrvAddr says where %s', (_when, spec, endpoints, names) => {
    const nameServers = names === 'same' ? ['n1.example:9876', 'n2.example:9876'] : names
    expect(settingsOf(planOf(source(spec)))).toMatchObject({ endpoints, nameServers, nameServersTls: false })
  })

  test('are not what older manifests wrote there: the proxy', () => {
    const settings = settingsOf(planOf(source("  namesrvAddr: 'mq.example:8081'\n")))
    expect(settings).toMatchObject({ endpoints: ['mq.example:8081'] })
    expect(settings).not.toHaveProperty('nameServers')
  })
})

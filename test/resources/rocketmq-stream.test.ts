import { describe, expect, test } from 'vitest'
import { rocketMqTopic } from '../../src/resources/rocketmq-names.ts'
import { Secret } from '../../src/runtime/secret.ts'
import { item, planOf, read } from './planning.ts'

const configMap = (data: Readonly<Record<string, string>>): string =>
  `{apiVersion: v1, kind: ConfigMap, metadata: {name: config-rocketmq, namespace: knative-eventing}, data: ${JSON.stringify(data)}}\n---\n`
const secret = (data: Readonly<Record<string, string>>): string =>
  `{apiVersion: v1, kind: Secret, metadata: {name: mq, namespace: knative-eventing}, stringData: ${JSON.stringify(data)}}\n---\n`
const BROKER =
  '{apiVersion: eventing.knative.dev/v1, kind: Broker, metadata: {name: my.broker, annotations: {eventing.knative.dev/broker.class: RocketMQ}}}\n---\n'
const channel = (spec: string): string =>
  `{apiVersion: messaging.knative.dev/v1alpha1, kind: RocketMQChannel, metadata: {name: c}, spec: ${spec}}\n---\n`
const trigger = (annotations: Readonly<Record<string, string>>): string =>
  `{apiVersion: eventing.knative.dev/v1, kind: Trigger, metadata: {name: t, annotations: ${JSON.stringify(annotations)}}, spec: {broker: my.broker, subscriber: {uri: "http://a.example"}}}\n---\n`
const WHERE = { endpoints: 'https://a.example:8443; b.example', namesrvAddr: 'n1:9876;n2' }
const TOKEN = Buffer.from(JSON.stringify({ url: 'mq.example:8443', accessKeyId: 'alice', accessKeySecret: 'hunter2' })).toString(
  'base64',
)

describe('a Broker of the class RocketMQ', () => {
  test('has a topic of its own, where the ConfigMap says', () => {
    const { streams } = planOf(configMap({ ...WHERE, cluster: 'c1', namespace: 'MQ_INST', 'default.topic.queues': '3' }) + BROKER)
    expect(item(streams, 'broker/default/my.broker')).toMatchObject({
      system: 'rocketmq',
      settings: {
        endpoints: ['a.example:8443', 'b.example'],
        nameServers: ['n1:9876', 'n2:9876'],
        nameServersTls: false,
        cluster: 'c1',
        instanceNamespace: 'MQ_INST',
        credentials: null,
        tls: { ca: '', cert: '', key: null },
        topic: 'knative-broker-default_my_broker',
        type: 'NORMAL',
        queues: 3,
      },
    })
  })

  test.each([
    ['a token', { token: TOKEN }, 'mq.example:8443'],
    ['its keys', { accessKeyId: 'alice', accessKeySecret: 'hunter2', 'ca.crt': 'CA' }, 'a.example:8081'],
  ])('signs with %s of the Secret', (_what, data, endpoint) => {
    const at = endpoint.startsWith('mq') ? {} : { endpoints: endpoint }
    const yaml = configMap({ ...at, 'auth.secret.ref.name': 'mq' }) + secret(data as Record<string, string>) + BROKER
    const { settings } = item(planOf(yaml).streams, 'broker/default/my.broker')
    expect(settings).toMatchObject({
      endpoints: [endpoint],
      nameServers: [],
      credentials: { accessKey: 'alice', accessSecret: new Secret('hunter2') },
      tls: 'ca.crt' in data ? { ca: 'CA', cert: '', key: null } : null,
    })
    expect(JSON.stringify(settings)).not.toContain('hunter2')
  })

  test.each([
    ['without a ConfigMap', '', 'there is no ConfigMap knative-eventing/config-rocketmq'],
    ['without endpoints', configMap({}), 'endpoints must be host:port of the RocketMQ 5 proxy'],
    ['with odd name servers', configMap({ endpoints: 'a', namesrvAddr: 'a b' }), 'namesrvAddr must be host:port of name servers'],
    [
      'without its Secret',
      configMap({ endpoints: 'a', 'auth.secret.ref.name': 'mq' }),
      'Secret knative-eventing/mq: it is missing',
    ],
    [
      'with a Secret that has nothing',
      configMap({ endpoints: 'a', 'auth.secret.ref.name': 'mq' }) + secret({ a: 'b' }),
      'neither token nor accessKeyId',
    ],
    [
      'with a token that is none',
      configMap({ endpoints: 'a', 'auth.secret.ref.name': 'mq' }) + secret({ token: 'hunter2' }),
      'must be JSON in base64',
    ],
  ])('%s takes nothing, and its status says why', (_what, before, message) => {
    const r = read(before + BROKER)
    expect(r.texts).toEqual([])
    expect(r.plan.streams).toEqual([])
    expect(item(r.plan.resources, 'broker/default/my.broker').unresolved).toEqual([
      expect.objectContaining({ condition: 'ConfigReady', message: expect.stringContaining(message) as string }),
    ])
  })

  test('keeps the order of keys on a FIFO topic only, and begins at an older event where name servers are known', () => {
    const texts = (data: Readonly<Record<string, string>>, annotations: Readonly<Record<string, string>>): readonly string[] =>
      read(configMap({ ...WHERE, ...data }) + BROKER + trigger(annotations)).texts
    const byKey = { 'sluice.dev/delivery-order': 'key' }
    const earliest = { 'sluice.dev/start': 'earliest' }
    expect(texts({ 'default.topic.type': 'FIFO' }, byKey)).toEqual([])
    expect(texts({}, byKey)).toEqual([expect.stringContaining('which RocketMQ cannot do; allowed: unordered')])
    expect(texts({}, earliest)).toEqual([])
    expect(texts({ namesrvAddr: '' }, earliest)).toEqual([expect.stringContaining('which RocketMQ cannot do')])
  })

  test('says of a type nobody knows that it is not used', () => {
    const { notices, streams } = planOf(configMap({ ...WHERE, 'default.topic.type': 'LITE' }) + BROKER)
    expect(notices.join()).toContain('default.topic.type is "LITE", must be NORMAL or FIFO')
    expect(streams[0]?.settings).toMatchObject({ type: 'NORMAL' })
  })
})

test('a RocketMQChannel says itself how its topic is made, and what it says cannot change', () => {
  const yaml = configMap(WHERE) + channel('{queues: 2, ordered: true}')
  expect(item(planOf(yaml).streams, 'rocketmqchannel/default/c').settings).toMatchObject({
    topic: 'knative-messaging-rocketmq-default_c',
    type: 'FIFO',
    queues: 2,
  })
  expect(read(configMap(WHERE) + channel('{queues: 0}')).texts).toEqual([expect.stringContaining('spec.queues: is 0')])
  const { immutables } = read(yaml)
  expect(read(configMap(WHERE) + channel('{queues: 2}'), { running: immutables }).texts).toEqual([
    expect.stringContaining('spec.ordered'),
  ])
})

test('two resources never have one topic, and none is too long for RocketMQ', () => {
  const long = 'a'.repeat(200)
  const names: readonly ['broker' | 'channel', string, string][] = [
    ['broker', 'a', 'b-c'],
    ['broker', 'a-b', 'c'],
    ['broker', 'a', 'b.c'],
    ['channel', 'a', 'b-c'],
    ['channel', 'a', `${long}.x`],
    ['channel', 'a', `${long}.y`],
  ]
  const topics = names.map((n) => rocketMqTopic(...n))
  expect(new Set(topics).size).toBe(names.length)
  for (const topic of topics) expect(topic).toMatch(/^[A-Za-z0-9_-]{1,120}$/)
})

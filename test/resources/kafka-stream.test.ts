import { describe, expect, test } from 'vitest'
import { Secret } from '../../src/runtime/secret.ts'
import { read } from './planning.ts'

const configMap = (name: string, data: Readonly<Record<string, string>>): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}, namespace: knative-eventing}\ndata: ${JSON.stringify(data)}\n---\n`

const kafkaBroker = (
  more = '',
  spec = '{config: {apiVersion: v1, kind: ConfigMap, name: c, namespace: knative-eventing}}',
): string =>
  `apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: b, namespace: ns, annotations: {eventing.knative.dev/broker.class: Kafka${more}}}\nspec: ${spec}\n`

const WHOLE = {
  'bootstrap.servers': 'one:9092, two:9092',
  'default.topic.partitions': '6',
  'default.topic.replication.factor': '2',
}

describe('a Broker of class Kafka', () => {
  test('stands on its topic with what its ConfigMap says', () => {
    const { plan, texts } = read(configMap('c', WHOLE) + kafkaBroker())
    expect(texts).toEqual([])
    expect(plan.streams).toMatchObject([
      {
        key: 'broker/ns/b',
        system: 'kafka',
        settings: {
          bootstrapServers: ['one:9092', 'two:9092'],
          topic: 'knative-broker-ns-b',
          create: { partitions: 6, replication: 2, retentionMs: 0 },
          channel: '',
          sasl: null,
          tls: null,
          structured: false,
        },
      },
    ])
  })

  test("has Knative's defaults for partitions and replication, and looks where Knative looks", () => {
    const { plan } = read(configMap('kafka-broker-config', { 'bootstrap.servers': 'one:9092' }) + kafkaBroker('', '{}'))
    expect(plan.streams[0]?.settings).toMatchObject({ create: { partitions: 10, replication: 3 } })
  })

  test('on a topic of somebody else never makes it', () => {
    const { plan } = read(configMap('c', WHOLE) + kafkaBroker(', kafka.eventing.knative.dev/external.topic: orders'))
    expect(plan.streams[0]?.settings).toMatchObject({ topic: 'orders', create: null })
  })

  test.each([
    ['the ConfigMap', '', 'there is no ConfigMap knative-eventing/c that says where Kafka is'],
    ['bootstrap.servers', configMap('c', {}), 'ConfigMap knative-eventing/c: bootstrap.servers is missing'],
    ['the Secret', configMap('c', { ...WHOLE, 'auth.secret.ref.name': 's' }), 'there is no Secret knative-eventing/s'],
  ])('without %s is accepted and says what is missing', (_what, before, message) => {
    const { plan, texts } = read(before + kafkaBroker())
    expect(texts).toEqual([])
    expect(plan.streams).toEqual([])
    expect(plan.resources.find((r) => r.kind === 'Broker')?.unresolved).toMatchObject([{ condition: 'ConfigParsed', message }])
  })

  test("reads its Secret as Knative's components do", () => {
    const secret = `apiVersion: v1
kind: Secret
metadata: {name: s, namespace: knative-eventing}
stringData: {protocol: SASL_SSL, sasl.mechanism: SCRAM-SHA-256, user: u, password: p, ca.crt: CA}
---
`
    const { plan } = read(configMap('c', { ...WHOLE, 'auth.secret.ref.name': 's' }) + secret + kafkaBroker())
    const settings = plan.streams[0]?.settings as { sasl: { password: Secret } } | undefined
    expect(settings).toMatchObject({ sasl: { mechanism: 'SCRAM-SHA-256', user: 'u' }, tls: { ca: 'CA', cert: '', key: null } })
    expect(settings?.sasl.password.reveal()).toBe('p')
  })
})

test("a KafkaChannel has Knative's topic, its partitions and a week of retention", () => {
  const channel =
    'apiVersion: messaging.knative.dev/v1beta1\nkind: KafkaChannel\nmetadata: {name: c, namespace: ns}\nspec: {numPartitions: 4}\n'
  const { plan, texts } = read(configMap('kafka-channel-config', { 'bootstrap.servers': 'one:9092' }) + channel)
  expect(texts).toEqual([])
  expect(plan.streams[0]?.settings).toMatchObject({
    topic: 'knative-messaging-kafka.ns.c',
    create: { partitions: 4, replication: 1, retentionMs: 7 * 24 * 3_600_000 },
    channel: 'ns.c',
  })
  expect(plan.routes.some((r) => r.host === 'c-kn-channel.ns.svc.cluster.local')).toBe(true)
})

test('a KafkaSink writes structured events unless told otherwise, and makes its topic only where partitions are given', () => {
  const sink = (more: string): string =>
    `apiVersion: eventing.knative.dev/v1alpha1\nkind: KafkaSink\nmetadata: {name: k, namespace: ns}\nspec: {topic: t, bootstrapServers: ["one:9092"]${more}}\n`
  expect(read(sink('')).plan.streams[0]?.settings).toMatchObject({ topic: 't', create: null, structured: true })
  const other = read(sink(', numPartitions: 2, contentMode: binary')).plan.streams[0]?.settings
  expect(other).toMatchObject({ create: { partitions: 2, replication: 1 }, structured: false })
})

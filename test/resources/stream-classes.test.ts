import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { STREAM_CLASSES } from '../../src/resources/stream-classes.ts'
import { NEEDS } from './class-needs.ts'
import { item, planOf, read, type Read } from './planning.ts'

const EVENTING = 'knative-eventing'
const configMap = (name: string, data: Readonly<Record<string, string>>, namespace = EVENTING): string =>
  `{apiVersion: v1, kind: ConfigMap, metadata: {name: ${name}, namespace: ${namespace}}, data: ${JSON.stringify(data)}}\n---\n`
const broker = (brokerClass: string, config = '', more: Readonly<Record<string, string>> = {}): string => {
  const annotations = { ...(brokerClass === '' ? {} : { 'eventing.knative.dev/broker.class': brokerClass }), ...more }
  const spec = config === '' ? '{}' : `{config: {apiVersion: v1, kind: ConfigMap, name: ${config}, namespace: ${EVENTING}}}`
  return `{apiVersion: eventing.knative.dev/v1, kind: Broker, metadata: {name: b, annotations: ${JSON.stringify(annotations)}}, spec: ${spec}}\n---\n`
}
const trigger = (annotations: Readonly<Record<string, string>> = {}): string =>
  `{apiVersion: eventing.knative.dev/v1, kind: Trigger, metadata: {name: t, uid: t-uid, annotations: ${JSON.stringify(annotations)}}, spec: {broker: b, subscriber: {uri: "http://a.example"}}}\n---\n`
const template = (kind: string, spec = ''): string =>
  `{apiVersion: messaging.knative.dev/v1, kind: ${kind}${spec === '' ? '' : `, spec: ${spec}`}}`
const channel = (of = '', annotations = '{}'): string =>
  `{apiVersion: messaging.knative.dev/v1, kind: Channel, metadata: {name: c, annotations: ${annotations}}, spec: {${of === '' ? '' : `channelTemplate: ${of}`}}}\n---\n`
const subscription = (annotations = '{}', kind = 'Channel'): string =>
  `{apiVersion: messaging.knative.dev/v1, kind: Subscription, metadata: {name: s, annotations: ${annotations}}, spec: {channel: {apiVersion: messaging.knative.dev/v1, kind: ${kind}, name: c}, subscriber: {uri: "http://a.example"}}}\n---\n`
const sequence = (of: string, annotations = '{}'): string =>
  `{apiVersion: flows.knative.dev/v1, kind: Sequence, metadata: {name: q, annotations: ${annotations}}, spec: {channelTemplate: ${of}, steps: [{uri: "http://a.example"}, {uri: "http://b.example"}]}}\n---\n`
const parallel = (of: string): string =>
  `{apiVersion: flows.knative.dev/v1, kind: Parallel, metadata: {name: p}, spec: {channelTemplate: ${of}, branches: [{subscriber: {uri: "http://a.example"}}]}}\n---\n`
const KAFKA = configMap('kafka-channel-config', { 'bootstrap.servers': 'one:9092' })
const topics = (r: Pick<Read, 'plan'>): Record<string, unknown> =>
  Object.fromEntries(r.plan.streams.map((s) => [s.key, s.settings['topic'] ?? s.system]))
const unresolved = (r: Read, key: string): readonly unknown[] => item(r.plan.resources, key).unresolved

describe.each(STREAM_CLASSES.map((c) => [c.brokerClasses[0] ?? '', c] as const))('the class %s', (name, c) => {
  const needs = NEEDS[name]
  if (needs === undefined) throw new Error(`class-needs.ts does not say what manifests the class ${name} needs`)

  test('carries a Broker, under each of its names', () => {
    for (const spelling of c.brokerClasses) {
      const { streams } = planOf(needs.manifests + broker(spelling) + trigger())
      expect(streams.map((s) => [s.key, s.system])).toEqual([['broker/default/b', needs.system]])
    }
  })

  test('says in the status what is missing, and nothing stands anywhere else', () => {
    const r = read(broker(name) + trigger())
    expect(r.texts).toEqual([])
    expect(r.plan.streams).toEqual([])
    expect(unresolved(r, 'broker/default/b')).not.toEqual([])
  })

  test.runIf(c.channelKind !== '')('carries whatever names its channel in a template', () => {
    const of = template(c.channelKind)
    const kind = c.channelKind.toLowerCase()
    const config = configMap('t', { 'channel-template-spec': of })
    const rows: readonly [string, readonly string[]][] = [
      [config + broker('MTChannelBasedBroker', 't'), ['broker/default/b']],
      [channel(of), ['channel/default/c']],
      [sequence(of), [`${kind}/default/q-kn-sequence-0`, `${kind}/default/q-kn-sequence-1`]],
      [parallel(of), [`${kind}/default/p-kn-parallel`, `${kind}/default/p-kn-parallel-0`]],
    ]
    for (const [yaml, keys] of rows) {
      const { streams } = planOf(needs.manifests + yaml)
      expect(streams.map((s) => [s.key, s.system])).toEqual(keys.map((key) => [key, needs.system]))
      // Two streams of one place in the system would read each other's events.
      expect(new Set(streams.map((s) => JSON.stringify(s.settings))).size).toBe(keys.length)
    }
  })

  test.runIf(c.channelKind !== '')('has channels of its own kind, alone or behind a Channel that names it', () => {
    const own = `{apiVersion: ${needs.channelVersion}, kind: ${c.channelKind}, metadata: {name: c}, spec: {}}\n---\n`
    expect(planOf(needs.manifests + own + subscription('{}', c.channelKind)).subscriptions[0]?.from).toEqual({
      stream: `${c.channelKind.toLowerCase()}/default/c`,
    })
    const behind = planOf(needs.manifests + own + channel(template(c.channelKind)) + subscription('{}', c.channelKind))
    expect(behind.streams.map((s) => s.key)).toEqual(['channel/default/c'])
    expect(behind.subscriptions[0]?.from).toEqual({ stream: 'channel/default/c' })
    expect(behind.notices.join()).toContain(`${c.channelKind} default/c is the Channel of that name`)
    expect(read(needs.manifests + own + channel()).texts).toEqual([
      expect.stringContaining(
        `${c.channelKind} default/c: metadata.name: stands beside the Channel default/c, whose kind is InMemoryChannel; leave one`,
      ),
    ])
  })

  test('refuses what it cannot do, by the name of the annotation', () => {
    const faults = (onBroker: Readonly<Record<string, string>>, onTrigger: Readonly<Record<string, string>>): readonly string[] =>
      read(needs.manifests + broker(name, '', onBroker) + trigger(onTrigger)).texts
    const refused = (annotation: string, value: string, can: boolean): void =>
      expect(faults({}, { [annotation]: value })).toEqual(
        can
          ? []
          : [expect.stringContaining(`metadata.annotations["${annotation}"]: is "${value}", which ${name} cannot do; allowed:`)],
      )
    for (const order of ['unordered', 'ordered', 'key'] as const)
      refused('sluice.dev/delivery-order', order, c.can.order.includes(order))
    refused('kafka.eventing.knative.dev/delivery.order', 'ordered', c.can.order.includes('ordered'))
    refused('sluice.dev/start', 'latest', true)
    refused('sluice.dev/start', 'earliest', c.can.startEarliest)
    refused('sluice.dev/start', '2026-01-31T12:00:00Z', c.can.startTime)
    for (const [annotation, value] of KEEPING) {
      const said = `Broker default/b: metadata.annotations["${annotation}"]: is not for a stream on ${name}, where its system says`
      expect(faults({ [annotation]: value }, {})).toEqual(c.can.keeps ? [] : [expect.stringContaining(said)])
    }
    expect(faults({ 'sluice.dev/dedup-window': '1m', 'sluice.dev/max-event-bytes': '1Mi' }, {})).toEqual([])
  })
})

const KEEPING = [
  ['sluice.dev/stream', 'memory'],
  ['sluice.dev/retention', '1h'],
  ['sluice.dev/max-bytes', '1Gi'],
  ['sluice.dev/max-unsettled', '1Gi'],
] as const

test('the page of message systems says of each class what it can, and of no other', () => {
  const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'message-systems.md'), 'utf8')
  const section = page.split('\n## ').find((part) => part.startsWith('Classes\n')) ?? ''
  const rows = section.split('\n').filter((line) => line.startsWith('| `'))
  const replays = { beside: 'beside the live one', rewind: '`--rewind`', none: 'no' }
  const expected = STREAM_CLASSES.map(({ brokerClasses, channelKind, can }) => {
    const starts = ['latest', ...(can.startEarliest ? ['earliest'] : []), ...(can.startTime ? ['a time'] : [])]
    const names = brokerClasses.map((name) => `\`${name}\``)
    return `| ${[names.join(', '), channelKind, can.order.join(', '), starts.join(', '), replays[can.replay]].join(' | ')} |`
  })
  expect(rows).toEqual(expected)
})

describe('a Broker that stands on channels', () => {
  const onKafka = configMap('t', { 'channel-template-spec': template('KafkaChannel', '{numPartitions: 6}') })

  test.each(['', 'MTChannelBasedBroker', 'ChannelBasedBroker'])(
    "of class %j has Knative's channel of its template",
    (brokerClass) => {
      const { streams } = planOf(KAFKA + onKafka + broker(brokerClass, 't') + trigger())
      expect(streams[0]).toMatchObject({
        key: 'broker/default/b',
        system: 'kafka',
        settings: {
          topic: 'knative-messaging-kafka.default.b-kne-trigger',
          create: { partitions: 6 },
          channel: 'default.b-kne-trigger',
        },
      })
    },
  )

  test('reads the older key and the defaults of the cluster and of the namespace', () => {
    const older = configMap('t', { channelTemplateSpec: template('KafkaChannel') })
    const kafka = { 'broker/default/b': 'knative-messaging-kafka.default.b-kne-trigger' }
    expect(topics(read(KAFKA + older + broker('', 't')))).toEqual(kafka)
    const defaults = (text: string): string => configMap('config-br-defaults', { 'default-br-config': text })
    const at = `{brokerClass: MTChannelBasedBroker, apiVersion: v1, kind: ConfigMap, name: t, namespace: ${EVENTING}}`
    expect(topics(read(KAFKA + older + defaults(`clusterDefault: ${at}`) + broker('')))).toEqual(kafka)
    expect(topics(read(KAFKA + older + defaults(`namespaceDefaults: {default: ${at}}`) + broker('')))).toEqual(kafka)
    expect(topics(read(KAFKA + older + defaults(`namespaceDefaults: {other: ${at}}`) + broker('')))).toEqual({
      'broker/default/b': 'embedded',
    })
    const shipped = configMap('config-br-default-channel', { 'channel-template-spec': template('KafkaChannel') })
    expect(topics(read(KAFKA + shipped + broker('')))).toEqual(kafka)
  })

  test('takes the defaults of its own class only', () => {
    const defaults = configMap('config-br-defaults', {
      'default-br-config': `clusterDefault: {brokerClass: Kafka, apiVersion: v1, kind: ConfigMap, name: t, namespace: ${EVENTING}}`,
    })
    expect(topics(read(defaults + broker('MTChannelBasedBroker')))).toEqual({ 'broker/default/b': 'embedded' })
  })

  test('takes what is said for its class before what is said for all', () => {
    const at = (name: string): string =>
      `{apiVersion: v1, kind: ConfigMap, name: ${name}, namespace: ${EVENTING}, delivery: {retry: 3}}`
    const all = `clusterDefault: {brokerClass: Kafka, apiVersion: v1, kind: ConfigMap, name: kafka-broker-config, namespace: ${EVENTING}, brokerClasses: {MTChannelBasedBroker: ${at('t')}}}`
    const defaults = configMap('config-br-defaults', { 'default-br-config': all })
    const { streams, subscriptions } = planOf(KAFKA + onKafka + defaults + broker('MTChannelBasedBroker') + trigger())
    expect(streams[0]?.settings['topic']).toBe('knative-messaging-kafka.default.b-kne-trigger')
    expect(subscriptions[0]?.delivery.retry).toBe(3)
    expect(
      planOf(KAFKA + configMap('kafka-broker-config', { 'bootstrap.servers': 'one:9092' }) + defaults + broker('')).streams[0]
        ?.settings['topic'],
    ).toBe('knative-broker-default-b')
  })

  test('has the class of the cluster where its namespace says something else only', () => {
    const defaults = configMap('config-br-defaults', {
      'default-br-config': '{clusterDefault: {brokerClass: Kafka}, namespaceDefaults: {default: {delivery: {retry: 3}}}}',
    })
    const where = configMap('kafka-broker-config', { 'bootstrap.servers': 'one:9092' })
    const { streams, subscriptions } = planOf(where + defaults + broker('') + trigger())
    expect([streams[0]?.system, subscriptions[0]?.delivery.retry]).toEqual(['kafka', 3])
  })

  test('of the first spelling names the channel itself', () => {
    const old = (of: string): string =>
      `{apiVersion: eventing.knative.dev/v1alpha1, kind: Broker, metadata: {name: b}, spec: {channelTemplateSpec: ${of}}}\n---\n`
    expect(topics(read(KAFKA + old(template('KafkaChannel'))))).toEqual({
      'broker/default/b': 'knative-messaging-kafka.default.b-kne-trigger',
    })
    expect(read(KAFKA + old(template('KafkaChannel', '{numPartitions: 0}'))).texts).toEqual([
      'm.yaml:3: Broker default/b: spec.channelTemplateSpec.spec.numPartitions: is 0, must be a whole number of at least 1',
    ])
  })

  test('stands on the embedded stream where nothing, or no more than Knative ships, is said', () => {
    for (const config of ['', 'config-br-default-channel', 'imc-channel'])
      expect(topics(read(broker('MTChannelBasedBroker', config)))).toEqual({ 'broker/default/b': 'embedded' })
  })

  test.each([
    ['a ConfigMap that is not there', '', `there is no ConfigMap ${EVENTING}/t that says which channel it stands on`],
    ['one without the key', configMap('t', {}), `ConfigMap ${EVENTING}/t: channel-template-spec is missing`],
  ])('with %s is accepted, takes nothing, and says so', (_what, before, message) => {
    const r = read(KAFKA + before + broker('', 't'))
    expect(r.texts).toEqual([])
    expect(r.plan.streams).toEqual([])
    expect(unresolved(r, 'broker/default/b')).toEqual([{ condition: 'ConfigParsed', reason: 'ConfigMissing', message }])
  })

  test.each([
    ['a template that is no YAML', '{', 'data.channel-template-spec: is no YAML: '],
    ['a template without a kind', '{apiVersion: v1}', 'data.channel-template-spec: kind is missing, must be a string'],
    [
      'a kind nobody knows',
      template('NatssChannel'),
      'data.channel-template-spec: kind is "NatssChannel", must be one of InMemoryChannel, KafkaChannel',
    ],
    [
      'a field its kind does not have',
      template('KafkaChannel', '{partitions: 3}'),
      'data.channel-template-spec: spec.partitions unknown field; allowed: numPartitions, ',
    ],
  ])('refuses %s where it stands', (_what, text, message) => {
    const { texts } = read(KAFKA + configMap('t', { 'channel-template-spec': text }) + broker('', 't'))
    expect(texts).toEqual([expect.stringContaining(`m.yaml:3: ConfigMap ${EVENTING}/t: ${message}`)])
  })

  test('keeps the positions of the Subscriptions that Knative made for its Triggers', () => {
    const child = `{apiVersion: messaging.knative.dev/v1, kind: Subscription, metadata: {name: b-t-t-uid, uid: s-uid, ownerReferences: [{kind: Trigger, name: t, controller: true}]}, spec: {channel: {apiVersion: m, kind: KafkaChannel, name: b-kne-trigger}, subscriber: {uri: "http://a.example"}}}\n---\n`
    const { childUids, subscriptions } = planOf(KAFKA + onKafka + broker('', 't') + trigger() + child)
    expect(childUids).toEqual({ 'trigger/default/t': 's-uid' })
    expect(subscriptions.map((s) => s.key)).toEqual(['trigger/default/t'])
    const step = child.replace('b-t-t-uid', 'q-kn-sequence-0').replace('kind: Trigger, name: t', 'kind: Sequence, name: q')
    const flow = planOf(KAFKA + sequence(template('KafkaChannel')) + step)
    expect(flow.childUids).toEqual({ 'subscription/default/q-kn-sequence-0': 's-uid' })
    expect(flow.subscriptions.map((s) => s.key)).toContain('subscription/default/q-kn-sequence-0')
  })
})

describe('channels that name no kind', () => {
  const defaults = (text: string): string => configMap('default-ch-webhook', { 'default-ch-config': text })
  const kafka = template('KafkaChannel', '{numPartitions: 3}')

  test('have that of their namespace, else that of the cluster, else the embedded stream', () => {
    const both = `{clusterDefault: ${template('InMemoryChannel')}, namespaceDefaults: {default: ${kafka}}}`
    const topic = { 'channel/default/c': 'knative-messaging-kafka.default.c' }
    expect(topics(read(KAFKA + defaults(both) + channel()))).toEqual(topic)
    expect(topics(read(KAFKA + defaults(`{clusterDefault: ${kafka}}`) + channel(template('Channel'))))).toEqual(topic)
    expect(topics(read(KAFKA + defaults(`{namespaceDefaults: {other: ${kafka}}}`) + channel()))).toEqual({
      'channel/default/c': 'embedded',
    })
    const flow = sequence('null').replace('channelTemplate: null, ', '')
    expect(topics(read(KAFKA + defaults(both) + flow))).toEqual({
      'kafkachannel/default/q-kn-sequence-0': 'knative-messaging-kafka.default.q-kn-sequence-0',
      'kafkachannel/default/q-kn-sequence-1': 'knative-messaging-kafka.default.q-kn-sequence-1',
    })
  })

  test.each([
    ['{', 'is no YAML: '],
    ['text', 'must be an object with clusterDefault and namespaceDefaults'],
    ['{clusterDefault: {kind: KafkaChannel}}', 'clusterDefault.apiVersion is missing, must be a string'],
    [
      `{namespaceDefaults: {default: ${template('FooChannel')}}}`,
      'namespaceDefaults.default.kind is "FooChannel", must be one of InMemoryChannel, KafkaChannel',
    ],
  ])('refuse %s in the ConfigMap', (text, message) => {
    expect(read(KAFKA + defaults(text) + channel()).texts).toEqual([
      expect.stringContaining(`m.yaml:3: ConfigMap ${EVENTING}/default-ch-webhook: data.default-ch-config: ${message}`),
    ])
  })
})

test('a topic has one stream: two would get some of the events each', () => {
  const onKafka = configMap('t', { 'channel-template-spec': template('KafkaChannel') })
  const own = '{apiVersion: messaging.knative.dev/v1, kind: KafkaChannel, metadata: {name: b-kne-trigger}, spec: {}}\n---\n'
  expect(read(KAFKA + onKafka + broker('', 't') + own).texts).toEqual([
    'm.yaml:7: KafkaChannel default/b-kne-trigger: metadata.name: would stand on the topic knative-messaging-kafka.default.b-kne-trigger, where Broker default/b stands already; leave one of them out, or give it a topic of its own',
  ])
  // As a dump has it: made by the Broker's controller.
  const made = own.replace('b-kne-trigger}', 'b-kne-trigger, ownerReferences: [{kind: Broker, name: b, controller: true}]}')
  expect(planOf(KAFKA + onKafka + broker('', 't') + made).streams.map((s) => s.key)).toEqual(['broker/default/b'])
})

test('a template of a kind nobody knows is refused in the Channel and once in a flow', () => {
  const message = 'spec.channelTemplate.kind: is "FooChannel", must be one of InMemoryChannel, KafkaChannel'
  expect(read(channel(template('FooChannel'))).texts).toEqual([expect.stringContaining(`Channel default/c: ${message}`)])
  expect(read(sequence(template('FooChannel'))).texts).toEqual([expect.stringContaining(`Sequence default/q: ${message}`)])
})

test('what a stream stands on cannot change while it runs, wherever that was said', () => {
  const change = (before: string, after: string): readonly string[] => read(after, { running: read(before).immutables }).texts
  const of = (kind: string): string => configMap('t', { 'channel-template-spec': template(kind) })
  const moved = 'spec: now stands on Kafka, stood on the embedded stream, and cannot move while it runs; take the'
  const rows: readonly [string, string, string][] = [
    ['Broker default/b', of('InMemoryChannel') + broker('', 't'), of('KafkaChannel') + broker('', 't')],
    [
      'Broker default/b',
      broker(''),
      configMap('config-br-defaults', { 'default-br-config': 'clusterDefault: {brokerClass: Kafka}' }) + broker(''),
    ],
    [
      'Channel default/c',
      channel(),
      configMap('default-ch-webhook', { 'default-ch-config': `clusterDefault: ${template('KafkaChannel')}` }) + channel(),
    ],
  ]
  for (const [who, before, after] of rows) {
    expect(change(KAFKA + before, KAFKA + before)).toEqual([])
    expect(change(KAFKA + before, KAFKA + after)).toEqual([expect.stringContaining(`${who}: ${moved}`)])
  }
  expect(change(KAFKA + broker('MTChannelBasedBroker'), KAFKA + broker('Kafka'))).toEqual([
    expect.stringContaining('metadata.annotations["eventing.knative.dev/broker.class"]: is "Kafka", was "MTChannelBasedBroker"'),
  ])
})

import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Plan } from '../../src/contract/plan.ts'
import { childName } from '../../src/resources/rabbitmq-class.ts'
import { managementOf, uriOf } from '../../src/resources/rabbitmq-cluster.ts'
import { Secret } from '../../src/runtime/secret.ts'
import { item, planOf, read } from './planning.ts'

const KEY = 'rabbitmqsource/default/orders'
const secret = (data: Readonly<Record<string, string>>, name = 'mq', namespace = 'default'): string =>
  `{apiVersion: v1, kind: Secret, metadata: {name: ${name}, namespace: ${namespace}}, stringData: ${JSON.stringify(data)}}\n---\n`
const LOGIN = { username: 'alice', password: 'hunter2' }
const SECRET = secret({ uri: 'mq.example:15672', port: '5673', ...LOGIN })
const source = (resources: string, more = '', annotations = '{}'): string =>
  `apiVersion: sources.knative.dev/v1alpha1\nkind: RabbitmqSource\nmetadata: {name: orders, annotations: ${annotations}}\nspec:\n  rabbitmqClusterReference: {connectionSecret: {name: mq}}\n  rabbitmqResourcesConfig: ${resources}\n  sink: {uri: http://a.example}\n${more}`
const settingsOf = (plan: Plan): Readonly<Record<string, unknown>> => item(plan.sources, KEY).settings

describe('a RabbitmqSource', () => {
  test('reads a queue that it makes with its exchange, one after the other, as its CRD has it', () => {
    const plan = planOf(SECRET + source('{queueName: q, exchangeName: e, vhost: v}'))
    expect(settingsOf(plan)).toEqual({
      hosts: ['mq.example:5673'],
      vhost: 'v',
      user: 'alice',
      password: new Secret('hunter2'),
      tls: null,
      management: 'http://mq.example:15672',
      queue: 'q',
      ordered: true,
      declare: {
        queueType: 'quorum',
        durable: true,
        autoDelete: false,
        exclusive: false,
        exchange: 'e',
        exchangeType: 'headers',
        exchangeDurable: true,
        exchangeAutoDelete: false,
        exchangeInternal: false,
        routingKeys: [''],
      },
      source: '/apis/v1/namespaces/default/rabbitmqsources/orders#q',
    })
    expect(JSON.stringify(plan)).not.toContain('hunter2')
    expect(item(plan.subscriptions, KEY)).toMatchObject({ from: { source: KEY }, order: 'ordered', target: `${KEY}#sink` })
  })

  test('has as many attempts at once as it has workers, and what is written counts', () => {
    const many = planOf(SECRET + source('{queueName: q, parallelism: 20, predeclared: true}'))
    expect(settingsOf(many)).toMatchObject({ ordered: false, declare: null })
    expect(item(many.subscriptions, KEY)).toMatchObject({ order: 'unordered', limits: { maxConcurrency: 20 } })
    const own = '{sluice.dev/delivery-order: unordered, sluice.dev/max-concurrency: "3"}'
    const written = planOf(SECRET + source('{queueName: q}', '', own))
    expect(settingsOf(written)).toMatchObject({ ordered: false })
    expect(item(written.subscriptions, KEY)).toMatchObject({ order: 'unordered', limits: { maxConcurrency: 3 } })
  })

  test('is read in its first shapes, with flat fields in either spelling', () => {
    const login = secret({ u: 'bob', p: 'builder' })
    const head =
      'kind: RabbitmqSource\nmetadata: {name: orders}\nspec:\n  brokers: "mq.example:5672/"\n  sink: {uri: http://a.example}\n'
    const keys = '  user: {secretKeyRef: {name: mq, key: u}}\n  password: {secretKeyRef: {name: mq, key: p}}\n'
    const snake =
      '  topic: t\n  channel_config: {prefetch_count: 10}\n  exchange_config: {type: topic, durable: true}\n  queue_config: {name: q, routing_key: "a,b", delete_when_unused: true}\n'
    const camel =
      '  topic: t\n  channelConfig: {prefetchCount: 10}\n  exchangeConfig: {type: topic, durable: true}\n  queueConfig: {name: q, routingKey: "a,b", autoDelete: true}\n'
    for (const [version, words] of [
      ['sources.knative.dev/v1alpha1', snake],
      ['sources.knative.dev/v1alpha1', camel],
      ['sources.eventing.knative.dev/v1alpha1', snake],
    ] as const) {
      const plan = planOf(`${login}apiVersion: ${version}\n${head}${keys}${words}`)
      expect(settingsOf(plan)).toMatchObject({ hosts: ['mq.example:5672'], user: 'bob', queue: 'q', vhost: '/' })
      expect(settingsOf(plan)['declare']).toMatchObject({
        queueType: 'classic',
        exchange: 't',
        exchangeType: 'topic',
        autoDelete: true,
        routingKeys: ['a', 'b'],
      })
      expect(item(plan.subscriptions, KEY).limits.maxConcurrency).toBe(10)
    }
  })

  test('says in its status what is missing, by name', () => {
    for (const [yaml, why] of [
      [source('{queueName: q}'), 'Secret default/mq: it is missing'],
      [secret({ uri: 'a:1' }) + source('{queueName: q}'), 'username or password is missing'],
      [secret(LOGIN) + source('{queueName: q}'), 'neither uri nor host'],
    ] as const) {
      const r = read(yaml)
      expect(r.texts).toEqual([])
      expect(item(r.plan.resources, KEY).unresolved[0]).toMatchObject({
        condition: 'ConnectionEstablished',
        reason: 'SecretMissing',
        message: expect.stringContaining(why) as string,
      })
      expect(r.plan.sources).toEqual([])
    }
  })

  test.for([
    ['{exchangeName: e}', 'queueName'],
    ['{queueName: ""}', 'must be a name of 1 to 255 bytes'],
    ['{queueName: q, parallelism: 0}', 'must be a whole number from 1 to 1000'],
    ['{queueName: q, queueType: stream}', 'must be one of quorum, classic'],
    ['{queueName: q, typo: 1}', 'typo'],
  ] as const)('refuses %s', ([resources, why]) => {
    expect(read(SECRET + source(resources)).texts.join('\n')).toContain(why)
  })
})

describe('where RabbitMQ is', () => {
  test.for([
    ['amqp://u:p%40@h:1/v%2Fw', { hosts: ['h'], port: '1', tls: false, user: 'u', password: 'p@', vhost: 'v/w' }],
    ['amqps://h', { hosts: ['h'], port: '', tls: true }],
    ['https://h:15671', { hosts: ['h'], port: '', tls: false, vhost: '' }],
    ['h:15672', { hosts: ['h'] }],
    ['a:1, b:2', { hosts: ['a:1', 'b:2'] }],
  ] as const)('is read from %s', ([text, want]) => {
    expect(uriOf(text)).toMatchObject(want)
  })

  test.for(['', 'a b', 'http://', ',', 'user@host'])('is not read from %j', (text) => {
    expect(uriOf(text)).toBeNull()
  })

  test.for([
    ['https://h:15671/', 'https://h:15671'],
    ['http://h', 'http://h'],
    ['h:15672', 'http://h:15672'],
    ['h:15671', 'https://h:15671'],
    ['h:5672', ''],
    ['amqp://h', ''],
    ['', ''],
  ] as const)('%j names the management %j', ([text, url]) => {
    expect(managementOf(text)).toBe(url)
  })

  test('may be a cluster of the operator, whose Secret and service are known by name', () => {
    const yaml = `${secret(LOGIN, 'rabbit-default-user', 'mq')}apiVersion: sources.knative.dev/v1\nkind: RabbitmqSource\nmetadata: {name: orders}\nspec: {rabbitmqClusterReference: {name: rabbit, namespace: mq}, rabbitmqResourcesConfig: {queueName: q}, sink: {uri: http://a.example}}\n`
    expect(settingsOf(planOf(yaml))).toMatchObject({ hosts: ['rabbit.mq.svc:5672'], user: 'alice' })
  })

  test('is TLS where the Secret says so or brings an authority', () => {
    for (const more of [{ ssl: 'true' }, { 'ca.crt': 'CA', 'tls.crt': 'CERT', 'tls.key': 'KEY' }]) {
      const settings = settingsOf(planOf(secret({ uri: 'h', ...LOGIN, ...more }) + source('{queueName: q}')))
      expect(settings['hosts']).toEqual(['h:5671'])
      expect(settings['tls']).not.toBeNull()
    }
  })
})

describe('a Broker of class RabbitMQBroker', () => {
  const CLASS = '{eventing.knative.dev/broker.class: RabbitMQBroker}'
  const broker = (config: string): string =>
    `{apiVersion: eventing.knative.dev/v1, kind: Broker, metadata: {name: b, uid: 12345678-1234-1234-1234-123456789012, annotations: ${CLASS}}, spec: {config: ${config}}}\n---\n`
  const config = (spec: string): string =>
    `{apiVersion: eventing.knative.dev/v1alpha1, kind: RabbitmqBrokerConfig, metadata: {name: c}, spec: ${spec}}\n---\n`
  const REF = '{apiVersion: eventing.knative.dev/v1alpha1, kind: RabbitmqBrokerConfig, name: c, namespace: default}'

  test('has the exchange, the queue type and the vhost of its RabbitmqBrokerConfig', () => {
    const spec = '{rabbitmqClusterReference: {connectionSecret: {name: mq}}, queueType: classic, vhost: v}'
    const plan = planOf(SECRET + config(spec) + broker(REF))
    expect(item(plan.streams, 'broker/default/b')).toMatchObject({
      system: 'rabbitmq',
      settings: {
        hosts: ['mq.example:5673'],
        vhost: 'v',
        queueType: 'classic',
        exchange: 'b.default.b.12345678-1234-1234-1234-123456789012',
        role: 'broker',
      },
    })
  })

  test.for([
    ['{apiVersion: v1, kind: Secret, name: mq, namespace: default}', SECRET],
    ['{apiVersion: rabbitmq.com/v1beta1, kind: RabbitmqCluster, name: mq, namespace: default}', secret(LOGIN, 'mq-default-user')],
  ] as const)('takes %s as well', ([ref, more]) => {
    expect(planOf(more + broker(ref)).streams).toHaveLength(1)
  })

  test('says what is missing', () => {
    for (const ref of [REF, '{apiVersion: v1, kind: Deployment, name: x, namespace: default}']) {
      const r = read(broker(ref))
      expect(r.plan.streams).toEqual([])
      expect(item(r.plan.resources, 'broker/default/b').unresolved[0]?.reason).toBe('ConfigMissing')
    }
  })

  test('long names end in a hash, as Knative has it', () => {
    const uid = '12345678-1234-1234-1234-123456789012'
    const parent = `b.default.${'x'.repeat(60)}.`
    const name = childName(parent, uid)
    expect(name).toMatch(/^b\.default\.x{21}[0-9a-f]{32}$/)
    expect(childName(parent, 'short')).toMatch(/^b\.default\.x{16}[0-9a-f]{32}short$/)
    expect(childName('short.', uid)).toBe(`short.${uid}`)
  })
})

test('the example is sound, and all of it stands on RabbitMQ', () => {
  const plan = planOf(readFileSync(new URL('../../examples/rabbitmq/rabbitmq.yaml', import.meta.url), 'utf8'))
  expect([...plan.streams, ...plan.sources].map((x) => x.system)).toEqual(['rabbitmq', 'rabbitmq'])
  expect(plan.resources.flatMap((r) => r.unresolved)).toEqual([])
})

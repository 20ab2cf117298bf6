import { describe, expect, test } from 'vitest'
import { Secret } from '../../src/runtime/secret.ts'
import { item, planOf, read } from './planning.ts'

const configMap = (eventing: string, name = 'config-nats', namespace = 'knative-eventing'): string =>
  `${JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data: { 'eventing-nats': eventing } })}\n---\n`
const secret = (name: string, data: Readonly<Record<string, string>>): string =>
  `${JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'knative-eventing' }, stringData: data })}\n---\n`
const broker = (annotations: Readonly<Record<string, string>> = {}): string =>
  `${JSON.stringify({
    apiVersion: 'eventing.knative.dev/v1',
    kind: 'Broker',
    metadata: {
      name: 'my-broker',
      namespace: 'shop',
      annotations: { 'eventing.knative.dev/broker.class': 'NatsJetStream', ...annotations },
    },
  })}\n---\n`
const channel = (spec: unknown): string =>
  `${JSON.stringify({ apiVersion: 'messaging.knative.dev/v1alpha1', kind: 'NatsJetStreamChannel', metadata: { name: 'my-channel' }, spec })}\n---\n`
const WHERE = configMap('url: nats://one.example:4222')
const CONFIG = 'natsjetstream.eventing.knative.dev/config'

const settingsOf = (yaml: string, key = 'broker/shop/my-broker'): Readonly<Record<string, unknown>> =>
  item(planOf(yaml).streams, key).settings

describe('names', () => {
  test("of a Broker are those of Knative's broker on JetStream", () => {
    expect(item(planOf(WHERE + broker()).streams, 'broker/shop/my-broker')).toMatchObject({
      system: 'nats',
      settings: {
        servers: ['nats://one.example:4222'],
        login: null,
        tls: null,
        subject: 'shop.my-broker._knative_broker.events',
        stream: {
          name: 'KN_BROKER_SHOP__MY_BROKER',
          subjects: ['shop.my-broker._knative_broker.>'],
          retention: 'limits',
          discard: 'old',
          storage: 'file',
        },
      },
    })
  })

  test('of a channel are those of eventing-natss, with what its spec says', () => {
    const spec = {
      stream: { config: { additionalSubjects: ['a.b'], discard: 'New', maxAge: '168h', maxBytes: 10, storage: 'Memory' } },
      consumerConfigTemplate: { deliverPolicy: 'ByStartSequence', optStartSeq: 5, ackWait: '10s', maxDeliver: 7 },
    }
    expect(settingsOf(WHERE + channel(spec), 'natsjetstreamchannel/default/my-channel')).toMatchObject({
      subject: 'default.my-channel._knative',
      stream: {
        name: 'KN_DEFAULT__MY_CHANNEL',
        subjects: ['default.my-channel._knative', 'a.b'],
        discard: 'new',
        maxAgeMs: 604_800_000,
        maxBytes: 10,
        storage: 'memory',
      },
      consumer: { start: { at: 'sequence', sequence: 5 }, ackWaitMs: 10_000 },
    })
  })

  test('a stream of a name of its own is taken where that is a name', () => {
    const named = (overrideName: string): string => WHERE + channel({ stream: { overrideName } })
    expect(settingsOf(named('ORDERS'), 'natsjetstreamchannel/default/my-channel')).toMatchObject({ stream: { name: 'ORDERS' } })
    expect(read(named('a.b')).texts).toEqual([expect.stringContaining('spec.stream.overrideName: is "a.b"')])
  })
})

describe('where NATS is', () => {
  test.each([
    ['nats://a:4222, b:4223', ['nats://a:4222', 'nats://b:4223'], null, null],
    ['tls://a:4222', ['nats://a:4222'], null, { ca: '', cert: '', key: null }],
    ['nats://alice:w%40nder@a:4222', ['nats://a:4222'], { kind: 'user', user: 'alice', password: new Secret('w@nder') }, null],
    ['nats://t0ken@a', ['nats://a'], { kind: 'token', token: new Secret('t0ken') }, null],
  ])('is said by the URL %s', (url, servers, login, tls) => {
    const settings = settingsOf(configMap(JSON.stringify({ url })) + broker())
    expect(settings).toMatchObject({ servers, login, tls })
    expect(JSON.stringify(settings)).not.toMatch(/w@nder|t0ken/)
  })

  test.each([
    ['user and password', { user: 'u', password: 'hunter2' }, { kind: 'user', user: 'u', password: new Secret('hunter2') }],
    ['a token', { token: 'hunter2' }, { kind: 'token', token: new Secret('hunter2') }],
    ['an nkey', { nkey: 'hunter2' }, { kind: 'nkey', seed: new Secret('hunter2') }],
  ])('we are let in with %s', (_what, data, login) => {
    const where = configMap('{url: "nats://a", auth: {secret: {name: nats}}}')
    const settings = settingsOf(where + secret('nats', data as Record<string, string>) + broker())
    expect(settings['login']).toEqual(login)
    expect(JSON.stringify(settings)).not.toContain('hunter2')
  })

  test('we are let in with a credentials file, a client certificate and an authority, as Knative has them', () => {
    const ca = Buffer.from('CA').toString('base64')
    const where = configMap(
      `{url: "nats://a", auth: {credentialFile: {secret: {name: c, key: my.creds}}, tls: {secret: {name: t}}}, tls: {caBundle: ${ca}}}`,
    )
    const secrets = secret('c', { 'my.creds': 'JWT' }) + secret('t', { 'tls.crt': 'CERT', 'tls.key': 'KEY' })
    expect(settingsOf(where + secrets + broker())).toMatchObject({
      login: { kind: 'creds', creds: new Secret('JWT') },
      tls: { ca: 'CA', cert: 'CERT', key: new Secret('KEY') },
    })
  })

  test.each([
    ['no ConfigMap', '', 'there is no ConfigMap knative-eventing/config-nats'],
    ['text that is no YAML', configMap('a: [', 'config-nats'), 'is no YAML'],
    ['a URL of something else', configMap('url: http://a'), 'url must be nats://host:port'],
    ['a field nobody knows', configMap('urls: nats://a'), 'unknown field'],
    ['a Secret that is missing', configMap('{auth: {secret: {name: s}}}'), 'Secret knative-eventing/s: it is missing'],
    [
      'a Secret without a login',
      configMap('{auth: {secret: {name: s}}}') + secret('s', { a: 'b' }),
      'it must have user and password',
    ],
    ['no credentials file', configMap('{auth: {credentialFile: {secret: {name: s}}}}') + secret('s', {}), 'nats.creds'],
    ['no authority', configMap('{tls: {secret: {name: s}}}') + secret('s', {}), 'ca.crt'],
    ['half a certificate', configMap('{auth: {tls: {secret: {name: s}}}}') + secret('s', { 'tls.crt': 'a' }), 'tls.key'],
  ])('%s: the Broker takes nothing, and its status says why', (_what, before, message) => {
    const r = read(before + broker())
    expect(r.texts).toEqual([])
    expect(r.plan.streams).toEqual([])
    expect(item(r.plan.resources, 'broker/shop/my-broker').unresolved).toEqual([
      expect.objectContaining({ condition: 'ConfigReady', message: expect.stringContaining(message) as string }),
    ])
  })

  test('is in the second ConfigMap of Knative where the first is missing', () => {
    const yaml = configMap('url: nats://two', 'config-nats-broker') + broker()
    expect(settingsOf(yaml)['servers']).toEqual(['nats://two'])
  })
})

describe("a Broker's streams", () => {
  const defaults = `${JSON.stringify({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'natsjetstream-broker-config', namespace: 'shop' },
    data: { config: 'clusterDefault: {stream: {replicas: 1}}\nnamespaceDefaults: {shop: {stream: {replicas: 3}}}' },
  })}\n---\n`

  test('are made as the namespace has it, and as its annotation says before that', () => {
    expect(settingsOf(WHERE + defaults + broker())).toMatchObject({ stream: { replicas: 3 } })
    const own = broker({ [CONFIG]: '{"stream": {"replicas": 5}, "consumer": {"maxAckPending": 9}, "filter": {"replicas": 2}}' })
    expect(settingsOf(WHERE + defaults + own)).toMatchObject({ stream: { replicas: 5 }, consumer: { maxAckPending: 9 } })
  })

  test('what the annotation says wrongly is a fault at it', () => {
    for (const text of ['{', '{"stream": {"replicas": 9}}', '{"streams": {}}'])
      expect(read(WHERE + broker({ [CONFIG]: text })).texts).toEqual([expect.stringContaining(CONFIG)])
  })
})

test('what the gateway cannot keep, or what would keep nothing, is refused by its field', () => {
  const faults = (spec: unknown): readonly string[] => read(WHERE + channel(spec)).texts
  expect(faults({ stream: { config: { noAck: true } } })).toEqual([expect.stringContaining('spec.stream.config.noAck')])
  expect(faults({ stream: { config: { mirror: { name: 'x' } } } })).toEqual([expect.stringContaining('overrideName')])
  expect(faults({ stream: { config: { maxAge: 'P1D' } } })).toEqual([expect.stringContaining('such as 30s, 10m or 168h')])
  expect(faults({ retention: 'Limits' })).toEqual([expect.stringContaining('unknown field')])
})

test('the stream of a channel cannot change while it runs, its consumers may', () => {
  const yaml = WHERE + channel({ stream: { config: { maxMsgs: 5 } } })
  const { immutables } = read(yaml)
  const change = (spec: unknown): readonly string[] => read(WHERE + channel(spec), { running: immutables }).texts
  expect(change({ stream: { config: { maxMsgs: 6 } } })).toEqual([expect.stringContaining('spec.stream')])
  expect(change({ stream: { config: { maxMsgs: 5 } }, consumerConfigTemplate: { ackWait: '5s' } })).toEqual([])
})

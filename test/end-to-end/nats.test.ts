import { randomUUID } from 'node:crypto'
import { RetentionPolicy } from '@nats-io/jetstream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { broker, post, type RunningGateway, startGateway, temporaryFolder, trigger } from '../gateway.ts'
import { natsTestClient, type NatsTestClient } from '../servers/nats-clients.ts'
import { type NatsServer, ownNats, startNats } from '../servers/nats.ts'
import { type Answer, type Sink, startSink } from '../sink.ts'
import { until } from '../until.ts'

const nats = ownNats()
const CHANNEL = { apiVersion: 'messaging.knative.dev/v1alpha1', kind: 'NatsJetStreamChannel' }

function config(url: string, more: Readonly<Record<string, unknown>> = {}): unknown {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'config-nats', namespace: 'knative-eventing' },
    data: { 'eventing-nats': JSON.stringify({ url, ...more }) },
  }
}

function secret(name: string, data: Readonly<Record<string, string>>): unknown {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'knative-eventing' }, stringData: data }
}

const channel = (name: string, spec: unknown = {}): unknown => ({ ...CHANNEL, metadata: { name }, spec })

function subscription(
  name: string,
  of: string,
  to: string,
  more: { uid?: string; spec?: Readonly<Record<string, unknown>> } = {},
) {
  return {
    apiVersion: 'messaging.knative.dev/v1',
    kind: 'Subscription',
    metadata: { name, ...(more.uid === undefined ? {} : { uid: more.uid }) },
    spec: { channel: { ...CHANNEL, name: of }, subscriber: { uri: to }, ...more.spec },
  }
}

const natsBroker = (name: string): unknown =>
  broker(name, { annotations: { 'eventing.knative.dev/broker.class': 'NatsJetStream' } })

/** As Knative's dispatcher writes an event: the JSON format, the id as message id. */
function knativeEvent(id: string): string {
  return JSON.stringify({ specversion: '1.0', id, source: '/knative', type: 'test.event', data: { id } })
}

const bare = (uid: string): string => uid.replaceAll('-', '').toUpperCase()
const upper = (name: string): string => name.toUpperCase().replaceAll('-', '_')

/** One server for all, each row with names of its own: several wait for what is due, so all run together. */
describe.skipIf(nats.skip)(`channels and Brokers on NATS JetStream${nats.note}`, () => {
  let server: NatsServer
  let client: NatsTestClient
  const gateways: RunningGateway[] = []
  const sinks: Sink[] = []
  beforeAll(async () => {
    server = await startNats({ maxPayload: 2 ** 20 })
    client = await natsTestClient(server.url)
  })
  afterAll(async () => {
    await Promise.all(gateways.splice(0).map((g) => g.stop()))
    await Promise.all(sinks.splice(0).map((s) => s.close()))
    await client.close()
    await server.stop()
  })

  const newName = (what: string): string => `${what}-${randomUUID().slice(0, 8)}`
  const gateway = async (manifests: readonly unknown[], data?: string): Promise<RunningGateway> => {
    const g = await startGateway({ manifests: [config(server.url), ...manifests], ...(data === undefined ? {} : { data }) })
    gateways.push(g)
    return g
  }
  const sink = async (answer?: Answer): Promise<Sink> => {
    const s = await startSink(answer)
    sinks.push(s)
    return s
  }
  const url = (g: RunningGateway, name: string): string => `${g.listen}/default/${name}`

  test.concurrent('a channel delivers, and its replies go on through the next; names and format are those of eventing-natss', async () => {
    const [one, two] = [newName('one'), newName('two')]
    const uid = randomUUID()
    const first = await sink((seen, response) =>
      response.writeHead(200, { 'ce-specversion': '1.0', 'ce-id': `re-${seen.id}`, 'ce-source': '/r', 'ce-type': 'reply' }).end(),
    )
    const last = await sink()
    const g = await gateway([
      channel(one),
      channel(two),
      subscription(one, one, first.url, { uid, spec: { reply: { ref: { ...CHANNEL, name: two } } } }),
      subscription(two, two, last.url),
    ])
    expect(await post(url(g, one), 'e1', {}, '{"n": 1}')).toBe(202)
    expect(await post(url(g, one), 'e2', { 'content-type': 'image/png' }, 'not text')).toBe(202)
    await until('the replies have come', () => last.counts().size === 2)
    expect([...last.counts().keys()].toSorted()).toEqual(['re-e1', 're-e2'])
    expect(first.seen.map((s) => s.body).toSorted()).toEqual(['not text', '{"n": 1}'])
    expect(Object.keys(last.seen[0]!.headers).filter((name) => /envelope|state|msg-id/.test(name))).toEqual([])
    const stream = `KN_DEFAULT__${upper(one)}`
    const info = await client.manager.streams.info(stream)
    expect(info.config.subjects).toEqual([`default.${one}._knative`])
    const consumer = await client.manager.consumers.info(stream, `KN_SUB_${bare(uid)}`)
    expect(consumer.config).toMatchObject({ ack_policy: 'explicit', max_deliver: -1 })
    const { headers, payload } = await client.stored(stream, 1)
    expect(headers).toMatch(/^Nats-Msg-Id: /m)
    expect(headers).toMatch(/^ce-id: e1$/m)
    expect(headers).not.toContain('sluice')
    expect(payload).toBe('{"n": 1}')
    await until('everything is acknowledged', async () => {
      const { num_ack_pending: open, ack_floor: floor } = await client.manager.consumers.info(stream, `KN_SUB_${bare(uid)}`)
      return open === 0 && floor.stream_seq === 2
    })
  })

  test.concurrent.each([
    ['a pull consumer', {}],
    ['a push consumer', { deliver_subject: 'default.moved.push', deliver_group: 'g' }],
  ])("goes on where Knative's dispatcher stopped, on %s", async (_what, more) => {
    const name = newName('moved')
    const uid = randomUUID()
    const stream = `KN_DEFAULT__${upper(name)}`
    const consumer = `KN_SUB_${bare(uid)}`
    await client.manager.streams.add({ name: stream, subjects: [`default.${name}._knative`] })
    for (let i = 0; i < 10; i++) await client.publish(`default.${name}._knative`, knativeEvent(`k${i}`), `k${i}`)
    if ('deliver_subject' in more) {
      const pushed = client.connection.subscribe(more.deliver_subject, { queue: more.deliver_group })
      await client.connection.flush()
      await client.consumer(stream, consumer, more)
      let taken = 0
      for await (const m of pushed) {
        m.respond('+ACK')
        if (++taken === 4) break
      }
    } else {
      await client.consumer(stream, consumer)
      await client.take(stream, consumer, 4)
    }
    await until('four are acknowledged', async () => {
      const { ack_floor: floor, push_bound: bound } = await client.manager.consumers.info(stream, consumer)
      return floor.stream_seq === 4 && !bound
    })
    const s = await sink()
    const g = await gateway([channel(name), subscription(name, name, s.url, { uid })])
    await until('the rest is delivered', () => s.counts().has('k9'))
    expect(await post(url(g, name), 'own')).toBe(202)
    await until('new ones as well', () => s.counts().has('own'))
    expect([...s.counts().keys()].toSorted()).toEqual(['k4', 'k5', 'k6', 'k7', 'k8', 'k9', 'own'])
    expect(s.seen[0]!.body).toBe('{"id":"k4"}')
  })

  test.concurrent('a long wait stands in JetStream with its attempts: another gateway without the data of the first goes on', async () => {
    const name = newName('waits')
    const failing = await sink((_seen, response) => response.writeHead(503).end())
    const dead = await sink()
    const delivery = { retry: 1, backoffPolicy: 'linear', backoffDelay: 'PT7S', deadLetterSink: { uri: dead.url } }
    // The same consumer for both, which data folders have no part in.
    const uid = randomUUID()
    const manifests = [channel(name), subscription(name, name, failing.url, { uid, spec: { delivery } })]
    const g = await gateway(manifests)
    expect(await post(url(g, name), 'e1')).toBe(202)
    const retries = `SLUICE_RETRY_KN_DEFAULT__${upper(name)}`
    await until('it waits there', async () => (await client.count(retries)) === 1)
    await until('and is acknowledged here', async () => {
      const info = await client.manager.consumers.info(`KN_DEFAULT__${upper(name)}`, `KN_SUB_${bare(uid)}`)
      return info.ack_floor.stream_seq === 1
    })
    await g.kill()
    expect(failing.seen).toHaveLength(1)
    const { headers } = await client.stored(retries, 1)
    expect(headers).toContain('sluice-state: ')
    await gateway(manifests, temporaryFolder())
    await until('the last attempt has failed', () => dead.seen.length === 1)
    expect(failing.seen.map((s) => s.id)).toEqual(['e1', 'e1'])
    expect(failing.seen[1]!.atMs - failing.seen[0]!.atMs).toBeGreaterThan(5_000)
    expect(dead.seen[0]!.headers['ce-knativeerrorcode']).toBe('503')
    await until('nothing is left there', async () => (await client.count(retries)) === 0)
  })

  test.concurrent('the limit of deliveries of a consumer that was there is taken away: a kill at the last loses nothing', async () => {
    const name = newName('limit')
    const uid = randomUUID()
    const stream = `KN_BROKER_DEFAULT__${upper(name)}`
    const consumer = `KN_TRIGGER_${bare(uid)}`
    await client.manager.streams.add({ name: stream, subjects: [`default.${name}._knative_broker.>`] })
    // As Knative makes it for a Trigger without retries.
    await client.consumer(stream, consumer, { max_deliver: 1, ack_wait: 1e9 })
    let hangs = true
    const s = await sink((_seen, response) => {
      if (!hangs) response.writeHead(200).end()
    })
    const manifests = [natsBroker(name), { ...(trigger(name, s.url, { broker: name }) as object), metadata: { name, uid } }]
    const first = await gateway(manifests)
    expect(await post(url(first, name), 'e1')).toBe(202)
    await until('its only delivery runs', () => s.seen.length === 1)
    await first.kill()
    hangs = false
    const second = await gateway(manifests)
    await until('it comes again', () => s.seen.length === 2)
    expect(s.seen[1]!.id).toBe('e1')
    await until('it is acknowledged', async () => {
      const { ack_floor: floor, config: found } = await client.manager.consumers.info(stream, consumer)
      return floor.stream_seq === 1 && found.max_deliver === -1
    })
    expect([...first.log, ...second.log].some((line) => line.includes('limit of deliveries'))).toBe(true)
  })

  test.concurrent('a full stream is 429, an event that the server does not take 413, and both say so', async () => {
    const name = newName('full')
    const s = await sink()
    const stream = { config: { maxMsgs: 3, discard: 'New' } }
    const g = await gateway([channel(name, { stream }), subscription(name, name, s.url)])
    const statuses: number[] = []
    for (let i = 0; i < 5; i++) statuses.push(await post(url(g, name), `e${i}`))
    expect(statuses).toEqual([202, 202, 202, 429, 429])
    expect(await post(url(g, name), 'big', {}, JSON.stringify('x'.repeat(2 ** 20 - 10)))).toBe(413)
    await until('those that were taken are delivered', () => s.counts().size === 3)
    await client.manager.streams.purge(`KN_DEFAULT__${upper(name)}`)
    await until('it takes again', async () => (await post(url(g, name), 'again')) === 202)
  })

  test.concurrent('bytes that are no event are parked and shown, the next event goes on, and what is unread is counted', async () => {
    const name = newName('raw')
    let open = (): void => {}
    const opened = new Promise<void>((resolve) => (open = resolve))
    const s = await sink((_seen, response) => void opened.then(() => response.writeHead(200).end()))
    const limits = { 'sluice.dev/max-concurrency': '1' }
    const g = await gateway([natsBroker(name), trigger(name, s.url, { broker: name, annotations: limits })])
    await until('the stream is made', async () => (await post(url(g, name), 'e0')) === 202)
    await client.publish(`default.${name}._knative_broker.other`, 'no event at all')
    const many = Array.from({ length: 1_500 }, (_, i) => `n${i}`)
    for (let i = 0; i < many.length; i += 500)
      expect(new Set(await Promise.all(many.slice(i, i + 500).map((id) => post(url(g, name), id))))).toEqual(new Set([202]))
    const backlog = async (): Promise<number> => {
      const { subscriptions } = await g.api<{ subscriptions: { waiting: number; backlog: number; parked: number }[] }>(
        '/api/v1/snapshot',
      )
      return subscriptions[0]!.backlog + subscriptions[0]!.waiting
    }
    await until('what is unread is shown', async () => (await backlog()) >= 1_490)
    open()
    await until('all are delivered', () => s.counts().size === 1_501, 60_000)
    await until('nothing is unread', async () => (await backlog()) === 0)
    const { items } = await g.api<{ items: unknown[] }>(`/api/v1/dlq/trigger/default/${name}`)
    expect(items).toHaveLength(1)
  })
})

describe.skipIf(nats.skip)(`logins of NATS${nats.note}`, () => {
  const USER = 'authorization { user: "alice", password: "wonder-land" }'

  test.concurrent('a refused login is said at the Broker and as 503, and what is mended is used', async () => {
    const server = await startNats({ config: USER })
    const s = await startSink()
    const manifests = (password: string): unknown[] => [
      config(server.url, { auth: { secret: { name: 'nats-login' } } }),
      secret('nats-login', { user: 'alice', password }),
      natsBroker('b'),
      trigger('t', s.url, { broker: 'b' }),
    ]
    const wrong = await startGateway({ manifests: manifests('through-the-mirror') })
    const degraded = await until('it is said', async () => {
      const ready = await wrong.api<{ degraded: { resource: string; reason: string }[] }>('/readyz')
      return ready.degraded.find((d) => d.resource.includes('b'))
    })
    expect(JSON.stringify(degraded)).toMatch(/Unauthorized|Authorization/i)
    expect(await post(`${wrong.listen}/default/b`, 'e1')).toBe(503)
    expect(wrong.log.join('\n')).not.toContain('through-the-mirror')
    // The server is told the other password: nothing has to be started anew.
    await server.kill()
    await server.restart('authorization { user: "alice", password: "through-the-mirror" }')
    await until('it is let in', async () => (await post(`${wrong.listen}/default/b`, 'e2')) === 202)
    await until('and delivers', () => s.counts().has('e2'))
    await wrong.stop()
    await s.close()
    await server.stop()
  })

  test.concurrent('a limit of deliveries that may not be taken away ends an event at its last, before NATS drops it', async () => {
    const denied = '["$JS.API.CONSUMER.CREATE.>", "$JS.API.CONSUMER.DURABLE.CREATE.>"]'
    const server = await startNats({
      config: `authorization { users: [
        { user: "root", password: "toor" }
        { user: "alice", password: "wonder-land", permissions: { publish: { deny: ${denied} } } }
      ] }`,
    })
    const client = await natsTestClient(server.url, { user: 'root', pass: 'toor' })
    const uid = randomUUID()
    const consumer = `KN_TRIGGER_${bare(uid)}`
    await client.manager.streams.add({ name: 'KN_BROKER_DEFAULT__B', subjects: ['default.b._knative_broker.>'] })
    await client.consumer('KN_BROKER_DEFAULT__B', consumer, { max_deliver: 2 })
    const retries = 'SLUICE_RETRY_KN_BROKER_DEFAULT__B'
    const subjects = '_sluice_retry.KN_BROKER_DEFAULT__B'
    await client.manager.streams.add({ name: retries, subjects: [`${subjects}.>`], retention: RetentionPolicy.Workqueue })
    await client.consumer(retries, consumer, { filter_subject: `${subjects}.${consumer}` })
    const hanging = await startSink(() => {})
    const dead = await startSink()
    const spec = { broker: 'b', subscriber: { uri: hanging.url }, delivery: { deadLetterSink: { uri: dead.url } } }
    const manifests = [
      config(server.url.replace('nats://', 'nats://alice:wonder-land@')),
      natsBroker('b'),
      { apiVersion: 'eventing.knative.dev/v1', kind: 'Trigger', metadata: { name: 't', uid }, spec },
    ]
    const first = await startGateway({ manifests, args: ['--grace', '1s'] })
    expect(await post(`${first.listen}/default/b`, 'e1')).toBe(202)
    await until('its first delivery runs', () => hanging.seen.length === 1)
    // It is handed back, which counts as a delivery as well.
    await first.stop()
    const second = await startGateway({ manifests })
    await until('it is dead-lettered', () => dead.seen.length === 1)
    expect(dead.seen[0]!.id).toBe('e1')
    expect(hanging.seen).toHaveLength(1)
    expect(second.log.some((line) => line.includes('drops an event after so many deliveries'))).toBe(true)
    await until('it is acknowledged', async () => {
      const { ack_floor: floor } = await client.manager.consumers.info('KN_BROKER_DEFAULT__B', consumer)
      return floor.stream_seq === 1
    })
    await second.stop()
    await client.close()
    await Promise.all([hanging.close(), dead.close()])
    await server.stop()
  })
})

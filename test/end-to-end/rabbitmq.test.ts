import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/runtime/clock.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { systemRandom } from '../../src/runtime/random.ts'
import { Secret } from '../../src/runtime/secret.ts'
import type { RabbitMqSettings } from '../../src/sources/rabbitmq/settings.ts'
import { createRabbitMqSource } from '../../src/sources/rabbitmq/source.ts'
import { broker, post, startGateway, temporaryFolder, trigger, type RunningGateway } from '../gateway.ts'
import { sharedRabbitMq } from '../servers/provided.ts'
import { rabbitMqTestClient, type RabbitMqTestClient } from '../servers/rabbitmq-clients.ts'
import { startRabbitMq, type RabbitMqServer } from '../servers/rabbitmq.ts'
import { startSink, type Answer, type Sink } from '../sink.ts'
import { type Player, RecordingIntake } from '../streams/recording-intake.ts'
import { until } from '../until.ts'

interface Subscription {
  readonly key: string
  readonly waiting: number
  readonly backlog: number
  readonly parkedNow: number
  readonly delivered: number
}

const { skip, note } = sharedRabbitMq()
const QUORUM = { durable: true, arguments: { 'x-queue-type': 'quorum' } }
const bodies = (sink: Sink): string[] => sink.seen.map((s) => s.body)
const numbered = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => `e${from + i}`)

/** One RabbitMQ for all of these, each with queues of its own: first all that leave it alone, together; then it is killed and bothered. */
describe.skipIf(skip)(`RabbitMQ under the gateway${note}`, () => {
  let server: RabbitMqServer
  let client: RabbitMqTestClient
  const closing: (() => Promise<unknown>)[] = []
  const sink = async (answer?: Answer): Promise<Sink> => {
    const s = await startSink(answer)
    closing.push(() => s.close())
    return s
  }
  const secret = (name: string, password: string): unknown => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name },
    stringData: { uri: server.management, port: String(server.port), username: 'guest', password },
  })
  /** Over TLS, with a certificate of the client's own. */
  const tlsSecret = async (): Promise<unknown> => {
    const certs = server.certificates!
    const [ca, cert, key] = await Promise.all([certs.ca, certs.clientCert, certs.clientKey].map((f) => readFile(f, 'utf8')))
    const stringData = {
      uri: `amqps://guest:guest@127.0.0.1:${server.tlsPort}`,
      'ca.crt': ca,
      'tls.crt': cert,
      'tls.key': key,
    }
    return { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'tls' }, stringData }
  }
  const gateway = async (manifests: readonly unknown[], data = temporaryFolder()): Promise<RunningGateway> => {
    const config = {
      apiVersion: 'eventing.knative.dev/v1alpha1',
      kind: 'RabbitmqBrokerConfig',
      metadata: { name: 'rabbitmq' },
      spec: { rabbitmqClusterReference: { namespace: 'default', connectionSecret: { name: 'rabbitmq' } } },
    }
    const g = await startGateway({ manifests: [secret('rabbitmq', 'guest'), secret('wrong', 'x'), config, ...manifests], data })
    closing.push(() => g.kill())
    return g
  }
  const source = (
    name: string,
    uri: string,
    more: { readonly config?: Readonly<Record<string, unknown>>; readonly secret?: string; readonly delivery?: unknown } = {},
  ): unknown => ({
    apiVersion: 'sources.knative.dev/v1alpha1',
    kind: 'RabbitmqSource',
    metadata: { name },
    spec: {
      rabbitmqClusterReference: { namespace: 'default', connectionSecret: { name: more.secret ?? 'rabbitmq' } },
      rabbitmqResourcesConfig: { queueName: name, predeclared: true, parallelism: 16, ...more.config },
      ...(more.delivery === undefined ? {} : { delivery: more.delivery }),
      sink: { uri },
    },
  })
  const rabbitMqBroker = (name: string): unknown =>
    broker(name, {
      annotations: { 'eventing.knative.dev/broker.class': 'RabbitMQBroker' },
      spec: { config: { apiVersion: 'eventing.knative.dev/v1alpha1', kind: 'RabbitmqBrokerConfig', name: 'rabbitmq' } },
    })
  const subscription = async (g: RunningGateway, key: string): Promise<Subscription> => {
    const { subscriptions } = await g.api<{ subscriptions: Subscription[] }>('/api/v1/snapshot')
    const found = subscriptions.find((s) => s.key === key)
    if (found === undefined) throw new Error(`no subscription ${key}`)
    return found
  }
  const trouble = async (g: RunningGateway, name: string): Promise<{ reason?: string; message?: string }> => {
    const { degraded } = await g.api<{ degraded: { resource: string; reason: string; message: string }[] }>('/readyz')
    return degraded.find((d) => d.resource.toLowerCase().includes(name)) ?? {}
  }

  beforeAll(async () => {
    server = await startRabbitMq({ management: true, tls: true })
    client = await rabbitMqTestClient(`127.0.0.1:${server.port}`)
  })
  afterAll(async () => {
    for (const close of closing.splice(0).toReversed()) await close()
    await client.close()
    await server.stop()
  })

  test.concurrent('a source delivers events over TLS and wraps plain messages, and acknowledges only what was settled', async () => {
    const picky = await sink((s, response, nth) => response.writeHead(s.body === 'retried' && nth === 1 ? 503 : 200).end())
    await client.channel.assertQueue('both', QUORUM)
    const manifests = [await tlsSecret(), source('both', picky.url, { secret: 'tls' })]
    const data = temporaryFolder()
    const first = await gateway(manifests, data)
    const ce = (prefix: string, id: string): Record<string, unknown> => ({
      [`${prefix}specversion`]: '1.0',
      [`${prefix}id`]: id,
      [`${prefix}source`]: '/shop',
      [`${prefix}type`]: 'order',
      [`${prefix}amount`]: 7,
    })
    await client.send('both', 'plain', { messageId: 'm1', contentType: 'text/plain', timestamp: 1_700_000_000 })
    await client.send('both', 'bare', { headers: ce('', 'ce-1'), contentType: 'text/plain' })
    await client.send('both', 'binding', { headers: { ...ce('cloudEvents:', 'ce-2'), type: 'of the application' } })
    await client.send('both', JSON.stringify({ ...ce('', 'ce-3'), data: 'structured' }), {
      contentType: 'application/cloudevents+json',
    })
    await client.send('both', 'retried')
    await until('all arrived', () => picky.seen.length === 6)
    const of = (body: string): Record<string, unknown> => picky.seen.find((s) => s.body === body)?.headers ?? {}
    expect(of('plain')).toMatchObject({
      'ce-id': 'm1',
      'ce-subject': 'm1',
      'ce-type': 'dev.knative.rabbitmq.event',
      'ce-source': '/apis/v1/namespaces/default/rabbitmqsources/both#both',
      'ce-time': '2023-11-14T22:13:20.000Z',
      'content-type': 'text/plain',
    })
    expect(of('bare')).toMatchObject({ 'ce-id': 'ce-1', 'ce-type': 'order', 'ce-amount': '7', 'content-type': 'text/plain' })
    expect(of('binding')).toMatchObject({ 'ce-id': 'ce-2', 'ce-type': 'order' })
    expect(picky.seen.find((s) => s.id === 'ce-3')?.body).toBe('"structured"')
    expect(await first.stop()).toBe(0)
    expect(await client.ready('both')).toBe(0)
    const second = await gateway(manifests, data)
    await client.send('both', 'last')
    await until('the last has come', () => bodies(picky).includes('last'))
    expect(picky.seen.length).toBe(7)
    expect(await second.stop()).toBe(0)
  })

  test.concurrent('a source makes exchange and queue, says what is missing or refused, and begins when it is there', async () => {
    const steady = await sink()
    const g = await gateway([
      source('made', steady.url, { config: { predeclared: false, exchangeName: 'made-exchange' } }),
      source('missing', steady.url),
      source('stranger', steady.url, { secret: 'wrong' }),
      { ...(secret('untrusted', 'guest') as object), stringData: { uri: `amqps://guest:guest@127.0.0.1:${server.tlsPort}` } },
      source('untrusting', steady.url, { secret: 'untrusted' }),
      source('nowhere', steady.url, { config: { vhost: 'nowhere' } }),
    ])
    const reasons = {
      missing: 'QueueMissing',
      stranger: 'Unauthorized',
      untrusting: 'RabbitMQUnreachable',
      nowhere: 'VhostMissing',
    }
    for (const [name, reason] of Object.entries(reasons))
      await until(`${name}: ${reason}`, async () => (await trouble(g, name)).reason === reason)
    expect((await trouble(g, 'missing')).message).toContain('the queue missing is missing')
    await until('the exchange is there and bound', () =>
      client.tries(async (channel) => {
        await channel.checkExchange('made-exchange')
        return (await channel.checkQueue('made')).consumerCount === 1
      }),
    )
    client.channel.publish('made-exchange', '', Buffer.from('through the exchange'), { persistent: true })
    await until('it has come', () => bodies(steady).includes('through the exchange'))
    await client.channel.assertQueue('missing', QUORUM)
    await client.send('missing', 'at last')
    await until('it is read', () => bodies(steady).includes('at last'))
    await until('it is rid of it', async () => (await trouble(g, 'missing')).reason === undefined)
    expect(await g.stop()).toBe(0)
  })

  test.concurrent('a Broker stands on it: filters, replies and dead letters', async () => {
    const replier = await sink((_s, response) =>
      response
        .writeHead(200, { 'ce-specversion': '1.0', 'ce-id': `r-${_s.id}`, 'ce-source': '/replier', 'ce-type': 'reply' })
        .end(),
    )
    const replies = await sink()
    const refusing = await sink((_s, response) => response.writeHead(400).end('no'))
    const dead = await sink()
    const only = (type: string): { filter: unknown } => ({ filter: { attributes: { type } } })
    const g = await gateway([
      rabbitMqBroker('b'),
      trigger('replier', replier.url, { broker: 'b', spec: only('test.event') }),
      trigger('replies', replies.url, { broker: 'b', spec: only('reply') }),
      trigger('refusing', refusing.url, {
        broker: 'b',
        spec: { ...only('test.event'), delivery: { retry: 0, deadLetterSink: { uri: dead.url } } },
      }),
    ])
    for (const id of numbered(0, 20)) expect(await post(`${g.listen}/default/b`, id, { 'ce-big': 'x'.repeat(300) })).toBe(202)
    expect(await post(`${g.listen}/default/b`, 'large', {}, 'x'.repeat(1_000_000))).toBe(202)
    expect(await post(`${g.listen}/default/b`, 'too large', {}, 'x'.repeat(2 ** 20 + 1))).toBe(413)
    await until('all have come', () => replies.counts().size === 21 && dead.counts().size === 21)
    expect(replies.seen.every((s) => s.type === 'reply' && s.headers['ce-knativebrokerttl'] === undefined)).toBe(true)
    expect(dead.seen[0]?.headers).toMatchObject({ 'ce-knativeerrorcode': '400', 'ce-knativeerrordest': refusing.url })
    expect([...replier.counts().values()].every((n) => n === 1)).toBe(true)
    expect(await g.stop()).toBe(0)
  })

  test.concurrent('a retry that waits long stays in RabbitMQ, survives SIGKILL, and its attempts are counted on', async () => {
    const ailing = await sink((_s, response) => response.writeHead(503).end())
    const delivery = { retry: 1, backoffPolicy: 'linear', backoffDelay: 'PT8S' }
    const uid = '01234567-0123-4123-a123-0123456789ab'
    const withUid = rabbitMqBroker('waits') as { metadata: Record<string, unknown> }
    const waits = { ...withUid, metadata: { ...withUid.metadata, uid } }
    const manifests = [waits, trigger('waits', ailing.url, { broker: 'waits', spec: { delivery } })]
    const key = 'trigger/default/waits'
    const first = await gateway(manifests)
    expect(await post(`${first.listen}/default/waits`, 'w')).toBe(202)
    // 8 s and a fifth more or less.
    const places = [7, 8, 9, 10].map((s) => `default.waits.${uid}.retry.${s}`)
    const stands = (queue: string): Promise<boolean> =>
      client.tries(async (channel) => (await channel.checkQueue(queue)).messageCount === 1).catch(() => false)
    await until('it waits in RabbitMQ', async () => (await Promise.all(places.map(stands))).includes(true))
    await first.kill()
    // Another data folder: nothing of it was kept here.
    const second = await gateway(manifests)
    await until('its last attempt has failed as well', async () => (await subscription(second, key)).parkedNow === 1)
    const { items } = await second.api<{ items: { attempts: { status: number }[] }[] }>(`/api/v1/dlq/${key}`)
    expect(items.map((i) => i.attempts.map((x) => x.status))).toEqual([[503, 503]])
    expect(ailing.seen.length).toBe(2)
    expect(await second.stop()).toBe(0)
  })

  test.concurrent('what a queue with a delivery limit would drop is parked first', async () => {
    await client.channel.assertQueue('limited', {
      durable: true,
      arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 3, 'x-max-length': 1000 },
    })
    const hanging = await sink(() => {})
    const data = temporaryFolder()
    const manifests = [source('limited', hanging.url)]
    await client.send('limited', 'poison', { messageId: 'p' })
    let g = await gateway(manifests, data)
    for (let attempt = 1; attempt <= 2; attempt++) {
      await until(`attempt ${attempt}`, () => hanging.seen.length === attempt)
      await g.kill()
      g = await gateway(manifests, data)
    }
    await until('parked', async () => (await subscription(g, 'rabbitmqsource/default/limited')).parkedNow === 1)
    const { items } = await g.api<{ items: { reason: string; attempts?: unknown }[] }>(
      '/api/v1/dlq/rabbitmqsource/default/limited',
    )
    expect(items.length).toBe(1)
    expect(hanging.seen.length).toBe(2)
    expect(await g.stop()).toBe(0)
    expect(await client.ready('limited')).toBe(0)
  })

  test.concurrent('holds no more than there is room for, and says how much waits in the queue', async () => {
    let hangs = true
    const held: (() => void)[] = []
    const hanging = await sink((_s, response) => {
      const answer = (): void => void response.writeHead(200).end()
      if (hangs) held.push(answer)
      else answer()
    })
    await client.channel.assertQueue('deep', QUORUM)
    for (const body of numbered(0, 3_000)) client.channel.sendToQueue('deep', Buffer.from(body), { persistent: true })
    await client.channel.waitForConfirms()
    const g = await gateway([source('deep', hanging.url, { config: { parallelism: 4 } })])
    const key = 'rabbitmqsource/default/deep'
    await until('all of it is known', async () => {
      const { backlog, waiting } = await subscription(g, key)
      return backlog + waiting + 4 >= 2_990 && waiting > 0
    })
    const { waiting } = await subscription(g, key)
    expect(waiting).toBeLessThanOrEqual(1_024)
    expect(await client.ready('deep')).toBeGreaterThan(1_000)
    expect(hanging.seen.length).toBe(4)
    hangs = false
    for (const answer of held) answer()
    await until('all have come', () => new Set(bodies(hanging)).size === 3_000, 60_000)
    expect(hanging.seen.length).toBe(3_000)
    expect(await g.stop()).toBe(0)
  })

  test('nothing that was acknowledged is lost when the server dies, closes connections or loses a queue', async () => {
    const slow = await sink((_s, response) => setTimeout(() => response.writeHead(200).end(), 5))
    const g = await gateway([rabbitMqBroker('outage'), trigger('outage', slow.url, { broker: 'outage' })])
    const accepted: string[] = []
    let n = 0
    let sending = true
    const lane = async (): Promise<void> => {
      while (sending) {
        const id = `o${n++}`
        if ((await post(`${g.listen}/default/outage`, id).catch(() => 0)) === 202) accepted.push(id)
        else await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
    const lanes = Array.from({ length: 8 }, lane)
    await until('in full flow', () => slow.seen.length > 200)
    await server.ctl('close_all_connections', 'test')
    const atClose = accepted.length
    await until('on the way again', () => accepted.length > atClose + 100)
    await server.kill()
    await until('told', async () => ((await trouble(g, 'outage')).message ?? '').includes('ECONNREFUSED'))
    await server.restart()
    await client.close()
    client = await until('a client', () => rabbitMqTestClient(`127.0.0.1:${server.port}`))
    const atKill = accepted.length
    await until('on the way once more', () => accepted.length > atKill + 100)
    sending = false
    await Promise.all(lanes)
    await until('all have come', () => accepted.every((id) => slow.counts().has(id)), 60_000)
    await until('rid of it', async () => (await trouble(g, 'outage')).reason === undefined)
    // A queue that somebody deletes is made and bound again.
    const queues = (await server.ctl('list_queues', 'name')).split('\n')
    const queue = queues.find((q) => q.startsWith('default.outage.')) ?? ''
    await client.channel.deleteQueue(queue)
    await until('taken again', async () => (await post(`${g.listen}/default/outage`, 'after')) === 202)
    await until('it has come', () => slow.counts().has('after'))
    expect(await g.stop()).toBe(0)
  })

  test('a RabbitMQ that is short of memory takes nothing and loses nothing, and what was taken is delivered', async () => {
    const slow = await sink((_s, response) => setTimeout(() => response.writeHead(200).end(), 20))
    const g = await gateway([rabbitMqBroker('short'), trigger('short', slow.url, { broker: 'short' })])
    const url = `${g.listen}/default/short`
    const taken: string[] = []
    const sent = async (id: string): Promise<boolean> => {
      const ok = (await post(url, id)) === 202
      if (ok) taken.push(id)
      return ok
    }
    expect((await Promise.all(numbered(0, 100).map(sent))).every(Boolean)).toBe(true)
    await server.ctl('set_vm_memory_high_watermark', '0.00001')
    let n = 100
    await until('it is refused', async () => !(await sent(`e${n++}`)))
    await until('told', async () => ((await trouble(g, 'short')).message ?? '').includes('takes nothing from publishers'))
    await until('what was taken is delivered', () => taken.every((id) => slow.counts().has(id)))
    await server.ctl('set_vm_memory_high_watermark', '0.4')
    await until('it is taken again', () => sent(`e${n++}`))
    await until('and delivered', () => taken.every((id) => slow.counts().has(id)))
    expect(await g.stop()).toBe(0)
  })

  // The last: the server's time-out is for all.
  test('what is attempted for longer than consumer_timeout is given back and taken again before; where that strikes, it comes again', async () => {
    const timeouts = (ms: number, tickMs: number): Promise<string> =>
      server.ctl(
        'eval',
        `[application:set_env(rabbit, K, V) || {K, V} <- [{consumer_timeout, ${ms}}, {channel_tick_interval, ${tickMs}}]].`,
      )
    await timeouts(10_000, 500)
    closing.push(() => timeouts(1_800_000, 60_000))
    const stop = new AbortController()
    const held = async (
      queue: string,
      leaseMs: number,
    ): Promise<{ readonly intake: RecordingIntake; readonly player: Player }> => {
      await client.channel.assertQueue(queue, QUORUM)
      await client.send(queue, 'long', { messageId: queue })
      const login = { hosts: [`127.0.0.1:${server.port}`], vhost: '/', user: 'guest', password: new Secret('guest'), tls: null }
      const settings: RabbitMqSettings = { ...login, management: '', queue, declare: null, ordered: false, source: '/', leaseMs }
      const plan = { key: queue, system: 'rabbitmq', namespace: 'default', name: queue, settings: {} } as const
      const s = createRabbitMqSource({ plan, settings, clock: systemClock, random: systemRandom, log: SILENT_LOG })
      closing.push(() => s.close(AbortSignal.timeout(10_000)))
      const intake = new RecordingIntake()
      intake.feed = s.open(intake, stop.signal)
      return { intake, player: intake.attach(1, queue, { at: 'committed', otherwise: { at: 'latest' } }) }
    }
    const careful = await held('careful', 8_000)
    await until('it is held', () => careful.player.offered.length === 1)
    const careless = await held('careless', 600_000)
    await until('the server takes it away', () => careless.player.offered.length === 2, 90_000)
    const struckMs = performance.now()
    await until('and looks for others', () => performance.now() - struckMs > 2_000)
    for (const { intake, player } of [careful, careless]) intake.settleAll(player)
    for (const queue of ['careful', 'careless'])
      await until(`${queue} is empty`, async () => (await server.ctl('list_queues', 'name', 'messages')).includes(`${queue}\t0`))
    expect(careful.player.offered.length).toBe(1)
    expect(careless.player.offered.map((d) => d.event.id)).toEqual(['careless', 'careless'])
  })
})

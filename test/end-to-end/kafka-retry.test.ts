import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { SILENT_DELIVERY, type Delivery } from '../../src/contract/delivery.ts'
import type { Feed } from '../../src/contract/feed.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { openCustody } from '../../src/store/custody.ts'
import { broker, post, runCli, type RunningGateway, startGateway, temporaryFolder, trigger } from '../gateway.ts'
import { endSessions } from '../kafka-flow.ts'
import { kafkaTestClient, type KafkaTestClient } from '../servers/kafka-clients.ts'
import { type KafkaServer, PASSWORD, startKafka, USER } from '../servers/kafka.ts'
import { ownKafka, sharedKafka } from '../servers/provided.ts'
import { type Answer, type Sink, startSink } from '../sink.ts'
import { RecordingIntake } from '../streams/recording-intake.ts'
import { event } from '../streams/rig.ts'
import { until } from '../until.ts'

const kafka = sharedKafka()

/** Longer than what is kept in memory, five seconds, also when it is a fifth less. */
const LONG = { retry: 3, backoffPolicy: 'linear', backoffDelay: 'PT6.3S' }

interface Parked {
  readonly id: string
  readonly reason: string
  readonly event: { readonly id: string; readonly data: string } | null
  readonly attempts: readonly { readonly attempt: number; readonly status: number }[]
}

function kafkaBroker(name: string, data: Readonly<Record<string, string>> = {}): unknown[] {
  const settings = {
    'bootstrap.servers': kafka.bootstrap,
    'default.topic.partitions': '3',
    'default.topic.replication.factor': '1',
    ...data,
  }
  return [
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: `config-${name}`, namespace: 'knative-eventing' },
      data: settings,
    },
    broker(name, {
      annotations: { 'eventing.knative.dev/broker.class': 'Kafka' },
      spec: { config: { apiVersion: 'v1', kind: 'ConfigMap', name: `config-${name}`, namespace: 'knative-eventing' } },
    }),
  ]
}

const refuses: Answer = (_s, response) => response.writeHead(503).end()
const rejects: Answer = (_s, response) => response.writeHead(400).end()

const newName = (): string => `k-${randomUUID().slice(0, 8)}`
const groupOf = (b: string): string => `knative-trigger-default-${b}-t`
const parkedOf = async (g: RunningGateway, b: string): Promise<readonly Parked[]> =>
  (await g.api<{ items: readonly Parked[] }>(`/api/v1/dlq/trigger/default/${b}-t`)).items

const gateways: RunningGateway[] = []
const sinks: Sink[] = []
afterEach(async () => {
  await Promise.all(gateways.splice(0).map((g) => g.stop()))
  await Promise.all(sinks.splice(0).map((s) => s.close()))
})
const gateway = async (
  manifests: readonly unknown[],
  more: { readonly data?: string; readonly env?: Readonly<Record<string, string>>; readonly args?: readonly string[] } = {},
): Promise<RunningGateway> => {
  const g = await startGateway({ manifests, ...more })
  gateways.push(g)
  return g
}
const sink = async (answer?: Answer): Promise<Sink> => {
  const s = await startSink(answer)
  sinks.push(s)
  return s
}

describe.skipIf(kafka.skip)(`what waits long or is given up on Kafka${kafka.note}`, () => {
  let client: KafkaTestClient
  beforeAll(() => {
    client = kafkaTestClient(kafka.bootstrap)
  })
  afterAll(() => client.close())
  const settled = async (b: string): Promise<number> => {
    const offsets = await client.committed(groupOf(b), `knative-broker-default-${b}`)
    return [...offsets.values()].reduce((sum, o) => sum + Math.max(0, o.offset), 0)
  }

  test('outlives SIGKILL with its attempts counted, is parked in sight of every gateway, replayed and purged by any', async () => {
    const b = newName()
    let answer = refuses
    const s = await sink((...args) => answer(...args))
    const manifests = [...kafkaBroker(b), trigger(`${b}-t`, s.url, { broker: b, spec: { delivery: { ...LONG, retry: 1 } } })]
    const first = await gateway(manifests)
    expect(await post(`${first.listen}/default/${b}`, 'one', { 'ce-partitionkey': 'p' })).toBe(202)
    await until('it is settled where it came from', async () => (await settled(b)) === 1)
    expect(await client.topics()).toContain(`${groupOf(b)}.retry`)
    await first.kill()
    await endSessions(client, first)
    // Another folder: it knows what Kafka knows.
    const second = await gateway(manifests)
    await until('it has failed once more, which was the last time', async () => (await parkedOf(second, b)).length === 1, 60_000)
    expect(s.seen).toHaveLength(2)
    const third = await gateway(manifests)
    await until('another gateway sees it', async () => (await parkedOf(third, b).catch(() => [])).length === 1)
    const [entry] = await parkedOf(third, b)
    expect(entry).toMatchObject({ reason: 'exhausted', event: { id: 'one' }, attempts: [{ attempt: 1 }, { attempt: 2 }] })
    expect(await parkedOf(second, b)).toEqual([entry])
    const cli = (...args: string[]): ReturnType<typeof runCli> => runCli([...args, '--admin', third.admin, '--data', third.data])
    expect((await cli('dlq', 'show', `trigger/default/${b}-t`, entry!.id)).out).toContain('one')
    // Replayed at one gateway, gone at all.
    answer = (_s, response) => response.writeHead(200).end()
    const replayed = await cli('dlq', 'replay', `trigger/default/${b}-t`)
    expect([replayed.code, replayed.err]).toEqual([0, ''])
    await until('it is delivered', () => s.seen.length === 3)
    await until('it is gone at both', async () => (await parkedOf(second, b).catch(() => [])).length === 0)
    // And so is what is purged.
    answer = rejects
    expect(await post(`${third.listen}/default/${b}`, 'two')).toBe(202)
    await until('both see the next', async () => {
      const seen = await Promise.all([second, third].map((g) => parkedOf(g, b).catch(() => [])))
      return seen.every((items) => items[0]?.event?.id === 'two')
    })
    expect((await cli('dlq', 'purge', `trigger/default/${b}-t`, '--all')).code).toBe(0)
    await until('it is gone at both', async () => {
      const seen = await Promise.all([second, third].map((g) => parkedOf(g, b).catch(() => [])))
      return seen.every((items) => items.length === 0)
    })
  })

  test('is delivered by whoever takes the partitions over, and by nobody once more after an ordered stop', async () => {
    const b = newName()
    let broken = true
    const delivered: string[] = []
    const s = await sink((seen, response) => {
      if (!broken) delivered.push(seen.id)
      response.writeHead(broken ? 503 : 200).end()
    })
    const manifests = [...kafkaBroker(b), trigger(`${b}-t`, s.url, { broker: b, spec: { delivery: LONG } })]
    const first = await gateway(manifests)
    const ids = Array.from({ length: 40 }, (_, i) => `e${i}`)
    const posted = ids.map((id) => post(`${first.listen}/default/${b}`, id, { 'ce-partitionkey': id }))
    expect(new Set(await Promise.all(posted))).toEqual(new Set([202]))
    await until('all wait', async () => (await settled(b)) === 40)
    const second = await gateway(manifests)
    broken = false
    await first.kill()
    await endSessions(client, first)
    await until('all are delivered', () => ids.every((id) => delivered.includes(id)), 60_000)
    // What the first delivered in its last second it could not tell any more.
    expect(delivered.length).toBeLessThan(80)
    expect(await second.stop()).toBe(0)
    const all = delivered.length
    const third = await gateway(manifests)
    expect(await post(`${third.listen}/default/${b}`, 'last')).toBe(202)
    await until('the next is delivered', () => delivered.includes('last'))
    expect(delivered).toHaveLength(all + 1)
  })

  test('what an earlier version kept in the data folder still comes back, and moves to Kafka with its next wait', async () => {
    const b = newName()
    const key = `trigger/default/${b}-t`
    const data = join(temporaryFolder(), 'data')
    const custody = await openCustody({ dir: join(data, 'custody'), clock: systemClock, log: SILENT_LOG })
    const intake = new RecordingIntake()
    const feed = custody.wrap({ attach() {}, settle() {}, detachDelivery: NEVER } as unknown as Feed, intake, () => key)
    const delivery = (id: string): Delivery => ({ ...SILENT_DELIVERY, event: event(id), sub: 1, lane: 0, position: 1 })
    const story = [{ attempt: 1, atMs: 5, tookMs: 7, to: 'sink', status: 503, error: 'busy' }]
    const state = { dueMs: 0, story: [], phase: 'subscriber', reason: '' } as const
    const stored = await Promise.all([
      new Promise((done) => feed.detachDelivery(delivery('waited'), state, done)),
      new Promise((done) => feed.park(delivery('parked'), { ...state, story, reason: 'exhausted' }, done)),
    ])
    expect(stored).toEqual([true, true])
    await custody.close(AbortSignal.timeout(10_000))

    let open: () => void = () => {}
    const opened = new Promise<void>((resolve) => (open = resolve))
    const s = await sink(
      (seen, response, nth) => void opened.then(() => response.writeHead(seen.id === 'waited' && nth === 1 ? 503 : 200).end()),
    )
    const manifests = [...kafkaBroker(b), trigger(`${b}-t`, s.url, { broker: b, spec: { delivery: LONG } })]
    const g = await gateway(manifests, { data })
    await until('the one that waited is tried', () => s.counts().get('waited') === 1)
    // Before its topic is there it would wait where it was.
    await until('Kafka takes events', async () => (await post(`${g.listen}/default/${b}`, 'new')) === 202)
    open()
    expect((await parkedOf(g, b)).map((e) => e.event?.id)).toEqual(['parked'])
    expect((await g.api<{ items: unknown[] }>('/api/v1/dlq')).items).toMatchObject([{ key, events: 1 }])
    await until('it waits in Kafka now', async () => (await client.topics()).includes(`${groupOf(b)}.retry`))
    await until('it is delivered', () => s.counts().get('waited') === 2, 60_000)
    expect(await g.api(`/api/v1/dlq/trigger/default/${b}-t/replay`, {})).toMatchObject({ matched: 1 })
    await until('the parked one is tried', () => s.counts().has('parked'))
  })

  test('stays in sight when its subscription is gone, and goes for good when that is purged, by a gateway that never had it', async () => {
    const b = newName()
    const s = await sink((seen, response) => response.writeHead(seen.id === 'wait' ? 503 : 400).end())
    const reads = trigger(`${b}-t`, s.url, { broker: b, spec: { delivery: { ...LONG, ...{ retry: 5 } } } })
    const first = await gateway([...kafkaBroker(b), reads])
    for (const id of ['wait', 'bad']) expect(await post(`${first.listen}/default/${b}`, id)).toBe(202)
    await until('both are settled', async () => (await settled(b)) === 2)
    expect(await first.stop()).toBe(0)
    const other = await sink()
    const second = await gateway([...kafkaBroker(b), trigger(`${b}-other`, other.url, { broker: b })])
    await until('what is left is found', async () => (await parkedOf(second, b).catch(() => [])).length === 1)
    expect((await parkedOf(second, b))[0]).toMatchObject({ event: { id: 'bad' } })
    const purge = (): ReturnType<typeof runCli> =>
      runCli(['purge', `trigger/default/${b}-t`, '--admin', second.admin, '--data', second.data])
    const { code, err } = await purge()
    expect([code, err]).toEqual([0, ''])
    await until('topics and group are gone', async () => {
      const names = [...(await client.topics()), ...(await client.groups())]
      return !names.some((n) => n.startsWith(groupOf(b)))
    })
    expect((await purge()).code).toBe(1)
    // It begins anew when it returns.
    expect(await second.stop()).toBe(0)
    const third = await gateway([...kafkaBroker(b), reads])
    expect(await post(`${third.listen}/default/${b}`, 'bad')).toBe(202)
    await until('it is parked anew', async () => (await parkedOf(third, b).catch(() => [])).length === 1)
    expect(s.counts().get('wait')).toBe(1)
  })
})

const NEVER: Feed['detachDelivery'] = (_d, _state, done) => done(false)

const own = ownKafka()

describe.skipIf(own.skip)(`a cluster that lets nobody make topics${own.note}`, () => {
  let server: KafkaServer
  let client: KafkaTestClient
  beforeAll(async () => {
    server = await startKafka({
      security: true,
      properties: {
        'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
        'super.users': 'User:ANONYMOUS',
        'allow.everyone.if.no.acl.found': 'true',
      },
    })
    client = kafkaTestClient(server.bootstrap)
  })
  afterAll(async () => {
    await client.close()
    await server.stop()
  })

  /** A Broker whose topic is there, and a trigger whose topics may not be made. */
  const forbidden = async (b: string, url: string): Promise<unknown[]> => {
    await client.createTopicNamed(`knative-broker-default-${b}`, 1)
    // A new cluster takes its time to have coordinators: the trigger must not begin behind the first event.
    await client.commit(groupOf(b), `knative-broker-default-${b}`, [0])
    await client.forbid(USER, [`${groupOf(b)}.retry`, `${groupOf(b)}.parked`])
    const stringData = { protocol: 'SASL_PLAINTEXT', 'sasl.mechanism': 'SCRAM-SHA-512', user: USER, password: PASSWORD }
    return [
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: b, namespace: 'knative-eventing' }, stringData },
      ...kafkaBroker(b, { 'bootstrap.servers': server.secured.sasl, 'auth.secret.ref.name': b }),
      trigger(`${b}-t`, url, { broker: b, spec: { delivery: LONG } }),
    ]
  }

  test('leaves what waits and what is given up to a data folder that lasts', async () => {
    const b = newName()
    let broken = true
    const s = await sink((seen, response) => response.writeHead(seen.id === 'bad' ? 400 : broken ? 503 : 200).end())
    const manifests = await forbidden(b, s.url)
    const data = join(temporaryFolder(), 'data')
    const first = await gateway(manifests, { data })
    for (const id of ['wait', 'bad']) expect(await post(`${first.listen}/default/${b}`, id)).toBe(202)
    const said = (topic: string): boolean => first.log.some((line) => line.includes('cannot be used') && line.includes(topic))
    await until('both are refused', () => said(`${groupOf(b)}.retry`) && said(`${groupOf(b)}.parked`), 60_000)
    await until('both are settled', async () => {
      const offsets = await client.committed(groupOf(b), `knative-broker-default-${b}`)
      return offsets.get(0)?.offset === 2
    })
    await first.kill()
    broken = false
    const before = s.counts().get('wait') ?? 0
    const second = await gateway(manifests, { data })
    expect((await parkedOf(second, b)).map((e) => e.event?.id)).toEqual(['bad'])
    await until('the one that waited is delivered', () => (s.counts().get('wait') ?? 0) > before, 60_000)
    expect(await client.topics()).not.toContain(`${groupOf(b)}.retry`)
  })

  test('holds the position where the folder goes with the pod, and nothing is lost with it', async () => {
    const b = newName()
    let answer = rejects
    const s = await sink((...args) => answer(...args))
    const manifests = await forbidden(b, s.url)
    const env = { KUBERNETES_SERVICE_HOST: '10.0.0.1' }
    const first = await gateway(manifests, { env })
    expect(await post(`${first.listen}/default/${b}`, 'bad')).toBe(202)
    await until('it cannot be parked, and nothing more is read', async () => {
      const { degraded } = (await (await fetch(`${first.admin}/readyz`)).json()) as { degraded: { resource: string }[] }
      return degraded.some((d) => d.resource === `trigger/default/${b}-t`)
    })
    expect(await parkedOf(first, b)).toEqual([])
    await first.kill()
    await endSessions(client, first)
    answer = (_s, response) => response.writeHead(200).end()
    await gateway(manifests, { env })
    await until('it is delivered by the next', () => s.seen.length === 2)
    await until('and settled then', async () => {
      const offsets = await client.committed(groupOf(b), `knative-broker-default-${b}`)
      return offsets.get(0)?.offset === 1
    })
  })
})

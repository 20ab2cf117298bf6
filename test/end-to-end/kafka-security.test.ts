import { connect, createServer } from 'node:net'
import { readFile } from 'node:fs/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Secret } from '../../src/runtime/secret.ts'
import type { KafkaSasl, KafkaTls } from '../../src/vendor/kafka/link.ts'
import { broker, post, startGateway, trigger } from '../gateway.ts'
import { type KafkaServer, PASSWORD, startKafka, USER } from '../servers/kafka.ts'
import { kafkaTestClient, type KafkaTestClient } from '../servers/kafka-clients.ts'
import { ownKafka } from '../servers/provided.ts'
import { runSource, type RunningSource } from '../sources/kafka-runner.ts'
import { startSink } from '../sink.ts'
import { until } from '../until.ts'

const own = ownKafka()

describe.skipIf(own.skip)(`a Kafka that asks who is there${own.note}`, () => {
  let kafka: KafkaServer
  let client: KafkaTestClient
  let running: RunningSource | null = null
  let tls: KafkaTls
  const sasl = (mechanism: KafkaSasl['mechanism'], password = PASSWORD): KafkaSasl => ({
    mechanism,
    user: USER,
    password: new Secret(password),
  })
  beforeAll(async () => {
    kafka = await startKafka({ security: true })
    client = kafkaTestClient(kafka.bootstrap)
    const files = kafka.certificates
    if (files === null) throw new Error('a secured Kafka has certificates')
    const [ca, cert, key] = await Promise.all([files.ca, files.clientCert, files.clientKey].map((f) => readFile(f, 'utf8')))
    tls = { ca: ca ?? '', cert: cert ?? '', key: new Secret(key ?? '') }
  })
  afterEach(async () => {
    await running?.close()
    running = null
  })
  afterAll(async () => {
    await client.close()
    await kafka.stop()
  })

  /** What was read, and how many offsets were committed on the way out. */
  const readTwo = async (
    bootstrap: string,
    login: { sasl?: KafkaSasl; tls?: KafkaTls },
  ): Promise<{ texts: string[]; phase: string; committed: number }> => {
    const topic = await client.createTopic('secret', 2)
    await client.produce(topic, [{ value: Buffer.from('a') }, { value: Buffer.from('b') }])
    const r = runSource({ bootstrapServers: [bootstrap], topics: [topic], consumerGroup: `group-${topic}`, ...login })
    running = r
    await until('two events', () => r.intake.offered.length === 2)
    const { phase } = r.source.status()
    await r.close()
    const committed = [...(await client.committed(`group-${topic}`, topic)).values()].reduce((sum, c) => sum + c.offset, 0)
    return { texts: r.intake.texts().toSorted(), phase, committed }
  }

  const ALL = { texts: ['a', 'b'], phase: 'ready', committed: 2 }

  test.each(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const)('lets us in with %s', async (mechanism) => {
    expect(await readTwo(kafka.secured.sasl, { sasl: sasl(mechanism) })).toEqual(ALL)
  })

  test('lets us in with a client certificate', async () => {
    expect(await readTwo(kafka.secured.tls, { tls })).toEqual(ALL)
  })

  test('lets us in with SCRAM over TLS', async () => {
    const login = { sasl: sasl('SCRAM-SHA-512'), tls: { ca: tls.ca, cert: '', key: null } }
    expect(await readTwo(kafka.secured.saslTls, login)).toEqual(ALL)
  })

  test.each([
    ['a wrong password', () => kafka.secured.sasl, () => ({ sasl: sasl('SCRAM-SHA-256', 'through-the-mirror') })],
    ['no client certificate', () => kafka.secured.tls, () => ({ tls: { ca: tls.ca, cert: '', key: null } })],
    [
      'an authority nobody knows',
      () => kafka.secured.saslTls,
      () => ({ sasl: sasl('PLAIN'), tls: { ca: '', cert: '', key: null } }),
    ],
  ])('%s is told as the reason, once, without the password', async (_name, bootstrap, login) => {
    const topic = await client.createTopic('denied', 1)
    const door = await countingDoor(bootstrap())
    const r = runSource({ bootstrapServers: [door.address], topics: [topic], consumerGroup: `group-${topic}`, ...login() })
    running = r
    await until('degraded', () => r.source.status().phase === 'degraded')
    const before = door.connections()
    await until('tried again, and again', () => door.connections() >= before + 2)
    door.close()
    const status = r.source.status()
    expect(status).toMatchObject({ phase: 'degraded', reason: expect.stringMatching(/^Kafka(LoginFailed|Unreachable)$/) })
    expect(r.lines.filter((l) => l.level === 'warn')).toHaveLength(1)
    expect(JSON.stringify([r.lines, status])).not.toMatch(/through-the-mirror|wonder-land/)
  })

  test('a Broker is let in with the credentials of its Secret; with wrong ones it says 503 and why', async () => {
    const inKnative = (kind: string, name: string, more: object): unknown => ({
      apiVersion: 'v1',
      kind,
      metadata: { name, namespace: 'knative-eventing' },
      ...more,
    })
    const withPassword = (name: string, password: string): unknown[] => {
      const data = {
        'bootstrap.servers': kafka.secured.sasl,
        'auth.secret.ref.name': name,
        'default.topic.partitions': '3',
        'default.topic.replication.factor': '1',
      }
      const config = { apiVersion: 'v1', kind: 'ConfigMap', name, namespace: 'knative-eventing' }
      return [
        inKnative('Secret', name, {
          stringData: { protocol: 'SASL_PLAINTEXT', 'sasl.mechanism': 'SCRAM-SHA-512', user: USER, password },
        }),
        inKnative('ConfigMap', name, { data }),
        broker(name, { annotations: { 'eventing.knative.dev/broker.class': 'Kafka' }, spec: { config } }),
      ]
    }
    const sink = await startSink()
    const manifests = [...withPassword('right', PASSWORD), ...withPassword('wrong', 'no')]
    const g = await startGateway({ manifests: [...manifests, trigger('t', sink.url, { broker: 'right' })] })
    expect(await post(`${g.listen}/default/wrong`, 'one')).toBe(503)
    await until('it says why', () =>
      g.log.some((line) => line.includes('KafkaLoginFailed') && line.includes('broker/default/wrong')),
    )
    expect(g.log.some((line) => line.includes(PASSWORD))).toBe(false)
    expect(await post(`${g.listen}/default/right`, 'two')).toBe(202)
    await until('it is delivered', () => sink.counts().has('two'))
    expect(await g.stop()).toBe(0)
    await sink.close()
  })
})

/** Passes connections on to that address and counts them: a refused login is seen as the next attempt. */
async function countingDoor(to: string): Promise<{ address: string; connections(): number; close(): void }> {
  const [host = '', port = '0'] = (to.split(',')[0] ?? '').split(':')
  let connections = 0
  const server = createServer((socket) => {
    connections++
    const onward = connect(Number(port), host)
    socket.on('error', () => onward.destroy()).pipe(onward)
    onward.on('error', () => socket.destroy()).pipe(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const listening = typeof address === 'object' && address !== null ? address.port : 0
  return { address: `127.0.0.1:${listening}`, connections: () => connections, close: () => server.close() }
}

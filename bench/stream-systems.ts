import { randomUUID } from 'node:crypto'
import { openAdmin } from '../src/vendor/rocketmq/admin.ts'
import { startNats } from '../test/servers/nats.ts'
import { startRabbitMq } from '../test/servers/rabbitmq.ts'
import { startRocketMq } from '../test/servers/rocketmq.ts'
import { kafkaTestClient } from '../test/servers/kafka-clients.ts'
import type { Place } from './bare-clients/client.ts'
import { kafka } from './kafka.ts'
import { temporaryFolder } from './system.ts'

/** A message system that streams are measured on. */
export interface StreamSystem {
  /** As in the figures. */
  readonly name: string
  /** Of `bare-clients/`. */
  readonly client: string
  /** Events of a run for each 100 of the scenario: slow systems take fewer. */
  readonly percent: number
  /** Starts its server, or finds it. Throws where it cannot be had. */
  start(): Promise<StartedSystem>
}

export interface StartedSystem {
  /** A place for the floor, empty. */
  place(): Promise<Place>
  /** A Broker of that name on it, with what it needs beside. */
  broker(name: string): readonly unknown[]
  stop(): Promise<void>
}

/** As Knative makes the topic of a Broker. */
const PARTITIONS = 10

const embedded: StreamSystem = {
  name: 'embedded',
  client: 'embedded',
  percent: 100,
  start: () =>
    Promise.resolve({
      place: () => Promise.resolve({ address: temporaryFolder(), name: 'floor', partitions: 1 }),
      broker: (name) => [brokerOf(name, '')],
      stop: () => Promise.resolve(),
    }),
}

export const onKafka: StreamSystem = {
  name: 'Kafka',
  client: 'kafka',
  percent: 100,
  async start() {
    const bootstrap = await kafka()
    return {
      async place() {
        const client = kafkaTestClient(bootstrap)
        const name = await client.createTopic('floor', PARTITIONS)
        await client.close()
        return { address: bootstrap, name, partitions: PARTITIONS }
      },
      broker(name) {
        return configured(name, 'Kafka', {
          'bootstrap.servers': bootstrap,
          'default.topic.partitions': String(PARTITIONS),
          'default.topic.replication.factor': '1',
        })
      },
      // Shared with the other benchmarks; stopped after the last.
      stop: () => Promise.resolve(),
    }
  },
}

const onNats: StreamSystem = {
  name: 'NATS',
  client: 'nats',
  percent: 50,
  async start() {
    const server = await startNats()
    return {
      place: () => Promise.resolve({ address: server.url, name: freshName(), partitions: 1 }),
      broker: (name) => configured(name, 'NatsJetStream', { 'eventing-nats': `url: ${server.url}` }),
      stop: () => server.stop(),
    }
  },
}

const onRabbitMq: StreamSystem = {
  name: 'RabbitMQ',
  client: 'rabbitmq',
  percent: 50,
  async start() {
    const given = process.env['RABBITMQ_PORT']
    const server = given === undefined ? await startRabbitMq() : { port: Number(given), stop: () => Promise.resolve() }
    const login = { username: 'guest', password: 'guest' }
    const address = `amqp://${login.username}:${login.password}@127.0.0.1:${server.port}`
    return {
      place: () => Promise.resolve({ address, name: freshName(), partitions: 1 }),
      broker(name) {
        const secret = { apiVersion: 'v1', kind: 'Secret', name: `login-${name}`, namespace: 'default' }
        const stringData = { host: '127.0.0.1', port: String(server.port), ...login }
        const metadata = { name: secret.name, namespace: secret.namespace }
        return [{ apiVersion: 'v1', kind: 'Secret', metadata, stringData }, brokerOf(name, 'RabbitMQBroker', { config: secret })]
      },
      stop: () => server.stop(),
    }
  },
}

const onRocketMq: StreamSystem = {
  name: 'RocketMQ',
  client: 'rocketmq',
  percent: 10,
  async start() {
    const [endpoint, nameServer = ''] = process.env['ROCKETMQ_ADDRESSES']?.split(',') ?? []
    const server =
      endpoint === undefined
        ? await startRocketMq({ topics: [], groups: [] })
        : { endpoint, nameServer, stop: () => Promise.resolve() }
    return {
      async place() {
        const name = freshName()
        // An administrator's connections keep no process alive.
        const alive = setInterval(() => {}, 60_000)
        const admin = openAdmin({ nameServers: [server.nameServer], credentials: null, tls: null, cluster: '' })
        await admin.makeTopic(name, { queues: 4, type: 'NORMAL' })
        await admin.makeGroup(name, { retryMaxTimes: 16, fifo: false })
        await admin.place(name, name, 'earliest', false)
        admin.close()
        clearInterval(alive)
        return { address: server.endpoint, name, partitions: 4 }
      },
      broker: (name) => configured(name, 'RocketMQ', { endpoints: server.endpoint, namesrvAddr: server.nameServer }),
      stop: () => server.stop(),
    }
  },
}

export const STREAM_SYSTEMS: readonly StreamSystem[] = [embedded, onKafka, onNats, onRabbitMq, onRocketMq]

export function freshName(): string {
  return `bench-${randomUUID().slice(0, 8)}`
}

/** A Broker with the ConfigMap that says where its system is. */
function configured(name: string, brokerClass: string, data: Readonly<Record<string, string>>): readonly unknown[] {
  const config = { apiVersion: 'v1', kind: 'ConfigMap', name: `config-${name}`, namespace: 'knative-eventing' }
  const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: config.name, namespace: config.namespace }, data }
  return [map, brokerOf(name, brokerClass, { config })]
}

function brokerOf(name: string, brokerClass: string, spec: Readonly<Record<string, unknown>> = {}): unknown {
  const annotations = brokerClass === '' ? {} : { 'eventing.knative.dev/broker.class': brokerClass }
  return { apiVersion: 'eventing.knative.dev/v1', kind: 'Broker', metadata: { name, annotations }, spec }
}

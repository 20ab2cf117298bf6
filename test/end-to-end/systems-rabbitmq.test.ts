import { createHash } from 'node:crypto'
import { sharedRabbitMq } from '../servers/provided.ts'
import { rabbitMqTestClient } from '../servers/rabbitmq-clients.ts'
import { startRabbitMq } from '../servers/rabbitmq.ts'
import { streamSuite } from './stream-suite.ts'

const shared = sharedRabbitMq()

/** `host:port`, and the password of guest. */
interface Address {
  readonly host: string
  readonly password: string
}

const asGuest = (host: string): Address => ({ host, password: 'guest' })

/** The exchange has it in its name. */
function uidOf(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-')
}

function secret(name: string, { host, password }: Address): unknown {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name },
    stringData: { uri: `amqp://${host}`, username: 'guest', password },
  }
}

function rabbitMqBroker(at: Address, name: string): unknown[] {
  return [
    secret(`login-${name}`, at),
    {
      apiVersion: 'eventing.knative.dev/v1alpha1',
      kind: 'RabbitmqBrokerConfig',
      metadata: { name: `config-${name}` },
      spec: { rabbitmqClusterReference: { connectionSecret: { name: `login-${name}` } } },
    },
    {
      apiVersion: 'eventing.knative.dev/v1',
      kind: 'Broker',
      metadata: { name, uid: uidOf(name), annotations: { 'eventing.knative.dev/broker.class': 'RabbitMQBroker' } },
      spec: {
        config: { apiVersion: 'eventing.knative.dev/v1alpha1', kind: 'RabbitmqBrokerConfig', name: `config-${name}` },
      },
    },
  ]
}

streamSuite<Address>({
  name: 'RabbitMQ',
  note: shared.note,
  skip: shared.skip,
  async start() {
    await shared.ready()
    return { address: asGuest(shared.address), stop: () => Promise.resolve() }
  },
  nowhere: asGuest('127.0.0.1:1'),
  broker: rabbitMqBroker,
  channel(at, name) {
    const [apiVersion, kind] = ['messaging.knative.dev/v1', 'RabbitmqChannel']
    const login = `login-${name}`
    const channel = { apiVersion, kind, metadata: { name }, spec: { config: { kind: 'Secret', name: login } } }
    return { apiVersion, kind, manifests: [secret(login, at), channel] }
  },
  own: {
    skip: shared.skip,
    note: shared.note,
    async start() {
      const server = await startRabbitMq()
      return { ...server, address: asGuest(`127.0.0.1:${server.port}`) }
    },
  },
  refused: {
    skip: shared.skip,
    manifests: (name) => Promise.resolve(rabbitMqBroker({ host: shared.address, password: 'through-the-mirror' }, name)),
  },
  async raw({ host }, name, bytes) {
    const client = await rabbitMqTestClient(host)
    client.channel.publish(`b.default.${name}.${uidOf(name)}`, '', bytes, { persistent: true })
    await client.channel.waitForConfirms()
    await client.close()
  },
  ordered: true,
  shares: true,
  durableWithinMs: 500,
  events: 5_000,
})

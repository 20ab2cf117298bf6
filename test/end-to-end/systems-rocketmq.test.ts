import { afterAll } from 'vitest'
import { broker } from '../gateway.ts'
import { ownRocketMq } from '../servers/provided.ts'
import { sharedRocketMq, type SharedRocketMqAddress } from '../servers/rocketmq-provided.ts'
import { rocketMqTestClient } from '../servers/rocketmq-clients.ts'
import { ACCESS_KEY, ACCESS_SECRET, startRocketMq, type RocketMqServer } from '../servers/rocketmq.ts'
import { streamSuite } from './stream-suite.ts'

const shared = sharedRocketMq()
const own = ownRocketMq()
/** One that may be killed, and that asks who is there. */
let second: Promise<RocketMqServer> | null = null
const secondRocketMq = (): Promise<RocketMqServer> => (second ??= startRocketMq({ topics: [], groups: [], authentication: true }))
afterAll(async () => (await second)?.stop())

/** Where it is, and what is said to be let in. */
interface Address extends SharedRocketMqAddress {
  readonly secret?: string
}

function config(name: string, at: Address): unknown {
  const secret: Record<string, string> = at.secret === undefined ? {} : { 'auth.secret.ref.name': name }
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'knative-eventing' },
    data: { endpoints: at.endpoint, namesrvAddr: at.nameServer, ...secret },
  }
}

function rocketMqBroker(at: Address, name: string): unknown[] {
  const ref = { apiVersion: 'v1', kind: 'ConfigMap', name: `config-${name}`, namespace: 'knative-eventing' }
  return [
    config(ref.name, at),
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: ref.name, namespace: 'knative-eventing' },
      stringData: { accessKeyId: ACCESS_KEY, accessKeySecret: at.secret ?? '' },
    },
    broker(name, { annotations: { 'eventing.knative.dev/broker.class': 'RocketMQ' }, spec: { config: ref } }),
  ]
}

streamSuite<Address>({
  name: 'RocketMQ',
  note: shared.note,
  skip: shared.skip,
  start: async () => ({ address: await shared.address(), stop: () => Promise.resolve() }),
  // Whoever asks for it later is told where it did not start.
  soon: () => void (own.skip || secondRocketMq().catch(() => {})),
  nowhere: { endpoint: '127.0.0.1:1', nameServer: '127.0.0.1:1' },
  broker: rocketMqBroker,
  channel(at, name) {
    const [apiVersion, kind] = ['messaging.knative.dev/v1alpha1', 'RocketMQChannel']
    return { apiVersion, kind, manifests: [config('config-rocketmq', at), { apiVersion, kind, metadata: { name } }] }
  },
  own: {
    ...own,
    async start() {
      const server = await secondRocketMq()
      const { endpoint, nameServer } = server
      return { ...server, address: { endpoint, nameServer, secret: ACCESS_SECRET }, stop: () => Promise.resolve() }
    },
  },
  refused: {
    skip: own.skip,
    async manifests(name) {
      const { endpoint, nameServer } = await secondRocketMq()
      return rocketMqBroker({ endpoint, nameServer, secret: 'through-the-mirror' }, name)
    },
  },
  async raw(at, name, bytes) {
    const topic = `knative-broker-default_${name}`
    const client = await rocketMqTestClient(at.endpoint, topic)
    await client.send([{ topic, body: bytes }])
  },
  ordered: false,
  shares: true,
  rounds: 1,
  longLease: true,
  durableWithinMs: 1_000,
  // It writes the offsets of its groups every second and its timer's place every five, both later on a busy machine.
  serverForgetsMs: 8_000,
  events: 2_000,
})

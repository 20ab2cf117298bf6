import { randomUUID } from 'node:crypto'
import { afterAll } from 'vitest'
import { broker } from '../gateway.ts'
import { kafkaTestClient } from '../servers/kafka-clients.ts'
import { startKafka, type KafkaServer } from '../servers/kafka.ts'
import { ownKafka, sharedKafka } from '../servers/provided.ts'
import { streamSuite } from './stream-suite.ts'

const kafka = sharedKafka()
const own = ownKafka()
/** One that may be killed, and that asks on another port who is there. */
let second: Promise<KafkaServer> | null = null
const secondKafka = (): Promise<KafkaServer> => (second ??= startKafka({ security: true }))
afterAll(async () => (await second)?.stop())

function config(name: string, address: string, more: Readonly<Record<string, string>> = {}): unknown {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'knative-eventing' },
    data: { 'bootstrap.servers': address, ...more },
  }
}

function kafkaBroker(address: string, name: string, more: Readonly<Record<string, string>> = {}): unknown[] {
  const ref = { apiVersion: 'v1', kind: 'ConfigMap', name: `config-${name}`, namespace: 'knative-eventing' }
  return [
    config(ref.name, address, { 'default.topic.partitions': '3', 'default.topic.replication.factor': '1', ...more }),
    broker(name, { annotations: { 'eventing.knative.dev/broker.class': 'Kafka' }, spec: { config: ref } }),
  ]
}

streamSuite({
  name: 'Kafka',
  note: kafka.note,
  skip: kafka.skip,
  start() {
    // It starts while the rows before those that need it run.
    if (!own.skip) secondKafka().catch(() => {})
    return Promise.resolve({ address: kafka.bootstrap, stop: () => Promise.resolve() })
  },
  nowhere: '127.0.0.1:1',
  broker: kafkaBroker,
  channel(address, name) {
    const [apiVersion, kind] = ['messaging.knative.dev/v1beta1', 'KafkaChannel']
    const channel = { apiVersion, kind, metadata: { name }, spec: { numPartitions: 2, replicationFactor: 1 } }
    return { apiVersion, kind, manifests: [config('kafka-channel-config', address), channel] }
  },
  own: {
    ...own,
    async start() {
      const server = await secondKafka()
      return { ...server, address: server.bootstrap, stop: () => Promise.resolve() }
    },
  },
  refused: {
    skip: own.skip,
    async manifests(name) {
      const server = await secondKafka()
      const secret = {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name, namespace: 'knative-eventing' },
        stringData: { protocol: 'SASL_PLAINTEXT', 'sasl.mechanism': 'PLAIN', user: 'alice', password: randomUUID() },
      }
      return [secret, ...kafkaBroker(server.secured.sasl, name, { 'auth.secret.ref.name': name })]
    },
  },
  async raw(address, name, bytes) {
    const client = kafkaTestClient(address)
    await client.produce(`knative-broker-default-${name}`, [{ value: bytes }])
    await client.close()
  },
  ordered: true,
  shares: true,
  rounds: 1,
  durableWithinMs: 2_500,
  events: 6_000,
})

import { randomUUID } from 'node:crypto'
import { broker } from '../gateway.ts'
import { kafkaTestClient } from '../servers/kafka-clients.ts'
import { startKafka } from '../servers/kafka.ts'
import { ownKafka, sharedKafka } from '../servers/provided.ts'
import { streamSuite } from './stream-suite.ts'

const kafka = sharedKafka()
const own = ownKafka()

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
  start: () => Promise.resolve({ address: kafka.bootstrap, stop: () => Promise.resolve() }),
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
      const server = await startKafka()
      return { ...server, address: server.bootstrap }
    },
  },
  refused: {
    skip: own.skip,
    async start(name) {
      const server = await startKafka({ security: true })
      const secret = {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name, namespace: 'knative-eventing' },
        stringData: { protocol: 'SASL_PLAINTEXT', 'sasl.mechanism': 'PLAIN', user: 'alice', password: randomUUID() },
      }
      const manifests = [secret, ...kafkaBroker(server.secured.sasl, name, { 'auth.secret.ref.name': name })]
      return { manifests, stop: () => server.stop() }
    },
  },
  async raw(address, name, bytes) {
    const client = kafkaTestClient(address)
    await client.produce(`knative-broker-default-${name}`, [{ value: bytes }])
    await client.close()
  },
  ordered: true,
  shares: true,
  durableWithinMs: 1_500,
  events: 20_000,
})

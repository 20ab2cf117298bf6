import { connect } from '@nats-io/transport-node'
import { jetstream } from '@nats-io/jetstream'
import { afterAll } from 'vitest'
import { broker } from '../gateway.ts'
import { ownNats, startNats, type NatsServer } from '../servers/nats.ts'
import type { OwnServer } from './stream-rig.ts'
import { streamSuite } from './stream-suite.ts'

const own = ownNats()
const strict: NatsServer[] = []
afterAll(async () => {
  for (const server of strict) await server.stop()
})

/** What a gateway that was killed held comes again after `ackWait`. */
const CONSUMER = JSON.stringify({ consumer: { ackWait: '6s' } })

function config(name: string, url: string): unknown {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'knative-eventing' },
    data: { 'eventing-nats': JSON.stringify({ url }) },
  }
}

function natsBroker(url: string, name: string): unknown[] {
  const ref = { apiVersion: 'v1', kind: 'ConfigMap', name: `config-${name}`, namespace: 'knative-eventing' }
  return [
    config(ref.name, url),
    broker(name, {
      annotations: {
        'eventing.knative.dev/broker.class': 'NatsJetStream',
        'natsjetstream.eventing.knative.dev/config': CONSUMER,
      },
      spec: { config: ref },
    }),
  ]
}

async function start(): Promise<OwnServer<string>> {
  const server = await startNats()
  return { ...server, address: server.url }
}

streamSuite({
  name: 'NATS JetStream',
  ...own,
  start,
  nowhere: 'nats://127.0.0.1:1',
  broker: natsBroker,
  channel(url, name) {
    const [apiVersion, kind] = ['messaging.knative.dev/v1alpha1', 'NatsJetStreamChannel']
    return { apiVersion, kind, manifests: [config('config-nats', url), { apiVersion, kind, metadata: { name } }] }
  },
  own: { ...own, start },
  refused: {
    skip: own.skip,
    async manifests(name) {
      const server = await startNats({ config: 'authorization { user: "alice", password: "wonder-land" }' })
      strict.push(server)
      return natsBroker(server.url.replace('nats://', 'nats://alice:through-the-mirror@'), name)
    },
  },
  async raw(url, name, bytes) {
    const connection = await connect({ servers: url })
    await jetstream(connection).publish(`default.${name}._knative_broker.events`, bytes)
    await connection.close()
  },
  ordered: true,
  shares: true,
  rounds: 1,
  durableWithinMs: 500,
  events: 5_000,
})

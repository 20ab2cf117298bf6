import { broker } from '../gateway.ts'
import { streamSuite } from './stream-suite.ts'

streamSuite({
  name: 'the embedded stream',
  note: '',
  skip: false,
  start: () => Promise.resolve({ address: '', stop: () => Promise.resolve() }),
  nowhere: null,
  broker: (_address, name) => [broker(name)],
  channel: (_address, name) => {
    const [apiVersion, kind] = ['messaging.knative.dev/v1', 'InMemoryChannel']
    return { apiVersion, kind, manifests: [{ apiVersion, kind, metadata: { name } }] }
  },
  own: null,
  ordered: true,
  shares: false,
  durableWithinMs: 500,
  events: 5_000,
})

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { item, planOf } from './planning.ts'

const file = join(import.meta.dirname, '..', '..', 'examples', 'live-stream', 'live-stream.yaml')

test('the live-stream example is lowered to one stream, one subscription and one service of ten credits a pod', () => {
  const plan = planOf(readFileSync(file, 'utf8'), {
    images: [{ image: '*/event-display', command: ['node', 'display.js'], env: { DELAY_MS: '1' }, workingDir: 'examples' }],
  })
  expect(plan.streams).toEqual([
    {
      key: 'broker/default/default',
      system: 'embedded',
      retentionMs: 86_400_000,
      maxBytes: 2 ** 30,
      maxUnsettledBytes: 0,
      dedupWindowMs: 0,
      maxEventBytes: 2 ** 20,
      settings: {},
    },
  ])
  expect(plan.subscriptions).toEqual([
    {
      key: 'trigger/default/comments',
      namespace: 'default',
      from: { stream: 'broker/default/default' },
      start: { at: 'committed', otherwise: { at: 'latest' } },
      filter: { dialect: 'attributes', attributes: { type: 'com.example.livestream.comment' } },
      order: 'unordered',
      onPark: 'continue',
      delivery: {
        retry: 10,
        backoffPolicy: 'exponential',
        backoffDelayMs: 200,
        backoffMaxMs: 600_000,
        timeoutMs: 300_000,
        retryAfterMaxMs: 0,
        format: 'binary',
      },
      target: 'trigger/default/comments#subscriber',
      reply: 'trigger/default/comments#reply',
      deadLetter: null,
      limits: { maxConcurrency: 0, ratePerS: 0 },
      headers: [],
      batchMax: 1,
      batchWaitMs: 0,
      ack: 'response',
    },
  ])
  expect(plan.targets).toEqual([
    { kind: 'stream', key: 'trigger/default/comments#reply', stream: 'broker/default/default' },
    { kind: 'service', key: 'trigger/default/comments#subscriber', service: 'service/default/event-display', tag: '', path: '/' },
  ])
  const service = item(plan.services, 'service/default/event-display')
  expect(service).toMatchObject({ limit: 10, timeoutMs: 300_000, limits: { maxConcurrency: 0, ratePerS: 0 } })
  expect(service.traffic).toEqual([{ revision: '', percent: 100, tag: '' }])
  expect(service.revision).toMatch(/^event-display-[0-9a-f]{8}$/)
  expect(service.process).toEqual({
    command: ['node', 'display.js'],
    env: [
      ['DELAY_MS', '200'],
      ['LIMIT', '10'],
      ['QUIET', '1'],
    ],
    workingDir: 'examples',
    readiness: { kind: 'tcp' },
    readinessPeriodMs: 100,
    initialDelayMs: 0,
  })
  expect(service.scale).toMatchObject({
    class: 'xpa',
    limit: 10,
    minScale: 1,
    maxScale: 100,
    podBufferSize: 3,
    gcTimeMs: 30_000,
    drainTargetMs: 30_000,
  })
  expect(plan.sources).toEqual([])
})

test('its Broker and Service are reached under all their names', () => {
  const { routes, resources } = planOf(readFileSync(file, 'utf8'))
  expect(routes.map((r) => [r.host, r.path, r.to.kind])).toEqual([
    ['', '/default/brokers/default', 'stream'],
    ['', '/default/default', 'stream'],
    ['broker-ingress.knative-eventing.svc.cluster.local', '/default/default', 'stream'],
    ['event-display.default.example.com', '', 'service'],
    ['event-display.default.svc', '', 'service'],
    ['event-display.default.svc.cluster.local', '', 'service'],
    ['kafka-broker-ingress.knative-eventing.svc.cluster.local', '/default/default', 'stream'],
  ])
  expect(resources.map((r) => [r.key, r.address, r.sinks, r.unresolved])).toEqual([
    ['broker/default/default', '{data}/default/default', {}, []],
    ['service/default/event-display', 'http://event-display.default.example.com', {}, []],
    ['trigger/default/comments', '', { subscriber: 'http://event-display.default.svc.cluster.local' }, []],
  ])
})

test('the order of the manifests and a second reading make no difference', () => {
  const documents = readFileSync(file, 'utf8').split(/^---$/m)
  const turned = documents.toReversed().join('\n---\n')
  expect(planOf(turned)).toEqual(planOf(documents.join('\n---\n')))
})

import { afterEach, describe, expect, test } from 'vitest'
import { broker, post, runCli, startGateway, trigger, type RunningGateway } from '../gateway.ts'
import { kafkaSource } from '../kafka-flow.ts'
import { service, toService } from '../pods/service.ts'
import { startKafka } from '../servers/kafka.ts'
import { kafkaTestClient } from '../servers/kafka-clients.ts'
import { freePorts } from '../servers/processes.ts'
import { ownKafka } from '../servers/provided.ts'
import { startSink } from '../sink.ts'
import { until } from '../until.ts'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})
async function run(options: Parameters<typeof startGateway>[0]): Promise<RunningGateway> {
  const g = await startGateway(options)
  closing.push(() => g.stop())
  return g
}

interface Ready {
  readonly ready: boolean
  readonly degraded: readonly { readonly resource: string; readonly reason: string; readonly message: string }[]
}

describe('what is not there yet', () => {
  test('a pod that never becomes ready: the reason in log, API and status, its events kept', async () => {
    const g = await run({
      manifests: [
        broker(),
        trigger('work', toService('worker')),
        service('worker', {
          env: { START_MS: '600000' },
          annotations: { 'autoscaling.knative.dev/minScale': '1', 'serving.knative.dev/progress-deadline': '2s' },
        }),
      ],
    })
    expect(await post(`${g.listen}/default/default`, 'kept')).toBe(202)
    const revision = async (): Promise<{ trouble: string; observation: { pods: { phase: string }[] } } | undefined> =>
      (
        await g.api<{ revisions: { trouble: string; observation: { pods: { phase: string }[] } }[] }>(
          '/api/v1/services/default/worker',
        )
      ).revisions[0]
    expect((await revision())?.observation.pods.map((p) => p.phase)).toEqual(['starting'])
    await until('it is given up', async () => /not ready after 2 s/.test((await revision())?.trouble ?? ''))
    const { code, out } = await runCli(['status', '--admin', g.admin, '--data', g.data])
    expect(out).toMatch(/^Service +default +worker +False.*not ready after 2 s/m)
    expect(code).toBe(1)
    expect((await g.api<Ready>('/readyz')).degraded.map((d) => d.resource)).toContain('service/default/worker')
    await until('it is logged', () => g.log.some((l) => l.includes('a pod failed') && l.includes('not ready after 2 s')))
    const { subscriptions } = await g.api<{ subscriptions: { waiting: number; attempts: number }[] }>('/api/v1/snapshot')
    expect(subscriptions[0]).toMatchObject({ waiting: 1, attempts: 0 })
  })

  test('a command that is not there: the reason says so, and its events are kept', async () => {
    const lost = {
      apiVersion: 'serving.knative.dev/v1',
      kind: 'Service',
      metadata: { name: 'lost' },
      spec: {
        template: {
          metadata: { annotations: { 'autoscaling.knative.dev/minScale': '1' } },
          spec: { containers: [{ image: 'registry.example.com/lost', command: ['no-such-program', '--port', '1'] }] },
        },
      },
    }
    const g = await run({ manifests: [broker(), trigger('work', toService('lost')), lost] })
    expect(await post(`${g.listen}/default/default`, 'kept')).toBe(202)
    const trouble = await until('the reason is known', async () => {
      const state = await g.api<{ revisions: { trouble: string }[] }>('/api/v1/services/default/lost')
      return state.revisions[0]?.trouble
    })
    expect(trouble).toMatch(/cannot run no-such-program: it was not found/)
    const { subscriptions } = await g.api<{ subscriptions: { waiting: number }[] }>('/api/v1/snapshot')
    expect(subscriptions[0]?.waiting).toBe(1)
  })

  const kafka = ownKafka()
  test.skipIf(kafka.skip)(
    `Kafka unreachable at the start: it runs, says so once, and connects when it can${kafka.note}`,
    async () => {
      const sink = await startSink()
      closing.push(() => sink.close())
      const [port = 0] = await freePorts(1)
      const bootstrap = `127.0.0.1:${port}`
      const g = await run({
        manifests: [broker(), kafkaSource('early', { bootstrap, topic: 'orders', group: 'early', sink: { uri: sink.url } })],
      })
      const degraded = async (): Promise<Ready['degraded']> => (await g.api<Ready>('/readyz')).degraded
      await until('readyz names it', async () =>
        (await degraded()).some((d) => d.resource === 'kafkasource/default/early' && d.message.includes(bootstrap)),
      )
      // Everything else works meanwhile.
      expect(await post(`${g.listen}/default/default`, 'meanwhile')).toBe(202)
      expect((await runCli(['status', '--admin', g.admin, '--data', g.data])).code).toBe(1)
      const server = await startKafka({ port })
      closing.push(() => server.stop())
      const client = kafkaTestClient(server.bootstrap)
      closing.push(() => client.close())
      await client.createTopicNamed('orders', 2)
      await client.produce('orders', [{ value: Buffer.from('{}'), partition: 1 }])
      await until('the event arrives', () => sink.seen.length === 1)
      await until('nothing is degraded', async () => (await degraded()).length === 0)
      expect((await runCli(['status', '--admin', g.admin, '--data', g.data])).code).toBe(0)
      const told = g.log.filter((line) => line.includes('KafkaUnreachable') && line.includes('"warn"'))
      expect(told).toHaveLength(1)
      // While its Kafka is there: what is not committed yet would keep it for its whole grace.
      expect(await g.stop()).toBe(0)
    },
  )
})

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { broker, post, startGateway, temporaryFolder, trigger, type RunningGateway } from '../gateway.ts'
import { accountOf, service, toService } from '../pods/service.ts'
import { until } from '../until.ts'

interface ServiceView {
  readonly revisions: readonly {
    readonly revision: string
    readonly desired: number
    readonly trouble: string
    readonly reason: string
    readonly gate: { readonly inFlight: number; readonly abandoned: number }
    readonly observation: {
      readonly pods: readonly { readonly name: string; readonly phase: string; readonly inFlight: number }[]
    }
  }[]
}

const gateways: RunningGateway[] = []
afterEach(async () => {
  for (const g of gateways.splice(0)) await g.stop()
})
async function start(manifests: readonly unknown[], data?: string): Promise<RunningGateway> {
  const g = await startGateway({ manifests, ...(data === undefined ? {} : { data }) })
  gateways.push(g)
  return g
}
const view = (g: RunningGateway, name = 'worker'): Promise<ServiceView> => g.api(`/api/v1/services/default/${name}`)
async function readyPods(g: RunningGateway): Promise<number> {
  return (await view(g)).revisions[0]?.observation.pods.filter((p) => p.phase === 'ready').length ?? 0
}
const lives = (pid: number): boolean => existsSync(`/proc/${pid}`)

/** The variables of a pod whose manifest sets MINE. */
const EXPECTED_NAMES = ['HOME', 'HOST', 'K_CONFIGURATION', 'K_POD', 'K_REVISION', 'K_SERVICE', 'MINE', 'PATH', 'PORT']

describe('process pods', () => {
  test('no pod is ever over its limit, and pods follow what is in flight', async () => {
    const account = join(temporaryFolder(), 'account')
    const g = await start([
      broker(),
      trigger('work', toService('worker')),
      service('worker', {
        containerConcurrency: 3,
        env: { DELAY_MS: '60', ACCOUNT: account },
        annotations: {
          'autoscaling.knative.dev/minScale': '1',
          'autoscaling.knative.dev/maxScale': '4',
          'autoscaling.knative.dev/gc-time': '1',
        },
      }),
    ])
    await until('one pod is ready', async () => (await readyPods(g)) === 1)
    const ids = Array.from({ length: 200 }, (_, i) => `e${i}`)
    expect(await Promise.all(ids.map((id) => post(`${g.listen}/default/default`, id)))).toEqual(ids.map(() => 202))
    const seen = await until('all events reach a pod', () => {
      const lines = accountOf(account)
      return new Set(lines.map((l) => l.id)).size === ids.length ? lines : null
    })
    expect(Math.max(...seen.map((l) => l.concurrency))).toBeLessThanOrEqual(3)
    expect(new Set(seen.map((l) => l.pid)).size).toBeGreaterThan(1)
    expect(new Set(seen.map((l) => l.pid)).size).toBeLessThanOrEqual(4)
    await until('idle pods go, one stays', async () => (await readyPods(g)) === 1)
  })

  test('at zero pods a burst waits in the stream and starts one', async () => {
    const account = join(temporaryFolder(), 'account')
    const g = await start([
      broker(),
      trigger('work', toService('worker')),
      service('worker', {
        env: { ACCOUNT: account, START_MS: '300' },
        annotations: { 'autoscaling.knative.dev/minScale': '0', 'autoscaling.knative.dev/gc-time': '1' },
      }),
    ])
    await until('there is no pod', async () => (await readyPods(g)) === 0)
    for (let i = 0; i < 20; i++) expect(await post(`${g.listen}/default/default`, `z${i}`)).toBe(202)
    await until('all arrive', () => new Set(accountOf(account).map((l) => l.id)).size === 20)
    expect(accountOf(account).length).toBe(20)
    await until('it scales to zero again', async () => (await view(g)).revisions[0]?.observation.pods.length === 0)
  })

  test('a plain request reaches the Service by its host name through the same gate', async () => {
    const g = await start([service('worker', { annotations: { 'autoscaling.knative.dev/minScale': '1' } })])
    const url = new URL(g.listen)
    const { request } = await import('node:http')
    const body = await new Promise<string>((resolve, reject) => {
      const outgoing = request(
        { host: url.hostname, port: url.port, path: '/hi', headers: { host: 'worker.default.example.com' } },
        (response) => {
          let text = ''
          response.on('data', (chunk: Buffer) => (text += chunk.toString()))
          response.on('end', () => resolve(`${response.statusCode} ${text}`))
        },
      )
      outgoing.on('error', reject)
      outgoing.end()
    })
    expect(body).toBe('200 served /hi')
    expect(await g.metrics()).toMatch(/sluice_requests_total\{kind="service",namespace="default",name="worker",code="2xx"\} 1/)
  })

  test('a pod that cannot start is backed off from, says why, and its events are kept', async () => {
    const g = await start([
      broker(),
      trigger('work', toService('worker')),
      service('worker', { env: { CRASH: '1' }, annotations: { 'autoscaling.knative.dev/minScale': '1' } }),
    ])
    expect(await post(`${g.listen}/default/default`, 'kept')).toBe(202)
    const trouble = await until('the reason is known', async () => (await view(g)).revisions[0]?.trouble)
    expect(trouble).toMatch(/exited with 3/)
    const ready = await g.api<{ ready: boolean; degraded: { resource: string; message: string }[] }>('/readyz')
    expect(ready.ready).toBe(true)
    expect(ready.degraded.some((d) => d.resource === 'service/default/worker' && /exited with 3/.test(d.message))).toBe(true)
    const snapshot = await g.api<{ subscriptions: { waiting: number; parkedNow: number }[] }>('/api/v1/snapshot')
    expect(snapshot.subscriptions[0]).toMatchObject({ waiting: 1, parkedNow: 0 })
    await until('its output is in the log', () => g.log.some((line) => line.includes('this pod cannot start')))
  })

  test('a pod killed while busy loses nothing: its events are attempted again elsewhere', async () => {
    const account = join(temporaryFolder(), 'account')
    const g = await start([
      broker(),
      trigger('work', toService('worker'), {
        spec: { delivery: { retry: 5, backoffPolicy: 'linear', backoffDelay: 'PT0.05S' } },
      }),
      service('worker', {
        containerConcurrency: 5,
        env: { DELAY_MS: '400', ACCOUNT: account },
        annotations: { 'autoscaling.knative.dev/minScale': '2', 'autoscaling.knative.dev/maxScale': '2' },
      }),
    ])
    await until('two pods are ready', async () => (await readyPods(g)) === 2)
    for (let i = 0; i < 10; i++) expect(await post(`${g.listen}/default/default`, `k${i}`)).toBe(202)
    const victim = await until('a pod is busy', () => accountOf(account)[0]?.pid)
    process.kill(victim, 'SIGKILL')
    await until('every event is delivered', async () => {
      const { subscriptions } = await g.api<{ subscriptions: { delivered: number; waiting: number }[] }>('/api/v1/snapshot')
      return subscriptions[0]?.delivered === 10 && subscriptions[0].waiting === 0
    })
    expect(new Set(accountOf(account).map((l) => l.id)).size).toBe(10)
    await until('it was replaced', async () => (await readyPods(g)) === 2)
  })

  test('a pod sees the manifest’s variables and Knative’s, nothing of the gateway’s', async () => {
    const g = await startGateway({
      manifests: [
        {
          apiVersion: 'serving.knative.dev/v1',
          kind: 'Service',
          metadata: { name: 'worker' },
          spec: {
            template: {
              metadata: { annotations: { 'autoscaling.knative.dev/minScale': '1' } },
              spec: {
                containers: [
                  { image: 'registry.example.com/env', command: ['env'], env: [{ name: 'MINE', value: 'a  "b" $HOME' }] },
                ],
              },
            },
          },
        },
      ],
      env: { SECRET_OF_THE_GATEWAY: 'x' },
    })
    gateways.push(g)
    const lines = await until('it has printed all', () => {
      const own = g.log
        .map((line) => JSON.parse(line) as { message: string; stream?: string })
        .filter((l) => l.stream === 'stdout')
      // A first pod may be read in pieces; the one after it says the same again.
      return EXPECTED_NAMES.every((name) => own.some((l) => l.message.startsWith(`${name}=`))) ? own.map((l) => l.message) : null
    })
    expect(lines).toContain('MINE=a  "b" $HOME')
    // A shell may leave its own `_` behind.
    const names = new Set(lines.map((l) => l.split('=')[0] ?? '').filter((n) => n !== '_'))
    expect([...names].sort()).toEqual([...EXPECTED_NAMES].sort())
  })

  test('no pod outlives a gateway that was killed', async () => {
    const account = join(temporaryFolder(), 'account')
    const g = await start([
      broker(),
      trigger('work', toService('worker')),
      service('worker', { env: { ACCOUNT: account }, annotations: { 'autoscaling.knative.dev/minScale': '3' } }),
    ])
    await until('three pods are ready', async () => (await readyPods(g)) === 3)
    const { readdirSync } = await import('node:fs')
    const pids = readdirSync(join(g.data, 'pods')).map(Number)
    expect(pids.length).toBe(3)
    expect(pids.every(lives)).toBe(true)
    await g.kill()
    await until('the pods are gone', () => pids.every((pid) => !lives(pid)))
  })
})

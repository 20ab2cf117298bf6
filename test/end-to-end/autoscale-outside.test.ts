import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { afterAll, describe, expect, test } from 'vitest'
import {
  broker,
  environment,
  freeAddress,
  post,
  runCli,
  sluice,
  startGateway,
  temporaryFolder,
  trigger,
  writeManifests,
  type RunningGateway,
} from '../gateway.ts'
import { service, toService } from '../pods/service.ts'
import { havePrometheus, startPrometheus } from '../servers/prometheus.ts'
import { until } from '../until.ts'

const prometheus = await havePrometheus()

/** All rows run together, each with gateways of its own; what they opened is closed after the last. */
const closing: (() => unknown)[] = []
afterAll(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

/** A Service whose pods never get ready here: what is sent stays demand, and its size is somebody else's matter. */
const worker = (
  annotations: Readonly<Record<string, string>> = {},
  env: Readonly<Record<string, string>> = { START_MS: '600000' },
): unknown =>
  service('worker', {
    env,
    containerConcurrency: 5,
    annotations: {
      'autoscaling.knative.dev/minScale': '0',
      'autoscaling.knative.dev/maxScale': '50',
      'autoscaling.knative.dev/gc-time': '1',
      ...annotations,
    },
  })
const manifests = (): unknown[] => [broker(), trigger('work', toService('worker')), worker()]

async function gatewayAt(admin: string, resources = manifests()): Promise<RunningGateway> {
  const g = await startGateway({ manifests: resources, args: ['--admin', admin] })
  closing.push(() => g.kill())
  return g
}

interface Line {
  readonly service: string
  readonly before: number
  readonly desired: number
  readonly held: boolean
  readonly reason: string
}

interface Autoscaler {
  readonly lines: Line[]
  readonly log: string[]
  stop(): Promise<number | null>
}

async function startAutoscaler(args: readonly string[]): Promise<Autoscaler> {
  const file = writeManifests(temporaryFolder(), manifests())
  const child: ChildProcess = spawn(process.execPath, [sluice, 'autoscale', '-f', file, ...args], {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const gone = new Promise<number | null>((resolve) => child.once('exit', resolve))
  closing.push(() => {
    child.kill('SIGKILL')
    return gone
  })
  const log: string[] = []
  const lines: Line[] = []
  let ready = false
  if (child.stdout === null || child.stderr === null) throw new Error('no pipes')
  createInterface({ input: child.stderr }).on('line', (line) => log.push(line))
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (ready) lines.push(JSON.parse(line) as Line)
    else ready = (JSON.parse(line) as { event: string }).event === 'ready'
  })
  await until('the autoscaler is ready', () => ready)
  return {
    lines,
    log,
    stop() {
      child.kill('SIGTERM')
      return gone
    },
  }
}

/** Takes the place of whoever runs the pods. */
async function startHook(): Promise<{ url: string; calls: { service: string; desired: number; reason: string }[] }> {
  const calls: { service: string; desired: number; reason: string }[] = []
  const server: Server = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk: Buffer) => (text += chunk.toString()))
    request.on('end', () => {
      calls.push(JSON.parse(text) as (typeof calls)[number])
      response.writeHead(204).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  return { url: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/scale`, calls }
}

const answers = (address: string): Promise<boolean> =>
  fetch(`http://${address}/healthz`).then(
    (r) => r.ok,
    () => false,
  )

async function burst(g: RunningGateway, count: number, name: string): Promise<void> {
  for (let i = 0; i < count; i++) expect(await post(`${g.listen}/default/default`, `${name}${i}`)).toBe(202)
}

describe.concurrent('gateways drive the scale', () => {
  test('two are added up, by snapshot and by /metrics; one that is killed holds the size, and its return ends that', async () => {
    const [a, b] = [await freeAddress(), await freeAddress()]
    const first = await gatewayAt(a)
    const second = await gatewayAt(b)
    const hook = await startHook()
    const quick = await startAutoscaler([
      '--gateway',
      `http://${a}`,
      '--gateway',
      `http://${b}/metrics`,
      '--webhook',
      hook.url,
      '--silent',
      '2s',
    ])
    await until('nobody wants it: it goes to zero', () => hook.calls.at(-1)?.desired === 0)
    await burst(first, 4, 'a')
    await burst(second, 4, 'b')
    await until('demand wakes it', () => (hook.calls.at(-1)?.desired ?? 0) > 0)
    const size = (): number | undefined => hook.calls.at(-1)?.desired
    await until('it says why', () => hook.calls.some((c) => c.service === 'default/worker' && c.reason.includes('of backlog')))
    await second.kill()
    await until('the silence is told', () =>
      quick.lines.some((l) => l.held && l.reason.includes(`http://${b}/metrics has said nothing new`)),
    )
    await until('it is logged', () => quick.log.some((l) => l.includes('held for lack of data')))
    const held = size()
    await first.kill()
    await until('both are silent', async () => !(await answers(a)) && !(await answers(b)))
    expect(size()).toBe(held)
    // Both come back with empty folders: nothing waits any more, and that is heard, so it may go down.
    await gatewayAt(a)
    await gatewayAt(b)
    await until('it is decided on full data again', () =>
      quick.lines.some((l) => !l.held && l.reason.startsWith('all is heard again')),
    )
    await until('and shrinks', () => size() === 0, 60_000)
    expect(await quick.stop()).toBe(0)
  })

  test('process pods follow it, and the own decider takes over when it is gone', async () => {
    const address = await freeAddress()
    const g = await gatewayAt(address, [worker({ 'autoscaling.knative.dev/minScale': '1' }, {})])
    const pods = async (): Promise<number> => {
      const view = await g.api<{ revisions: { observation: { pods: { phase: string }[] } }[] }>('/api/v1/services/default/worker')
      return view.revisions[0]?.observation.pods.filter((p) => p.phase === 'ready').length ?? 0
    }
    await until('one pod', async () => (await pods()) === 1)
    await g.api('/api/v1/services/default/worker/scale', { desired: 3, leaseMs: 8_000, reason: 'by hand' })
    await until('three pods', async () => (await pods()) === 3)
    const { items } = await g.api<{ items: { desired: number; reason: string }[] }>('/api/v1/services/default/worker/decisions')
    expect(items).toContainEqual(expect.objectContaining({ desired: 3, reason: '3, told from outside: by hand' }))
    const autoscaler = await startAutoscaler([
      '--gateway',
      `http://${address}`,
      '--pods',
      '--token-file',
      join(g.data, 'admin.token'),
    ])
    // The manifests of the autoscaler allow none, those of the gateway one: the gateway's bounds stand.
    await until('it shrinks', () => autoscaler.lines.some((l) => l.desired < 3))
    await until('to the least', async () => (await pods()) === 1)
    expect(await autoscaler.stop()).toBe(0)
    for (const bad of [-1, 1.5, '3', null])
      await expect(g.api('/api/v1/services/default/worker/scale', { desired: bad })).rejects.toThrow(
        /400 .*desired is .* whole number/,
      )
    await expect(g.api('/api/v1/services/default/nobody/scale', { desired: 1 })).rejects.toThrow(/404/)
  })
})

describe.concurrent('a Deployment in a cluster', () => {
  test('its /scale is read and patched over HTTPS with the token and the CA of the cluster', async () => {
    const folder = temporaryFolder()
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
    await promisify(execFile)('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'],
      ...['-keyout', key, '-out', cert, '-subj', '/CN=kubernetes', '-addext', 'subjectAltName=IP:127.0.0.1'],
    ])
    const token = join(folder, 'token')
    writeFileSync(token, 'cluster-token\n')
    let replicas = 1
    const refused: string[] = []
    const api = createSecureServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
      let text = ''
      request.on('data', (chunk: Buffer) => (text += chunk.toString()))
      request.on('end', () => {
        const good =
          request.url === '/apis/apps/v1/namespaces/default/deployments/worker/scale' &&
          request.headers.authorization === 'Bearer cluster-token'
        if (!good) refused.push(`${request.method} ${request.url}`)
        else if (request.method === 'PATCH') replicas = (JSON.parse(text) as { spec: { replicas: number } }).spec.replicas
        response.writeHead(good ? 200 : 403, { 'content-type': 'application/json' })
        response.end(JSON.stringify({ kind: 'Scale', apiVersion: 'autoscaling/v1', spec: { replicas } }))
      })
    })
    await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve))
    closing.push(() => {
      api.closeAllConnections()
      api.close()
    })
    const address = api.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const admin = await freeAddress()
    const g = await gatewayAt(admin)
    const cluster = ['--kubernetes', `https://127.0.0.1:${port}`, '--kubernetes-token-file', token]
    const autoscaler = await startAutoscaler(['--gateway', `http://${admin}`, ...cluster, '--ca-file', cert])
    await until('nobody wants it', () => replicas === 0)
    await burst(g, 4, 'k')
    await until('demand wakes it', () => replicas > 0)
    expect(refused).toEqual([])
    await until('it says so', () => autoscaler.lines.some((l) => l.service === 'default/worker' && l.before === 0 && !l.held))
    expect(await autoscaler.stop()).toBe(0)
    const stranger = await startAutoscaler(['--gateway', `http://${admin}`, ...cluster])
    await until('an API server nobody vouches for is not believed', () => stranger.log.some((l) => /self-signed/.test(l)))
  })
})

describe.concurrent(`Prometheus drives the scale${prometheus.note}`, () => {
  test.skipIf(prometheus.skip)(
    'what it scraped from the gateway scales; a gateway that is killed holds, and its return ends that',
    async () => {
      const address = await freeAddress()
      const g = await gatewayAt(address)
      const server = await startPrometheus([address])
      closing.push(() => server.stop())
      const hook = await startHook()
      const query = 'sum(sluice_revision_demand{namespace="$namespace",service="$service"}) and on() (min(up{job="sluice"}) == 1)'
      const autoscaler = await startAutoscaler([
        '--prometheus',
        server.url,
        '--query',
        query,
        '--webhook',
        hook.url,
        '--interval',
        '500ms',
      ])
      const size = (): number | undefined => hook.calls.at(-1)?.desired
      await until('nothing is wanted', () => size() === 0, 60_000)
      await burst(g, 12, 'p')
      await until('12 at 5 a pod', () => size() === 3, 60_000)
      expect(hook.calls.filter((c) => c.desired === 3 && c.reason.includes('12 in flight'))).not.toEqual([])
      await g.kill()
      await until('Prometheus knows that it is gone', async () => (await server.query('min(up{job="sluice"})')) === 0)
      await until('the silence is told', () =>
        autoscaler.lines.some((l) => l.held && l.desired === 3 && l.reason.includes('held at 3: Prometheus has given no number')),
      )
      expect(size()).toBe(3)
      await gatewayAt(address)
      await until('it is heard again and shrinks', () => size() === 0, 60_000)
      await until('it says so', () => autoscaler.lines.some((l) => !l.held && l.reason.startsWith('all is heard again')))
      await server.stop()
      await until('a Prometheus that is gone is told too', () =>
        autoscaler.lines.some((l) => l.held && /ECONNRE|socket hang up/.test(l.reason)),
      )
      expect(await autoscaler.stop()).toBe(0)
    },
  )
})

test.concurrent('what cannot be meant is refused', async () => {
  const file = writeManifests(temporaryFolder(), manifests())
  for (const [args, words] of [
    [[], /listens to gateways/],
    [['--gateway', 'http://127.0.0.1:1', '--prometheus', 'http://127.0.0.1:1'], /listens to gateways/],
    [['--prometheus', 'http://127.0.0.1:1'], /--query or the annotation sluice\.dev\/query/],
    [['--gateway', 'nowhere'], /--gateway is "nowhere"; it must be a URL/],
  ] as const) {
    const { code, err } = await runCli(['autoscale', '-f', file, ...args])
    expect(code, err).toBe(2)
    expect(err).toMatch(words)
  }
})

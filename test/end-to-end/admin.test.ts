import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Script } from 'node:vm'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  broker,
  environment,
  post,
  runCli,
  sluice,
  startGateway,
  temporaryFolder,
  trigger,
  type RunningGateway,
} from '../gateway.ts'
import { service } from '../pods/service.ts'
import { startSink, type Sink } from '../sink.ts'
import { until } from '../until.ts'

const manifests = (good: string, bad: string): unknown[] => [
  broker(),
  trigger('good', good, { spec: { filter: { attributes: { type: 'test.event' } } } }),
  trigger('bad', bad, {
    spec: {
      filter: { attributes: { type: 'test.event' } },
      delivery: { retry: 1, backoffPolicy: 'linear', backoffDelay: 'PT0.01S' },
    },
  }),
  trigger('other', good, { spec: { filters: [{ exact: { type: 'other.event' } }, { not: { prefix: { source: '/test' } } }] } }),
  service('worker', { annotations: { 'autoscaling.knative.dev/minScale': '1', 'autoscaling.knative.dev/maxScale': '2' } }),
]

let g: RunningGateway
let good: Sink
let bad: Sink
let well = false

beforeEach(async () => {
  well = false
  good = await startSink()
  bad = await startSink((_seen, response) => response.writeHead(well ? 200 : 500).end('broken'))
  g = await startGateway({ manifests: manifests(good.url, bad.url) })
})
afterEach(async () => {
  await g.stop()
  await good.close()
  await bad.close()
})

const cli = (...args: string[]): ReturnType<typeof runCli> => runCli([...args, '--admin', g.admin, '--data', g.data])
const send = async (id: string, more: Record<string, string> = {}): Promise<void> => {
  expect(await post(`${g.listen}/default/default`, id, more)).toBe(202)
}
const settled = (n: number): Promise<unknown> =>
  until('both triggers are through', async () => {
    const { subscriptions } = await g.api<{ subscriptions: { key: string; delivered: number; parked: number }[] }>(
      '/api/v1/snapshot',
    )
    const of = (name: string): { delivered: number; parked: number } | undefined =>
      subscriptions.find((s) => s.key === `trigger/default/${name}`)
    return of('good')?.delivered === n && of('bad')?.parked === n
  })
/** A request with headers that fetch would not send. */
const raw = (
  path: string,
  headers: Record<string, string>,
  method = 'GET',
  body = '',
): Promise<{ status: number; body: string }> =>
  new Promise((resolve, reject) => {
    const url = new URL(g.admin)
    const outgoing = request({ host: url.hostname, port: url.port, path, method, headers }, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })

describe('what a person asks a running gateway', () => {
  test('get, status, top and health tell the state of all resources', async () => {
    await send('one')
    await settled(1)
    await until('the pod is ready', async () => (await cli('status')).code === 0)
    const all = await cli('get')
    expect(all.code).toBe(0)
    expect(all.out).toMatch(/^KIND +NAMESPACE +NAME +READY +ADDRESS +BACKLOG +REASON$/m)
    expect(all.out).toMatch(new RegExp(`^Broker +default +default +True +${g.listen}/default/default`, 'm'))
    expect(all.out).toMatch(/^Service +default +worker +True +http:\/\/worker\.default\./m)
    const triggers = await cli('get', 'triggers')
    expect(triggers.out.trim().split('\n')).toHaveLength(4)
    const one = await cli('get', 'trigger', 'default/bad')
    expect(one.out).toMatch(/^SubscriberResolved +True$/m)
    expect(one.out).toMatch(new RegExp(`^subscriber +${bad.url}$`, 'm'))
    expect(one.out).toMatch(/^IN FLIGHT +ABANDONED +QUEUED +LIMIT$/m)
    const json = JSON.parse((await cli('get', 'trigger', 'bad', '-o', 'json')).out) as {
      metadata: { uid: string }
      status: { subscriberUri: string; conditions: { type: string; status: string }[] }
      sluice: { counters: { parked: number } }
    }
    expect(json.status.subscriberUri).toBe(bad.url)
    expect(json.status.conditions[0]).toEqual({ type: 'Ready', status: 'True' })
    expect(json.metadata.uid).toMatch(/^[0-9a-f-]{36}$/)
    expect(json.sluice.counters.parked).toBe(1)
    const list = JSON.parse((await cli('get', '-o', 'json')).out) as { kind: string; items: unknown[] }
    expect(list).toMatchObject({ kind: 'List' })
    expect(list.items).toHaveLength(5)
    const top = await cli('top', '--once')
    expect(top.out).toMatch(/^service\/default\/worker +\S+ +1 +0 +1 +0 +0 +10/m)
    expect(top.out).toMatch(/^trigger\/default\/bad +0 +0 +0 +1 +0 +1$/m)
    expect((await cli('health')).code).toBe(0)
    const missing = await cli('get', 'trigger', 'nobody')
    expect(missing.code).toBe(1)
    expect(missing.err).toMatch(/no such thing.*sluice get/)
  })

  test('status is 1 and says why while something is not Ready', async () => {
    const file = JSON.parse(readFileSync(g.file, 'utf8')) as { items: unknown[] }
    file.items.push(trigger('lost', { ref: { apiVersion: 'serving.knative.dev/v1', kind: 'Service', name: 'nobody' } }))
    writeFileSync(g.file, JSON.stringify(file))
    await until('the reload is seen', async () => (await cli('get', 'trigger', 'lost')).code === 0)
    const status = await cli('status')
    expect(status.code).toBe(1)
    expect(status.out).toMatch(/^Trigger +default +lost +False .*nobody/m)
    const json = JSON.parse((await cli('status', '-o', 'json')).out) as {
      ready: boolean
      items: { name: string; conditions: unknown[] }[]
    }
    expect(json.ready).toBe(false)
    expect(json.items.find((i) => i.name === 'lost')?.conditions[0]).toMatchObject({ type: 'Ready', status: 'False' })
    expect((await cli('health')).out).toMatch(/^degraded: trigger\/default\/lost/m)
  })

  test('parked events are listed, shown, replayed and purged', async () => {
    for (const id of ['a', 'b', 'c']) await send(id)
    await settled(3)
    expect((await cli('dlq', 'list')).out).toMatch(/^trigger\/default\/bad +3 +\d+$/m)
    const list = await cli('dlq', 'list', 'trigger/default/bad')
    expect(list.out).toMatch(/ exhausted +\/test a +2 +500/)
    const { items } = JSON.parse((await cli('dlq', 'list', 'trigger/bad', '-o', 'json')).out) as {
      items: { id: string; event: { id: string; data: string }; attempts: { status: number }[] }[]
    }
    const shown = JSON.parse((await cli('dlq', 'show', 'trigger/bad', items[0]?.id ?? '')).out) as (typeof items)[number]
    expect(shown).toMatchObject({ event: { id: 'a', data: '{"n":1}' }, attempts: [{ status: 500 }, { status: 500 }] })
    expect((await cli('dlq', 'replay', 'trigger/bad', '--dry-run', '--where', "id = 'b'")).out).toBe('1 events match\n')
    well = true
    expect((await cli('dlq', 'replay', 'trigger/bad', '--where', "id = 'b'")).out).toMatch(/^1 matched, 1 replayed, 0 failed/)
    const unsure = await cli('dlq', 'purge', 'trigger/bad')
    expect(unsure).toMatchObject({ code: 2 })
    expect(unsure.err).toMatch(/--all/)
    expect((await cli('dlq', 'purge', 'trigger/bad', items[0]?.id ?? '')).out).toBe('1 events deleted\n')
    expect((await cli('dlq', 'purge', 'trigger/bad', '--all')).out).toBe('1 events deleted\n')
    expect((await cli('dlq', 'list')).out.trim()).toBe('SUBSCRIPTION  EVENTS  BYTES')
  })

  test('explain tells which trigger took an event, which clause refused it, and each attempt', async () => {
    await send('traced')
    await settled(1)
    const text = (await cli('explain', 'traced')).out
    expect(text).toMatch(/^event traced of \/test, type test\.event$/m)
    expect(text).toMatch(/^ {2}stored in broker\/default\/default at 20/m)
    expect(text).toMatch(/^ {2}trigger\/default\/good was delivered since 20/m)
    expect(text).toMatch(/^ {4}#1 20\S+ accepted 200 in \d+ ms/m)
    expect(text).toMatch(/^ {2}trigger\/default\/bad is parked/m)
    expect(text).toMatch(/^ {4}#2 20\S+ retryable 500 in \d+ ms.*500/m)
    expect(text).toMatch(/^ {2}trigger\/default\/other did not match$/m)
    const { items } = JSON.parse((await cli('explain', 'traced', '-o', 'json')).out) as {
      items: { subscriptions: { subscription: string; matched: boolean; clauses: { clause: string; matched: boolean }[] }[] }[]
    }
    const other = items[0]?.subscriptions.find((s) => s.subscription === 'trigger/default/other')
    expect(other?.matched).toBe(false)
    expect(other?.clauses.map((c) => [c.clause, c.matched])).toEqual([
      ['filters[0].exact.type', false],
      ['filters[1].not', false],
      ['filters[1].not.prefix.source', true],
    ])
    const unknown = await cli('explain', 'never-sent')
    expect(unknown.code).toBe(1)
    expect(unknown.err).toMatch(/nothing is remembered of an event "never-sent": it never came here/)
    await until('a pod was decided on', async () => /→ 1/.test((await cli('explain', 'service', 'default/worker')).out))
  })

  test('a filter is explained offline, clause by clause', async () => {
    const folder = temporaryFolder()
    const event = join(folder, 'event.json')
    writeFileSync(event, JSON.stringify({ specversion: '1.0', id: '1', source: '/elsewhere', type: 'other.event' }))
    const offline = (name: string): ReturnType<typeof runCli> =>
      runCli(['explain', '--event', event, '-f', g.file, '--trigger', name, '-o', 'json'])
    const yes = await offline('default/other')
    expect(yes.err).toBe('')
    expect(yes.code).toBe(0)
    const told = JSON.parse(yes.out) as { matched: boolean; clauses: { clause: string; matched: boolean; why: string }[] }
    expect(told.matched).toBe(true)
    expect(told.clauses.every((c) => c.why !== '')).toBe(true)
    expect(JSON.parse((await offline('good')).out)).toMatchObject({ matched: false, clauses: [{ matched: false }] })
    const nobody = await offline('default/nobody')
    expect(nobody.code).toBe(2)
    expect(nobody.err).toMatch(/the manifests have .*trigger\/default\/other/)
    writeFileSync(event, '{"specversion":"1.0"}')
    const broken = await offline('good')
    expect(broken.code).toBe(1)
    expect(broken.err).toMatch(/is no event in JSON.*id/)
  })

  test('tail follows a broker live, chooses with CESQL, and ends after as many as were asked for', async () => {
    const child = spawn(
      process.execPath,
      [
        ...[sluice, 'tail', 'broker/default/default', '--where', "color = 'blue'", '--most', '2', '-o', 'json'],
        ...['--admin', g.admin, '--data', g.data],
      ],
      { stdio: ['ignore', 'pipe', 'pipe'], env: environment },
    )
    const lines: { where: string; event: { id: string; color: string; data: unknown } }[] = []
    createInterface({ input: child.stdout }).on('line', (line) => lines.push(JSON.parse(line) as (typeof lines)[number]))
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
    const said: string[] = []
    createInterface({ input: child.stderr }).on('line', (line) => said.push(line))
    await until('it follows', () => said.some((line) => line === 'following broker/default/default'))
    await send('red', { 'ce-color': 'red' })
    await send('blue-1', { 'ce-color': 'blue' })
    await send('blue-2', { 'ce-color': 'blue' })
    expect(await ended).toBe(0)
    expect(lines.map((l) => l.event.id)).toEqual(['blue-1', 'blue-2'])
    expect(lines[0]).toMatchObject({ where: 'broker/default/default', event: { color: 'blue', data: { n: 1 } } })
    const nobody = await cli('tail', 'broker/default/nobody')
    expect(nobody.code).toBe(1)
    expect(nobody.err).toMatch(/there is no broker default\/nobody/)
    const filter = await cli('tail', 'broker/default/default', '--where', 'type = ')
    expect(filter.code).toBe(1)
    expect(filter.err).toMatch(/column/)
  })
})

describe('the admin port', () => {
  test('reading is open on loopback, writing and event bodies take the token, a JSON type and a known Host', async () => {
    const token = readFileSync(join(g.data, 'admin.token'), 'utf8').trim()
    const bearer = { authorization: `Bearer ${token}` }
    const json = { 'content-type': 'application/json' }
    expect((await raw('/api/v1/plan', {})).status).toBe(200)
    expect((await raw('/api/v1/plan', { host: 'evil.example' })).status).toBe(421)
    expect((await raw('/metrics', { host: 'evil.example' })).status).toBe(200)
    expect((await raw('/api/v1/dlq/trigger/default/bad', {})).status).toBe(401)
    expect((await raw('/api/v1/events/x', {})).status).toBe(401)
    expect((await raw('/api/v1/tail/broker/default/default', {})).status).toBe(401)
    expect((await raw('/api/v1/reload', json, 'POST', '{}')).status).toBe(401)
    expect((await raw('/api/v1/reload', { ...json, authorization: `Bearer ${token}x` }, 'POST', '{}')).status).toBe(401)
    expect((await raw('/api/v1/reload', { ...json, authorization: token }, 'POST', '{}')).status).toBe(401)
    expect((await raw('/api/v1/reload', bearer, 'POST', '{}')).status).toBe(415)
    expect((await raw('/api/v1/reload', { ...bearer, ...json, host: 'evil.example' }, 'POST', '{}')).status).toBe(421)
    expect((await raw('/api/v1/reload', { ...bearer, ...json }, 'POST', '{"')).status).toBe(400)
    expect((await raw('/api/v1/reload', { ...bearer, ...json }, 'POST', `"${'x'.repeat(4 << 20)}"`)).status).toBe(413)
    expect(await raw('/api/v1/reload', { ...bearer, ...json }, 'POST', '{}')).toMatchObject({ status: 200 })
    expect((await raw('/api/v1/reload', bearer)).status).toBe(405)
    expect((await raw('/api/v1/nothing', {})).status).toBe(404)
    expect((await raw('/%zz', {})).status).toBe(400)
    expect((await raw('//', {})).status).toBe(404)
    expect((await raw('/metrics', {}, 'HEAD')).body).toBe('')
  })

  test('the plan shows no secret, and the console no more than the read API', async () => {
    const file = JSON.parse(readFileSync(g.file, 'utf8')) as { items: unknown[] }
    const annotations = { 'sluice.dev/headers-from-secret': 'credentials' }
    file.items.push(
      {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'credentials' },
        stringData: { authorization: 'Bearer very-secret' },
      },
      trigger('with-secret', good.url, { annotations, spec: { filter: { attributes: { type: 'secret.event' } } } }),
    )
    writeFileSync(g.file, JSON.stringify(file))
    const plan = await until('the reload is seen', async () => {
      const { body } = await raw('/api/v1/plan', {})
      return body.includes('with-secret') ? body : null
    })
    expect(plan).toContain('[secret]')
    expect(plan + g.log.join('\n')).not.toContain('very-secret')
    expect(plan).not.toContain(Buffer.from('Bearer very-secret').toString('base64'))
    const page = await raw('/', {})
    expect(page.status).toBe(200)
    const asked = [...page.body.matchAll(/ask\('([^']+)'/g)].map(([, path]) => path ?? '')
    expect(asked).toContain('/api/v1/snapshot')
    for (const path of asked) {
      const whole = path === '/api/v1/services/' ? `${path}default/worker/decisions` : path
      expect((await raw(whole, {})).status, whole).toBe(200)
    }
    // The script parses; what it does is small enough to be read.
    expect(() => new Script(/<script>([^]*)<\/script>/.exec(page.body)?.[1] ?? 'no script')).not.toThrow()
  })

  test('off loopback it starts only with a token file or when told so', async () => {
    const args = (...more: string[]): string[] => [
      ...['run', '-f', g.file, '--listen', '127.0.0.1:0', '--admin', '0.0.0.0:0', '--data', join(temporaryFolder(), 'data')],
      ...more,
    ]
    const refused = await runCli(args())
    expect(refused.code).toBe(2)
    expect(refused.err).toMatch(/0\.0\.0\.0 is not loopback: give --admin-token-file, or --admin-insecure/)
    const missing = await runCli(args('--admin-token-file', '/nowhere/token'))
    expect(missing.code).toBe(2)
    expect(missing.err).toMatch(/cannot read --admin-token-file/)
  })
})

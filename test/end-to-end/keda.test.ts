import { Client, credentials, status, type ClientReadableStream, type ServiceError } from '@grpc/grpc-js'
import { afterAll, describe, expect, test } from 'vitest'
import { WireReader, WireWriter } from '../../src/event/wire.ts'
import {
  broker,
  freeAddress,
  post,
  runCli,
  startGateway,
  trigger,
  writeManifests,
  temporaryFolder,
  type RunningGateway,
} from '../gateway.ts'
import { service, toService } from '../pods/service.ts'
import { until } from '../until.ts'

const gateways: RunningGateway[] = []
const clients: Client[] = []
afterAll(async () => {
  for (const c of clients) c.close()
  for (const g of gateways) await g.kill()
})

async function start(manifests: readonly unknown[]): Promise<{ g: RunningGateway; keda: Keda }> {
  const address = await freeAddress()
  const g = await startGateway({ manifests, args: ['--keda', address] })
  gateways.push(g)
  return { g, keda: kedaAt(address) }
}

type Metadata = Readonly<Record<string, string>>

interface Keda {
  isActive(metadata: Metadata): Promise<boolean>
  spec(metadata: Metadata): Promise<{ name: string; number: number }>
  metric(metadata: Metadata): Promise<{ name: string; number: number }>
  /** What is pushed, and when. */
  stream(metadata: Metadata): { seen: boolean[]; stream: ClientReadableStream<Buffer>; error: ServiceError | null }
}

/** Plays KEDA's operator: the calls of one poll, and the stream of a push trigger. */
function kedaAt(address: string): Keda {
  const client = new Client(address, credentials.createInsecure())
  clients.push(client)
  const same = (b: Buffer): Buffer => b
  const path = (method: string): string => `/externalscaler.ExternalScaler/${method}`
  const call = (method: string, request: Buffer): Promise<Buffer> =>
    new Promise((resolve, reject) =>
      client.makeUnaryRequest(path(method), same, same, request, (e, answer) =>
        e !== null || answer === undefined ? reject(e ?? new Error('no answer')) : resolve(answer),
      ),
    )
  return {
    isActive: async (metadata) => (await call('IsActive', ref(metadata))).equals(Buffer.from([8, 1])),
    spec: async (metadata) => entryOf(await call('GetMetricSpec', ref(metadata))),
    async metric(metadata) {
      const { name } = entryOf(await call('GetMetricSpec', ref(metadata)))
      const w = new WireWriter()
      w.begin()
      w.bytes(1, ref(metadata))
      w.text(2, name)
      return entryOf(await call('GetMetrics', Buffer.from(w.done())))
    },
    stream(metadata) {
      const stream = client.makeServerStreamRequest(path('StreamIsActive'), same, same, ref(metadata))
      const view = { seen: [] as boolean[], stream, error: null as ServiceError | null }
      stream.on('data', (b: Buffer) => view.seen.push(b.length > 0))
      stream.on('error', (e: ServiceError) => (view.error = e))
      return view
    },
  }
}

function ref(metadata: Metadata): Buffer {
  const w = new WireWriter()
  w.begin()
  w.text(1, 'worker')
  w.text(2, 'default')
  for (const [key, value] of Object.entries({ scalerAddress: 'sluice:9091', ...metadata })) {
    const at = w.open(3)
    w.text(1, key)
    w.text(2, value)
    w.close(at)
  }
  return Buffer.from(w.done())
}

function entryOf(bytes: Buffer): { name: string; number: number } {
  const outer = new WireReader(bytes)
  outer.next()
  const r = new WireReader(outer.bytes())
  const entry = { name: '', number: 0 }
  while (r.next()) {
    if (r.field === 1) entry.name = r.text()
    else if (r.field === 3) entry.number = r.double()
    else r.skip()
  }
  return entry
}

describe('KEDA asks this gateway', () => {
  // Its pods never get ready, as where KEDA has not started one yet: what is sent waits.
  const elsewhere = (): unknown[] => [
    broker(),
    trigger('work', toService('worker')),
    service('worker', { env: { START_MS: '600000' }, annotations: { 'autoscaling.knative.dev/minScale': '0' } }),
  ]

  test('polling: a burst at zero is demand, by service and by subscription', async () => {
    const { g, keda } = await start(elsewhere())
    const byService = { service: 'default/worker', target: '5' }
    const byLag = { subscription: 'trigger/default/work', lagThreshold: '3' }
    expect(await keda.isActive(byService)).toBe(false)
    expect(await keda.spec(byService)).toEqual({ name: 'service-default-worker', number: 5 })
    expect(await keda.spec(byLag)).toEqual({ name: 'backlog-trigger-default-work', number: 3 })
    expect((await keda.metric(byService)).number).toBe(0)
    for (let i = 0; i < 12; i++) expect(await post(`${g.listen}/default/default`, `p${i}`)).toBe(202)
    await until('all are demand', async () => (await keda.metric(byService)).number === 12)
    expect((await keda.metric(byLag)).number).toBe(12)
    expect(await keda.isActive(byService)).toBe(true)
    expect(await keda.isActive(byLag)).toBe(true)
  })

  test('push: activity comes at once when demand appears at zero', async () => {
    const { g, keda } = await start(elsewhere())
    const pushed = keda.stream({ service: 'default/worker' })
    await until('the state at the beginning', () => pushed.seen.length === 1)
    const sent = performance.now()
    expect(await post(`${g.listen}/default/default`, 'first')).toBe(202)
    await until('the push', () => pushed.seen.length === 2)
    // KEDA polls every 30 s; a push that waits for that would be none.
    expect(performance.now() - sent).toBeLessThan(15_000)
    expect(pushed.seen).toEqual([false, true])
    expect(pushed.error).toBeNull()
    pushed.stream.cancel()
    await until('the cancelled stream has ended', () => pushed.error?.code === status.CANCELLED)
    expect(await keda.isActive({ service: 'default/worker' })).toBe(true)
  })

  test('what is unknown is refused with a code and a sentence, and streams end with the gateway', async () => {
    const { g, keda } = await start(elsewhere())
    await expect(keda.isActive({ service: 'default/nobody' })).rejects.toMatchObject({
      code: status.NOT_FOUND,
      details: expect.stringContaining('there are: service/default/worker'),
    })
    await expect(keda.metric({})).rejects.toMatchObject({ code: status.INVALID_ARGUMENT })
    const refused = keda.stream({ service: 'default/nobody' })
    await until('the stream is refused', () => refused.error?.code === status.NOT_FOUND)
    const open = keda.stream({ service: 'default/worker' })
    await until('the stream is open', () => open.seen.length === 1)
    expect(await g.stop()).toBe(0)
    await until('the stream has ended', () => open.error !== null)
  })

  test('a port for everybody has to be asked for', async () => {
    const file = writeManifests(temporaryFolder(), [broker()])
    const { code, err } = await runCli(['run', '-f', file, '--keda', '0.0.0.0:0', '--data', temporaryFolder()])
    expect(code).toBe(2)
    expect(err).toMatch(/--keda 0\.0\.0\.0 is not loopback .* --admin-insecure/)
  })
})

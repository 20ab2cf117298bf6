import { request } from 'node:http'
import { afterEach, expect, test } from 'vitest'
import type { Destination } from '../../src/ingress/destination.ts'
import { openRig, type Rig } from './rig.ts'

let rig: Rig
afterEach(async () => {
  await rig.ingress.close()
})

const CE = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't' }

/** Status and code of the answer. */
function ask(path: string, method: string, headers: Record<string, string> = {}): Promise<[number, string]> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port: rig.ingress.port, path, method, headers }, (response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => (body += chunk.toString()))
      response.on('end', () => resolve([response.statusCode ?? 0, (JSON.parse(body) as { code: string }).code]))
    })
    outgoing.on('error', reject)
    outgoing.end()
  })
}

test('a refusal names its code beside its status', async () => {
  rig = await openRig('node', {
    proxy: (_request, credit, sink) => {
      credit.release({ ms: 1, ok: false })
      queueMicrotask(() => sink.fail({ kind: 'reset', answered: false, wrote: true, why: 'the connection broke' }))
      return { write: () => true, end() {}, abort() {}, pause() {}, resume() {} }
    },
  })
  const target: Destination = {
    kind: 'target',
    id: 8,
    maxEventBytes: 1_000,
    deliver: (_e, done) => setImmediate(() => done({ kind: 'rejected', status: 422, why: 'not like this' })),
  }
  const origin = { protocol: 'http:', host: '127.0.0.1', port: 1, caCerts: '' } as const
  const service: Destination = {
    kind: 'service',
    id: 9,
    timeoutMs: 1_000,
    acquire: (job) => job.start({ pod: 'p', origin, abandon() {}, release() {}, onGone() {} }),
    cancel() {},
  }
  rig.routes.set('/target', target).set('/service', service)
  expect(await ask('/ns/broker', 'PUT')).toEqual([405, 'ingress.method'])
  expect(await ask('/target', 'POST', CE)).toEqual([422, 'ingress.bad-request'])
  expect(await ask('/service', 'GET', { connection: 'upgrade', upgrade: 'websocket' })).toEqual([501, 'ingress.unsupported'])
  expect(await ask('/service', 'GET')).toEqual([502, 'proxy.failed'])
})

import { createServer, type IncomingMessage } from 'node:http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAsk } from '../../../src/autoscaler/signals/ask.ts'
import { deploymentScaler, gatewayScaler, webhookScaler } from '../../../src/autoscaler/signals/scalers.ts'
import { Secret } from '../../../src/runtime/secret.ts'

interface Call {
  readonly line: string
  readonly type: string
  readonly authorization: string
  readonly body: unknown
}

const calls: Call[] = []
let answer: { status: number; body: unknown } = { status: 200, body: {} }
let url = ''
const server = createServer((request, response) => {
  void textOf(request).then((text) => {
    calls.push({
      line: `${request.method} ${request.url}`,
      type: request.headers['content-type'] ?? '',
      authorization: request.headers.authorization ?? '',
      body: text === '' ? null : (JSON.parse(text) as unknown),
    })
    response.writeHead(answer.status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(answer.body))
  })
})
async function textOf(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request as AsyncIterable<Buffer>) text += chunk.toString()
  return text
}
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

const KEY = 'service/shop/worker'
const signal = new AbortController().signal
const ask = createAsk({ token: () => new Secret('t0ken'), ca: '', timeoutMs: 5_000 })

test('a webhook gets service, desired and reason', async () => {
  await webhookScaler(`${url}/hook`, ask).scale(KEY, 7, 'why', signal)
  expect(calls.at(-1)).toEqual({
    line: 'POST /hook',
    type: 'application/json',
    authorization: 'Bearer t0ken',
    body: { service: 'shop/worker', desired: 7, reason: 'why' },
  })
})

test("a Deployment's /scale is read and patched, also under another name", async () => {
  answer = { status: 200, body: { kind: 'Scale', spec: { replicas: 4 }, status: { replicas: 3 } } }
  const scaler = deploymentScaler(url, new Map(), ask)
  expect(await scaler.size(KEY, signal)).toBe(4)
  await scaler.scale(KEY, 0, 'why', signal)
  expect(calls.slice(-2).map((c) => [c.line, c.type, c.body])).toEqual([
    ['GET /apis/apps/v1/namespaces/shop/deployments/worker/scale', '', null],
    ['PATCH /apis/apps/v1/namespaces/shop/deployments/worker/scale', 'application/merge-patch+json', { spec: { replicas: 0 } }],
  ])
  await deploymentScaler(url, new Map([[KEY, 'other']]), ask).size(KEY, signal)
  expect(calls.at(-1)?.line).toBe('GET /apis/apps/v1/namespaces/shop/deployments/other/scale')
  // The API leaves a zero out.
  answer = { status: 200, body: { kind: 'Scale', spec: {} } }
  expect(await scaler.size(KEY, signal)).toBe(0)
  answer = { status: 200, body: { spec: { replicas: 'many' } } }
  await expect(scaler.size(KEY, signal)).rejects.toThrow(/no spec.replicas/)
})

test('a refusal is told with its words', async () => {
  answer = { status: 403, body: { kind: 'Status', message: 'deployments.apps "worker" is forbidden' } }
  await expect(deploymentScaler(url, new Map(), ask).scale(KEY, 1, '', signal)).rejects.toThrow(/answered 403: .*is forbidden/)
})

test('a gateway gets the size with a lease', async () => {
  answer = { status: 200, body: {} }
  await gatewayScaler(url, ask).scale(KEY, 3, 'why', signal)
  expect(calls.at(-1)).toMatchObject({
    line: 'POST /api/v1/services/shop/worker/scale',
    body: { desired: 3, reason: 'why', leaseMs: 15_000 },
  })
})

test('who waits for an answer can be stopped, and waits only so long', async () => {
  const deaf = createServer(() => {})
  await new Promise<void>((resolve) => deaf.listen(0, '127.0.0.1', resolve))
  const address = deaf.address()
  const at = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
  const gone = new AbortController()
  const waiting = ask(at, {}, gone.signal)
  gone.abort()
  await expect(waiting).rejects.toThrow(/abort/i)
  const short = createAsk({ token: () => null, ca: '', timeoutMs: 30 })
  await expect(short(at, {}, signal)).rejects.toThrow(/no answer within 30 ms/)
  deaf.closeAllConnections()
  deaf.close()
})

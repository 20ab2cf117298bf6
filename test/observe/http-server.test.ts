import { request } from 'node:http'
import { connect } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { openAdminServer, type AdminRoute } from '../../src/observe/http-server.ts'
import { Fault } from '../../src/runtime/errors.ts'
import { createLog, SILENT_LOG, type Log } from '../../src/runtime/log.ts'
import { Secret } from '../../src/runtime/secret.ts'
import { until } from '../until.ts'

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

const TOKEN = 'right-token'
let open: { readonly url: string; close(): Promise<void> } | null = null
afterEach(async () => {
  await open?.close()
  open = null
})

const echo = (access: AdminRoute['access'], method: AdminRoute['method'] = 'GET', path = `/${access}/:what`): AdminRoute => ({
  method,
  path,
  access,
  handle: (c) => ({ json: { params: c.params, query: Object.fromEntries(c.query), body: c.body } }),
})

async function serve(
  routes: readonly AdminRoute[],
  more: { readsNeedToken?: boolean; hosts?: string[]; log?: Log } = {},
): Promise<void> {
  open = await openAdminServer({
    host: '127.0.0.1',
    port: 0,
    token: new Secret(TOKEN),
    readsNeedToken: more.readsNeedToken ?? false,
    hosts: more.hosts ?? [],
    routes,
    log: more.log ?? SILENT_LOG,
  })
}

function ask(path: string, o: { method?: string; headers?: Record<string, string>; body?: string } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(open?.url ?? '')
    const outgoing = request({ hostname, port, path, method: o.method ?? 'GET', headers: o.headers ?? {} }, (response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => (body += chunk.toString()))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }))
    })
    outgoing.on('error', reject)
    outgoing.end(o.body ?? '')
  })
}
const bearer = { authorization: `Bearer ${TOKEN}` }
const json = { 'content-type': 'application/json' }

describe('who may call', () => {
  test.each([
    ['open, whatever the Host', '/open/x', { host: 'evil.example' }, 200],
    ['read on loopback', '/read/x', {}, 200],
    ['read with a Host it does not know', '/read/x', { host: 'evil.example' }, 421],
    ['read with a Host that only begins like one', '/read/x', { host: 'localhost.evil.example' }, 421],
    ['read with a Host it was told of, with a port', '/read/x', { host: 'gateway.example:9090' }, 200],
    ['read as localhost in capitals', '/read/x', { host: 'LOCALHOST:1' }, 200],
    ['read as IPv6 loopback', '/read/x', { host: '[::1]:9090' }, 200],
    ['write without a token', '/write/x', {}, 401],
    ['write with a wrong token', '/write/x', { authorization: 'Bearer wrong-token' }, 401],
    ['write with half of it', '/write/x', { authorization: 'Bearer right' }, 401],
    ['write with no scheme', '/write/x', { authorization: TOKEN }, 401],
    ['write with another scheme', '/write/x', { authorization: `Basic ${TOKEN}` }, 401],
    ['write with an empty token', '/write/x', { authorization: 'Bearer ' }, 401],
    ['write with the token', '/write/x', bearer, 200],
    ['write with the token and a strange Host', '/write/x', { ...bearer, host: 'evil.example' }, 421],
  ])('%s', async (_what, path, headers, status) => {
    await serve([echo('open'), echo('read'), echo('write')], { hosts: ['gateway.example'] })
    const answer = await ask(path, { headers })
    expect(answer.status).toBe(status)
    if (status === 401) expect(answer.headers['www-authenticate']).toBe('Bearer')
    if (status !== 200) expect(JSON.parse(answer.body)).toMatchObject({ code: 'admin.refused' })
  })

  test('off loopback reading takes the token too, metrics and probes do not', async () => {
    await serve([echo('open'), echo('read')], { readsNeedToken: true })
    expect((await ask('/read/x')).status).toBe(401)
    expect((await ask('/read/x', { headers: bearer })).status).toBe(200)
    expect((await ask('/open/x')).status).toBe(200)
  })
})

describe('what is asked', () => {
  test('path and query are decoded, and an empty part is none', async () => {
    await serve([echo('open'), echo('open', 'GET', '/open/:a/:b')])
    expect(JSON.parse((await ask('/open/a%2Fb%20c?x=1%26&y=')).body)).toEqual({
      params: { what: 'a/b c' },
      query: { x: '1&', y: '' },
      body: null,
    })
    expect(JSON.parse((await ask('/open/1/2')).body)).toMatchObject({ params: { a: '1', b: '2' } })
    for (const path of ['/open', '/open/', '/open/1/2/3', '/', '//', '/nothing/x']) {
      const answer = await ask(path)
      expect(answer.status, path).toBe(404)
      expect(JSON.parse(answer.body), path).toMatchObject({ code: 'admin.not-found' })
    }
    expect((await ask('/open/%zz')).status).toBe(400)
  })

  test('another method is 405 with what is allowed, HEAD is GET without a body', async () => {
    await serve([echo('open', 'GET', '/x'), echo('open', 'POST', '/x')])
    const deleted = await ask('/x', { method: 'DELETE' })
    expect(deleted).toMatchObject({ status: 405, headers: { allow: 'GET, POST' } })
    expect(await ask('/x', { method: 'HEAD' })).toMatchObject({ status: 200, body: '' })
  })

  test('a body is JSON of a JSON type and of at most 4 MiB', async () => {
    await serve([echo('write', 'POST', '/w')])
    const post = (headers: Record<string, string>, body: string): Promise<Answer> =>
      ask('/w', { method: 'POST', headers: { ...bearer, ...headers }, body })
    expect(JSON.parse((await post(json, '{"a":[1]}')).body)).toMatchObject({ body: { a: [1] } })
    expect(JSON.parse((await post({ 'content-type': 'application/json; charset=utf-8' }, '')).body)).toMatchObject({ body: null })
    expect((await post({}, '{}')).status).toBe(415)
    expect((await post({ 'content-type': 'text/plain' }, '{}')).status).toBe(415)
    // What a form of another site can send without asking first.
    expect((await post({ 'content-type': 'application/x-www-form-urlencoded' }, 'a=1')).status).toBe(415)
    const torn = await post(json, '{"a":')
    expect(torn.status).toBe(400)
    expect(torn.body).toMatch(/the body is no JSON/)
    expect((await post(json, `"${'x'.repeat((4 << 20) - 2)}"`)).status).toBe(200)
    const large = await post(json, `"${'x'.repeat((4 << 20) - 1)}"`)
    expect(large.status).toBe(413)
    expect(large.body).toMatch(/at most 4194304/)
  })
})

describe('what is answered', () => {
  test('a fault with its code: 404, 400, 503 when trying again can help; anything else is 500 and logged', async () => {
    const lines: string[] = []
    const log = createLog({ write: (line) => lines.push(line) > 0 }, 'info', () => 0)
    const failing = (path: string, e: Error): AdminRoute => ({
      method: 'GET',
      path,
      access: 'open',
      handle() {
        throw e
      },
    })
    await serve(
      [
        failing('/missing', new Fault('admin.not-found', 'no such thing')),
        failing('/refused', new Fault('admin.refused', 'not like this')),
        failing('/later', new Fault('ingress.full', 'later')),
        failing('/bug', new Error('a bug')),
      ],
      { log },
    )
    expect(await ask('/missing')).toMatchObject({ status: 404, body: '{"code":"admin.not-found","message":"no such thing"}\n' })
    expect(await ask('/refused')).toMatchObject({ status: 400, body: '{"code":"admin.refused","message":"not like this"}\n' })
    expect((await ask('/later')).status).toBe(503)
    expect(lines).toEqual([])
    expect(await ask('/bug')).toMatchObject({ status: 500, body: '{"code":"admin.failed","message":"a bug"}\n' })
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(/"path":"\/bug".*"error":"a bug"/)
  })

  test('lines come as they are made, no faster than they are read, and their source hears when the reader goes', async () => {
    let made = 0
    let over = false
    async function* lines(signal: AbortSignal): AsyncGenerator<string> {
      try {
        while (!signal.aborted) {
          made++
          yield `${'x'.repeat(99_999)}\n`
          await new Promise((resolve) => setImmediate(resolve))
        }
      } finally {
        over = true
      }
    }
    await serve([
      { method: 'GET', path: '/lines', access: 'open', handle: (c) => ({ lines: lines(c.signal), contentType: 'text/plain' }) },
    ])
    const { hostname, port } = new URL(open?.url ?? '')
    const socket = connect(Number(port), hostname)
    socket.on('error', () => {})
    socket.pause()
    socket.write('GET /lines HTTP/1.1\r\nHost: x\r\n\r\n')
    let before = -1
    await until('the source is held back', async () => {
      const still = made > 0 && made === before
      before = made
      await new Promise((resolve) => setTimeout(resolve, 50))
      return still
    })
    expect(made).toBeLessThan(1_000)
    socket.destroy()
    await until('the source has ended', () => over)
  })

  test('it says the port it was given', async () => {
    await serve([echo('open')])
    expect(open?.url).toMatch(/^http:\/\/127\.0\.0\.1:[1-9]\d*$/)
  })
})

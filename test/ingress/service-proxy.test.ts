import http from 'node:http'
import type { AddressInfo } from 'node:net'
import net from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Gate } from '../../src/flow/gate.ts'
import { createGate } from '../../src/flow/gate.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { createSender } from '../../src/sender/sender.ts'
import type { Sender } from '../../src/sender/sender.ts'
import { until } from '../until.ts'
import type { Rig } from './rig.ts'
import { openRig, Raw, SERVERS } from './rig.ts'

type Handler = (req: http.IncomingMessage, res: http.ServerResponse) => void

describe.each(SERVERS)('a service behind %s', (kind) => {
  let rig: Rig
  let sender: Sender
  let gate: Gate
  let handler: Handler
  let pod: http.Server
  let podPort: number
  const raws: Raw[] = []

  const addPod = (name = 'pod-1', port = podPort, limit = 10): void =>
    gate.add(name, { protocol: 'http:', host: '127.0.0.1', port, caCerts: '' }, limit)
  const serve = (timeoutMs: number): void => {
    rig.routes.set('//svc.test', {
      kind: 'service',
      id: 3,
      acquire: (job) => gate.acquire(job),
      cancel: (job) => gate.cancel(job),
      timeoutMs,
    })
  }
  const connect = (text: string): Raw => {
    const raw = new Raw(rig.ingress.port).send(text)
    raws.push(raw)
    return raw
  }
  const call = (
    o: http.RequestOptions,
    body?: string | Buffer,
  ): Promise<{ status: number; headers: http.IncomingHttpHeaders; body: string }> =>
    new Promise((resolve, reject) => {
      const req = http.request({
        port: rig.ingress.port,
        host: '127.0.0.1',
        setHost: false,
        ...o,
        headers: { host: 'svc.test', ...o.headers },
      })
      req.on('response', (res) => {
        const parts: Buffer[] = []
        res.on('data', (d: Buffer) => parts.push(d))
        res.on('end', () => resolve({ status: res.statusCode ?? 0, headers: res.headers, body: Buffer.concat(parts).toString() }))
        res.on('error', reject)
      })
      req.on('error', reject)
      req.end(body)
    })

  beforeEach(async () => {
    sender = createSender({ clock: systemClock })
    gate = createGate({ clock: systemClock, maxQueuedRequests: 2 })
    handler = (_req, res) => res.end('hello')
    pod = http.createServer((req, res) => handler(req, res))
    await new Promise<void>((resolve) => pod.listen(0, '127.0.0.1', resolve))
    podPort = (pod.address() as AddressInfo).port
    rig = await openRig(kind, { proxy: (request, c, sink) => sender.proxy(request, c, sink) })
    serve(5_000)
    addPod()
  })
  afterEach(async () => {
    for (const raw of raws.splice(0)) raw.destroy()
    await rig.ingress.close()
    sender.close()
    pod.closeAllConnections()
    await new Promise((resolve) => pod.close(resolve))
  })

  test('passes method, target, headers and body, and the answer back as it is', async () => {
    let seen: { method?: string; url?: string; headers: http.IncomingHttpHeaders; body: string } = { headers: {}, body: '' }
    handler = (req, res) => {
      let body = ''
      req.on('data', (d: Buffer) => (body += d.toString()))
      req.on('end', () => {
        seen = { method: req.method ?? '', url: req.url ?? '', headers: req.headers, body }
        res.writeHead(418, 'Short', { 'x-answer': ['a', 'b'], 'set-cookie': ['c=1', 'd=2'], 'content-type': 'text/x' })
        res.end('I am')
      })
    }
    const r = await call(
      {
        method: 'PATCH',
        path: '/a/b%20c?x=1&y=%2F',
        headers: {
          'x-in': 'v',
          connection: 'keep-alive, x-hop',
          'x-hop': 'secret',
          te: 'trailers',
          'x-forwarded-for': '10.0.0.1',
        },
      },
      'body',
    )
    expect([r.status, r.body, r.headers['x-answer'], r.headers['set-cookie']]).toEqual([418, 'I am', 'a, b', ['c=1', 'd=2']])
    expect([seen.method, seen.url, seen.body]).toEqual(['PATCH', '/a/b%20c?x=1&y=%2F', 'body'])
    expect(seen.headers).toMatchObject({
      host: 'svc.test',
      'x-in': 'v',
      'x-forwarded-for': '10.0.0.1, 127.0.0.1',
      'x-forwarded-proto': 'http',
      'x-forwarded-host': 'svc.test',
      forwarded: 'for=127.0.0.1;host="svc.test";proto=http',
    })
    expect(seen.headers['x-hop']).toBeUndefined()
    expect(seen.headers['te']).toBeUndefined()
    expect(rig.seen.proxied).toEqual([{ pod: 'pod-1', status: 418 }])
    expect(gate.state()).toMatchObject({ inFlight: 0, abandoned: 0 })
  })

  test('a POST of an event to a service is a plain request, and so are its probe paths', async () => {
    handler = (req, res) => res.end(`${req.url} ${String(req.headers['ce-id'])}`)
    const event = await call(
      { method: 'POST', path: '/', headers: { 'ce-id': '1', 'ce-source': '/', 'ce-type': 't', 'ce-specversion': '1.0' } },
      'x',
    )
    expect(event.body).toBe('/ 1')
    expect((await call({ path: '/healthz' })).body).toBe('/healthz undefined')
    expect(rig.seen.received).toEqual([])
  })

  test.each(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'PUT'])('%s goes through', async (method) => {
    handler = (req, res) => {
      res.setHeader('x-method', req.method ?? '')
      res.setHeader('content-length', '2')
      res.end('ok')
    }
    const r = await call({ method })
    expect([r.status, r.headers['x-method'], r.headers['content-length'], r.body]).toEqual([
      200,
      method,
      '2',
      method === 'HEAD' ? '' : 'ok',
    ])
  })

  test('HEAD does not hold the connection', async () => {
    const raw = connect('HEAD / HTTP/1.1\r\nHost: svc.test\r\n\r\n')
    handler = (_req, res) => res.writeHead(200, { 'content-length': '5' }).end()
    await raw.answers(1)
    raw.send('HEAD /nobody HTTP/1.1\r\nHost: x\r\n\r\n')
    await raw.answers(2)
    raw.send('GET / HTTP/1.1\r\nHost: svc.test\r\n\r\n')
    expect(await raw.answers(3)).toEqual([200, 404, 200])
    expect(raw.text.toLowerCase().match(/content-length: \d+/g)).toEqual([
      'content-length: 5',
      'content-length: 88',
      'content-length: 5',
    ])
  })

  test.each([204, 304])('%i has no body and does not hold the connection', async (status) => {
    handler = (_req, res) => res.writeHead(status).end()
    const raw = connect('GET / HTTP/1.1\r\nHost: svc.test\r\n\r\n')
    expect(await raw.answers(1)).toEqual([status])
    raw.send('GET / HTTP/1.1\r\nHost: svc.test\r\n\r\n')
    expect(await raw.answers(2)).toEqual([status, status])
  })

  test('bodies of every framing come back byte for byte', async () => {
    const big = Buffer.alloc(3_000_001)
    for (let i = 0; i < big.length; i++) big[i] = (i * 7 + (i >> 9)) & 127
    for (const mode of ['length', 'chunked', 'close'] as const) {
      handler = (req, res) => {
        req.resume()
        if (mode === 'length') res.setHeader('content-length', big.length)
        if (mode === 'close') res.useChunkedEncodingByDefault = false
        res.write(big.subarray(0, 1_000_000))
        res.end(big.subarray(1_000_000))
      }
      const r = await call({ path: `/${mode}` })
      expect(r.status).toBe(200)
      expect(r.body.length).toBe(big.length)
      expect(Buffer.from(r.body).equals(big)).toBe(true)
      expect(r.headers['content-length']).toBe(mode === 'length' ? String(big.length) : undefined)
    }
    expect(gate.state().inFlight).toBe(0)
  })

  test.each([0, 1, 70_000, 2_000_000])('a body of %i bytes goes up whole, with a length and chunked', async (bytes) => {
    const body = Buffer.alloc(bytes, 'abcdefghij')
    const seen: { length: string | undefined; same: boolean }[] = []
    handler = (req, res) => {
      const parts: Buffer[] = []
      req.on('data', (d: Buffer) => parts.push(d))
      req.on('end', () => {
        seen.push({ length: req.headers['content-length'], same: Buffer.concat(parts).equals(body) })
        res.end()
      })
    }
    expect((await call({ method: 'POST', headers: { 'content-length': String(bytes) } }, body)).status).toBe(200)
    expect((await call({ method: 'POST', headers: { 'transfer-encoding': 'chunked' } }, body)).status).toBe(200)
    expect(seen).toEqual([
      { length: String(bytes), same: true },
      { length: undefined, same: true },
    ])
  })

  test('an event stream reaches the client event by event, its head at once', async () => {
    let stream: http.ServerResponse | undefined
    handler = (_req, res) => {
      stream = res
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      res.flushHeaders()
    }
    const raw = connect('GET /events HTTP/1.1\r\nHost: svc.test\r\n\r\n')
    await until('the head', () => raw.text.includes('text/event-stream') && raw.text.includes('\r\n\r\n'))
    stream?.write('data: 1\n\n')
    await until('the first', () => raw.text.includes('data: 1\n\n'))
    expect(raw.text).not.toContain('data: 2')
    stream?.write('data: 2\n\n')
    await until('the second', () => raw.text.includes('data: 2\n\n'))
    expect(gate.state().inFlight).toBe(1)
    stream?.end()
    await until('the end', () => raw.text.endsWith('0\r\n\r\n') && gate.state().inFlight === 0)
  })

  test('the answer starts while the body still goes up', async () => {
    handler = (req, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      req.on('data', (d: Buffer) => res.write(`got ${d.toString()}\n`))
      req.on('end', () => res.end('done\n'))
    }
    const raw = connect('POST / HTTP/1.1\r\nHost: svc.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n')
    await until('the first echo', () => raw.text.includes('got one'))
    raw.send('3\r\ntwo\r\n')
    await until('the second echo', () => raw.text.includes('got two'))
    raw.send('0\r\n\r\n')
    await until('the end', () => raw.text.endsWith('0\r\n\r\n'))
    expect(raw.text.indexOf('done')).toBeGreaterThan(raw.text.indexOf('got two'))
  })

  test('a client that does not read holds its pod back, not the memory of the gateway', async () => {
    let written = 0
    const stop = { asked: false }
    handler = (_req, res) => {
      const chunk = Buffer.alloc(64 << 10, 'x')
      const pump = (): void => {
        while (!stop.asked) {
          written += chunk.length
          if (!res.write(chunk)) {
            res.once('drain', pump)
            return
          }
        }
        res.end()
      }
      pump()
    }
    const socket = net.connect(rig.ingress.port, '127.0.0.1')
    socket.write('GET / HTTP/1.1\r\nHost: svc.test\r\n\r\n')
    socket.pause()
    let last = -1
    let since = performance.now()
    await until('the pod has to wait', () => {
      if (written !== last) {
        last = written
        since = performance.now()
      }
      return written > 0 && performance.now() - since > 400
    })
    // What the kernel's buffers of two connections take is some megabytes.
    expect(written).toBeLessThan(64 << 20)
    stop.asked = true
    let read = 0
    socket.on('data', (d: Buffer) => (read += d.length))
    socket.resume()
    await until('all of it', () => read >= written)
    socket.destroy()
  })

  test('a pod that does not read holds its client back, and then takes everything', async () => {
    let reading: http.IncomingMessage | undefined
    let got = 0
    handler = (req, res) => {
      reading = req
      req.pause()
      req.on('data', (d: Buffer) => (got += d.length))
      req.pause()
      req.on('end', () => res.end(String(got)))
    }
    const bytes = 40 << 20
    const raw = connect(`POST / HTTP/1.1\r\nHost: svc.test\r\nContent-Length: ${bytes}\r\n\r\n`)
    raw.socket.write(Buffer.alloc(bytes))
    await until('the pod has it', () => reading)
    let last = -1
    let since = performance.now()
    await until('the client has to wait', () => {
      if (raw.socket.bytesWritten !== last) {
        last = raw.socket.bytesWritten
        since = performance.now()
      }
      return performance.now() - since > 300
    })
    expect(raw.socket.writableLength).toBeGreaterThan(8 << 20)
    reading?.resume()
    expect(await raw.answers(1)).toEqual([200])
    await until('the count', () => raw.text.endsWith(String(bytes)))
  })

  test('while there is no pod the request waits with its body, and then goes through', async () => {
    gate.gone('pod-1')
    handler = (req, res) => {
      let bytes = 0
      req.on('data', (d: Buffer) => (bytes += d.length))
      req.on('end', () => res.end(`got ${bytes}`))
    }
    const answer = call({ method: 'POST' }, Buffer.alloc(3_000_000))
    await until('it waits', () => gate.state().queuedRequests === 1)
    addPod('pod-2')
    expect((await answer).body).toBe('got 3000000')
    expect(rig.seen.proxied).toEqual([{ pod: 'pod-2', status: 200 }])
  })

  test('a full queue is 503 with Retry-After', async () => {
    gate.gone('pod-1')
    const waiting = [call({}), call({})]
    await until('both wait', () => gate.state().queuedRequests === 2)
    const r = await call({ method: 'POST' }, 'body')
    expect(r.status).toBe(503)
    expect(Number(r.headers['retry-after'])).toBeGreaterThan(0)
    expect(r.body).toContain('proxy.busy')
    addPod('pod-2')
    expect((await Promise.all(waiting)).map((w) => w.status)).toEqual([200, 200])
  })

  test('who waits too long for a pod gets 503, and the gate forgets it', async () => {
    gate.gone('pod-1')
    serve(200)
    const r = await call({ method: 'POST' }, 'body')
    expect([r.status, r.headers['retry-after']]).toEqual([503, '1'])
    expect(gate.state().queuedRequests).toBe(0)
  })

  test('a client that goes away while it waits is taken back from the gate', async () => {
    gate.gone('pod-1')
    const raw = connect('POST / HTTP/1.1\r\nHost: svc.test\r\nContent-Length: 3\r\n\r\nabc')
    await until('it waits', () => gate.state().queuedRequests === 1)
    raw.destroy()
    await until('it is forgotten', () => gate.state().queuedRequests === 0)
    expect(rig.seen.proxied).toEqual([{ pod: '', status: 499 }])
  })

  test('a client that goes away during its call leaves the credit booked until the pod is done', async () => {
    // Without it Node's server would cut the connection as soon as the client's half is closed.
    Object.assign(pod, { httpAllowHalfOpen: true })
    let finish: (() => void) | undefined
    handler = (_req, res) => (finish = () => res.end('late'))
    const raw = connect('GET / HTTP/1.1\r\nHost: svc.test\r\n\r\n')
    await until('the pod works', () => finish)
    raw.destroy()
    await until('abandoned', () => gate.state().abandoned === 1)
    finish?.()
    await until('the credit is back', () => gate.state().abandoned === 0 && gate.state().inFlight === 0)
    expect(rig.seen.proxied).toEqual([{ pod: 'pod-1', status: 499 }])
  })

  test('no answer within timeoutSeconds is 504', async () => {
    serve(200)
    handler = () => {}
    const r = await call({})
    expect(r.status).toBe(504)
    expect(JSON.parse(r.body)).toMatchObject({ code: 'proxy.timeout' })
  })

  test('a reset before the answer is 502, one within it cuts the client off', async () => {
    handler = (req) => req.socket.destroy()
    expect((await call({ method: 'POST' }, 'x')).status).toBe(502)
    for (const head of [{ 'content-length': '100' }, {}]) {
      handler = (req, res) => {
        res.writeHead(200, { ...head, 'content-type': 'text/plain' })
        res.write('part', () => setImmediate(() => req.socket.destroy()))
      }
      await expect(call({})).rejects.toMatchObject({ code: 'ECONNRESET' })
    }
    expect(rig.seen.proxied.map((p) => p.status)).toEqual([502, 0, 0])
  })

  test('when no byte could be sent another pod serves the request with its whole body', async () => {
    const dead = net.createServer()
    await new Promise<void>((resolve) => dead.listen(0, '127.0.0.1', resolve))
    const deadPort = (dead.address() as AddressInfo).port
    await new Promise((resolve) => dead.close(resolve))
    const elsewhere = createGate({ clock: systemClock, maxQueuedRequests: 2 })
    elsewhere.add('dead', { protocol: 'http:', host: '127.0.0.1', port: deadPort, caCerts: '' }, 1)
    let tries = 0
    rig.routes.set('//svc.test', {
      kind: 'service',
      id: 3,
      acquire: (job) => (++tries === 1 ? elsewhere : gate).acquire(job),
      cancel: (job) => gate.cancel(job),
      timeoutMs: 5_000,
    })
    handler = (req, res) => {
      let body = ''
      req.on('data', (d: Buffer) => (body += d.toString()))
      req.on('end', () => res.end(`got ${body}`))
    }
    const r = call({ method: 'POST' }, 'whole')
    expect((await r).body).toBe('got whole')
    expect(tries).toBe(2)
    expect(rig.seen.proxied).toEqual([{ pod: 'pod-1', status: 200 }])
  })

  test('when no pod can be reached it ends with 502', async () => {
    const dead = net.createServer()
    await new Promise<void>((resolve) => dead.listen(0, '127.0.0.1', resolve))
    const deadPort = (dead.address() as AddressInfo).port
    await new Promise((resolve) => dead.close(resolve))
    gate.gone('pod-1')
    addPod('dead', deadPort)
    expect((await call({ method: 'POST' }, 'x')).status).toBe(502)
    expect(gate.state().inFlight).toBe(0)
  })

  test("the service's own errors pass", async () => {
    handler = (_req, res) => res.writeHead(503, { 'retry-after': '7' }).end('mine')
    const r = await call({})
    expect([r.status, r.headers['retry-after'], r.body]).toEqual([503, '7', 'mine'])
  })

  test('an upgrade is 501, the offer of HTTP/2 is passed over', async () => {
    const upgrade = (to: string): Promise<number[]> =>
      connect(`GET / HTTP/1.1\r\nHost: svc.test\r\nConnection: Upgrade\r\nUpgrade: ${to}\r\n\r\n`).answers(1)
    expect(await upgrade('websocket')).toEqual([501])
    expect(await upgrade('h2c')).toEqual([200])
  })

  test('answers and requests on one connection stay in order after streamed ones', async () => {
    handler = (req, res) => {
      req.resume()
      req.on('end', () => res.end(req.url))
    }
    const raw = connect('')
    for (let i = 1; i <= 4; i++) {
      raw.send(`POST /${i} HTTP/1.1\r\nHost: svc.test\r\nContent-Length: 200000\r\n\r\n`).send(Buffer.alloc(200_000))
      await raw.answers(i)
      await until('its body', () => raw.text.includes(`/${i}`))
    }
    expect(raw.statuses).toEqual([200, 200, 200, 200])
  })
})

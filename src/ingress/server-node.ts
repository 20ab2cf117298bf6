import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { Fault, messageOf } from '../runtime/errors.ts'
import type { Exchange, HeadFault, HttpServer, HttpServerOptions } from './http-server.ts'
import { bodiless, FlatHeaders, headFault, reasonOf } from './http-server.ts'

const NOTHING = new Uint8Array(0)

/** Kept as one object, so that a drain reaches requests that already run. */
interface Shared {
  draining: boolean
  running: number
}

/** node:http behind the contract: where uWebSockets.js does not load, and for what it cannot do (trailers, HTTP/1.0, pipelining). */
export async function openNodeServer(o: HttpServerOptions): Promise<HttpServer> {
  const shared: Shared = { draining: false, running: 0 }
  const l = o.limits
  const server = createServer({
    maxHeaderSize: l.maxHeaderBytes,
    headersTimeout: l.headerTimeoutMs,
    // Bodies have their own limits, by rate; this one would cut a long upload to a service.
    requestTimeout: 0,
    keepAliveTimeout: l.idleTimeoutMs,
    connectionsCheckingInterval: Math.max(50, Math.min(1_000, l.headerTimeoutMs / 4)),
    // An answer's first bytes must not wait for its next ones.
    noDelay: true,
    joinDuplicateHeaders: true,
  })
  // Node would silently leave out what is over the limit; one more is let in, so that the excess is seen.
  server.maxHeadersCount = l.maxHeaders + 1
  server.timeout = 0
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    if (l.maxConnections > 0 && sockets.size >= l.maxConnections) {
      socket.destroy()
      return
    }
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  const take = (req: IncomingMessage, res: ServerResponse): void => begin(shared, o, req, res)
  server.on('request', take)
  // Node answers 417 by itself unless somebody listens; the shared check decides.
  server.on('checkExpectation', take)
  // Nobody listens for upgrades: Node hands them over as plain requests, and the offer is passed over or refused there.
  server.on('connect', (_req, socket) => refuseRaw(socket as Socket, 501))
  server.on('clientError', (e: NodeJS.ErrnoException, socket) => refuseRaw(socket as Socket, statusOf(e)))
  await listen(server, o)
  const closed = new Promise<void>((resolve) => server.once('close', () => resolve()))
  return {
    kind: 'node',
    port: (server.address() as AddressInfo).port,
    connections: () => sockets.size,
    running: () => shared.running,
    drain(empty) {
      shared.draining = true
      server.close()
      server.closeIdleConnections()
      void closed.then(empty)
    },
    close() {
      server.close()
      server.closeAllConnections()
      for (const socket of sockets) socket.destroy()
      return closed
    },
  }
}

function listen(server: Server, o: HttpServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (e: Error): void =>
      reject(new Fault('ingress.listen', `cannot listen on ${o.host}:${o.port}: ${messageOf(e)}`, e))
    server.once('error', failed)
    server.listen({ host: o.host, port: o.port, exclusive: true }, () => {
      server.off('error', failed)
      server.on('error', (e) => o.log.error('the data port failed', { error: e }))
      resolve()
    })
  })
}

function statusOf(e: NodeJS.ErrnoException): number {
  if (e.code === 'HPE_HEADER_OVERFLOW') return 431
  return e.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400
}

/** For what never became a request. An answer that has begun is left alone: two would be mixed. */
function refuseRaw(socket: Socket, status: number): void {
  const begun = (socket as Socket & { _httpMessage?: ServerResponse | null })._httpMessage
  if (!socket.writable || (begun !== undefined && begun !== null && begun.headersSent)) {
    socket.destroy()
    return
  }
  socket.end(`HTTP/1.1 ${status} ${reasonOf(status)}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy())
}

function begin(shared: Shared, o: HttpServerOptions, req: IncomingMessage, res: ServerResponse): void {
  const raw = req.rawHeaders
  for (let i = 0; i < raw.length; i += 2) raw[i] = (raw[i] as string).toLowerCase()
  const x = new NodeExchange(shared, req, res, raw)
  if (raw.length > 2 * o.limits.maxHeaders) return x.answer(431, PLAIN, 'there are too many headers\n', true)
  const fault = headFault(raw) ?? (x.path.startsWith('/') ? null : NO_PATH)
  if (fault !== null) return x.answer(fault.status, PLAIN, fault.why + '\n', true)
  o.handler(x)
}

const PLAIN = ['content-type', 'text/plain; charset=utf-8']
const NO_PATH: HeadFault = { status: 400, why: 'the request target is no path' }

/** Absolute form `http://host/path` is an old proxy's way to write the path. RFC 9112 §3.2.2 */
const ABSOLUTE = /^https?:\/\/([^/?#]+)/i

class NodeExchange implements Exchange {
  readonly lendsChunks = false
  readonly method: string
  readonly path: string
  readonly query: string
  readonly host: string
  readonly headers: FlatHeaders
  readonly contentLength: number
  readonly #shared: Shared
  readonly #req: IncomingMessage
  readonly #res: ServerResponse
  #over = false
  #bodyRead = false
  #bodyFunction: ((chunk: Uint8Array, last: boolean) => void) | null = null
  #abortedFunction: (() => void) | null = null
  #drainFunction: (() => void) | null = null
  /** Bytes of the answer still to come; −1 = not known. */
  #owed = -1

  constructor(shared: Shared, req: IncomingMessage, res: ServerResponse, flat: string[]) {
    this.#shared = shared
    shared.running++
    this.#req = req
    this.#res = res
    this.method = req.method ?? ''
    this.headers = new FlatHeaders(flat)
    let target = req.url ?? ''
    const authority = ABSOLUTE.exec(target)
    if (authority !== null) target = target.slice(authority[0].length) || '/'
    if (target.startsWith('?')) target = '/' + target
    const mark = target.indexOf('?')
    this.path = mark < 0 ? target : target.slice(0, mark)
    this.query = mark < 0 ? '' : target.slice(mark + 1)
    this.host = authority?.[1] ?? this.headers.get('host') ?? ''
    const length = this.headers.get('content-length')
    if (length !== undefined) this.contentLength = Number(length)
    else this.contentLength = this.headers.get('transfer-encoding') === undefined ? 0 : -1
    res.on('close', () => this.#closed())
    req.on('error', () => {})
    res.on('error', () => {})
  }

  remoteAddress(): string {
    return this.#req.socket.remoteAddress ?? ''
  }

  onBody(f: (chunk: Uint8Array, last: boolean) => void): void {
    const first = this.#bodyFunction === null
    this.#bodyFunction = f
    if (!first) return
    // Only now: who is refused before need not send its body at all.
    if (this.headers.get('expect') !== undefined) this.#res.writeContinue()
    // Node says "end" apart from the last chunk; with a known length the last chunk is known too.
    let left = this.contentLength
    this.#req.on('data', (chunk: Buffer) => {
      if (this.#over || this.#bodyRead) return
      if (left > 0) left -= chunk.length
      this.#bodyRead = left === 0
      this.#bodyFunction?.(chunk, this.#bodyRead)
    })
    this.#req.on('end', () => {
      if (this.#over || this.#bodyRead) return
      this.#bodyRead = true
      this.#bodyFunction?.(NOTHING, true)
    })
  }

  pause(): void {
    if (!this.#over) this.#req.pause()
  }

  resume(): void {
    if (!this.#over) this.#req.resume()
  }

  onAborted(f: () => void): void {
    this.#abortedFunction = f
  }

  /** The connection went away, or the answer is out. */
  #closed(): void {
    if (this.#over) return
    this.#finish()
    this.#abortedFunction?.()
  }

  answer(status: number, headers: readonly string[], body: Uint8Array | string | null, close: boolean): void {
    if (this.#over) return
    this.#finish()
    const res = this.#res
    const length = body === null ? 0 : Buffer.byteLength(body)
    const list = [...headers]
    if (status !== 204 && status !== 304) list.push('content-length', String(length))
    if (close || this.#shared.draining) list.push('connection', 'close')
    res.writeHead(status, reasonOf(status), list)
    if (body === null || bodiless(this.method, status)) res.end()
    else res.end(body)
    this.#req.resume()
  }

  head(status: number, headers: readonly string[], contentLength: number): void {
    if (this.#over) return
    const list = [...headers]
    const none = bodiless(this.method, status)
    if (contentLength >= 0 && status !== 204 && (status !== 304 || contentLength > 0))
      list.push('content-length', String(contentLength))
    if (this.#shared.draining) list.push('connection', 'close')
    this.#owed = none ? 0 : contentLength
    this.#res.writeHead(status, reasonOf(status), list)
    if (none) {
      this.#finish()
      this.#res.end()
      return
    }
    this.#res.on('drain', () => {
      if (!this.#over) this.#drainFunction?.()
    })
    this.#res.flushHeaders()
  }

  write(chunk: Uint8Array): boolean {
    if (this.#over || chunk.length === 0) return true
    if (this.#owed >= 0) this.#owed -= chunk.length
    // The chunk is only lent to us, and Node keeps what it cannot send at once.
    return this.#res.write(Buffer.from(chunk))
  }

  onDrain(f: () => void): void {
    this.#drainFunction = f
  }

  end(): void {
    if (this.#over) return
    if (this.#owed > 0) return this.abort()
    this.#finish()
    this.#res.end()
    this.#req.resume()
  }

  abort(): void {
    if (this.#over) return
    this.#finish()
    this.#res.destroy()
  }

  #finish(): void {
    this.#over = true
    this.#shared.running--
  }
}

import { createServer } from 'node:net'
import { Fault } from '../runtime/errors.ts'
import type { Clock } from '../runtime/clock.ts'
import type { HttpRequest, HttpResponse, us_listen_socket, Uws, UwsApp } from '../vendor/uws/uws.ts'
import type { Exchange, HeadFault, HttpServer, HttpServerOptions } from './http-server.ts'
import { bodiless, FlatHeaders, headFault, isAscii, reasonOf } from './http-server.ts'

/**
 * uWebSockets.js cuts a request whose body comes slower than 16 KB/s, or is paused, about 10 s after the last time it looked;
 * `resume()` makes it look anew. So bodies that are under way are resumed this often and our own limits decide.
 * (`test/ingress/server.test.ts`: keeps a slow body)
 */
const KEEP_MS = 3_000

const NOTHING = new Uint8Array(0)

/** The state that all exchanges of one server share. */
interface Shared {
  readonly clock: Clock
  readonly handler: (x: Exchange) => void
  /** Exchanges whose body is under way. */
  readonly reading: Set<UwsExchange>
  draining: boolean
  running: number
}

/**
 * Exclusive means without SO_REUSEADDR to the library: after a restart the port would be taken for a minute by connections
 * of before (TIME_WAIT). Shared, a second gateway would silently take half of the connections. So a plain socket, which
 * fails where somebody listens and only there, has a look first.
 */
async function listen(app: UwsApp, uws: Uws, o: HttpServerOptions): Promise<us_listen_socket> {
  const taken = new Fault(
    'ingress.listen',
    `cannot listen on ${o.host}:${o.port}: the port is taken, or the address is not of this machine`,
  )
  if (o.port !== 0 && !(await mayListen(o.host, o.port))) throw taken
  return new Promise<us_listen_socket>((resolve, reject) => {
    app.listen(o.host, o.port, o.port === 0 ? uws.LIBUS_LISTEN_EXCLUSIVE_PORT : 0, (socket) => {
      if (socket === false) reject(taken)
      else resolve(socket)
    })
  })
}

function mayListen(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const look = createServer()
    look.once('error', () => resolve(false))
    look.listen({ host, port, exclusive: true }, () => look.close(() => resolve(true)))
  })
}

export async function openUwsServer(uws: Uws, o: HttpServerOptions): Promise<HttpServer> {
  const shared: Shared = { clock: o.clock, handler: o.handler, reading: new Set(), draining: false, running: 0 }
  let connections = 0
  let empty: (() => void) | null = null
  const app = uws.App()
  app.filter((res, count) => {
    connections += count > 0 ? 1 : -1
    if (connections === 0) empty?.()
    if (count > 0 && o.limits.maxConnections > 0 && connections > o.limits.maxConnections) res.close()
  })
  app.any('/*', (res, req) => begin(shared, o.limits.maxHeaders, res, req))
  const keep = o.clock.every(KEEP_MS, () => {
    for (const x of shared.reading) x.keepAlive()
  })
  let listening: us_listen_socket | null = await listen(app, uws, o).catch((e: unknown) => {
    keep.cancel()
    throw e
  })
  const port = uws.us_socket_local_port(listening)
  const stopListening = (): void => {
    if (listening !== null) uws.us_listen_socket_close(listening)
    listening = null
  }
  return {
    kind: 'uws',
    port,
    connections: () => connections,
    running: () => shared.running,
    drain(f) {
      shared.draining = true
      stopListening()
      empty = f
      if (connections === 0) f()
    },
    async close() {
      keep.cancel()
      stopListening()
      app.close()
    },
  }
}

function begin(shared: Shared, maxHeaders: number, res: HttpResponse, req: HttpRequest): void {
  const flat: string[] = []
  req.forEach((name, value) => {
    // The library reads these values as UTF-8 and loses what is not; `getHeader` gives the bytes as latin1.
    flat.push(name, isAscii(value) ? value : req.getHeader(name))
  })
  const x = new UwsExchange(shared, res, req, flat)
  res.onAborted(() => x.wasAborted())
  const fault = flat.length > 2 * maxHeaders ? TOO_MANY : (headFault(flat) ?? faultHere(x))
  if (fault === null) shared.handler(x)
  else x.answer(fault.status, PLAIN, fault.why + '\n', true)
}

const PLAIN = ['content-type', 'text/plain; charset=utf-8']
const TOO_MANY: { status: number; why: string } = { status: 431, why: 'there are too many headers' }
/** The library takes trailers for the next request, so a request that announces some is refused while that is still clear. */
const TRAILERS: HeadFault = { status: 501, why: 'trailers are not served here; the gateway does with --http node' }
/** Node refuses such a request by itself. RFC 3986 §2 */
const RAW_TARGET: HeadFault = { status: 400, why: 'the request target has raw bytes above ASCII: percent-encode them' }

function faultHere(x: UwsExchange): HeadFault | null {
  if (x.headers.get('trailer') !== undefined) return TRAILERS
  return isAscii(x.path) && isAscii(x.query) ? null : RAW_TARGET
}

/** Status lines, made once each. */
const LINES = new Map<number, string>()
function lineOf(status: number): string {
  let line = LINES.get(status)
  if (line === undefined) LINES.set(status, (line = `${status} ${reasonOf(status)}`))
  return line
}

/** The library writes strings as UTF-8; header values here are bytes as latin1 text. */
function put(res: HttpResponse, headers: readonly string[]): void {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    const value = headers[i + 1] as string
    // The library adds its own Date.
    if (name !== 'date') res.writeHeader(name, isAscii(value) ? value : Buffer.from(value, 'latin1'))
  }
}

/**
 * `endWithoutBody` must have no argument: with a length the library waits for that many bytes for ever, and an undefined one it
 * takes for 2⁶³.
 */
function endBodiless(res: HttpResponse, contentLength: number, close: boolean): void {
  if (close) res.writeHeader('connection', 'close')
  if (contentLength >= 0) res.writeHeader('content-length', String(contentLength))
  res.endWithoutBody()
}

class UwsExchange implements Exchange {
  readonly lendsChunks = true
  readonly method: string
  readonly path: string
  readonly query: string
  readonly host: string
  readonly headers: FlatHeaders
  readonly contentLength: number
  readonly #shared: Shared
  readonly #res: HttpResponse
  /** Answered, ended or gone: nobody is told anything any more. */
  #over = false
  /** The library's response object is dead. */
  #gone = false
  #paused = false
  #bodyFunction: ((chunk: Uint8Array, last: boolean) => void) | null = null
  #abortedFunction: (() => void) | null = null
  #drainFunction: (() => void) | null = null
  /** Bytes of a streamed answer: −2 = none, −1 = chunked. */
  #total = -2
  /** What `tryEnd` did not take. */
  #rest: Uint8Array | null = null
  #ending = false

  constructor(shared: Shared, res: HttpResponse, req: HttpRequest, flat: string[]) {
    this.#shared = shared
    this.#res = res
    shared.running++
    this.method = req.getCaseSensitiveMethod()
    this.path = req.getUrl()
    this.query = req.getQuery() ?? ''
    this.headers = new FlatHeaders(flat)
    this.host = this.headers.get('host') ?? ''
    const length = this.headers.get('content-length')
    if (length !== undefined) this.contentLength = Number(length)
    else this.contentLength = this.headers.get('transfer-encoding') === undefined ? 0 : -1
  }

  remoteAddress(): string {
    return this.#over ? '' : Buffer.from(this.#res.getRemoteAddressAsText()).toString('latin1')
  }

  onBody(f: (chunk: Uint8Array, last: boolean) => void): void {
    if (this.#over) return
    const first = this.#bodyFunction === null
    this.#bodyFunction = f
    if (!first) return
    // A body with a length says so itself when it is not whole at once (an empty chunk where nothing came yet).
    if (this.contentLength < 0) this.#shared.reading.add(this)
    this.#res.onData((bytes, last) => this.#data(bytes, last))
  }

  #data(bytes: ArrayBuffer, last: boolean): void {
    if (this.#over) return
    if (last) this.#shared.reading.delete(this)
    else {
      this.#shared.reading.add(this)
      if (bytes.byteLength === 0) return
    }
    if (!last || this.contentLength >= 0) {
      this.#bodyFunction?.(new Uint8Array(bytes), last)
      return
    }
    // Trailers that were not announced are taken for a next request and end the connection: by the next turn of the loop we
    // know, and nothing of the request has been stored.
    this.#shared.clock.soon(() => {
      if (!this.#over) this.#bodyFunction?.(NOTHING, true)
    })
  }

  /** See KEEP_MS. */
  keepAlive(): void {
    if (this.#over) return
    const res = this.#res
    // Always as a pair that ends as it began: `resume` of what is not paused makes the library miss the next bytes.
    if (this.#paused) {
      res.resume()
      res.pause()
    } else {
      res.pause()
      res.resume()
    }
  }

  pause(): void {
    if (this.#over || this.#paused) return
    this.#paused = true
    this.#res.pause()
  }

  resume(): void {
    if (this.#over || !this.#paused) return
    this.#paused = false
    this.#res.resume()
  }

  onAborted(f: () => void): void {
    this.#abortedFunction = f
  }

  wasAborted(): void {
    this.#gone = true
    if (this.#over) return
    this.#finish()
    this.#abortedFunction?.()
  }

  answer(status: number, headers: readonly string[], body: Uint8Array | string | null, close: boolean): void {
    if (this.#over) return
    // A paused socket would not even notice that the client goes away.
    this.resume()
    this.#finish()
    if (!close && !this.#shared.draining) return this.#answerNow(status, headers, body, false)
    // An answer within the library's own loop would not stop it from reading the next request out of the same packet, and that
    // may be a part of this one's body. As long as this one waits for its answer, such a connection is cut.
    this.#shared.clock.soon(() => {
      if (!this.#gone) this.#answerNow(status, headers, body, true)
    })
  }

  #answerNow(status: number, headers: readonly string[], body: Uint8Array | string | null, close: boolean): void {
    const res = this.#res
    res.cork(() => {
      res.writeStatus(lineOf(status))
      put(res, headers)
      if (!bodiless(this.method, status)) res.end(body ?? undefined, close)
      else endBodiless(res, this.method === 'HEAD' && body !== null ? Buffer.byteLength(body) : -1, close)
    })
  }

  head(status: number, headers: readonly string[], contentLength: number): void {
    if (this.#over) return
    const res = this.#res
    const none = bodiless(this.method, status)
    this.#total = contentLength
    if (!none) res.onWritable(() => this.#writable())
    res.cork(() => {
      res.writeStatus(lineOf(status))
      put(res, headers)
      if (none) {
        this.resume()
        this.#finish()
        endBodiless(res, this.method === 'HEAD' ? contentLength : -1, this.#shared.draining)
        return
      }
      // `end(…, true)` would write its "Connection: close" into the body here, so it is said in the head.
      if (this.#shared.draining) res.writeHeader('connection', 'close')
      if (contentLength > 0) res.tryEnd('', contentLength)
      // The library sends a chunked head only with the first bytes of the body. An event stream may be silent for long while
      // its client waits for the head; a comment line says nothing in it.
      else if (contentLength < 0 && isEventStream(headers)) res.write(':\n')
    })
  }

  write(chunk: Uint8Array): boolean {
    if (this.#over || chunk.length === 0) return true
    let room = true
    const res = this.#res
    res.cork(() => {
      if (this.#total < 0) room = res.write(chunk)
      else room = this.#try(chunk)
    })
    return room
  }

  /** Writes what fits of an answer whose length is known and keeps a copy of what does not. */
  #try(chunk: Uint8Array): boolean {
    const before = this.#res.getWriteOffset()
    // After the last byte the socket is out of our hands, and a paused one would never read its next request.
    if (before + chunk.length >= this.#total) this.resume()
    const [ok, done] = this.#res.tryEnd(chunk, this.#total)
    if (done) {
      this.#finish()
      return true
    }
    if (ok) return true
    this.#rest = Uint8Array.prototype.slice.call(chunk, this.#res.getWriteOffset() - before)
    return false
  }

  #writable(): boolean {
    if (this.#over) return true
    const rest = this.#rest
    this.#rest = null
    if (rest !== null && !this.#try(rest)) return false
    if (this.#ending) this.end()
    else this.#drainFunction?.()
    return true
  }

  onDrain(f: () => void): void {
    this.#drainFunction = f
  }

  end(): void {
    if (this.#over) return
    if (this.#rest !== null) {
      this.#ending = true
      return
    }
    // Fewer bytes than were announced: only a cut tells the client.
    if (this.#total > 0) return this.abort()
    this.resume()
    this.#finish()
    this.#res.cork(() => this.#res.end())
  }

  abort(): void {
    if (this.#over) return
    this.#finish()
    this.#res.close()
  }

  #finish(): void {
    this.#over = true
    this.#shared.running--
    if (this.contentLength !== 0) this.#shared.reading.delete(this)
  }
}

function isEventStream(headers: readonly string[]): boolean {
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] === 'content-type') return (headers[i + 1] as string).startsWith('text/event-stream')
  }
  return false
}

import type { HeaderView } from '../event/http.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'

/**
 * What the data port needs of an HTTP/1.1 server, and no more: `server-uws.ts` and `server-node.ts` fulfil it, one contract
 * test holds both. A server never hands out a request it could not frame without doubt.
 *
 * ```
 *   request ─→ handler(x) ─┬→ onBody: chunk* → last            (the handler attaches it before it returns)
 *                          ├→ answer                           one piece
 *                          ├→ head → write* → end              streamed
 *                          └→ onAborted                        client gone, or the server gave up on it
 * ```
 * After `answer`, `end`, `abort` or `onAborted` nothing is called any more and every method does nothing.
 */
export interface Exchange {
  /** As it came; HTTP methods are case-sensitive. */
  readonly method: string
  /** The part before `?`, as it came, beginning with a slash. */
  readonly path: string
  /** The part after `?`, '' = none. */
  readonly query: string
  /** The Host header as it came. */
  readonly host: string
  readonly headers: FlatHeaders
  /** Bytes; 0 = no body, −1 = chunked, so unknown. */
  readonly contentLength: number
  /** true: a chunk dies when the callback returns, so whoever keeps it copies it. */
  readonly lendsChunks: boolean
  /** Address of the client as text. Only before the answer. */
  remoteAddress(): string
  /** Body bytes in order; `last` comes once, with the last chunk or an empty one. A second call replaces the first's function. */
  onBody(f: (chunk: Uint8Array, last: boolean) => void): void
  /** No more chunks until `resume`; one that was read already may still come. */
  pause(): void
  resume(): void
  onAborted(f: () => void): void
  /** The whole answer. `headers` is name, value, … as latin1 text without line breaks. `close` ends the connection after it. */
  answer(status: number, headers: readonly string[], body: Uint8Array | string | null, close: boolean): void
  /** Begins a streamed answer; `contentLength` −1 = not known. */
  head(status: number, headers: readonly string[], contentLength: number): void
  /** The bytes are copied or written before it returns. false: wait for `onDrain` before the next write. */
  write(chunk: Uint8Array): boolean
  onDrain(f: () => void): void
  end(): void
  /** Cuts the connection, so that the client sees that the answer is not whole. */
  abort(): void
}

export interface HttpServer {
  readonly kind: 'uws' | 'node'
  readonly port: number
  connections(): number
  /** Requests without their whole answer. */
  running(): number
  /**
   * Accepts no more connections; every answer from now on closes its own, idle ones are closed where the server can.
   * `empty` is called when no connection is left.
   */
  drain(empty: () => void): void
  /** Cuts what is left. Resolves when the port is free. */
  close(): Promise<void>
}

export interface HttpServerOptions {
  readonly host: string
  /** 0 picks one. */
  readonly port: number
  readonly limits: ServerLimits
  readonly clock: Clock
  readonly log: Log
  readonly handler: (x: Exchange) => void
}

/** Limits on what is no event yet. */
export interface ServerLimits {
  /** Request line and headers together; over it 431. */
  readonly maxHeaderBytes: number
  /** Header lines; over it 431. uWebSockets.js has a fixed limit of 99 besides. */
  readonly maxHeaders: number
  /** Open connections; a further one is closed at once. 0 = no limit. */
  readonly maxConnections: number
  /** From the first byte to the end of the headers. uWebSockets.js: always 10 s. */
  readonly headerTimeoutMs: number
  /** An unused connection is closed after it. uWebSockets.js: always 10 s. */
  readonly idleTimeoutMs: number
}

/** Headers as they came: lower-case name, value, name, value …; values are latin1 text (one char a byte). */
export class FlatHeaders implements HeaderView {
  readonly flat: string[]
  constructor(flat: string[]) {
    this.flat = flat
  }
  /** The first of that name. */
  get(lowerName: string): string | undefined {
    const flat = this.flat
    for (let i = 0; i < flat.length; i += 2) if (flat[i] === lowerName) return flat[i + 1]
    return undefined
  }
  each(f: (lowerName: string, value: string) => void): void {
    const flat = this.flat
    for (let i = 0; i < flat.length; i += 2) f(flat[i] as string, flat[i + 1] as string)
  }
}

/** Why the head of a request cannot be served, in words and as a status; '' = it can. Shared so that both servers refuse the same. */
export interface HeadFault {
  readonly status: 400 | 417 | 501
  readonly why: string
}

/**
 * What makes the end of a request doubtful is refused before its body is looked at: two servers that read it differently
 * would let a request be smuggled. RFC 9112 §6.1, §6.3, §3.2.
 */
export function headFault(flat: readonly string[]): HeadFault | null {
  let hosts = 0
  let lengths = 0
  let encodings = 0
  for (let i = 0; i < flat.length; i += 2) {
    const value = flat[i + 1] as string
    switch (flat[i]) {
      case 'host':
        if (++hosts > 1) return { status: 400, why: 'there is more than one Host header' }
        if (!HOST.test(value)) return { status: 400, why: 'the Host header is no host' }
        break
      case 'content-length':
        if (++lengths > 1) return { status: 400, why: 'there is more than one Content-Length header' }
        if (!LENGTH.test(value)) return { status: 400, why: 'Content-Length is no number of bytes' }
        break
      case 'transfer-encoding':
        encodings++
        if (encodings > 1 || value.toLowerCase() !== 'chunked') {
          return { status: 501, why: 'the only Transfer-Encoding served is "chunked"' }
        }
        break
      case 'expect':
        if (value.toLowerCase() !== '100-continue') return { status: 417, why: 'the only Expect served is "100-continue"' }
        break
    }
  }
  if (lengths > 0 && encodings > 0) return { status: 400, why: 'Content-Length and Transfer-Encoding exclude each other' }
  return null
}

/** At most 15 digits: every value is an exact integer. */
const LENGTH = /^\d{1,15}$/
const HOST = /^[\w.:[\]~!$&'()*+,;=%-]*$/

// oxlint-disable-next-line no-control-regex -- text that is not ASCII is the point
const WIDE = /[^\x00-\x7f]/

export function isAscii(text: string): boolean {
  return !WIDE.test(text)
}

const REASONS: Readonly<Record<number, string>> = {
  200: 'OK',
  202: 'Accepted',
  204: 'No Content',
  304: 'Not Modified',
  400: 'Bad Request',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  417: 'Expectation Failed',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  508: 'Loop Detected',
}

/** The phrase of a status, '' where we have none: RFC 9112 §4 allows it to be empty. */
export function reasonOf(status: number): string {
  return REASONS[status] ?? ''
}

/** An answer of this status has no body and no framing of one. RFC 9112 §6.3 */
export function bodiless(method: string, status: number): boolean {
  return method === 'HEAD' || status === 204 || status === 304
}

import { connect, type Socket } from 'node:net'
import type { Origin } from '../../contract/target.ts'
import { messageOf } from '../../runtime/errors.ts'
import { Deadline, type Deadlines } from '../deadlines.ts'
import { LIMITS, type Exchange, type Line } from '../exchange.ts'
import { BROKEN, MORE } from './chunked-body.ts'
import { ResponseParser } from './response-parser.ts'

/**
 * Where every connection reads into. libuv on POSIX asks for the buffer, reads and calls back in one go, so one buffer
 * serves all of them; on Windows a read is pending on its buffer, there each connection has one.
 */
const READ_BYTES = 65_536
const SHARED: Buffer | null = process.platform === 'win32' ? null : Buffer.allocUnsafeSlow(READ_BYTES)

/** Bodies up to this go out with the head as one string: one system call and no buffer of its own. Bytes. */
const JOIN_BYTES = 8_192
/** A probe of the system's own tells a connection whose other side is gone without a word. */
const PROBE_AFTER_MS = 30_000

/** What a connection tells the pool it belongs to. */
export interface ConnectionOwner {
  nowMs(): number
  idle(c: Connection): void
  closed(c: Connection): void
  /** The exchange goes out once more, on a fresh connection. */
  again(x: Exchange): void
}

/**
 * One HTTP/1.1 connection: one exchange at a time.
 *
 * ```
 *   connecting → busy ⇄ idle → closed
 * ```
 */
export class Connection implements Line {
  idleSinceMs = 0
  idleForMs: number = LIMITS.idleMs
  private readonly owner: ConnectionOwner
  private readonly deadlines: Deadlines
  private readonly socket: Socket
  private readonly parser = new ResponseParser()
  private readonly connectBy: Deadline
  private exchange: Exchange | null
  /** Answers it has carried. */
  private served = 0
  /** A byte of the answer to the running exchange has come. */
  private answered = false
  private connected = false
  private ended = false
  /** The streamed body is not finished. */
  private sending = false
  private chunking = false
  private wantsDrain = false
  private why = ''

  constructor(origin: Origin, owner: ConnectionOwner, deadlines: Deadlines, first: Exchange) {
    this.owner = owner
    this.deadlines = deadlines
    this.exchange = first
    first.line = this
    const host = origin.host.startsWith('[') ? origin.host.slice(1, -1) : origin.host
    this.socket = connect({
      host,
      port: origin.port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: PROBE_AFTER_MS,
      onread: { buffer: SHARED ?? Buffer.allocUnsafeSlow(READ_BYTES), callback: (n, b) => this.onRead(n, b as Buffer) },
    })
    this.socket.on('connect', () => this.onConnect())
    this.socket.on('error', (e) => this.onError(e))
    this.socket.on('end', () => this.onEnd())
    this.socket.on('close', () => this.onClose())
    this.socket.on('drain', () => this.onDrain())
    this.connectBy = new Deadline(() => {
      this.destroy(`no connection to ${host}:${origin.port} within ${LIMITS.connectMs} ms`)
    })
    deadlines.set(this.connectBy, owner.nowMs() + LIMITS.connectMs)
  }

  /** Whether an idle one may carry another request. */
  usable(nowMs: number): boolean {
    return !this.ended && nowMs - this.idleSinceMs < this.idleForMs && this.socket.writable
  }

  start(x: Exchange): void {
    this.exchange = x
    x.line = this
    this.answered = false
    this.parser.begin(x.method === 'HEAD')
    x.opened()
    const text = x.headText()
    if (x.streamed) return this.startStreamed(x, text)
    const body = x.body
    if (body === null || body.length === 0) {
      const empty = x.method === 'POST' || x.method === 'PUT' || x.method === 'PATCH' ? 'content-length: 0\r\n\r\n' : '\r\n'
      this.socket.write(text + empty, 'latin1')
    } else if (body.length <= JOIN_BYTES) {
      this.socket.write(`${text}content-length: ${body.length}\r\n\r\n` + latin1(body), 'latin1')
    } else {
      this.socket.cork()
      this.socket.write(`${text}content-length: ${body.length}\r\n\r\n`, 'latin1')
      this.socket.write(body)
      this.socket.uncork()
    }
  }

  write(chunk: Uint8Array): boolean {
    if (!this.sending || chunk.length === 0) return true
    if (this.chunking) {
      this.socket.cork()
      this.socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1')
      this.socket.write(chunk)
      this.wantsDrain = !this.socket.write('\r\n', 'latin1')
      this.socket.uncork()
    } else this.wantsDrain = !this.socket.write(chunk)
    return !this.wantsDrain
  }

  endBody(): void {
    if (this.sending && this.chunking) this.socket.write('0\r\n\r\n', 'latin1')
    this.sending = false
  }

  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  /** Half closes: the other side sees that nobody listens, and its answer or its close is still waited for. */
  giveUp(): void {
    if (!this.connected || this.sending) this.abort()
    else {
      this.ended = true
      this.socket.end()
    }
  }

  abort(): void {
    this.destroy('the gateway closed the connection')
  }

  destroy(why: string): void {
    if (this.why === '') this.why = why
    this.socket.destroy()
  }

  private startStreamed(x: Exchange, text: string): void {
    this.sending = true
    this.chunking = x.bodyLength < 0
    const framing = this.chunking ? 'transfer-encoding: chunked' : `content-length: ${x.bodyLength}`
    this.wantsDrain = !this.socket.write(`${text}${framing}\r\n\r\n`, 'latin1')
    if (!this.wantsDrain) x.drained()
  }

  private onConnect(): void {
    this.connected = true
    this.deadlines.clear(this.connectBy)
    const x = this.exchange
    if (x !== null) this.start(x)
  }

  private onRead(n: number, b: Buffer): boolean {
    const x = this.exchange
    if (x === null || this.socket.destroyed) {
      // Bytes that nobody asked for: what comes next could be taken for the answer to another request.
      this.socket.destroy()
      return true
    }
    this.answered = true
    const end = this.parser.read(b, 0, n, x)
    if (end === BROKEN) this.destroy(`a malformed answer: ${this.parser.error}`)
    else if (end !== MORE && !this.socket.destroyed) this.complete(x, end === n)
    return true
  }

  /** The answer is whole. The connection is free before the exchange is told, so that what follows can have it. */
  private complete(x: Exchange, clean: boolean): void {
    this.exchange = null
    x.line = null
    this.served++
    const trailers = this.parser.trailers
    if (clean && this.parser.keepAlive && !this.ended && !this.sending && this.socket.writableLength === 0) this.rest()
    else this.socket.destroy()
    x.ended(trailers)
  }

  private rest(): void {
    const hintMs = this.parser.keepAliveMs
    // A second less than the server says: a request must not leave while its FIN is on the way.
    this.idleForMs = hintMs < 0 ? LIMITS.idleMs : Math.min(hintMs - 1000, LIMITS.longestIdleMs)
    if (this.idleForMs <= 0) this.socket.destroy()
    else {
      if (this.socket.isPaused()) this.socket.resume()
      this.owner.idle(this)
    }
  }

  private onDrain(): void {
    const x = this.exchange
    if (!this.wantsDrain || x === null) return
    this.wantsDrain = false
    x.drained()
  }

  private onError(e: unknown): void {
    // A host name with several addresses fails with one error for each, and an empty message.
    const first: unknown = e instanceof AggregateError ? e.errors[0] : e
    if (this.why === '') this.why = messageOf(first)
  }

  private onEnd(): void {
    this.ended = true
    const x = this.exchange
    if (x !== null && this.parser.closed()) this.complete(x, false)
    else this.destroy('')
  }

  private onClose(): void {
    this.deadlines.clear(this.connectBy)
    this.owner.closed(this)
    const x = this.exchange
    if (x === null) return
    this.exchange = null
    x.line = null
    if (this.served > 0 && !this.answered && x.repeatable) return this.owner.again(x)
    const place = this.answered ? 'the connection was closed within the answer' : 'the connection was closed without an answer'
    x.failed(this.why === '' ? place : this.answered ? `${place}: ${this.why}` : this.why)
  }
}

/** Bytes as text of the same length, without a copy of their own when they are a Buffer already. */
function latin1(body: Uint8Array): string {
  if (body instanceof Buffer) return body.toString('latin1', 0, body.length)
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('latin1', 0, body.length)
}

import type { Credit, Origin } from '../contract/target.ts'
import type { Clock } from '../runtime/clock.ts'
import { ABANDONED_MS } from './attempt-call.ts'
import { Deadline, type Deadlines } from './deadlines.ts'
import type { AnswerHead, Exchange, Lane, Line } from './exchange.ts'
import { endToEnd } from './hop-by-hop.ts'
import { fitPath, hostOf, isToken } from './request-head.ts'

/** After the client has gone an answer that is on its way may end; a stream that never ends is cut. ms, bytes. */
const LAST_WORDS_MS = 1_000
const LAST_WORDS_BYTES = 1 << 20

/** A plain HTTP request to be passed on. */
export interface ProxyRequest {
  readonly method: string
  /** Path and query as they came. */
  readonly path: string
  /** name, value, …; hop-by-hop headers are taken off here, `Forwarded` and its like are the caller's. */
  readonly headers: readonly string[]
  /** Bytes of the body, 0 = none, −1 = not known before (sent chunked). */
  readonly contentLength: number
  /** Monotonic clock, ms: the answer is whole by then. */
  readonly deadlineMs: number
}

/**
 * Why there is no answer, or not all of it. `unsent`: no byte of the request left, it may be sent to another pod.
 * `timeout` is a 504 and `reset` a 502 where the head has not been passed on yet (`answered`); `gone`: the pod is.
 */
export interface ProxyFailure {
  readonly kind: 'unsent' | 'timeout' | 'reset' | 'gone'
  /** A byte of the request may have reached the pod. */
  readonly wrote: boolean
  readonly answered: boolean
  readonly why: string
}

/** Where the answer goes. After `end` or `fail`, of which exactly one is called, and after `ProxyCall.abort`, nothing is called. */
export interface ProxySink {
  /** name, value, … without hop-by-hop headers, in the order they came. */
  head(status: number, headers: readonly string[]): void
  /** A view that is valid only during the call: copy what is kept. false = wait for `ProxyCall.resume`. */
  data(bytes: Uint8Array): boolean
  end(trailers: readonly string[]): void
  fail(f: ProxyFailure): void
  /** `ProxyCall.write` may go on. */
  drain(): void
}

/** The request's side, for whoever reads it from the client. */
export interface ProxyCall {
  /** The bytes are kept until they are written. false = wait for `ProxySink.drain`. */
  write(chunk: Uint8Array): boolean
  /** The body is whole. */
  end(): void
  resume(): void
  /** The client is gone. The credit stays booked until the pod's answer ends or the connection is closed. */
  abort(): void
}

export interface ProxyParts {
  readonly clock: Clock
  readonly deadlines: Deadlines
  readonly lane: Lane
}

export function startProxyCall(parts: ProxyParts, request: ProxyRequest, c: Credit, sink: ProxySink): ProxyCall {
  const x = new ProxyExchange(parts, request, c, sink)
  x.begin()
  return x
}

/**
 * One proxied request.
 *
 * ```
 *   running ── answer whole, connection lost ──→ release credit, end or fail
 *      ├── time-out ─────→ fail ─┐
 *      ├── client gone ──────────┴→ abandon credit, half close ── answer ends, connection closes ──→ release credit
 *      └── pod gone ─────→ fail, connection destroyed ──→ release credit
 * ```
 * Half closing lets a pod that watches its client stop, and leaves the others the time they take: the credit is booked
 * exactly as long as the pod works. Only an answer that has begun and does not end within a second is cut.
 */
class ProxyExchange implements Exchange, ProxyCall {
  readonly method: string
  readonly path: string
  readonly origin: Origin
  readonly body = null
  readonly streamed: boolean
  readonly bodyLength: number
  readonly repeatable = false
  line: Line | null = null
  readonly #parts: ProxyParts
  readonly #request: ProxyRequest
  readonly #credit: Credit
  readonly #sink: ProxySink
  readonly #deadline = new Deadline(() => this.#timedOut())
  readonly #startMs: number
  /** Nobody is told anything any more: failed, or the client is gone. */
  #decided = false
  #over = false
  #gone = false
  #wrote = false
  #status = 0
  #lastBytes = 0
  /** Body that came before the connection was ready for it. */
  #waiting: Uint8Array[] = []
  #flowing = false
  #bodyBytes = 0
  #bodyEnded = false

  constructor(parts: ProxyParts, request: ProxyRequest, c: Credit, sink: ProxySink) {
    this.#parts = parts
    this.#request = request
    this.#credit = c
    this.#sink = sink
    this.method = request.method
    this.path = fitPath(request.path)
    this.origin = c.origin
    this.bodyLength = request.contentLength
    this.streamed = request.contentLength !== 0
    this.#startMs = parts.clock.now()
  }

  begin(): void {
    const { clock, deadlines, lane } = this.#parts
    if (!isToken(this.method) || this.method === 'CONNECT') {
      return clock.soon(() => this.failed(`the method ${JSON.stringify(this.method)} cannot be passed on`))
    }
    this.#credit.onGone(() => this.#podGone())
    deadlines.set(this.#deadline, this.#request.deadlineMs)
    lane.send(this)
  }

  // -- ProxyCall

  write(chunk: Uint8Array): boolean {
    if (this.#decided || this.#over || this.#bodyEnded) return true
    this.#bodyBytes += chunk.length
    if (this.bodyLength >= 0 && this.#bodyBytes > this.bodyLength) {
      this.#cut(`the body is longer than the ${this.bodyLength} bytes that were announced`)
      return true
    }
    if (this.#flowing && this.line !== null) this.#flowing = this.line.write(chunk)
    else this.#waiting.push(chunk)
    return this.#flowing
  }

  end(): void {
    if (this.#bodyEnded || this.#decided || this.#over) return
    if (this.bodyLength > 0 && this.#bodyBytes < this.bodyLength) {
      return this.#cut(`the body ended after ${this.#bodyBytes} of ${this.bodyLength} bytes`)
    }
    this.#bodyEnded = true
    if (this.streamed && this.#wrote && this.#waiting.length === 0) this.line?.endBody()
  }

  resume(): void {
    this.line?.resume()
  }

  abort(): void {
    if (this.#decided || this.#over) return
    this.#leave()
  }

  // -- Exchange

  headText(): string {
    const headers = endToEnd(this.#request.headers)
    let text = `${this.method} ${this.path} HTTP/1.1\r\n`
    let host = ''
    let rest = ''
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i] ?? ''
      if (name === 'host') host ||= headers[i + 1] ?? ''
      // The framing is the lane's; an Expect was answered by whoever took the request.
      else if (name !== 'content-length' && name !== 'expect') rest += `${name}: ${headers[i + 1] ?? ''}\r\n`
    }
    text += `host: ${host === '' ? hostOf(this.origin) : host}\r\n`
    return text + rest
  }

  opened(): void {
    this.#wrote = true
  }

  head(head: AnswerHead): void {
    this.#status = head.status
    if (this.#decided) this.#parts.deadlines.set(this.#deadline, this.#parts.clock.now() + LAST_WORDS_MS)
    else this.#sink.head(head.status, endToEnd(head.list()))
  }

  data(bytes: Uint8Array, from: number, to: number): void {
    if (this.#decided) {
      this.#lastBytes += to - from
      if (this.#lastBytes > LAST_WORDS_BYTES) this.line?.abort()
    } else if (!this.#sink.data(bytes.subarray(from, to))) this.line?.pause()
  }

  drained(): void {
    if (this.#decided || this.line === null) return
    this.#flowing = true
    while (this.#flowing && this.#waiting.length > 0) {
      const [chunk] = this.#waiting.splice(0, 1)
      if (chunk !== undefined) this.#flowing = this.line.write(chunk)
    }
    if (this.#waiting.length > 0) return
    if (this.#bodyEnded) this.line.endBody()
    else if (this.#flowing) this.#sink.drain()
  }

  ended(trailers: readonly string[]): void {
    this.#finish()
    if (!this.#decided) this.#sink.end(trailers)
  }

  failed(why: string): void {
    this.#finish()
    this.#fail(this.#wrote ? 'reset' : 'unsent', why)
  }

  #timedOut(): void {
    if (this.#over) return
    if (this.#decided) return this.line?.abort()
    const ms = Math.round(this.#parts.clock.now() - this.#startMs)
    this.#fail('timeout', `timed out after ${ms} ms ${this.#status === 0 ? 'without an answer' : 'within the answer'}`)
    this.#leave()
  }

  #podGone(): void {
    if (this.#over || this.#gone) return
    this.#gone = true
    this.#parts.deadlines.clear(this.#deadline)
    this.#fail('gone', `the pod ${this.#credit.pod} is gone`)
    this.line?.abort()
  }

  /** The client broke its own promise about the body: the pod gets no whole request, so the connection goes. */
  #cut(why: string): void {
    this.#fail(this.#wrote ? 'reset' : 'unsent', why)
    this.#leave()
    this.line?.abort()
  }

  /** Nobody waits for the answer any more. */
  #leave(): void {
    this.#decided = true
    this.#waiting = []
    if (!this.#wrote) return this.line?.abort()
    this.#credit.abandon()
    this.line?.resume()
    const nowMs = this.#parts.clock.now()
    const leftMs = this.#status === 0 ? Math.max(ABANDONED_MS, 2 * (nowMs - this.#startMs)) : LAST_WORDS_MS
    this.#parts.deadlines.set(this.#deadline, nowMs + leftMs)
    this.line?.giveUp()
  }

  #fail(kind: ProxyFailure['kind'], why: string): void {
    if (this.#decided) return
    this.#decided = true
    this.#sink.fail({ kind, wrote: this.#wrote, answered: this.#status !== 0, why })
  }

  #finish(): void {
    this.#over = true
    this.#waiting = []
    this.#parts.deadlines.clear(this.#deadline)
    this.#credit.release({ ms: this.#parts.clock.now() - this.#startMs, ok: this.#status > 0 && this.#status < 500 })
  }
}

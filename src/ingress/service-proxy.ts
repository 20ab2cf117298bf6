import type { Observer } from '../contract/observer.ts'
import type { Credit, Job } from '../contract/target.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import type { ProxyCall, ProxyFailure, ProxyRequest, ProxySink } from '../sender/proxy.ts'
import type { Answer, RefusalCode } from './answers.ts'
import { refusal, retryAfter } from './answers.ts'
import type { Bodies } from './body.ts'
import type { ServiceDestination } from './destination.ts'
import { forwarded } from './forwarded.ts'
import type { Exchange } from './http-server.ts'

/** `Sender.proxy` */
export type ProxySender = (request: ProxyRequest, c: Credit, sink: ProxySink) => ProxyCall

export interface ServiceDeskOptions {
  readonly clock: Clock
  readonly observer: Observer
  readonly bodies: Bodies
  readonly proxy: ProxySender
}

/** Pods that are tried when no byte of a request could be sent. */
const MOST_TRIES = 3
/** What is kept of a body so that it can go to another pod; a longer one is tried once. */
const KEPT_BYTES = 1 << 20
/** What is read of a body while its request waits for a credit, and a chunk. */
const EARLY_BYTES = 65_536
const BUSY_RETRY_MS = 1_000

/** For the observer, where no answer was given: the client went away. */
const CLIENT_GONE = 499
/** The connection was cut within the answer. */
const CUT = 0

/** Passes plain requests on to the pods of a Service, one credit each. Per shard. */
export class ServiceDesk {
  readonly o: ServiceDeskOptions

  constructor(o: ServiceDeskOptions) {
    this.o = o
  }

  take(x: Exchange, to: ServiceDestination): void {
    if (asksForUpgrade(x)) {
      const r = refusal('ingress.unsupported', 'connections are not upgraded here: a service is reached by plain HTTP/1.1')
      this.o.observer.proxied(to.id, '', r.status, 0, 0)
      this.o.bodies.refuse(x, r)
      return
    }
    new Passage(this.o, x, to).begin()
  }
}

/** HTTP/2 by upgrade is an offer that every server may pass over (Java's client always makes it). RFC 9110 §7.8 */
function asksForUpgrade(x: Exchange): boolean {
  const upgrade = x.headers.get('upgrade')
  return upgrade !== undefined && upgrade.toLowerCase() !== 'h2c'
}

/**
 * One request on its way to a pod and back.
 *
 * ```
 *   waiting for a credit ── start → passing ── head → answering ── end ──→ over
 *      │ refused, too long: 503       │ nothing sent: waiting again │ reset: cut
 *      └ client gone: cancelled       │ timeout 504, reset 502      └ client gone: aborted
 * ```
 * While there is nobody to take the body only its beginning is read and kept, the rest stays in the socket.
 */
class Passage implements Job, ProxySink {
  readonly kind = 'request'
  readonly sub = 0
  readonly retry = false
  readonly bytes: number
  readonly #o: ServiceDeskOptions
  readonly #x: Exchange
  readonly #to: ServiceDestination
  readonly #headers: readonly string[]
  readonly #sinceMs: number
  #startedMs = 0
  #pod = ''
  #tries = 0
  #call: ProxyCall | null = null
  #timer: Timer | null = null
  #waiting = true
  #over = false
  /** Body that came so far, for the first pod or the next one; null = some of it has been sent and forgotten. */
  #kept: Uint8Array[] | null = []
  #keptBytes = 0
  #bodyEnded: boolean
  #status = 0

  constructor(o: ServiceDeskOptions, x: Exchange, to: ServiceDestination) {
    this.#o = o
    this.#x = x
    this.#to = to
    this.bytes = Math.max(0, x.contentLength)
    this.#headers = forwarded(x)
    this.#sinceMs = o.clock.now()
    this.#bodyEnded = x.contentLength === 0
  }

  begin(): void {
    const x = this.#x
    x.onAborted(() => this.#clientGone())
    if (!this.#bodyEnded) x.onBody((chunk, last) => this.#chunk(chunk, last))
    this.#acquire()
  }

  #acquire(): void {
    this.#waiting = true
    this.#to.acquire(this)
    if (!this.#waiting || this.#timer !== null) return
    this.#timer = this.#o.clock.after(this.#to.timeoutMs, () => {
      if (!this.#waiting) return
      this.#to.cancel(this)
      this.refused('expired', BUSY_RETRY_MS)
    })
  }

  // -- Job

  start(c: Credit): void {
    this.#settleWait()
    this.#tries++
    this.#pod = c.pod
    this.#startedMs = this.#o.clock.now()
    const x = this.#x
    const call = this.#o.proxy(
      {
        method: x.method,
        path: x.query === '' ? x.path : `${x.path}?${x.query}`,
        headers: this.#headers,
        contentLength: x.contentLength,
        deadlineMs: this.#startedMs + this.#to.timeoutMs,
      },
      c,
      this,
    )
    this.#call = call
    if (x.contentLength === 0) return
    let room = true
    for (const chunk of this.#kept ?? []) room = call.write(chunk) && room
    if (this.#bodyEnded) call.end()
    else if (room) x.resume()
    else x.pause()
  }

  refused(why: 'full' | 'expired' | 'gone', retryAfterMs: number): void {
    this.#settleWait()
    this.#refuse('proxy.busy', WHY_REFUSED[why], retryAfter(retryAfterMs))
  }

  #settleWait(): void {
    this.#waiting = false
    this.#timer?.cancel()
    this.#timer = null
  }

  // -- the client's side

  #chunk(lent: Uint8Array, last: boolean): void {
    if (this.#over) return
    this.#bodyEnded = last
    // The lane keeps what it cannot write at once.
    const chunk = this.#x.lendsChunks ? Buffer.from(lent) : lent
    if (chunk.length > 0 && !this.#keep(chunk)) return
    const call = this.#call
    if (call === null) {
      // Not paused before: nobody would notice that a client goes away whose connection is not read.
      if (!last && this.#keptBytes >= EARLY_BYTES) this.#x.pause()
      return
    }
    if (chunk.length > 0 && !call.write(chunk) && !last) this.#x.pause()
    if (last) call.end()
  }

  /** false: there is no memory left for it, and the request has been refused. */
  #keep(chunk: Uint8Array): boolean {
    const kept = this.#kept
    if (kept === null) return true
    // Nobody takes it yet, so it must be kept; once somebody does, it is only for a second try.
    if (this.#call !== null && this.#keptBytes + chunk.length > KEPT_BYTES) this.#forget()
    else if (this.#o.bodies.hold(chunk.length)) {
      kept.push(chunk)
      this.#keptBytes += chunk.length
    } else if (this.#call !== null) this.#forget()
    else {
      this.#to.cancel(this)
      this.refused('full', BUSY_RETRY_MS)
      return false
    }
    return true
  }

  #forget(): void {
    this.#o.bodies.release(this.#keptBytes)
    this.#keptBytes = 0
    this.#kept = null
  }

  #clientGone(): void {
    if (this.#over) return
    if (this.#waiting) this.#to.cancel(this)
    else this.#call?.abort()
    this.#settleWait()
    this.#finish(CLIENT_GONE)
  }

  // -- ProxySink

  head(status: number, headers: readonly string[]): void {
    if (this.#over) return
    this.#forget()
    this.#status = status
    const list: string[] = []
    let length = -1
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i] as string
      const value = headers[i + 1] as string
      if (name === 'content-length') length = lengthOf(value)
      else list.push(name, value)
    }
    this.#x.onDrain(() => this.#call?.resume())
    this.#x.head(status, list, length)
  }

  data(bytes: Uint8Array): boolean {
    return this.#x.write(bytes)
  }

  drain(): void {
    if (this.#over) return
    // Bytes of the body have left: from here on there is no second try.
    this.#forget()
    this.#x.resume()
  }

  end(): void {
    if (this.#over) return
    this.#finish(this.#status)
    this.#x.end()
  }

  fail(f: ProxyFailure): void {
    if (this.#over) return
    this.#call = null
    if (f.answered) {
      this.#finish(CUT)
      this.#x.abort()
    } else if (f.kind === 'unsent' && !f.wrote && this.#kept !== null && this.#tries < MOST_TRIES) {
      this.#acquire()
    } else if (f.kind === 'timeout') {
      this.#refuse('proxy.timeout', `the service did not answer within ${this.#to.timeoutMs} ms: ${f.why}`)
    } else {
      this.#refuse('proxy.failed', `the service gave no answer: ${f.why}`)
    }
  }

  #refuse(code: RefusalCode, message: string, more: readonly string[] = []): void {
    if (this.#over) return
    const r: Answer = refusal(code, message, more)
    const ended = this.#bodyEnded
    this.#finish(r.status)
    if (ended) return this.#x.answer(r.status, r.headers, r.body, false)
    this.#o.bodies.refuse(this.#x, r)
    this.#x.resume()
  }

  #finish(status: number): void {
    this.#over = true
    this.#forget()
    const nowMs = this.#o.clock.now()
    const startedMs = this.#startedMs === 0 ? nowMs : this.#startedMs
    this.#o.observer.proxied(this.#to.id, this.#pod, status, startedMs - this.#sinceMs, nowMs - startedMs)
  }
}

const WHY_REFUSED = {
  full: 'the service has no room, and its queue is full: send it again',
  expired: 'the service had no room for too long: send it again',
  gone: 'the service has been taken away',
} as const

function lengthOf(value: string): number {
  return /^\d{1,15}$/.test(value) ? Number(value) : -1
}

import { Readable } from 'node:stream'
import type { Origin } from '../contract/target.ts'
import { messageOf } from '../runtime/errors.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import {
  openPool,
  wasClosedWhenReused,
  type DispatchController,
  type DispatchHandler,
  type DispatchPool,
} from '../vendor/undici/pool.ts'
import { LIMITS, type AnswerHead, type Exchange, type Lane, type Line } from './exchange.ts'
import { hostOf } from './request-head.ts'

/** An origin that nothing was sent to for so long gives its pool back. */
const UNUSED_MS = 300_000
const SWEEP_MS = 60_000
/**
 * Larger bodies go out in pieces of this size: then undici knows when an answer came before the body was sent, and does
 * not use that connection again.
 */
const IN_PIECES_BYTES = 65_536

interface Used {
  readonly pool: DispatchPool
  running: number
  lastMs: number
}

/** TLS, HTTP/2 and whatever else the own lane does not speak, by undici. */
export function createUndiciLane(clock: Clock): Lane {
  const pools = new Map<Origin, Used>()
  let sweeper: Timer | null = null
  const sweep = (): void => {
    sweeper = null
    for (const [origin, used] of pools) {
      if (used.running > 0 || clock.now() - used.lastMs < UNUSED_MS) continue
      used.pool.destroy()
      pools.delete(origin)
    }
    if (pools.size > 0) sweeper = clock.after(SWEEP_MS, sweep)
  }
  const poolOf = (origin: Origin): Used => {
    let used = pools.get(origin)
    if (used === undefined) {
      const { headBytes, connectMs, idleMs, longestIdleMs } = LIMITS
      const url = `${origin.protocol}//${hostOf(origin)}`
      const pool = openPool({ url, caCerts: origin.caCerts, headBytes, connectMs, idleMs, longestIdleMs })
      pools.set(origin, (used = { pool, running: 0, lastMs: 0 }))
      sweeper ??= clock.after(SWEEP_MS, sweep)
    }
    return used
  }
  return {
    send(x) {
      try {
        const used = poolOf(x.origin)
        used.running++
        const over = (): void => {
          used.running--
          used.lastMs = clock.now()
        }
        const line = new UndiciLine(used.pool, x, clock, over)
        // Undici tells some errors at once: nobody is called within `send`.
        clock.soon(() => line.dispatch())
        x.line = line
      } catch (e) {
        clock.soon(() => x.failed(messageOf(e)))
      }
    },
    stats() {
      let connections = 0
      let idle = 0
      for (const { pool } of pools.values()) {
        connections += pool.stats().connections
        idle += pool.stats().idle
      }
      return { connections, idle }
    },
    close() {
      sweeper?.cancel()
      for (const { pool } of pools.values()) pool.destroy()
      pools.clear()
    },
  }
}

/** One exchange on its way through undici. */
class UndiciLine implements Line, DispatchHandler {
  readonly #pool: DispatchPool
  readonly #x: Exchange
  readonly #clock: Clock
  readonly #over: () => void
  #controller: DispatchController | null = null
  #body: Readable | null = null
  #aborted = false
  /** Within `abort`: undici tells the error at once, an exchange is told later. */
  #aborting = false
  #answered = false
  #repeated = false
  #finished = false
  #interims = 0

  constructor(pool: DispatchPool, x: Exchange, clock: Clock, over: () => void) {
    this.#pool = pool
    this.#x = x
    this.#clock = clock
    this.#over = over
  }

  dispatch(): void {
    if (this.#aborted) return this.#fail('the gateway closed the connection')
    const x = this.#x
    const headers = listOf(x.headText())
    const large = x.body !== null && x.body.length > IN_PIECES_BYTES
    this.#body = x.streamed ? new Readable({ read: () => x.drained() }) : large ? inPieces(x.body) : null
    // The length of a body that is handed over whole is undici's to write.
    const length = large ? x.body.length : x.streamed ? x.bodyLength : -1
    if (length >= 0) headers.push('content-length', String(length))
    try {
      this.#pool.dispatch({ path: x.path, method: x.method, headers, body: this.#body ?? x.body }, this)
    } catch (e) {
      this.#fail(messageOf(e))
    }
  }

  // -- Line

  write(chunk: Uint8Array): boolean {
    return this.#body === null || this.#body.destroyed || this.#body.push(chunk)
  }

  endBody(): void {
    if (this.#body?.destroyed === false) this.#body.push(null)
  }

  pause(): void {
    this.#controller?.pause()
  }

  resume(): void {
    this.#controller?.resume()
  }

  giveUp(): void {
    this.abort()
  }

  abort(): void {
    if (this.#finished || this.#aborted) return
    this.#aborted = true
    this.#aborting = true
    this.#controller?.abort(new Error('the gateway closed the connection'))
    this.#aborting = false
  }

  // -- DispatchHandler

  onRequestStart(controller: DispatchController): void {
    this.#controller = controller
    if (this.#aborted) controller.abort(new Error('the gateway closed the connection'))
    else this.#x.opened()
  }

  /** Its first byte, long before its head is whole. */
  onResponseStarted(): void {
    this.#answered = true
  }

  onResponseStart(controller: DispatchController, status: number): void {
    if (status === 101) return this.#switched(controller)
    if (status < 200) {
      if (++this.#interims > LIMITS.interims) controller.abort(new Error(`more than ${LIMITS.interims} interim answers (1xx)`))
      return
    }
    this.#x.head(new UndiciHead(status, controller.rawHeaders))
  }

  onResponseData(_controller: DispatchController, chunk: Buffer): void {
    if (!this.#finished) this.#x.data(chunk, 0, chunk.length)
  }

  onResponseEnd(controller: DispatchController): void {
    if (this.#finished) return
    this.#finish()
    this.#x.ended(rawList(controller.rawTrailers))
  }

  onResponseError(controller: DispatchController, e: Error): void {
    if (!this.#answered && !this.#aborted && !this.#repeated && this.#x.repeatable && wasClosedWhenReused(e)) {
      this.#repeated = true
      this.#controller = null
      return this.dispatch()
    }
    if (e.message === 'bad upgrade') return this.#switched(controller)
    const first: unknown = e instanceof AggregateError ? e.errors[0] : e
    this.#fail(
      this.#answered && !this.#aborted ? `the connection was closed within the answer: ${messageOf(first)}` : messageOf(first),
    )
  }

  /** 101 to a request that asked for no upgrade: final, whatever follows. */
  #switched(controller: DispatchController): void {
    if (this.#finished) return
    this.#x.head(new UndiciHead(101, null))
    this.#finish()
    this.#x.ended([])
    controller.abort(new Error('101 was not asked for'))
  }

  #fail(why: string): void {
    if (this.#finished) return
    if (this.#aborting) return this.#clock.soon(() => this.#fail(why))
    this.#finish()
    this.#x.failed(why)
  }

  #finish(): void {
    this.#finished = true
    this.#x.line = null
    this.#body?.destroy()
    this.#over()
  }
}

function inPieces(body: Uint8Array): Readable {
  let at = 0
  return new Readable({
    read() {
      this.push(body.subarray(at, (at += IN_PIECES_BYTES)))
      if (at >= body.length) this.push(null)
    },
  })
}

class UndiciHead implements AnswerHead {
  readonly status: number
  readonly #list: string[]
  constructor(status: number, raw: DispatchController['rawHeaders']) {
    this.status = status
    this.#list = rawList(raw)
  }

  get claimsEvent(): boolean {
    const list = this.#list
    for (let i = 0; i < list.length; i += 2) {
      const name = list[i] ?? ''
      if (name.length > 3 && name.startsWith('ce-')) return true
      if (name === 'content-type' && (list[i + 1] ?? '').toLowerCase().startsWith('application/cloudevents')) return true
    }
    return false
  }

  retryAfter(): string {
    const at = this.#list.findIndex((text, i) => i % 2 === 0 && text === 'retry-after')
    return at < 0 ? '' : (this.#list[at + 1] ?? '')
  }

  list(): string[] {
    return this.#list
  }
}

/** HTTP/1.1 gives pairs of buffers, HTTP/2 an object; `:status` is no header. */
function rawList(raw: DispatchController['rawHeaders']): string[] {
  const list: string[] = []
  if (Array.isArray(raw)) {
    for (let i = 0; i + 1 < raw.length; i += 2) list.push(text(raw[i]).toLowerCase(), text(raw[i + 1]))
  } else {
    for (const [name, value] of Object.entries(raw ?? {})) {
      if (name.startsWith(':') || value === undefined) continue
      for (const v of Array.isArray(value) ? value : [value]) list.push(name.toLowerCase(), v)
    }
  }
  return list
}

function text(v: Buffer | string | undefined): string {
  return typeof v === 'string' ? v : (v?.toString('latin1') ?? '')
}

/** The headers of a head that the sender wrote itself, as name, value, … */
function listOf(head: string): string[] {
  const list: string[] = []
  for (const line of head.split('\r\n').slice(1)) {
    const colon = line.indexOf(': ')
    if (colon > 0) list.push(line.slice(0, colon), line.slice(colon + 2))
  }
  return list
}

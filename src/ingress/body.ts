import type { Clock, Timer } from '../runtime/clock.ts'
import type { Answer } from './answers.ts'
import type { Exchange } from './http-server.ts'

export interface BodyLimits {
  /** A body that is read whole must have come by then. */
  readonly bodyTimeoutMs: number
  /** After `slowGraceMs` a body must have come at this rate on average; 0 = at any rate. */
  readonly minBytesPerS: number
  readonly slowGraceMs: number
  /** All bodies together that are being read or waiting for their answer, bytes. */
  readonly maxBufferedBytes: number
}

export type BodyFault = 'too-large' | 'slow' | 'busy'

/** Who wants a body whole: exactly one of the two is called, or none when the client goes away before. */
export interface BodyReceiver {
  /** null = none. The receiver calls `Bodies.release` with its length once it has answered. */
  body(bytes: Uint8Array | null): void
  /** Gives the answer, which goes out when what is left of the body has been dropped. */
  fault(why: BodyFault): Answer
}

/** A refused request's body is still read up to this, so that the client gets to see the answer instead of a reset. */
const LINGER_BYTES = 1 << 20
const LINGER_MS = 5_000
/** First guess for a chunked body that is not in one piece. */
const FIRST_BYTES = 16_384

/** Reads bodies whole, with every limit; per shard. Exactly one copy where the server only lends its chunks, none where not. */
export class Bodies {
  readonly #clock: Clock
  readonly #limits: BodyLimits
  readonly #open = new Set<Reading>()
  readonly #sweep: Timer
  #held = 0

  constructor(clock: Clock, limits: BodyLimits) {
    this.#clock = clock
    this.#limits = limits
    const everyMs = Math.max(10, Math.min(1_000, limits.slowGraceMs / 2, limits.bodyTimeoutMs / 2))
    this.#sweep = clock.every(everyMs, () => this.#look())
  }

  /** Bytes held at the moment. */
  get held(): number {
    return this.#held
  }

  read(x: Exchange, mostBytes: number, to: BodyReceiver): void {
    if (x.contentLength === 0) return to.body(null)
    if (x.contentLength > mostBytes) return this.refuse(x, to.fault('too-large'))
    new Reading(this, x, mostBytes, to).begin()
  }

  /** Answers after what is left of the body has been read and dropped, or at once and closing where that would be long. */
  refuse(x: Exchange, answer: Answer): void {
    if (x.contentLength === 0) return x.answer(answer.status, answer.headers, answer.body, false)
    if (x.contentLength > LINGER_BYTES) return x.answer(answer.status, answer.headers, answer.body, true)
    new Reading(this, x, 0, null).drop(answer)
  }

  release(bytes: number): void {
    this.#held -= bytes
  }

  close(): void {
    this.#sweep.cancel()
  }

  /** For `Reading`. */
  hold(bytes: number): boolean {
    if (this.#held + bytes > this.#limits.maxBufferedBytes) return false
    this.#held += bytes
    return true
  }
  track(r: Reading): void {
    this.#open.add(r)
  }
  untrack(r: Reading): void {
    this.#open.delete(r)
  }
  now(): number {
    return this.#clock.now()
  }

  #look(): void {
    const nowMs = this.#clock.now()
    const l = this.#limits
    for (const r of this.#open) {
      const ms = nowMs - r.sinceMs
      if (r.dropping) {
        if (ms > LINGER_MS) r.cut()
      } else if (ms > l.bodyTimeoutMs || (ms > l.slowGraceMs && r.received * 1000 < l.minBytesPerS * ms)) r.slow()
    }
  }
}

/**
 * One body.
 * ```
 *   collecting ─┬→ whole                → receiver.body
 *               └→ too large, slow, busy → receiver.fault → dropping ─┬→ read to its end → answered
 *   (refused from the start) ───────────────────────────────→┘        └→ too long        → answered, connection closed
 * ```
 */
class Reading {
  readonly #bodies: Bodies
  readonly #x: Exchange
  readonly #mostBytes: number
  readonly #to: BodyReceiver | null
  /** What came so far where it was not in one piece; longer than `received`. */
  #buffer: Buffer | null = null
  #answer: Answer | null = null
  #over = false
  #held = 0
  received = 0
  sinceMs = 0

  constructor(bodies: Bodies, x: Exchange, mostBytes: number, to: BodyReceiver | null) {
    this.#bodies = bodies
    this.#x = x
    this.#mostBytes = mostBytes
    this.#to = to
  }

  get dropping(): boolean {
    return this.#answer !== null
  }

  begin(): void {
    this.sinceMs = this.#bodies.now()
    this.#bodies.track(this)
    this.#x.onAborted(() => this.#end())
    this.#x.onBody((chunk, last) => this.#chunk(chunk, last))
  }

  drop(answer: Answer): void {
    this.#answer = answer
    this.begin()
  }

  #chunk(chunk: Uint8Array, last: boolean): void {
    if (this.#over) return
    this.received += chunk.length
    if (!this.dropping) {
      const fault = this.#take(chunk, last)
      if (fault === null) return
      this.#fault(fault)
    }
    if (last) this.#say(false)
    else if (this.received > this.#mostBytes + LINGER_BYTES) this.#say(true)
  }

  #take(chunk: Uint8Array, last: boolean): BodyFault | null {
    if (this.received > this.#mostBytes) return 'too-large'
    if (last && this.#buffer === null) {
      // The commonest way: one chunk is the whole body.
      if (!this.#hold(chunk.length)) return 'busy'
      this.#whole(this.#x.lendsChunks ? Buffer.from(chunk) : chunk)
      return null
    }
    const buffer = this.#room()
    if (buffer === null) return 'busy'
    buffer.set(chunk, this.received - chunk.length)
    if (last) this.#whole(buffer.subarray(0, this.received))
    return null
  }

  /** A buffer for all that was received: of the announced length at once, else doubled as it fills. */
  #room(): Buffer | null {
    const old = this.#buffer
    if (old !== null && old.length >= this.received) return old
    const known = this.#x.contentLength
    const bytes = known > 0 ? known : Math.min(this.#mostBytes, Math.max(FIRST_BYTES, 2 * this.received))
    if (!this.#hold(bytes - this.#held)) return null
    const grown = Buffer.allocUnsafeSlow(bytes)
    if (old !== null) grown.set(old)
    this.#buffer = grown
    return grown
  }

  #hold(bytes: number): boolean {
    if (!this.#bodies.hold(bytes)) return false
    this.#held += bytes
    return true
  }

  /** From here on the receiver holds as much as the body is long. */
  #whole(body: Uint8Array): void {
    this.#held -= body.length
    this.#end()
    this.#to?.body(body.length === 0 ? null : body)
  }

  #fault(why: BodyFault): void {
    this.#forget()
    this.#answer = this.#to?.fault(why) ?? null
  }

  slow(): void {
    this.#fault('slow')
    this.#say(true)
  }

  cut(): void {
    this.#say(true)
  }

  #say(close: boolean): void {
    if (this.#over) return
    this.#end()
    const a = this.#answer
    if (a !== null) this.#x.answer(a.status, a.headers, a.body, close)
  }

  #forget(): void {
    this.#bodies.release(this.#held)
    this.#held = 0
    this.#buffer = null
  }

  #end(): void {
    if (this.#over) return
    this.#over = true
    this.#forget()
    this.#bodies.untrack(this)
  }
}

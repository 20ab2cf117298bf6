import { LIMITS, type AnswerHead, type Exchange } from '../exchange.ts'
import { BROKEN, ChunkedBody, MORE } from './chunked-body.ts'
import { fieldList, headEnd, isText, NAME_BYTES, VALUE_BYTES } from './header-fields.ts'

const HEAD = 0
const LENGTH = 1
const CHUNKED = 2
const UNTIL_CLOSE = 3
const DONE = 4

const START = 'HTTP/1.'
const NONE: Buffer = Buffer.alloc(0)
const NO_TRAILERS: readonly string[] = Object.freeze([])

/**
 * Reads the answers of one connection, one after the other, from whatever pieces the socket gives (RFC 9112, strict: what
 * could be read in two ways is an error). Only the headers that decide something are looked at; the others are checked.
 *
 * ```
 *   head → (1xx: head again, at most 32) → no body | length | chunked | until close → done
 * ```
 */
export class ResponseParser implements AnswerHead {
  /** Why `read` answered BROKEN: a sentence without a full stop. */
  error = ''
  status = 0
  claimsEvent = false
  /** The connection may carry another request after this answer. */
  keepAlive = true
  /** From `Keep-Alive: timeout`, −1 = not said. */
  keepAliveMs = -1
  private state = DONE
  private bodiless = false
  private interims = 0
  private left = 0
  private chunked = false
  private length = -1
  private minor = 1
  private saysClose = false
  private saysKeepAlive = false
  private readonly chunks = new ChunkedBody()
  /** The beginning of a head that came in pieces. */
  private kept = NONE
  private keptBytes = 0
  /** Where the head stands that is being handed out, and its Retry-After. */
  private bytes = NONE
  private fieldsAt = 0
  private fieldsEnd = 0
  private retryAt = 0
  private retryEnd = 0

  /** Before each request. `bodiless`: the request was a HEAD. */
  begin(bodiless: boolean): void {
    this.state = HEAD
    this.bodiless = bodiless
    this.interims = 0
    this.keptBytes = 0
  }

  get trailers(): readonly string[] {
    return this.chunked ? this.chunks.trailers : NO_TRAILERS
  }

  /** Reads from `at`; answers where the answer ended, MORE or BROKEN. */
  read(b: Buffer, at: number, to: number, x: Exchange): number {
    let i = at
    while (this.state === HEAD) {
      i = this.readHead(b, i, to, x)
      if (i < 0) return i
    }
    switch (this.state) {
      case LENGTH: {
        const n = Math.min(this.left, to - i)
        if (n > 0) x.data(b, i, i + n)
        this.left -= n
        if (this.left > 0) return MORE
        this.state = DONE
        return i + n
      }
      case CHUNKED: {
        const end = this.chunks.read(b, i, to, x)
        if (end === BROKEN) return this.broken(this.chunks.error)
        if (end !== MORE) this.state = DONE
        return end
      }
      case UNTIL_CLOSE:
        if (to > i) x.data(b, i, to)
        return MORE
      default:
        return i
    }
  }

  /** The other side has closed: whether the answer is whole by that. */
  closed(): boolean {
    if (this.state !== UNTIL_CLOSE) return false
    this.state = DONE
    return true
  }

  retryAfter(): string {
    return this.bytes.toString('latin1', this.retryAt, this.retryEnd)
  }

  list(): string[] {
    return fieldList(this.bytes, this.fieldsAt, this.fieldsEnd)
  }

  /** Answers where the head ended in `b`; the state is no longer HEAD when it was the final one. */
  private readHead(b: Buffer, at: number, to: number, x: Exchange): number {
    if (this.keptBytes === 0) {
      const end = headEnd(b, at, to)
      if (end >= 0) return this.parse(b, at, end, x) ? end : BROKEN
      return this.keep(b, at, to) ? this.unfinished(0) : this.tooLong()
    }
    const before = this.keptBytes
    const taken = Math.min(to, at + LIMITS.headBytes + 4 - before)
    if (!this.keep(b, at, taken)) return this.tooLong()
    const end = headEnd(this.kept, Math.max(0, before - 3), this.keptBytes)
    if (end < 0) return taken < to ? this.tooLong() : this.unfinished(before)
    const whole = this.kept
    this.keptBytes = 0
    // A long head is rare: its buffer does not stay with the connection.
    if (whole.length > 4_096) this.kept = NONE
    return this.parse(whole, 0, end, x) ? at + end - before : BROKEN
  }

  /** Keeps a piece of a head; false = more than a head may have. */
  private keep(b: Buffer, at: number, to: number): boolean {
    const bytes = this.keptBytes + to - at
    if (bytes > LIMITS.headBytes + 4) return false
    if (bytes > this.kept.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(1024, bytes * 2))
      this.kept.copy(grown, 0, 0, this.keptBytes)
      this.kept = grown
    }
    b.copy(this.kept, this.keptBytes, at, to)
    this.keptBytes = bytes
    return true
  }

  /** MORE, but for what can never be a head: that is told at once instead of waiting for its end. */
  private unfinished(from: number): number {
    for (let i = from; i < this.keptBytes; i++) {
      if (i < START.length && this.kept[i] !== START.charCodeAt(i)) return this.broken('the answer does not begin with HTTP/1.')
      if (this.kept[i] === 10 && this.kept[i - 1] !== 13) return this.broken('a line of the head does not end in CRLF')
    }
    return MORE
  }

  private tooLong(): number {
    return this.broken(`the head is over ${LIMITS.headBytes} bytes`)
  }

  private parse(b: Buffer, at: number, end: number, x: Exchange): boolean {
    if (end - at > LIMITS.headBytes + 4) return this.tooLong() !== BROKEN
    this.bytes = b
    this.claimsEvent = false
    this.saysClose = false
    this.saysKeepAlive = false
    this.keepAliveMs = -1
    this.length = -1
    this.chunked = false
    this.retryAt = 0
    this.retryEnd = 0
    if (!this.parseStatusLine(b, at) || !this.parseFields(b, this.fieldsAt, end - 2)) return false
    this.fieldsEnd = end - 2
    if (this.status < 200 && this.status !== 101) {
      if (++this.interims > LIMITS.interims) return this.wrong(`more than ${LIMITS.interims} interim answers (1xx)`)
      return true
    }
    if (!this.frame()) return false
    x.head(this)
    this.bytes = NONE
    return true
  }

  private parseStatusLine(b: Buffer, at: number): boolean {
    for (let i = 0; i < START.length; i++) {
      if (b[at + i] !== START.charCodeAt(i)) return this.wrong('the answer does not begin with HTTP/1.')
    }
    const minor = (b[at + 7] as number) - 48
    const status = ((b[at + 9] as number) - 48) * 100 + ((b[at + 10] as number) - 48) * 10 + (b[at + 11] as number) - 48
    if ((minor !== 0 && minor !== 1) || b[at + 8] !== 32 || !isDigits(b, at + 9, at + 12) || status < 100) {
      return this.wrong('the status line is malformed')
    }
    let i = at + 12
    if (b[i] !== 32 && b[i] !== 13) return this.wrong('the status line is malformed')
    while (VALUE_BYTES[b[i] as number] === 1) i++
    if (b[i] !== 13 || b[i + 1] !== 10) return this.wrong('the status line holds a control character')
    this.status = status
    this.minor = minor
    this.fieldsAt = i + 2
    return true
  }

  private parseFields(b: Buffer, at: number, end: number): boolean {
    let i = at
    while (i < end) {
      const nameAt = i
      while (NAME_BYTES[b[i] as number] === 1) i++
      const nameLength = i - nameAt
      if (nameLength === 0 || b[i] !== 58) return this.wrong('a header line is malformed')
      i++
      while (b[i] === 32 || b[i] === 9) i++
      const valueAt = i
      while (VALUE_BYTES[b[i] as number] === 1) i++
      if (b[i] !== 13 || b[i + 1] !== 10) return this.wrong('a header holds a control character')
      let valueEnd = i
      while (valueEnd > valueAt && (b[valueEnd - 1] === 32 || b[valueEnd - 1] === 9)) valueEnd--
      if (!this.field(b, nameAt, nameLength, valueAt, valueEnd)) return false
      i += 2
    }
    return true
  }

  /** Looks at the few headers that decide something; told apart by the length of their names first. */
  private field(b: Buffer, at: number, length: number, valueAt: number, valueEnd: number): boolean {
    if (((b[at] as number) | 32) === 99 && b[at + 2] === 45 && ((b[at + 1] as number) | 32) === 101 && length > 3) {
      this.claimsEvent = true
      return true
    }
    switch (length) {
      case 10:
        if (isText(b, at, 10, 'connection')) this.connection(b, valueAt, valueEnd)
        else if (isText(b, at, 10, 'keep-alive')) this.keepAliveHint(b.toString('latin1', valueAt, valueEnd))
        return true
      case 11:
        if (isText(b, at, 11, 'retry-after')) {
          this.retryAt = valueAt
          this.retryEnd = valueEnd
        }
        return true
      case 12:
        if (
          isText(b, at, 12, 'content-type') &&
          isText(b, valueAt, Math.min(23, valueEnd - valueAt), 'application/cloudevents')
        ) {
          this.claimsEvent = true
        }
        return true
      case 14:
        return !isText(b, at, 14, 'content-length') || this.contentLength(b, valueAt, valueEnd)
      case 17:
        return !isText(b, at, 17, 'transfer-encoding') || this.transferEncoding(b, valueAt, valueEnd)
      default:
        return true
    }
  }

  private connection(b: Buffer, at: number, end: number): void {
    if (isText(b, at, end - at, 'keep-alive')) {
      this.saysKeepAlive = true
      return
    }
    for (const option of b.toString('latin1', at, end).toLowerCase().split(',')) {
      if (option.trim() === 'close') this.saysClose = true
      else if (option.trim() === 'keep-alive') this.saysKeepAlive = true
    }
  }

  private keepAliveHint(value: string): void {
    const seconds = /(?:^|[,;\s])timeout\s*=\s*"?(\d{1,9})/i.exec(value)
    if (seconds) this.keepAliveMs = Number(seconds[1]) * 1000
  }

  private contentLength(b: Buffer, at: number, end: number): boolean {
    if (this.length >= 0) return this.wrong('Content-Length stands there twice')
    if (end === at || end - at > 15 || !isDigits(b, at, end)) return this.wrong('Content-Length is no number of bytes')
    let length = 0
    for (let i = at; i < end; i++) length = length * 10 + (b[i] as number) - 48
    this.length = length
    return true
  }

  private transferEncoding(b: Buffer, at: number, end: number): boolean {
    if (this.chunked || !isText(b, at, end - at, 'chunked')) {
      return this.wrong(
        `Transfer-Encoding is ${JSON.stringify(b.toString('latin1', at, Math.min(end, at + 40)))}, only chunked can be read`,
      )
    }
    this.chunked = true
    return true
  }

  /** How the body is delimited. RFC 9112 §6.3 */
  private frame(): boolean {
    if (this.chunked && this.length >= 0) return this.wrong('both Content-Length and Transfer-Encoding')
    this.keepAlive = !this.saysClose && (this.minor === 1 || (this.saysKeepAlive && !this.chunked))
    if (this.bodiless || this.status === 204 || this.status === 304 || this.status === 101) {
      // A length on an answer that has no body means that a body may follow all the same: nothing is read after it.
      if (!this.bodiless && (this.length > 0 || this.chunked || this.status === 101)) this.keepAlive = false
      this.chunked = false
      this.state = DONE
    } else if (this.chunked) {
      this.chunks.begin()
      this.state = CHUNKED
    } else if (this.length >= 0) {
      this.left = this.length
      this.state = LENGTH
    } else {
      this.keepAlive = false
      this.state = UNTIL_CLOSE
    }
    return true
  }

  private broken(why: string): number {
    this.error = why
    return BROKEN
  }

  private wrong(why: string): false {
    this.error = why
    return false
  }
}

function isDigits(b: Buffer, at: number, end: number): boolean {
  for (let i = at; i < end; i++) {
    const c = b[i] as number
    if (c < 48 || c > 57) return false
  }
  return true
}

import { LIMITS, type Exchange } from '../exchange.ts'
import { fieldList, NAME_BYTES, VALUE_BYTES } from './header-fields.ts'

/** What `read` answers when it needs more bytes, or when the bytes are no chunked body. */
export const MORE = -1
export const BROKEN = -2

const SIZE = 0
const EXTENSION = 1
const SIZE_LF = 2
const DATA = 3
const DATA_CR = 4
const DATA_LF = 5
const TRAILERS = 6

const NO_TRAILERS: readonly string[] = Object.freeze([])

/**
 * A chunked body, byte by byte, so that it may be cut anywhere. RFC 9112 §7.1
 *
 * ```
 *   size → (extension) → size LF → data → CR → LF → size …          size 0 → trailers, up to an empty line
 * ```
 */
export class ChunkedBody {
  error = ''
  trailers: readonly string[] = NO_TRAILERS
  private state = SIZE
  private left = 0
  private digits = 0
  private lineBytes = 0
  private trailerText = ''

  begin(): void {
    this.state = SIZE
    this.left = 0
    this.digits = 0
    this.lineBytes = 0
    this.trailerText = ''
    this.trailers = NO_TRAILERS
  }

  /** Reads from `at`; answers where the body ended, MORE or BROKEN. */
  read(b: Buffer, at: number, to: number, x: Exchange): number {
    let i = at
    while (i < to) {
      if (this.state === DATA) {
        const n = Math.min(this.left, to - i)
        x.data(b, i, i + n)
        i += n
        this.left -= n
        if (this.left === 0) this.state = DATA_CR
      } else if (this.state === TRAILERS) {
        i = this.readTrailers(b, i, to)
        if (this.error !== '') return BROKEN
        if (i < 0) return MORE
        return i
      } else if (!this.step(b[i++] as number)) return BROKEN
    }
    return MORE
  }

  /** One byte of the framing. */
  private step(c: number): boolean {
    switch (this.state) {
      case SIZE:
        return this.stepSize(c)
      case EXTENSION:
        if (c === 13) this.state = SIZE_LF
        else if (VALUE_BYTES[c] === 0) return this.broken('a chunk extension holds a control character')
        else if (++this.lineBytes > LIMITS.chunkLineBytes)
          return this.broken(`the size line of a chunk is over ${LIMITS.chunkLineBytes} bytes`)
        return true
      case SIZE_LF:
        if (c !== 10) return this.broken('the size line of a chunk does not end in CRLF')
        this.state = this.left === 0 ? TRAILERS : DATA
        return true
      case DATA_CR:
        if (c !== 13) return this.broken('a chunk is longer than its size')
        this.state = DATA_LF
        return true
      default:
        if (c !== 10) return this.broken('a chunk does not end in CRLF')
        this.state = SIZE
        this.digits = 0
        this.lineBytes = 0
        return true
    }
  }

  private stepSize(c: number): boolean {
    const letter = c | 32
    const digit = c >= 48 && c <= 57 ? c - 48 : letter >= 97 && letter <= 102 ? letter - 87 : -1
    if (digit >= 0) {
      // Twelve hexadecimal digits are exact in a number, and more than anybody sends at once.
      if (++this.digits > 12) return this.broken('the size of a chunk has more than 12 digits')
      this.left = this.left * 16 + digit
      return true
    }
    if (this.digits === 0) return this.broken('a chunk has no size')
    if (c === 13) this.state = SIZE_LF
    else if (c === 59 || c === 32 || c === 9) this.state = EXTENSION
    else return this.broken('the size of a chunk is no hexadecimal number')
    return true
  }

  /** Where the trailers end, or −1. They are rare and short, so they are gathered as text and checked at the end. */
  private readTrailers(b: Buffer, from: number, to: number): number {
    const before = this.trailerText.length
    const seen = this.trailerText + b.toString('latin1', from, Math.min(to, from + LIMITS.trailerBytes + 4))
    let end = -1
    if (seen.startsWith('\r\n')) end = 2
    else {
      const at = seen.indexOf('\r\n\r\n', Math.max(0, before - 3))
      if (at >= 0) end = at + 4
    }
    if (end < 0) {
      this.trailerText = seen
      if (seen.length > LIMITS.trailerBytes) this.broken(`the trailers are over ${LIMITS.trailerBytes} bytes`)
      else if (hasBareLineEnd(seen, before)) this.broken('a trailer line does not end in CRLF')
      return -1
    }
    if (end > 2) this.keepTrailers(Buffer.from(seen.slice(0, end - 2), 'latin1'))
    return from + end - before
  }

  private keepTrailers(b: Buffer): void {
    let i = 0
    while (i < b.length) {
      const nameAt = i
      while (NAME_BYTES[b[i] as number] === 1) i++
      if (i === nameAt || b[i] !== 58) return void this.broken('a trailer is no header line')
      i++
      while (VALUE_BYTES[b[i] as number] === 1) i++
      if (b[i] !== 13 || b[i + 1] !== 10) return void this.broken('a trailer holds a control character')
      i += 2
    }
    this.trailers = fieldList(b, 0, b.length)
  }

  private broken(why: string): false {
    this.error = why
    return false
  }
}

/** Whether a CR or LF at or behind `from` − 1 stands alone; a CR at the very end may still get its LF. */
function hasBareLineEnd(text: string, from: number): boolean {
  for (let i = Math.max(0, from - 1); i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 10 && text.charCodeAt(i - 1) !== 13) return true
    if (c === 13 && i + 1 < text.length && text.charCodeAt(i + 1) !== 10) return true
  }
  return false
}

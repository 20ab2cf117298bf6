import { Buffer, isUtf8 } from 'node:buffer'
import { utf8Text } from './bytes.ts'

/** The wire format of Protocol Buffers as far as events need it. Wire types: */
export const VARINT = 0
export const FIXED64 = 1
export const BYTES = 2
export const FIXED32 = 5

const TWO_32 = 2 ** 32

/** Reads fields one after the other; never throws: `broken` is set and everything after is empty. */
export class WireReader {
  broken = false
  /** Of the field that `next` stands at. */
  field = 0
  type = 0
  readonly #bytes: Uint8Array
  #at: number
  readonly #end: number

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#bytes = bytes
    this.#at = start
    this.#end = end
  }

  /** Stands at the next field; false at the end or when the bytes are broken. */
  next(): boolean {
    if (this.broken || this.#at >= this.#end) return false
    const tag = this.varint()
    this.field = Math.floor(tag / 8)
    this.type = tag % 8
    if (this.field === 0 || tag >= TWO_32) this.broken = true
    return !this.broken
  }

  /** Unsigned, exact below 2^53. */
  varint(): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < 10; i++) {
      const byte = this.#at < this.#end ? this.#bytes[this.#at++] : undefined
      if (byte === undefined) break
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 128
    }
    this.broken = true
    return 0
  }

  /** A 64-bit varint with sign (two's complement); what is beyond 2^53 is not exact. */
  signed(): number {
    const start = this.#at
    const value = this.varint()
    if (this.#at - start < 10) return value
    // Ten bytes: negative. Summing the complement keeps small negative numbers exact.
    let complement = 0
    let scale = 1
    for (let i = start; i < this.#at - 1; i++) {
      complement += (0x7f - ((this.#bytes[i] as number) & 0x7f)) * scale
      scale *= 128
    }
    return -complement - 1
  }

  /** A view of a length-delimited field. */
  bytes(): Uint8Array {
    const length = this.varint()
    const start = this.#at
    if (this.broken || length > this.#end - start) {
      this.broken = true
      return this.#bytes.subarray(0, 0)
    }
    this.#at += length
    return this.#bytes.subarray(start, this.#at)
  }

  text(): string {
    const bytes = this.bytes()
    if (!isUtf8(bytes)) this.broken = true
    return utf8Text(bytes)
  }

  /** A fixed 64-bit floating-point number. */
  double(): number {
    if (this.#end - this.#at < 8) {
      this.broken = true
      return 0
    }
    this.#at += 8
    const { buffer, byteOffset } = this.#bytes
    return new DataView(buffer, byteOffset + this.#at - 8, 8).getFloat64(0, true)
  }

  /** Passes over a field that is not known. */
  skip(): void {
    if (this.type === VARINT) this.varint()
    else if (this.type === BYTES) this.bytes()
    else if (this.type === FIXED64) this.#at += 8
    else if (this.type === FIXED32) this.#at += 4
    else this.broken = true
    if (this.#at > this.#end) this.broken = true
  }
}

/**
 * Fields in the order they are put, in one buffer that grows. A message inside is put between `open` and `close`: one byte
 * is kept for its length, and moved on where that is too short.
 */
export class WireWriter {
  #bytes = Buffer.allocUnsafe(1024)
  #at = 0

  /** Forgets what was written. */
  begin(): void {
    this.#at = 0
  }

  varint(field: number, value: number): void {
    this.#room(20)
    this.#number(field * 8 + VARINT)
    this.#number(value)
  }

  bytes(field: number, value: Uint8Array): void {
    this.#room(20 + value.length)
    this.#number(field * 8 + BYTES)
    this.#number(value.length)
    this.#bytes.set(value, this.#at)
    this.#at += value.length
  }

  text(field: number, value: string): void {
    const size = Buffer.byteLength(value)
    this.#room(20 + size)
    this.#number(field * 8 + BYTES)
    this.#number(size)
    this.#at += this.#bytes.write(value, this.#at, 'utf8')
  }

  /** A fixed 64-bit floating-point number. */
  double(field: number, value: number): void {
    this.#room(20)
    this.#number(field * 8 + FIXED64)
    this.#at = this.#bytes.writeDoubleLE(value, this.#at)
  }

  /** Begins a message; gives what `close` wants back. */
  open(field: number): number {
    this.#room(20)
    this.#number(field * 8 + BYTES)
    return this.#at++
  }

  close(start: number): void {
    const size = this.#at - start - 1
    const more = varintSize(size) - 1
    if (more > 0) {
      this.#room(more)
      this.#bytes.copyWithin(start + 1 + more, start + 1, this.#at)
    }
    this.#at = start
    this.#number(size)
    this.#at += size
  }

  /** A copy of what was written: the buffer is used again. */
  done(): Uint8Array {
    return Buffer.from(this.#bytes.subarray(0, this.#at))
  }

  #room(size: number): void {
    if (this.#at + size <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#at + size, this.#bytes.length * 2))
    this.#bytes.copy(larger, 0, 0, this.#at)
    this.#bytes = larger
  }

  /** A safe integer; a negative one takes the ten bytes of its two's complement. */
  #number(value: number): void {
    if (value < 0) {
      this.#negative(value)
      return
    }
    let rest = value
    while (rest >= 0x80) {
      this.#bytes[this.#at++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#bytes[this.#at++] = rest
  }

  #negative(value: number): void {
    let rest = BigInt.asUintN(64, BigInt(value))
    for (let i = 0; i < 9; i++) {
      this.#bytes[this.#at++] = Number(rest & 0x7fn) | 0x80
      rest >>= 7n
    }
    this.#bytes[this.#at++] = 1
  }
}

function varintSize(value: number): number {
  let size = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++
  return size
}

import { Buffer, isUtf8 } from 'node:buffer'

/**
 * The native slices of Buffer, callable on any Uint8Array: `Buffer.from(view)` for the sake of a method would allocate a
 * second object for every header of every event.
 */
interface Slices {
  latin1Slice(this: Uint8Array, start: number, end: number): string
  utf8Slice(this: Uint8Array, start: number, end: number): string
  base64Slice(this: Uint8Array, start: number, end: number): string
}
const slices = Buffer.prototype as unknown as Slices

/** Bytes as they are, one character each. */
export function latin1Text(bytes: Uint8Array, start: number, end: number): string {
  return slices.latin1Slice.call(bytes, start, end)
}

/** UTF-8; what is broken becomes U+FFFD, ask `isUtf8` first where that matters. */
export function utf8Text(bytes: Uint8Array, start = 0, end = bytes.length): string {
  return slices.utf8Slice.call(bytes, start, end)
}

export function base64Text(bytes: Uint8Array): string {
  return slices.base64Slice.call(bytes, 0, bytes.length)
}

/** Printable ASCII: needs no look at its UTF-8 and is text by the rules of CloudEvents. */
export function isPrintable(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number
    if (byte < 0x20 || byte > 0x7e) return false
  }
  return true
}

/** The UTF-8 text of a header value, undefined when the bytes are no UTF-8. */
export function strictText(bytes: Uint8Array): string | undefined {
  if (isPrintable(bytes, 0, bytes.length)) return latin1Text(bytes, 0, bytes.length)
  return isUtf8(bytes) ? utf8Text(bytes, 0, bytes.length) : undefined
}

export function utf8Bytes(text: string): Uint8Array {
  return Buffer.from(text, 'utf8')
}

/** Text longer than this is hardly ever the same twice (an id, a time is, but those are not asked for here). */
const LONGEST_KEPT = 64
const SLOTS = 1024
const NOTHING = new Uint8Array(0)

/**
 * Gives the same string object for the same short printable ASCII bytes: types, sources, header names and content types
 * repeat from event to event, so reading one costs a comparison instead of a native call, a check and an allocation (50
 * against 200 ns), and strings that are the same object compare at once in filters. A direct-mapped table: it never grows.
 */
export class TextCache {
  readonly #bytes: Uint8Array[] = Array.from({ length: SLOTS }, () => NOTHING)
  readonly #texts: string[] = Array.from({ length: SLOTS }, () => '')
  readonly #forNames: boolean

  /** Names go through a `switch`, and are worth the half microsecond of making them internal strings once. */
  constructor(kind: 'names' | 'values') {
    this.#forNames = kind === 'names'
  }

  /** undefined when the bytes are not printable ASCII, or too long to be kept. */
  text(bytes: Uint8Array, start: number, end: number): string | undefined {
    const length = end - start
    if (length <= 0 || length > LONGEST_KEPT) return length === 0 ? '' : undefined
    // What differs in names and types are the length, the end and the middle; hashing every byte would cost more than
    // the comparison that follows.
    const middle = start + (length >> 1)
    const last = end - 1
    let hash = (length << 8) ^ (bytes[last] as number)
    hash = Math.imul(hash, 31) ^ (bytes[middle] as number)
    hash = Math.imul(hash, 31) ^ (bytes[start] as number)
    hash = Math.imul(hash, 31) ^ (bytes[last - 1] ?? 0)
    const slot = (hash ^ (hash >>> 10)) & (SLOTS - 1)
    const kept = this.#bytes[slot] as Uint8Array
    if (kept.length === length) {
      let i = 0
      while (i < length && kept[i] === bytes[start + i]) i++
      if (i === length) return this.#texts[slot] as string
    }
    if (!isPrintable(bytes, start, end)) return undefined
    const plain = latin1Text(bytes, start, end)
    const text = this.#forNames ? internalized(plain) : plain
    this.#bytes[slot] = bytes.slice(start, end)
    this.#texts[slot] = text
    return text
  }
}

/** A property name is one object for the whole engine; a `switch` over such strings compares pointers. */
function internalized(text: string): string {
  return Object.keys({ [text]: 0 })[0] as string
}

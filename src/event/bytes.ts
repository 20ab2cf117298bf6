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

/** The UTF-8 text of a header value, undefined when the bytes are no UTF-8. */
export function strictText(bytes: Uint8Array): string | undefined {
  const end = bytes.length
  for (let i = 0; i < end; i++) if ((bytes[i] as number) > 0x7e) return isUtf8(bytes) ? utf8Text(bytes, 0, end) : undefined
  return latin1Text(bytes, 0, end)
}

export function utf8Bytes(text: string): Uint8Array {
  return Buffer.from(text, 'utf8')
}

/** Text longer than this is hardly ever the same twice (an id, a time is, but those are not asked for here). */
const LONGEST_KEPT = 64
const SLOTS = 1024

/**
 * Gives the same string object for the same short ASCII bytes: types, sources, header names and content types repeat from
 * event to event, so reading them costs a hash and a comparison instead of a native call and an allocation (30 against
 * 90 ns), and strings that are the same object compare at once in filters. A direct-mapped table, so it never grows.
 */
export class TextCache {
  readonly #slots: string[] = Array.from({ length: SLOTS }, () => '')

  /** undefined when the bytes are no UTF-8. */
  text(bytes: Uint8Array, start: number, end: number): string | undefined {
    if (end - start > LONGEST_KEPT) return this.#plain(bytes, start, end)
    let hash = end - start
    for (let i = start; i < end; i++) {
      const byte = bytes[i] as number
      if (byte > 0x7e) return this.#plain(bytes, start, end)
      hash = (Math.imul(hash, 31) + byte) | 0
    }
    const slot = (hash ^ (hash >>> 15)) & (SLOTS - 1)
    const kept = this.#slots[slot] as string
    if (same(kept, bytes, start, end)) return kept
    const text = internalized(latin1Text(bytes, start, end))
    this.#slots[slot] = text
    return text
  }

  #plain(bytes: Uint8Array, start: number, end: number): string | undefined {
    return strictText(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end))
  }
}

function same(text: string, bytes: Uint8Array, start: number, end: number): boolean {
  if (text.length !== end - start) return false
  for (let i = start; i < end; i++) if (text.charCodeAt(i - start) !== bytes[i]) return false
  return true
}

/** A property name is one object for the whole engine; a `switch` over such strings compares pointers. */
function internalized(text: string): string {
  return Object.keys({ [text]: 0 })[0] as string
}

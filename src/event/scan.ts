/**
 * Walks JSON text as bytes without building values, so that `data` can be cut out of an event as it was written: numbers
 * keep their digits, objects the order of their keys, and nothing is copied. RFC 8259, strictly; UTF-8 is checked before.
 */

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const COMMA = 0x2c
const COLON = 0x3a

/** Which containers are open, innermost last: 1 = object. Nesting costs a byte a level and no call. */
let open = new Uint8Array(256)

export function skipSpace(b: Uint8Array, at: number): number {
  let i = at
  for (;;) {
    const c = b[i]
    if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return i
    i++
  }
}

/** From the opening quote to just behind the closing one; -1 = no string. */
export function skipString(b: Uint8Array, at: number): number {
  if (b[at] !== QUOTE) return -1
  const end = b.length
  for (let i = at + 1; i < end; i++) {
    if (STOPS[b[i] as number] === 0) continue
    if (b[i] === QUOTE) return i + 1
    if (b[i] !== BACKSLASH) return -1
    const escape = b[++i]
    if (escape === 0x75) {
      for (let digit = 0; digit < 4; digit++) if (!isHex(b[++i])) return -1
    } else if (escape === undefined || !ESCAPES.includes(escape)) return -1
  }
  return -1
}

/** What ends the walk over ordinary characters: a quote, a backslash, a control character. One look instead of three. */
const STOPS = Uint8Array.from({ length: 256 }, (_, c) => (c === QUOTE || c === BACKSLASH || c < 0x20 ? 1 : 0))

const ESCAPES: readonly number[] = [...'"\\/bfnrt'].map((c) => c.charCodeAt(0))

function isHex(c: number | undefined): boolean {
  if (c === undefined) return false
  const letter = c | 0x20
  return (c >= 0x30 && c <= 0x39) || (letter >= 0x61 && letter <= 0x66)
}

function isDigit(c: number | undefined): boolean {
  return c !== undefined && c >= 0x30 && c <= 0x39
}

function skipDigits(b: Uint8Array, at: number): number {
  let i = at
  while (isDigit(b[i])) i++
  return i === at ? -1 : i
}

function skipNumber(b: Uint8Array, at: number): number {
  let i = b[at] === 0x2d ? at + 1 : at
  i = b[i] === 0x30 ? i + 1 : skipDigits(b, i)
  if (i > 0 && b[i] === 0x2e) i = skipDigits(b, i + 1)
  if (i > 0 && (b[i] === 0x65 || b[i] === 0x45)) {
    const sign = b[i + 1]
    i = skipDigits(b, sign === 0x2b || sign === 0x2d ? i + 2 : i + 1)
  }
  return i
}

function skipWord(b: Uint8Array, at: number, word: string): number {
  for (let i = 0; i < word.length; i++) if (b[at + i] !== word.charCodeAt(i)) return -1
  return at + word.length
}

/** A string, number or word; -1 = none of them. */
function skipScalar(b: Uint8Array, at: number): number {
  switch (b[at]) {
    case QUOTE:
      return skipString(b, at)
    case 0x74:
      return skipWord(b, at, 'true')
    case 0x66:
      return skipWord(b, at, 'false')
    case 0x6e:
      return skipWord(b, at, 'null')
    default:
      return skipNumber(b, at)
  }
}

/** From a key's quote to just behind its colon; -1 = no key. */
function skipKey(b: Uint8Array, at: number): number {
  const key = skipString(b, skipSpace(b, at))
  if (key < 0) return -1
  const colon = skipSpace(b, key)
  return b[colon] === COLON ? colon + 1 : -1
}

/** Just behind the value that starts at `at` (no white space before it); -1 = no JSON value. */
export function skipValue(b: Uint8Array, at: number): number {
  let depth = 0
  let i = at
  for (;;) {
    const c = b[i]
    if (c === OPEN_OBJECT || c === OPEN_ARRAY) {
      const object = c === OPEN_OBJECT
      const inside = skipSpace(b, i + 1)
      if (b[inside] !== (object ? CLOSE_OBJECT : CLOSE_ARRAY)) {
        if (depth === open.length) open = grown(open)
        open[depth++] = object ? 1 : 0
        i = object ? skipKey(b, inside) : inside
        if (i < 0) return -1
        i = skipSpace(b, i)
        continue
      }
      i = inside + 1
    } else {
      i = skipScalar(b, i)
      if (i < 0) return -1
    }
    // A value has ended: close what ends with it, then stand at the next one.
    for (;;) {
      if (depth === 0) return i
      const object = open[depth - 1] === 1
      i = skipSpace(b, i)
      if (b[i] === COMMA) {
        i = object ? skipKey(b, i + 1) : i + 1
        if (i < 0) return -1
        i = skipSpace(b, i)
        break
      }
      if (b[i] !== (object ? CLOSE_OBJECT : CLOSE_ARRAY)) return -1
      depth--
      i++
    }
  }
}

function grown(old: Uint8Array): Uint8Array<ArrayBuffer> {
  const twice = new Uint8Array(old.length * 2)
  twice.set(old)
  return twice
}

/** The bytes are exactly one JSON value; UTF-8 is not checked. */
export function isJson(b: Uint8Array): boolean {
  const end = skipValue(b, skipSpace(b, 0))
  return end > 0 && skipSpace(b, end) === b.length
}

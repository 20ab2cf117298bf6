/** Bytes a field name may hold (RFC 9110 §5.6.2) and bytes a value may hold (§5.5); 1 = allowed. */
export const NAME_BYTES = new Uint8Array(256)
export const VALUE_BYTES = new Uint8Array(256)
for (const c of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") NAME_BYTES[c.charCodeAt(0)] = 1
for (let b = 0; b < 256; b++) VALUE_BYTES[b] = b === 9 || (b >= 32 && b !== 127) ? 1 : 0

/**
 * The end of a head: the index behind the first CRLF CRLF that ends after `from`, or −1. Looks at every fourth byte only,
 * as most of them tell that no end is near.
 */
export function headEnd(b: Buffer, from: number, to: number): number {
  let i = from + 3
  while (i < to) {
    const c = b[i] as number
    if (c > 13) i += 4
    else if (c === 10) {
      if (b[i - 1] === 13 && b[i - 2] === 10 && b[i - 3] === 13) return i + 1
      i += 2
    } else i += 1
  }
  return -1
}

/** Header lines that were checked before, as lower-case name, value as latin1 text, … */
export function fieldList(b: Buffer, from: number, to: number): string[] {
  const list: string[] = []
  for (const line of b.toString('latin1', from, to).split('\r\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) list.push(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, ''))
  }
  return list
}

/** Whether the bytes are that (lower-case) text, letters of either case. */
export function isText(b: Buffer, at: number, length: number, lower: string): boolean {
  if (length !== lower.length) return false
  for (let i = 0; i < length; i++) {
    const c = b[at + i] as number
    if ((c >= 65 && c <= 90 ? c | 32 : c) !== lower.charCodeAt(i)) return false
  }
  return true
}

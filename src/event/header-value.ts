import { Buffer, isUtf8 } from 'node:buffer'
import type { AttributeValue } from './event.ts'
import { base64Text, utf8Text } from './bytes.ts'

const HEX = '0123456789ABCDEF'

/** Everything but U+0021..U+007E, and `"` and `%`, as percent-encoded UTF-8. CloudEvents HTTP 1.0.2 §3.1.3.2 */
export function encodeHeaderValue(value: string): string {
  return UNSAFE.test(value) ? encodeFrom(value, 0) : value
}

const UNSAFE = /[^\x21\x23\x24\x26-\x7e]/

function encodeFrom(value: string, clean: number): string {
  let out = value.slice(0, clean)
  for (const byte of Buffer.from(value.slice(clean), 'utf8')) {
    if (byte < 0x21 || byte > 0x7e || byte === 0x22 || byte === 0x25) out += `%${HEX[byte >> 4]}${HEX[byte & 15]}`
    else out += String.fromCharCode(byte)
  }
  return out
}

/** As a header shows an attribute; the result can hold no line break whatever the value. */
export function headerText(value: AttributeValue): string {
  if (typeof value === 'string') return encodeHeaderValue(value)
  return value instanceof Uint8Array ? base64Text(value) : String(value)
}

/** A content type is not percent-encoded by the binding; only what could break the header or is not ASCII is. */
export function contentTypeText(value: string): string {
  return isPrintable(value) ? value : value.replace(/[^\x20-\x7e]+/g, (part) => encodeFrom(part, 0))
}

function isPrintable(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const c = value.charCodeAt(i)
    if (c < 0x20 || c > 0x7e) return false
  }
  return true
}

/**
 * The value of a header: double-quoted parts unquoted, then percent sequences decoded as strict UTF-8; undefined = the
 * header is wrong. Raw bytes above ASCII, which the binding does not allow but old senders write, are read as UTF-8
 * where they are that.
 */
export function decodeHeaderValue(header: string): string | undefined {
  if (isPlainHeader(header)) return header
  let text: string | undefined = header
  if (text.includes('"')) text = unquoted(text)
  if (text?.includes('%')) text = percentDecoded(text)
  return text === undefined ? undefined : rawUtf8(text)
}

const NOT_PLAIN = /[^\x20\x21\x23\x24\x26-\x7e]/

/** Printable ASCII without quotes and percent signs: stands for itself. The pattern takes half the time of a loop. */
export function isPlainHeader(header: string): boolean {
  return !NOT_PLAIN.test(header)
}

function unquoted(text: string): string | undefined {
  let out = ''
  let inside = false
  for (let i = 0; i < text.length; i++) {
    const c = text[i] as string
    if (c === '"') inside = !inside
    else if (inside && c === '\\') {
      const escaped = text[++i]
      if (escaped === undefined) return undefined
      out += escaped
    } else out += c
  }
  return inside ? undefined : out
}

const PERCENT_RUN = /(?:%[0-9A-Fa-f]{2})+/g

function percentDecoded(text: string): string | undefined {
  let wrong = false
  let end = 0
  let out = ''
  // Each run of sequences has to be whole UTF-8 by itself: "%E2x" is not.
  for (const run of text.matchAll(PERCENT_RUN)) {
    const bytes = Buffer.from(run[0].replaceAll('%', ''), 'hex')
    wrong ||= !isUtf8(bytes)
    const before = text.slice(end, run.index)
    wrong ||= before.includes('%')
    out += before + utf8Text(bytes)
    end = run.index + run[0].length
  }
  const rest = text.slice(end)
  return wrong || rest.includes('%') ? undefined : out + rest
}

/** A parser that reads headers as latin1 gives one character a byte. */
function rawUtf8(text: string): string {
  let wide = false
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c > 0xff) return text
    if (c > 0x7f) wide = true
  }
  if (!wide) return text
  const bytes = Buffer.from(text, 'latin1')
  return isUtf8(bytes) ? utf8Text(bytes) : text
}

import { Buffer } from 'node:buffer'
import { Fault } from '../runtime/errors.ts'
import { base64Bytes } from './attributes.ts'
import { base64Text, latin1Text, utf8Text } from './bytes.ts'
import type { AttributeValue, Envelope, Extension } from './event.ts'
import { CloudEvent, NEW_ENVELOPE } from './event.ts'

/**
 * An event with its envelope, as the embedded streams and the local store keep it:
 *
 *   format 1 byte · flags 1 byte · lengths and numbers as varints · length of the text · all text in one piece · data
 *
 * One piece of text is one native call to write and one to read, however many attributes there are; lengths count UTF-16
 * units, so they cut the piece after it was read. The first byte changes with the layout.
 */
const FORMAT = 1

const OLD = 1
const SUBJECT = 2
const TIME = 4
const CONTENT_TYPE = 8
const SCHEMA = 16
const DATA = 32
const ENVELOPE = 64
/** Only events that descend from others have one. */
const ROOT = 128

const STRING = 0
const INTEGER = 1
const TRUE = 2
const FALSE = 3
const BINARY = 4

/** The numbers of the event being written. A varint takes five bytes at most. */
let scratch = new Uint8Array(1024)
let at = 0

function put(n: number): void {
  let rest = n
  while (rest >= 0x80) {
    scratch[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  scratch[at++] = rest
}

function putOptional(text: string | undefined): string {
  if (text === undefined) return ''
  put(text.length)
  return text
}

function putExtensions(extensions: readonly Extension[]): string {
  let text = ''
  put(extensions.length)
  for (let i = 0; i < extensions.length; i++) {
    const [name, value] = extensions[i] as Extension
    put(name.length)
    text += name
    if (value === true) put(TRUE)
    else if (value === false) put(FALSE)
    else {
      const plain = typeof value === 'string' ? value : value instanceof Uint8Array ? base64Text(value) : String(value)
      put(typeof value === 'string' ? STRING : typeof value === 'number' ? INTEGER : BINARY)
      put(plain.length)
      text += plain
    }
  }
  return text
}

/** Milliseconds need 41 bits, varints here hold 32. */
const HIGH = 2 ** 24

function putEnvelope(e: Envelope): string {
  put(e.ttl)
  put(e.hops)
  put(Math.floor(e.receivedMs / HIGH))
  put(e.receivedMs % HIGH)
  put(e.traceparent.length)
  put(e.tracestate.length)
  put(e.key.length)
  put(e.headers.length)
  let text = e.traceparent + e.tracestate + e.key
  for (let i = 0; i < e.headers.length; i++) {
    const header = e.headers[i] as string
    put(header.length)
    text += header
  }
  if (e.root === '') return text
  put(e.root.length)
  return text + e.root
}

/** 1 µs for an event of six attributes. The bytes are the caller's. */
export function encodeStored(e: CloudEvent): Uint8Array {
  const most = 128 + e.extensions.length * 11 + e.envelope.headers.length * 5
  if (scratch.length < most) scratch = new Uint8Array(most)
  let flags = e.specversion === '0.3' ? OLD : 0
  if (e.subject !== undefined) flags |= SUBJECT
  if (e.time !== undefined) flags |= TIME
  if (e.datacontenttype !== undefined) flags |= CONTENT_TYPE
  if (e.dataschema !== undefined) flags |= SCHEMA
  if (e.data !== null) flags |= DATA
  if (e.envelope !== NEW_ENVELOPE) flags |= e.envelope.root === '' ? ENVELOPE : ENVELOPE | ROOT
  scratch[0] = FORMAT
  scratch[1] = flags
  at = 2
  put(e.id.length)
  put(e.source.length)
  put(e.type.length)
  let text = e.id + e.source + e.type
  text += putOptional(e.subject)
  text += putOptional(e.time)
  text += putOptional(e.datacontenttype)
  text += putOptional(e.dataschema)
  text += putExtensions(e.extensions)
  if (e.envelope !== NEW_ENVELOPE) text += putEnvelope(e.envelope)
  const textBytes = Buffer.byteLength(text)
  put(textBytes)
  const head = at
  const whole = Buffer.allocUnsafe(head + textBytes + (e.data === null ? 0 : e.data.length))
  for (let i = 0; i < head; i++) whole[i] = scratch[i] as number
  whole.write(text, head, textBytes === text.length ? 'latin1' : 'utf8')
  if (e.data !== null) whole.set(e.data, head + textBytes)
  return whole
}

/** The event being read: its bytes, where its numbers are read, its text and where that is cut. */
let from: Uint8Array = scratch
let cut = 0
let text = ''

function get(): number {
  let n = 0
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = from[at++]
    if (byte === undefined) throw broken('it ends too early')
    n |= (byte & 0x7f) << shift
    if (byte < 0x80) return n >>> 0
  }
  throw broken('a number is too long')
}

function piece(length: number): string {
  const start = cut
  cut += length
  return text.slice(start, cut)
}

function broken(why: string): Fault {
  return new Fault('store.format', `a stored event cannot be read: ${why}; the data folder is damaged or of another version`)
}

/** Text comes after all lengths, so these are kept until it is there. Grows with the largest event seen, by design. */
const lengths: number[] = []

/**
 * The event of `encodeStored`; its data is a view into `bytes`. Throws a Fault `store.format` for bytes of another format
 * and for damaged ones as far as that can be seen (there is no checksum: the store below has its own).
 */
export function decodeStored(bytes: Uint8Array): CloudEvent {
  if (bytes[0] !== FORMAT) throw broken(`its format is ${bytes[0] ?? 'missing'}, known is ${FORMAT}`)
  const flags = bytes[1] ?? 0
  from = bytes
  at = 2
  lengths.length = 0
  const fixed = 3 + bit(flags, SUBJECT) + bit(flags, TIME) + bit(flags, CONTENT_TYPE) + bit(flags, SCHEMA)
  for (let i = 0; i < fixed; i++) lengths.push(get())
  const extensions = get()
  for (let i = 0; i < extensions; i++) {
    lengths.push(get())
    const tag = get()
    lengths.push(tag, tag === TRUE || tag === FALSE ? 0 : get())
  }
  const envelopeFrom = lengths.length
  if ((flags & ENVELOPE) !== 0) getEnvelopeLengths()
  if ((flags & ROOT) !== 0) lengths.push(get())
  const textBytes = get()
  const textEnd = at + textBytes
  if (textEnd > bytes.length) throw broken('its text ends too early')
  if ((flags & DATA) === 0 && textEnd !== bytes.length) throw broken('it has more bytes than it says')
  text = textOf(bytes, at, textEnd)
  cut = 0
  const event = build(flags, extensions, envelopeFrom, (flags & DATA) === 0 ? null : bytes.subarray(textEnd))
  if (cut !== text.length) throw broken('its text has another length than it says')
  return event
}

function bit(flags: number, which: number): number {
  return (flags & which) === 0 ? 0 : 1
}

function getEnvelopeLengths(): void {
  for (let i = 0; i < 7; i++) lengths.push(get())
  const headers = get()
  lengths.push(headers)
  for (let i = 0; i < headers; i++) lengths.push(get())
}

function textOf(bytes: Uint8Array, start: number, end: number): string {
  for (let i = start; i < end; i++) if ((bytes[i] as number) > 0x7f) return utf8Text(bytes, start, end)
  return latin1Text(bytes, start, end)
}

function build(flags: number, extensionCount: number, envelopeFrom: number, data: Uint8Array | null): CloudEvent {
  let next = 3
  const id = piece(lengths[0] as number)
  const source = piece(lengths[1] as number)
  const type = piece(lengths[2] as number)
  const subject = (flags & SUBJECT) === 0 ? undefined : piece(lengths[next++] as number)
  const time = (flags & TIME) === 0 ? undefined : piece(lengths[next++] as number)
  const datacontenttype = (flags & CONTENT_TYPE) === 0 ? undefined : piece(lengths[next++] as number)
  const dataschema = (flags & SCHEMA) === 0 ? undefined : piece(lengths[next++] as number)
  const extensions: Extension[] = []
  for (let i = 0; i < extensionCount; i++) {
    const name = piece(lengths[next++] as number)
    const tag = lengths[next++] as number
    extensions.push([name, extensionValue(tag, piece(lengths[next++] as number))])
  }
  const envelope = (flags & ENVELOPE) === 0 ? NEW_ENVELOPE : buildEnvelope(envelopeFrom, (flags & ROOT) !== 0)
  const specversion = (flags & OLD) === 0 ? '1.0' : '0.3'
  return new CloudEvent({
    specversion,
    id,
    source,
    type,
    subject,
    time,
    datacontenttype,
    dataschema,
    extensions,
    data,
    envelope,
  })
}

function extensionValue(tag: number, plain: string): AttributeValue {
  switch (tag) {
    case STRING:
      return plain
    case INTEGER:
      return Number(plain)
    case TRUE:
      return true
    case FALSE:
      return false
    default: {
      const bytes = tag === BINARY ? base64Bytes(plain) : undefined
      if (bytes === undefined) throw broken('an attribute has no known type')
      return bytes
    }
  }
}

function buildEnvelope(first: number, hasRoot: boolean): Envelope {
  let next = first
  const ttl = lengths[next++] as number
  const hops = lengths[next++] as number
  const receivedMs = (lengths[next++] as number) * HIGH + (lengths[next++] as number)
  const traceparent = piece(lengths[next++] as number)
  const tracestate = piece(lengths[next++] as number)
  const key = piece(lengths[next++] as number)
  const headers: string[] = []
  for (let count = lengths[next++] as number; count > 0; count--) headers.push(piece(lengths[next++] as number))
  const root = hasRoot ? piece(lengths[next++] as number) : ''
  return { ttl, hops, traceparent, tracestate, headers, key, receivedMs, root }
}

import { Buffer, isUtf8 } from 'node:buffer'
import type { BadEvent } from './attributes.ts'
import { badEvent, base64Bytes, integerOf, isBad, shown } from './attributes.ts'
import { base64Text, latin1Text, TextCache, utf8Bytes, utf8Text } from './bytes.ts'
import { Draft } from './draft.ts'
import type { CloudEvent, Envelope } from './event.ts'
import { NEW_ENVELOPE } from './event.ts'
import { isJsonType, mediaTypeOf } from './media.ts'
import { isJson, skipSpace, skipString, skipValue } from './scan.ts'

/** Content types of the JSON format. CloudEvents JSON 1.0.2 §3, §4 */
export const STRUCTURED_JSON = 'application/cloudevents+json'
export const BATCH_JSON = 'application/cloudevents-batch+json'

const draft = new Draft()
const names = new TextCache('names')
const values = new TextCache('values')

/** The `data` and `data_base64` members of the event being read: where the value begins and ends, -1 = not there. */
let dataAt = -1
let dataEnd = -1
let base64At = -1
let base64End = -1
/** Just behind the last object that was read. */
let after = 0

/** One event; `bytes` holds exactly one JSON object. The data of the event is a view into `bytes` where it can be. */
export function decodeStructured(bytes: Uint8Array, envelope: Envelope = NEW_ENVELOPE): CloudEvent | BadEvent {
  const start = startOf(bytes)
  if (typeof start !== 'number') return start
  const event = readObject(bytes, start, envelope)
  if (isBad(event)) return event
  const end = skipSpace(bytes, after)
  return end === bytes.length ? event : notJson(`there is more behind the event, at byte ${end}`)
}

/** A batch, read whole or not at all; the message of a fault names the event by its place, counted from 0. */
export function decodeBatch(
  bytes: Uint8Array,
  envelope: Envelope = NEW_ENVELOPE,
  mostEvents = Infinity,
): CloudEvent[] | BadEvent {
  const start = startOf(bytes)
  if (typeof start !== 'number') return start
  if (bytes[start] !== 0x5b) return notJson('a batch is a JSON array of events')
  const events: CloudEvent[] = []
  let i = skipSpace(bytes, start + 1)
  if (bytes[i] === 0x5d) i++
  else
    for (;;) {
      const event = readObject(bytes, i, envelope)
      if (isBad(event)) return { ...event, message: `event ${events.length} of the batch: ${event.message}` }
      if (events.length >= mostEvents) return badEvent('', `a batch may have ${mostEvents} events at most`, 'ingress.too-large')
      events.push(event)
      i = skipSpace(bytes, after)
      const c = bytes[i++]
      if (c === 0x5d) break
      if (c !== 0x2c) return notJson(`a comma or the end of the batch was expected at byte ${i - 1}`)
      i = skipSpace(bytes, i)
    }
  const end = skipSpace(bytes, i)
  return end === bytes.length ? events : notJson(`there is more behind the batch, at byte ${end}`)
}

/** Where the JSON text begins: a byte order mark is no part of it, but some tools write one. */
function startOf(bytes: Uint8Array): number | BadEvent {
  if (!isUtf8(bytes)) return notJson('the bytes are not UTF-8')
  const mark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
  return skipSpace(bytes, mark ? 3 : 0)
}

function notJson(why: string): BadEvent {
  return badEvent('', `the body is no event in the JSON format: ${why}`)
}

function readObject(b: Uint8Array, at: number, envelope: Envelope): CloudEvent | BadEvent {
  if (b[at] !== 0x7b) return notJson('a JSON object was expected')
  draft.begin('refused', false)
  dataAt = base64At = -1
  let i = skipSpace(b, at + 1)
  if (b[i] === 0x7d) i++
  else
    for (;;) {
      const keyEnd = skipString(b, i)
      const colon = keyEnd < 0 ? -1 : skipSpace(b, keyEnd)
      if (colon < 0 || b[colon] !== 0x3a) return notJson(`a member name was expected at byte ${i}`)
      const valueAt = skipSpace(b, colon + 1)
      const valueEnd = skipValue(b, valueAt)
      if (valueEnd < 0) return notJson(`what begins at byte ${valueAt} is no JSON value`)
      member(b, repeatedAt(names, b, i, keyEnd), valueAt, valueEnd)
      i = skipSpace(b, valueEnd)
      const c = b[i++]
      if (c === 0x7d) break
      if (c !== 0x2c) return notJson(`a comma or the end of the object was expected at byte ${i - 1}`)
      i = skipSpace(b, i)
    }
  after = i
  return finish(b, envelope)
}

function member(b: Uint8Array, name: string, at: number, end: number): void {
  const c = b[at] as number
  if (name === 'data') {
    if (dataAt >= 0) draft.refuse('data', '"data" is given twice')
    // A null is no data: so the official SDKs for Java, C# and Go read it.
    if (c === 0x6e) return
    dataAt = at
    dataEnd = end
    return
  }
  if (name === 'data_base64') {
    if (base64At >= 0) draft.refuse(name, '"data_base64" is given twice')
    if (c === 0x6e) return
    if (c !== 0x22) draft.refuse(name, '"data_base64" has to be a string')
    base64At = at
    base64End = end
    return
  }
  if (!draft.allows(name) || c === 0x6e) return
  if (c === 0x22) draft.put(name, name === 'id' || name === 'time' ? stringAt(b, at, end) : repeatedAt(values, b, at, end))
  else if (c === 0x74) draft.put(name, true)
  else if (c === 0x66) draft.put(name, false)
  else if (c === 0x7b || c === 0x5b) draft.refuse(name, `the attribute "${name}" has to be a string, an integer or a boolean`)
  else {
    const text = latin1Text(b, at, end)
    const value = integerOf(text)
    if (value === undefined) draft.refuse(name, `"${name}" is ${shown(text)}, but integers of events are whole and have 32 bits`)
    else draft.put(name, value)
  }
}

/** The text of the string literal between its quotes; UTF-8 has been checked. */
function stringAt(b: Uint8Array, at: number, end: number): string {
  if (isPlain(b, at + 1, end - 1)) return latin1Text(b, at + 1, end - 1)
  draft.clean = false
  return b.subarray(at, end).includes(0x5c) ? (JSON.parse(utf8Text(b, at, end)) as string) : utf8Text(b, at + 1, end - 1)
}

function finish(b: Uint8Array, envelope: Envelope): CloudEvent | BadEvent {
  const old = draft.specversion === '0.3'
  let data: Uint8Array | null = null
  if (base64At >= 0) {
    if (old) draft.refuse('data_base64', '"data_base64" is no member of an event of version 0.3')
    if (dataAt >= 0) draft.refuse('data_base64', 'an event has "data" or "data_base64", not both')
    if (draft.fault === null) data = fromBase64('data_base64', b, base64At, base64End)
  } else if (dataAt >= 0 && draft.fault === null) {
    data = old && takesBase64() ? fromBase64('data', b, dataAt, dataEnd) : dataBytes(b)
  }
  return draft.finish(data, envelope)
}

/** `datacontentencoding: base64` of 0.3 says how `data` is written here, so it ends with the JSON format. */
function takesBase64(): boolean {
  const at = draft.extensions.findIndex(([name]) => name === 'datacontentencoding')
  if (at < 0 || draft.extensions[at]?.[1] !== 'base64') return false
  draft.extensions.splice(at, 1)
  return true
}

function fromBase64(name: string, b: Uint8Array, at: number, end: number): Uint8Array | null {
  const bytes = b[at] === 0x22 ? base64Bytes(stringAt(b, at, end)) : undefined
  if (bytes === undefined) draft.refuse(name, `"${name}" is no base64 text`)
  return bytes ?? null
}

/** Printable ASCII without an escape. */
function isPlain(b: Uint8Array, at: number, end: number): boolean {
  for (let i = at; i < end; i++) {
    const c = b[i] as number
    if (c > 0x7e || c === 0x5c) return false
  }
  return true
}

/** The same for what repeats from event to event; what has an escape is not kept. */
function repeatedAt(cache: TextCache, b: Uint8Array, at: number, end: number): string {
  const kept = cache.text(b, at + 1, end - 1)
  return kept !== undefined && !kept.includes('\\') ? kept : stringAt(b, at, end)
}

/** What the binary mode would carry: the JSON text as it stands, or the text of the string where the type is not JSON. */
function dataBytes(b: Uint8Array): Uint8Array {
  // Without a content type the data of this format is JSON, and is to be called so elsewhere. JSON format 1.0.2 §3.1
  draft.datacontenttype ??= 'application/json'
  if (b[dataAt] !== 0x22 || isJsonType(draft.datacontenttype)) return b.subarray(dataAt, dataEnd)
  const raw = b.subarray(dataAt + 1, dataEnd - 1)
  return raw.includes(0x5c) ? utf8Bytes(JSON.parse(utf8Text(b, dataAt, dataEnd)) as string) : raw
}

/** The event as one JSON object, UTF-8. JSON data is put in as it is, text as a string, everything else as base64. */
export function encodeStructured(e: CloudEvent): Uint8Array {
  const old = e.specversion === '0.3'
  let head = `{"specversion":"${e.specversion}","id":${JSON.stringify(e.id)},"source":${JSON.stringify(e.source)}`
  head += `,"type":${JSON.stringify(e.type)}`
  if (e.subject !== undefined) head += `,"subject":${JSON.stringify(e.subject)}`
  if (e.time !== undefined) head += `,"time":${JSON.stringify(e.time)}`
  if (e.datacontenttype !== undefined) head += `,"datacontenttype":${JSON.stringify(e.datacontenttype)}`
  if (e.dataschema !== undefined) head += `,"${old ? 'schemaurl' : 'dataschema'}":${JSON.stringify(e.dataschema)}`
  for (const [name, value] of e.extensions)
    head += `,${JSON.stringify(name)}:${JSON.stringify(value instanceof Uint8Array ? base64Text(value) : value)}`
  const data = e.data
  if (data === null) return utf8Bytes(head + '}')
  // In 0.3 an event that already says how its text is encoded keeps both.
  const encoded = old && e.attribute('datacontentencoding') !== undefined
  const media = e.datacontenttype === undefined ? null : mediaTypeOf(e.datacontenttype)
  if (media?.json === true && !encoded && isUtf8(data) && isJson(data)) return around(head + ',"data":', data)
  if ((media?.text === true || encoded) && isUtf8(data)) return utf8Bytes(`${head},"data":${JSON.stringify(utf8Text(data))}}`)
  if (!old) return utf8Bytes(`${head},"data_base64":"${base64Text(data)}"}`)
  return utf8Bytes(`${head},"datacontentencoding":"base64","data":"${base64Text(data)}"}`)
}

function around(head: string, data: Uint8Array): Uint8Array {
  const at = Buffer.byteLength(head)
  const whole = Buffer.allocUnsafe(at + data.length + 1)
  whole.write(head)
  whole.set(data, at)
  whole[at + data.length] = 0x7d
  return whole
}

/** Events as one JSON array. */
export function encodeBatch(events: readonly CloudEvent[]): Uint8Array {
  const parts: Uint8Array[] = [utf8Bytes('[')]
  for (const event of events) {
    if (parts.length > 1) parts.push(utf8Bytes(','))
    parts.push(encodeStructured(event))
  }
  parts.push(utf8Bytes(']'))
  return Buffer.concat(parts)
}

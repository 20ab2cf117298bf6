import { isUtf8 } from 'node:buffer'
import type { BadEvent } from './attributes.ts'
import { badEvent, isBad, isTimestamp, isUri, shown } from './attributes.ts'
import { Draft } from './draft.ts'
import type { AttributeValue, CloudEvent, Envelope } from './event.ts'
import { NEW_ENVELOPE } from './event.ts'
import { mediaTypeOf } from './media.ts'
import { BYTES, VARINT, WireReader, WireWriter } from './wire.ts'

/** Content types of the protobuf format. CloudEvents Protobuf 1.0.2 §3, §4 */
export const STRUCTURED_PROTOBUF = 'application/cloudevents+protobuf'
export const BATCH_PROTOBUF = 'application/cloudevents-batch+protobuf'

/** Fields of `io.cloudevents.v1.CloudEvent`, of its attribute value, and of google's Timestamp and Any. */
const EVENT = { id: 1, source: 2, specversion: 3, type: 4, attributes: 5, binary: 6, text: 7, proto: 8 } as const
const VALUE = { boolean: 1, integer: 2, string: 3, bytes: 4, uri: 5, uriRef: 6, timestamp: 7 } as const
const BROKEN = 'the body is no event in the protobuf format'

const draft = new Draft()

/** One event; binary data is a view into `bytes`. */
export function decodeProtobuf(bytes: Uint8Array, envelope: Envelope = NEW_ENVELOPE): CloudEvent | BadEvent {
  const r = new WireReader(bytes)
  draft.begin('refused', false)
  let data: Uint8Array | null = null
  // A field that is no list may be repeated in the encoding; the last one counts, so each is put once, at the end.
  const required: (string | undefined)[] = []
  const attributes = new Map<string, AttributeValue | null>()
  let typeUrl = ''
  while (r.next()) {
    if (r.type !== BYTES || r.field > EVENT.proto) r.skip()
    else if (r.field <= EVENT.type) required[r.field] = r.text()
    else if (r.field === EVENT.attributes) readEntry(r.bytes(), attributes)
    else {
      data = r.bytes()
      typeUrl = ''
      if (r.field === EVENT.text && !isUtf8(data)) r.broken = true
      if (r.field === EVENT.proto) [typeUrl, data] = readAny(data)
    }
  }
  if (r.broken) return badEvent('', BROKEN)
  put('specversion', required[EVENT.specversion])
  put('id', required[EVENT.id])
  put('source', required[EVENT.source])
  put('type', required[EVENT.type])
  for (const [name, value] of attributes) {
    if (value === null) draft.refuse(name, `the attribute "${shown(name)}" has no value, or one that cannot be read`)
    else if (REQUIRED.has(name)) draft.refuse(name, `"${name}" has a field of its own and may not be in the attributes`)
    else if (draft.allows(name)) draft.put(name, value)
  }
  if (typeUrl !== '') nameMessage(typeUrl)
  return draft.finish(data, envelope)
}

const REQUIRED = new Set(['id', 'source', 'specversion', 'type'])

function put(name: string, value: string | undefined): void {
  if (value !== undefined) draft.put(name, value)
}

/** A message as data says itself what it is; where it can be said by attributes, it is. Protobuf format 1.0.2 §3 */
function nameMessage(typeUrl: string): void {
  draft.datacontenttype ??= 'application/protobuf'
  if (isUri(typeUrl)) draft.dataschema ??= typeUrl
}

/** One entry of the map `attributes`; null marks a value that is missing or broken. */
function readEntry(bytes: Uint8Array, into: Map<string, AttributeValue | null>): void {
  const r = new WireReader(bytes)
  let name = ''
  let value: AttributeValue | null = null
  while (r.next()) {
    if (r.field === 1 && r.type === BYTES) name = r.text()
    else if (r.field === 2 && r.type === BYTES) value = readValue(r.bytes())
    else r.skip()
  }
  into.set(name, r.broken ? null : value)
}

function readValue(bytes: Uint8Array): AttributeValue | null {
  const r = new WireReader(bytes)
  let value: AttributeValue | null = null
  while (r.next()) {
    if (r.type === VARINT && r.field === VALUE.boolean) value = r.varint() !== 0
    // int32 keeps the lower 32 bits, as every protobuf library does.
    else if (r.type === VARINT && r.field === VALUE.integer) value = r.signed() | 0
    else if (r.type !== BYTES || r.field < VALUE.string || r.field > VALUE.timestamp) r.skip()
    else if (r.field === VALUE.bytes) value = r.bytes()
    else if (r.field === VALUE.timestamp) value = readTimestamp(r.bytes())
    else value = r.text()
  }
  return r.broken ? null : value
}

/** The years 0001 to 9999, which is what Timestamp may hold. */
const FIRST_SECOND = -62_135_596_800
const LAST_SECOND = 253_402_300_799

function readTimestamp(bytes: Uint8Array): string | null {
  const r = new WireReader(bytes)
  let seconds = 0
  let nanos = 0
  while (r.next()) {
    if (r.type === VARINT && r.field === 1) seconds = r.signed()
    else if (r.type === VARINT && r.field === 2) nanos = r.signed()
    else r.skip()
  }
  const inRange = seconds >= FIRST_SECOND && seconds <= LAST_SECOND && nanos >= 0 && nanos < 1e9
  if (r.broken || !inRange) return null
  const whole = new Date(seconds * 1000).toISOString().slice(0, 19)
  return nanos === 0 ? `${whole}Z` : `${whole}.${String(nanos).padStart(9, '0').replace(/0+$/, '')}Z`
}

function readAny(bytes: Uint8Array): [typeUrl: string, value: Uint8Array] {
  const r = new WireReader(bytes)
  let typeUrl = ''
  let value = bytes.subarray(0, 0)
  while (r.next()) {
    if (r.field === 1 && r.type === BYTES) typeUrl = r.text()
    else if (r.field === 2 && r.type === BYTES) value = r.bytes()
    else r.skip()
  }
  if (r.broken) draft.refuse('data', 'the message in "proto_data" is broken')
  return [typeUrl, value]
}

/** A batch, read whole or not at all; the message of a fault names the event by its place, counted from 0. */
export function decodeProtobufBatch(
  bytes: Uint8Array,
  envelope: Envelope = NEW_ENVELOPE,
  mostEvents = Infinity,
): CloudEvent[] | BadEvent {
  const r = new WireReader(bytes)
  const events: CloudEvent[] = []
  while (r.next()) {
    if (r.field !== 1 || r.type !== BYTES) {
      r.skip()
      continue
    }
    const inner = r.bytes()
    if (r.broken) break
    const event = decodeProtobuf(inner, envelope)
    if (isBad(event)) return { ...event, message: `event ${events.length} of the batch: ${event.message}` }
    if (events.length >= mostEvents) return badEvent('', `a batch may have ${mostEvents} events at most`, 'ingress.too-large')
    events.push(event)
  }
  return r.broken ? badEvent('', BROKEN) : events
}

/** The event as one message. Text and JSON go as text, everything else as bytes; `time` as an instant where it is one. */
export function encodeProtobuf(e: CloudEvent): Uint8Array {
  return messageOf(e).done()
}

export function encodeProtobufBatch(events: readonly CloudEvent[]): Uint8Array {
  const w = new WireWriter()
  for (const event of events) w.message(1, messageOf(event))
  return w.done()
}

function messageOf(e: CloudEvent): WireWriter {
  const w = new WireWriter()
  w.text(EVENT.id, e.id)
  w.text(EVENT.source, e.source)
  w.text(EVENT.specversion, e.specversion)
  w.text(EVENT.type, e.type)
  const attribute = (name: string, value: WireWriter): void => {
    const entry = new WireWriter()
    entry.text(1, name)
    entry.message(2, value)
    w.message(EVENT.attributes, entry)
  }
  const text = (name: string, value: string | undefined, field: number): void => {
    if (value === undefined) return
    const inner = new WireWriter()
    inner.text(field, value)
    attribute(name, inner)
  }
  text('datacontenttype', e.datacontenttype, VALUE.string)
  if (e.specversion === '0.3') text('schemaurl', e.dataschema, VALUE.uriRef)
  else text('dataschema', e.dataschema, VALUE.uri)
  text('subject', e.subject, VALUE.string)
  if (e.time !== undefined) attribute('time', timeValue(e.time))
  for (const [name, value] of e.extensions) attribute(name, extensionValue(value))
  if (e.data === null) return w
  const media = e.datacontenttype === undefined ? null : mediaTypeOf(e.datacontenttype)
  const asText = (media?.json === true || media?.text === true) && isUtf8(e.data)
  w.bytes(asText ? EVENT.text : EVENT.binary, e.data)
  return w
}

function extensionValue(value: AttributeValue): WireWriter {
  const w = new WireWriter()
  if (typeof value === 'boolean') w.varint(VALUE.boolean, value ? 1 : 0)
  else if (typeof value === 'number') w.varint(VALUE.integer, value)
  else if (typeof value === 'string') w.text(VALUE.string, value)
  else w.bytes(VALUE.bytes, value)
  return w
}

const TIME_PARTS = /^(.{19})(?:\.([0-9]+))?(.*)$/

/** An instant keeps nine digits of the fraction and loses the offset; a leap second or more digits stay text. */
function timeValue(time: string): WireWriter {
  const w = new WireWriter()
  const [, whole = '', fraction = '', zone = ''] = TIME_PARTS.exec(time) ?? []
  const ms = isTimestamp(time) && fraction.length <= 9 ? Date.parse((whole + zone).toUpperCase()) : NaN
  const seconds = ms / 1000
  if (!(seconds >= FIRST_SECOND && seconds <= LAST_SECOND)) {
    w.text(VALUE.string, time)
    return w
  }
  const instant = new WireWriter()
  if (seconds !== 0) instant.varint(1, seconds)
  const nanos = Number(fraction.padEnd(9, '0'))
  if (nanos !== 0) instant.varint(2, nanos)
  w.message(VALUE.timestamp, instant)
  return w
}

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
  // Its texts are UTF-8 and nothing more.
  draft.clean = false
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

const writer = new WireWriter()

/** The event as one message. Text and JSON go as text, everything else as bytes; `time` as an instant where it is one. */
export function encodeProtobuf(e: CloudEvent): Uint8Array {
  writer.begin()
  writeEvent(e)
  return writer.done()
}

export function encodeProtobufBatch(events: readonly CloudEvent[]): Uint8Array {
  writer.begin()
  for (const event of events) {
    const message = writer.open(1)
    writeEvent(event)
    writer.close(message)
  }
  return writer.done()
}

function writeEvent(e: CloudEvent): void {
  writer.text(EVENT.id, e.id)
  writer.text(EVENT.source, e.source)
  writer.text(EVENT.specversion, e.specversion)
  writer.text(EVENT.type, e.type)
  writeText('datacontenttype', e.datacontenttype, VALUE.string)
  if (e.specversion === '0.3') writeText('schemaurl', e.dataschema, VALUE.uriRef)
  else writeText('dataschema', e.dataschema, VALUE.uri)
  writeText('subject', e.subject, VALUE.string)
  if (e.time !== undefined) writeTime(e.time)
  for (const [name, value] of e.extensions) writeExtension(name, value)
  if (e.data === null) return
  const media = e.datacontenttype === undefined ? null : mediaTypeOf(e.datacontenttype)
  const asText = (media?.json === true || media?.text === true) && isUtf8(e.data)
  writer.bytes(asText ? EVENT.text : EVENT.binary, e.data)
}

/** Begins an entry of the map; its value is to be put, then both are closed. */
function openAttribute(name: string): readonly [entry: number, value: number] {
  const entry = writer.open(EVENT.attributes)
  writer.text(1, name)
  return [entry, writer.open(2)]
}

function closeAttribute([entry, value]: readonly [number, number]): void {
  writer.close(value)
  writer.close(entry)
}

function writeText(name: string, value: string | undefined, field: number): void {
  if (value === undefined) return
  const open = openAttribute(name)
  writer.text(field, value)
  closeAttribute(open)
}

function writeExtension(name: string, value: AttributeValue): void {
  const open = openAttribute(name)
  if (typeof value === 'boolean') writer.varint(VALUE.boolean, value ? 1 : 0)
  else if (typeof value === 'number') writer.varint(VALUE.integer, value)
  else if (typeof value === 'string') writer.text(VALUE.string, value)
  else writer.bytes(VALUE.bytes, value)
  closeAttribute(open)
}

const TIME_PARTS = /^(.{19})(?:\.([0-9]+))?(.*)$/

/** An instant keeps nine digits of the fraction and loses the offset; a leap second or more digits stay text. */
function writeTime(time: string): void {
  const [, whole = '', fraction = '', zone = ''] = TIME_PARTS.exec(time) ?? []
  const ms = isTimestamp(time) && fraction.length <= 9 ? Date.parse((whole + zone).toUpperCase()) : NaN
  const seconds = ms / 1000
  if (!(seconds >= FIRST_SECOND && seconds <= LAST_SECOND)) {
    writeText('time', time, VALUE.string)
    return
  }
  const open = openAttribute('time')
  const instant = writer.open(VALUE.timestamp)
  if (seconds !== 0) writer.varint(1, seconds)
  const nanos = Number(fraction.padEnd(9, '0'))
  if (nanos !== 0) writer.varint(2, nanos)
  writer.close(instant)
  closeAttribute(open)
}

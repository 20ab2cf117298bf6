import { Buffer } from 'node:buffer'
import { isBad } from './attributes.ts'
import { base64Text, isPrintable, latin1Text, strictText, TextCache, utf8Bytes, utf8Text } from './bytes.ts'
import { Draft } from './draft.ts'
import type { AttributeValue, Envelope, Extension } from './event.ts'
import { CloudEvent, NEW_ENVELOPE } from './event.ts'
import { decodeStructured, encodeStructured, STRUCTURED_JSON } from './json.ts'
import { contentForm } from './media.ts'
import { decodeProtobuf } from './protobuf.ts'

/** A Kafka record as it was fetched. Offsets are below 2^53; `key` and `value` null as on the wire. */
export interface RawRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly timestampMs: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: readonly (readonly [name: Uint8Array, value: Uint8Array | null])[]
}

/** What is to be produced. */
export interface KafkaRecord {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: readonly (readonly [name: Uint8Array, value: Uint8Array])[]
}

/** How KafkaSource reads keys: label `kafkasources.sources.knative.dev/key-type`. */
export type KafkaKeyType = 'string' | 'int' | 'float' | 'byte-array'

export interface WrapOptions {
  readonly namespace: string
  /** Of the KafkaSource. */
  readonly name: string
  readonly topic: string
  readonly keyType: KafkaKeyType
}

const draft = new Draft()
const names = new TextCache('names')
const values = new TextCache('values')
/** Header names in any case are rare; `Content-Type` is the one that is seen. */
const CONTENT_TYPE = 'content-type'

/**
 * The event a record is, in binary or structured mode, null when it is no valid CloudEvent (wrap it, or park it).
 * Of a repeated header the last one counts, as the Java SDK has it. The record key goes into the envelope; data is a view
 * into `value`, null for a tombstone. `receivedMs` is for the envelope. CloudEvents Kafka binding 1.0.2
 */
export function fromKafkaRecord(r: RawRecord, receivedMs = 0): CloudEvent | null {
  draft.begin('last-wins', true)
  let contentType: string | undefined
  let traceparent = ''
  let tracestate = ''
  const headers = r.headers
  for (let i = 0; i < headers.length; i++) {
    const header = headers[i] as (typeof headers)[number]
    const name = header[0]
    const value = header[1]
    if (value === null) continue
    if (name[0] === 0x63 && name[1] === 0x65 && name[2] === 0x5f) {
      const attribute = names.text(name, 3, name.length) ?? utf8Text(name, 3)
      const text = valueOf(attribute, value)
      if (text === undefined) draft.refuse(attribute, 'the header is not UTF-8')
      else draft.put(attribute, text)
      continue
    }
    const text = names.text(name, 0, name.length)
    if (text === CONTENT_TYPE || (text?.length === CONTENT_TYPE.length && text.toLowerCase() === CONTENT_TYPE))
      contentType = valueOf('', value)
    else if (text === 'traceparent') traceparent = strictText(value) ?? ''
    else if (text === 'tracestate') tracestate = strictText(value) ?? ''
  }
  const binary = draft.specversion !== undefined
  const form = contentForm(contentType)
  if (form.mode === 'not' && !binary) return null
  const envelope = envelopeOf(r.key, traceparent, tracestate, receivedMs)
  if (form.mode === 'structured' && r.value !== null && form.utf8) {
    if (form.format === 'json' || form.format === '') return eventOrNull(decodeStructured(r.value, envelope))
    if (form.format === 'protobuf') return eventOrNull(decodeProtobuf(r.value, envelope))
  }
  if (!binary) return null
  if (contentType !== undefined && contentType !== '') draft.datacontenttype = contentType
  return eventOrNull(draft.finish(r.value, envelope))
}

/** Types and sources repeat from event to event, ids and times do not. */
function valueOf(attribute: string, value: Uint8Array): string | undefined {
  const end = value.length
  if (attribute === 'id' || attribute === 'time') {
    if (isPrintable(value, 0, end)) return latin1Text(value, 0, end)
  } else {
    const kept = values.text(value, 0, end)
    if (kept !== undefined) return kept
  }
  draft.clean = false
  return strictText(value)
}

const MOST_NAMES = 1024
const wrappedNames = new Map<string, string>()

/** `X-Trace_Id` → `kafkaheaderxtraceid`; '' for the content type. Kept a name, because names repeat. */
function wrappedName(name: string): string {
  const known = wrappedNames.get(name)
  if (known !== undefined) return known
  const lower = name.toLowerCase()
  const wrapped = lower === CONTENT_TYPE ? '' : `kafkaheader${lower.replace(/[^a-z0-9]/g, '')}`
  if (wrappedNames.size >= MOST_NAMES) wrappedNames.clear()
  wrappedNames.set(name, wrapped)
  return wrapped
}

function eventOrNull(result: ReturnType<Draft['finish']>): CloudEvent | null {
  return isBad(result) ? null : result
}

function envelopeOf(key: Uint8Array | null, traceparent: string, tracestate: string, receivedMs: number): Envelope {
  const keyText = key === null ? '' : (strictText(key) ?? latin1Text(key, 0, key.length))
  if (keyText === '' && traceparent === '' && tracestate === '' && receivedMs === 0) return NEW_ENVELOPE
  return {
    ttl: NEW_ENVELOPE.ttl,
    hops: 0,
    traceparent,
    tracestate,
    headers: NEW_ENVELOPE.headers,
    key: keyText,
    receivedMs,
    root: '',
  }
}

/**
 * Any record as KafkaSource makes an event of it, byte for byte: id, subject, source and type from the record's place, the
 * key as `partitionkey` and `key`, headers as `kafkaheader<name>`. Knative InvalidCloudEventInterceptor
 */
export function wrapKafkaRecord(r: RawRecord, o: WrapOptions, receivedMs = 0): CloudEvent {
  const extensions: Extension[] = []
  const key = r.key === null || r.key.length === 0 ? null : keyValue(r.key, o.keyType)
  if (key !== null) extensions.push(['partitionkey', key], ['key', key])
  let contentType: string | undefined
  let traceparent = ''
  let tracestate = ''
  for (const [rawName, value] of r.headers) {
    // Knative fails on a header without a value; leaving it out keeps the record deliverable.
    if (value === null) continue
    const name = names.text(rawName, 0, rawName.length) ?? utf8Text(rawName)
    const text = values.text(value, 0, value.length) ?? utf8Text(value)
    const wrapped = wrappedName(name)
    if (wrapped === '') contentType = text.toLowerCase()
    else setLast(extensions, wrapped, text)
    if (name === 'traceparent') traceparent = text
    else if (name === 'tracestate') tracestate = text
  }
  return new CloudEvent({
    id: `partition:${r.partition}/offset:${r.offset}`,
    source: `/apis/v1/namespaces/${o.namespace}/kafkasources/${o.name}#${o.topic}`,
    type: 'dev.knative.kafka.event',
    subject: `partition:${r.partition}#${r.offset}`,
    time: javaInstant(r.timestampMs),
    datacontenttype: contentType === '' ? undefined : contentType,
    extensions,
    data: r.value,
    envelope: envelopeOf(r.key, traceparent, tracestate, receivedMs),
  })
}

/** Two header names may become one; the last one counts, as in Knative. A record has few headers. */
function setLast(extensions: Extension[], name: string, value: string): void {
  for (let i = 0; i < extensions.length; i++) {
    if ((extensions[i] as Extension)[0] !== name) continue
    extensions[i] = [name, value]
    return
  }
  extensions.push([name, value])
}

/** A key of the wrong size is read as text. Knative KeyDeserializer */
function keyValue(key: Uint8Array, type: KafkaKeyType): AttributeValue {
  if (type === 'byte-array') return key
  const view = new DataView(key.buffer, key.byteOffset, key.length)
  if (type === 'int' && key.length === 4) return view.getInt32(0)
  if (type === 'float' && key.length === 4) return javaFloat(view.getFloat32(0))
  if (type === 'float' && key.length === 8) return javaNumber(view.getFloat64(0))
  return utf8Text(key)
}

/** The second that was written last and its text: records come many a second, and `toISOString` costs 0.5 µs. */
let lastSecond = NaN
let lastSecondText = ''

/** ISO_OFFSET_DATE_TIME of Java leaves out trailing zeros of the fraction; undefined outside the years 0000 to 9999. */
function javaInstant(ms: number): string | undefined {
  if (!(ms >= -62_167_219_200_000 && ms <= 253_402_300_799_999)) return undefined
  const second = Math.floor(ms / 1000)
  if (second !== lastSecond) {
    lastSecond = second
    lastSecondText = new Date(second * 1000).toISOString().slice(0, 19)
  }
  const fraction = Math.floor(ms) - second * 1000
  if (fraction === 0) return `${lastSecondText}Z`
  return `${lastSecondText}.${String(1000 + fraction)
    .slice(1)
    .replace(/0+$/, '')}Z`
}

/** The shortest decimal that is this 32-bit float again. */
function javaFloat(value: number): string {
  for (let digits = 1; digits < 9; digits++) {
    const shorter = Number(value.toPrecision(digits))
    if (Math.fround(shorter) === value) return javaNumber(shorter)
  }
  return javaNumber(value)
}

/** As Double.toString of Java writes it, because that text is what Knative's subscribers see: 1.0, 1.0E10, 1.5E-5. */
function javaNumber(value: number): string {
  const size = Math.abs(value)
  if (!Number.isFinite(value)) return String(value)
  if (size === 0) return Object.is(value, -0) ? '-0.0' : '0.0'
  if (size >= 1e-3 && size < 1e7) return Number.isInteger(value) ? `${value}.0` : String(value)
  const [mantissa = '', exponent = ''] = value.toExponential().split('e')
  return `${mantissa.includes('.') ? mantissa : `${mantissa}.0`}E${Number(exponent)}`
}

const nameBytes = new Map<string, Uint8Array>()

/** `type` → the bytes of `ce_type`, made once. */
function headerName(attribute: string): Uint8Array {
  const known = nameBytes.get(attribute)
  if (known !== undefined) return known
  const bytes = utf8Bytes(`ce_${attribute}`)
  if (nameBytes.size >= MOST_NAMES) nameBytes.clear()
  nameBytes.set(attribute, bytes)
  return bytes
}

const CONTENT_TYPE_BYTES = utf8Bytes(CONTENT_TYPE)
const TRACEPARENT_BYTES = utf8Bytes('traceparent')
const TRACESTATE_BYTES = utf8Bytes('tracestate')

function bytesOf(value: AttributeValue): Uint8Array {
  if (typeof value === 'string') return utf8Bytes(value)
  return utf8Bytes(value instanceof Uint8Array ? base64Text(value) : String(value))
}

/**
 * The record of an event, binary unless `structured`: the key is the extension `partitionkey`, else null, as Knative
 * produces it; the trace context goes along as headers.
 */
export function toKafkaRecord(e: CloudEvent, structured = false): KafkaRecord {
  const partitionKey = e.attribute('partitionkey')
  const key = partitionKey === undefined ? null : partitionKey instanceof Uint8Array ? partitionKey : bytesOf(partitionKey)
  const headers: (readonly [Uint8Array, Uint8Array])[] = []
  if (e.envelope.traceparent !== '') headers.push([TRACEPARENT_BYTES, utf8Bytes(e.envelope.traceparent)])
  if (e.envelope.tracestate !== '') headers.push([TRACESTATE_BYTES, utf8Bytes(e.envelope.tracestate)])
  if (structured) {
    headers.push([CONTENT_TYPE_BYTES, utf8Bytes(STRUCTURED_JSON)])
    return { key, value: encodeStructured(e), headers }
  }
  const put = (name: string, value: AttributeValue | undefined): void => {
    if (value !== undefined) headers.push([headerName(name), bytesOf(value)])
  }
  put('specversion', e.specversion)
  put('id', e.id)
  put('source', e.source)
  put('type', e.type)
  put('subject', e.subject)
  put('time', e.time)
  put(e.specversion === '0.3' ? 'schemaurl' : 'dataschema', e.dataschema)
  for (const [name, value] of e.extensions as readonly Extension[]) put(name, value)
  if (e.datacontenttype !== undefined) headers.push([CONTENT_TYPE_BYTES, Buffer.from(e.datacontenttype, 'utf8')])
  return { key, value: e.data, headers }
}

import { isBad } from './attributes.ts'
import { latin1Text, TextCache } from './bytes.ts'
import { Draft } from './draft.ts'
import type { CloudEvent, Envelope } from './event.ts'
import { NEW_ENVELOPE } from './event.ts'
import { decodeHeaderValue, encodeHeaderValue, isPlainHeader } from './header-value.ts'
import { binaryHead } from './http.ts'
import { decodeStructured, encodeStructured } from './json.ts'
import { contentForm } from './media.ts'
import { decodeProtobuf } from './protobuf.ts'

/** What is to be published: header lines, each ended by CRLF, ASCII ('' = none), and the payload. */
export interface NatsContent {
  readonly head: string
  readonly payload: Uint8Array
}

/**
 * What travels with an event and is no attribute of it, as one more header. Only what has gone through a gateway already has
 * one: an event from outside is written as every SDK writes it, and they pass over the header.
 */
const ENVELOPE = 'sluice-envelope'
const NOTHING = new Uint8Array(0)
const STRUCTURED = 'content-type: application/cloudevents+json; charset=UTF-8\r\n'
const draft = new Draft()
const names = new TextCache('names')
const values = new TextCache('values')

/** What the walk over the header lines found beside the attributes; one message at a time, in one synchronous step. */
let contentType: string | undefined
let traceparent = ''
let tracestate = ''
let envelopeText = ''

/**
 * The event a message is, null when it is none. Binary where `ce-specversion` stands in the headers, else by the content
 * type, else JSON: before NATS had headers the payload was always a JSON event, and Knative writes it so to this day.
 * `block` is the header block as it came (`NATS/1.0` and lines), null = none; data is a view into `payload`.
 * CloudEvents NATS binding 1.0.2 §3, 1.0.3 §3.1
 */
export function fromNatsMessage(block: Uint8Array | null, payload: Uint8Array, receivedMs = 0): CloudEvent | null {
  contentType = undefined
  traceparent = tracestate = envelopeText = ''
  draft.begin('last-wins', true)
  if (block !== null) eachLine(block)
  const envelope = envelopeOf(receivedMs)
  const form = contentForm(contentType)
  if (form.mode === 'structured' && form.utf8) {
    if (form.format === 'json' || form.format === '') return eventOrNull(decodeStructured(payload, envelope))
    if (form.format === 'protobuf') return eventOrNull(decodeProtobuf(payload, envelope))
  }
  if (draft.specversion !== undefined) {
    if (contentType !== undefined && contentType !== '') draft.datacontenttype = contentType
    return eventOrNull(draft.finish(payload.length === 0 ? null : payload, envelope))
  }
  return form.mode === 'not' && looksLikeJson(payload) ? eventOrNull(decodeStructured(payload, envelope)) : null
}

function eventOrNull(result: ReturnType<Draft['finish']>): CloudEvent | null {
  return isBad(result) ? null : result
}

function looksLikeJson(payload: Uint8Array): boolean {
  let i = 0
  while (i < payload.length && (payload[i] as number) <= 0x20) i++
  return payload[i] === 0x7b
}

const CR = 0x0d
const COLON = 0x3a
const SPACE = 0x20

/** Names and values of the lines after the first, which is `NATS/1.0`. */
function eachLine(b: Uint8Array): void {
  let at = b.indexOf(CR) + 2
  while (at > 1 && at < b.length) {
    const end = b.indexOf(CR, at)
    if (end <= at) return
    const colon = b.indexOf(COLON, at)
    if (colon > at && colon < end) {
      let from = colon + 1
      while (from < end && b[from] === SPACE) from++
      collect(b, at, colon, from, end)
    }
    at = end + 2
  }
}

function collect(b: Uint8Array, nameAt: number, nameEnd: number, at: number, end: number): void {
  let name = names.text(b, nameAt, nameEnd) ?? latin1Text(b, nameAt, nameEnd)
  const first = name.charCodeAt(0)
  // Some clients write names as MIME has them: Ce-Type.
  if (first < 0x61) name = name.toLowerCase()
  if (name.startsWith('ce-')) {
    const attribute = name.slice(3)
    const text = attribute === 'id' || attribute === 'time' ? latin1Text(b, at, end) : valueAt(b, at, end)
    if (isPlainHeader(text)) return draft.put(attribute, text)
    draft.clean = false
    // Go's SDK writes values as they are: a percent sign that begins no sequence is one.
    draft.put(attribute, decodeHeaderValue(text) ?? text)
  } else if (name === 'content-type') contentType = valueAt(b, at, end)
  else if (name === 'traceparent') traceparent = latin1Text(b, at, end)
  else if (name === 'tracestate') tracestate = latin1Text(b, at, end)
  else if (name === ENVELOPE) envelopeText = latin1Text(b, at, end)
}

/** Types, sources and content types repeat from event to event. */
function valueAt(b: Uint8Array, at: number, end: number): string {
  return values.text(b, at, end) ?? latin1Text(b, at, end)
}

/** The value of one header, '' = it is not there. For what is no part of an event. */
export function natsHeader(block: Uint8Array | null, name: string): string {
  if (block === null) return ''
  const text = latin1Text(block, 0, block.length)
  const at = text.indexOf(`\r\n${name}:`)
  if (at < 0) return ''
  const from = at + name.length + 3
  const value = text.slice(from, text.indexOf('\r\n', from)).trim()
  return decodeHeaderValue(value) ?? value
}

/** One line for the head; the result can hold no line break whatever the value. */
export function natsHeaderLine(name: string, value: string): string {
  return `${name}: ${encodeHeaderValue(value)}\r\n`
}

function envelopeOf(receivedMs: number): Envelope {
  const kept = envelopeText === '' ? null : readEnvelope(envelopeText)
  if (kept === null && traceparent === '' && tracestate === '' && receivedMs === 0) return NEW_ENVELOPE
  return {
    ttl: kept?.ttl ?? NEW_ENVELOPE.ttl,
    hops: kept?.hops ?? 0,
    traceparent,
    tracestate,
    headers: kept?.headers ?? NEW_ENVELOPE.headers,
    key: kept?.key ?? '',
    receivedMs,
    root: kept?.root ?? '',
  }
}

/** null = nothing of ours: a reader of foreign text trusts none of it. */
function readEnvelope(header: string): Pick<Envelope, 'ttl' | 'hops' | 'root' | 'key' | 'headers'> | null {
  let value: unknown
  try {
    value = JSON.parse(decodeHeaderValue(header) ?? '')
  } catch {
    return null
  }
  if (!Array.isArray(value)) return null
  const [ttl, hops, root, key, headers] = value as readonly unknown[]
  if (!Number.isInteger(ttl) || !Number.isInteger(hops) || typeof root !== 'string' || typeof key !== 'string') return null
  if (!Array.isArray(headers) || !headers.every((h): h is string => typeof h === 'string')) return null
  return { ttl: ttl as number, hops: hops as number, root, key, headers }
}

/**
 * The message of an event, binary where that is possible: it costs two thirds of JSON, as nothing has to look at the data.
 * An event with empty data goes as JSON, since an empty payload is no data, and so does one with an empty attribute, which
 * readers of headers take for none.
 */
export function toNatsMessage(e: CloudEvent): NatsContent {
  const beside = besideHead(e.envelope)
  return isBinary(e)
    ? { head: beside + binaryHead(e), payload: e.data ?? NOTHING }
    : { head: beside + STRUCTURED, payload: encodeStructured(e) }
}

function isBinary(e: CloudEvent): boolean {
  if (e.data !== null && e.data.length === 0) return false
  const extensions = e.extensions
  for (let i = 0; i < extensions.length; i++) if (extensions[i]?.[1] === '') return false
  return e.datacontenttype !== ''
}

function besideHead({ ttl, hops, root, key, headers, traceparent: parent, tracestate: state }: Envelope): string {
  let head = ''
  if (parent !== '') head += natsHeaderLine('traceparent', parent)
  if (state !== '') head += `tracestate: ${plain(state)}\r\n`
  if (ttl === NEW_ENVELOPE.ttl && hops === 0 && root === '' && key === '' && headers.length === 0) return head
  return head + natsHeaderLine(ENVELOPE, JSON.stringify([ttl, hops, root, key, headers]))
}

/** A trace state has commas and equals signs, and may have spaces, which stand for themselves. */
function plain(state: string): string {
  return state.replace(/[^\x20-\x7e]/g, '')
}

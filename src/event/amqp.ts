import { Buffer } from 'node:buffer'
import { isBad } from './attributes.ts'
import { Draft } from './draft.ts'
import type { AttributeValue, Envelope } from './event.ts'
import { CloudEvent, NEW_ENVELOPE } from './event.ts'
import { decodeStructured, encodeStructured, STRUCTURED_JSON } from './json.ts'
import { contentForm } from './media.ts'
import { decodeProtobuf } from './protobuf.ts'

/**
 * A message of AMQP 0-9-1. Header values are as the client library has them: text, numbers, booleans, bytes, null, lists and
 * tables, and `{'!': 'timestamp', value: seconds}`. '' = the property is not there; AMQP knows no difference between no body and an empty one.
 */
export interface AmqpMessage {
  readonly body: Uint8Array
  readonly headers: Readonly<Record<string, unknown>>
  readonly contentType: string
  readonly messageId: string
  /** Seconds, 0 = none. */
  readonly timestamp: number
}

export interface AmqpWrapOptions {
  /** The source of the event: `/apis/v1/namespaces/<ns>/rabbitmqsources/<name>#<queue>`. */
  readonly source: string
  /** The id of a message that has none. */
  readonly newId: () => string
}

export const RABBITMQ_EVENT_TYPE = 'dev.knative.rabbitmq.event'

/** Headers of the gateway itself, never seen by anybody: what travels with an event and is no attribute of it. */
const OWN = 'sluice-'
const ENVELOPE = 'sluice-envelope'
/** Of RabbitMQ: `x-death`, `x-delivery-count`, … */
const SERVER = 'x-'
const CONTENT_TYPE = 'content-type'
/** CloudEvents AMQP 1.0.2 §3.1 and its older spelling, the prefixes of other bindings, and last that of eventing-rabbitmq: none. */
const PREFIXES = ['cloudEvents:', 'cloudEvents_', 'ce-', 'ce_', '']
const NAME = /^[a-z0-9]+$/
/** Go's way to write that an event has no time. */
const NO_TIME = '0001-01-01T00:00:00Z'
/** What all headers of a message may come to, roughly: they have to fit into one frame, with what the server adds. */
const MOST_HEADER_CHARACTERS = 12_000

const draft = new Draft()

/** The event a message is, binary or structured, null when it is none (wrap it). `receivedMs` is for the envelope. */
export function fromAmqpMessage(m: AmqpMessage, receivedMs = 0): CloudEvent | null {
  const { headers, body } = m
  const written = headers[CONTENT_TYPE] ?? headers['Content-Type'] ?? m.contentType
  const contentType = typeof written === 'string' && written !== '' ? written : m.contentType
  const own = ownOf(headers[ENVELOPE])
  const envelope = envelopeOf(headers, own, receivedMs)
  const form = contentForm(contentType)
  if (form.mode === 'structured' && form.utf8) {
    if (form.format === 'json' || form.format === '') return eventOrNull(decodeStructured(body, envelope))
    if (form.format === 'protobuf') return eventOrNull(decodeProtobuf(body, envelope))
  }
  const prefix = prefixOf(headers)
  if (prefix === undefined) return null
  draft.begin('last-wins', true)
  for (const header in headers) putHeader(header, headers[header], prefix)
  if (contentType !== '') draft.datacontenttype = contentType
  return eventOrNull(draft.finish(body.length === 0 && own?.empty !== true ? null : body, envelope))
}

/** How the attributes of this message are told apart from other headers; undefined = it has none. */
function prefixOf(headers: Readonly<Record<string, unknown>>): string | undefined {
  if (headers['specversion'] !== undefined) return ''
  for (const prefix of PREFIXES) if (headers[`${prefix}specversion`] !== undefined) return prefix
  return undefined
}

function putHeader(header: string, value: unknown, prefix: string): void {
  let name = header
  if (prefix !== '') {
    if (!header.startsWith(prefix)) return
    name = header.slice(prefix.length)
  } else if (header.startsWith('ce-')) {
    // Where a bare header means something else: see `bareName`.
    name = header.slice(3)
  } else if (header.startsWith(SERVER) || header === 'traceparent' || header === 'tracestate') return
  // Among bare headers there may be anything: what cannot be an attribute is none.
  if (!NAME.test(name)) return
  const attribute = attributeOf(value)
  if (attribute === undefined || (name === 'time' && attribute === NO_TIME)) return
  if (typeof attribute === 'string') {
    if (!PRINTABLE.test(attribute)) draft.clean = false
    draft.put(name, attribute)
  } else draft.put(name, CONTEXT.has(name) ? textOf(attribute) : attribute)
}

/** Needs no further check as text. */
const PRINTABLE = /^[\x20-\x7e]*$/

const CONTEXT = new Set(['id', 'source', 'type', 'specversion', 'subject', 'time', 'datacontenttype', 'dataschema', 'schemaurl'])

/** A header as an attribute; undefined = there is nothing in it. Lists and tables are shown as JSON. */
function attributeOf(value: unknown): AttributeValue | undefined {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
      // An attribute's integers have 32 bits.
      return (value | 0) === value ? value : String(value)
    case 'object':
      if (value === null) return undefined
      if (value instanceof Uint8Array) return value
      return typedOf(value as Readonly<Record<string, unknown>>)
    default:
      return undefined
  }
}

/** What JavaScript has no type of its own for: CloudEvents AMQP 1.0.2 §2.2 says how a timestamp looks. */
function typedOf(value: Readonly<Record<string, unknown>>): string | undefined {
  const inside = value['value']
  if (value['!'] === 'timestamp' && typeof inside === 'number') return timeOf(inside)
  if (value['!'] === 'decimal') {
    const { places, digits } = inside as { readonly places: number; readonly digits: number }
    return String(digits / 10 ** places)
  }
  return JSON.stringify(value)
}

function textOf(value: AttributeValue): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString() : String(value)
}

/** Some senders write milliseconds. */
function timeOf(seconds: number): string | undefined {
  const ms = seconds > 1e11 ? seconds : seconds * 1000
  return ms > 0 && ms < 253_402_300_800_000 ? new Date(ms).toISOString() : undefined
}

function eventOrNull(result: ReturnType<Draft['finish']>): CloudEvent | null {
  return isBad(result) ? null : result
}

/** Any message as RabbitmqSource makes an event of it: id and subject from the message id, the body untouched. */
export function wrapAmqpMessage(m: AmqpMessage, o: AmqpWrapOptions, receivedMs = 0): CloudEvent {
  const id = m.messageId === '' ? o.newId() : m.messageId
  return new CloudEvent({
    id,
    source: o.source,
    type: RABBITMQ_EVENT_TYPE,
    subject: id,
    time: m.timestamp > 0 ? timeOf(m.timestamp) : undefined,
    datacontenttype: m.contentType === '' ? undefined : m.contentType,
    data: m.body.length === 0 ? null : m.body,
    envelope: envelopeOf(m.headers, null, receivedMs),
  })
}

/**
 * The message of an event, as eventing-rabbitmq writes it: attributes as bare headers, typed; or structured, also where the
 * attributes are too many for the headers of a message. What travels hidden with it is one more header.
 */
export function toAmqpMessage(e: CloudEvent, structured = false): Omit<AmqpMessage, 'timestamp'> {
  const headers: Record<string, unknown> = {}
  const { traceparent, tracestate } = e.envelope
  if (traceparent !== '') headers['traceparent'] = traceparent
  if (tracestate !== '') headers['tracestate'] = tracestate
  const hidden = hiddenOf(e)
  if (hidden !== '') headers[ENVELOPE] = hidden
  if (structured || !fitsHeaders(e)) return { headers, contentType: STRUCTURED_JSON, messageId: '', body: encodeStructured(e) }
  headers['specversion'] = e.specversion
  headers['id'] = e.id
  headers['source'] = e.source
  headers['type'] = e.type
  if (e.subject !== undefined) headers['subject'] = e.subject
  if (e.time !== undefined) headers['time'] = e.time
  if (e.dataschema !== undefined) headers[e.specversion === '0.3' ? 'schemaurl' : 'dataschema'] = e.dataschema
  if (e.datacontenttype !== undefined) headers[CONTENT_TYPE] = e.datacontenttype
  for (const [name, value] of e.extensions) headers[bareName(name)] = value instanceof Uint8Array ? Buffer.from(value) : value
  return { headers, contentType: e.datacontenttype ?? '', messageId: e.id, body: e.data ?? NO_DATA }
}

const NO_DATA = Buffer.alloc(0)

/** A bare header of these names is the trace itself, not an attribute. */
function bareName(attribute: string): string {
  return attribute === 'traceparent' || attribute === 'tracestate' ? `ce-${attribute}` : attribute
}

function fitsHeaders(e: CloudEvent): boolean {
  let size = e.id.length + e.source.length + e.type.length + (e.subject?.length ?? 0) + (e.dataschema?.length ?? 0)
  for (const [name, value] of e.extensions)
    size += name.length + 8 + (typeof value === 'string' || value instanceof Uint8Array ? value.length : 0)
  return size <= MOST_HEADER_CHARACTERS
}

// -- what travels hidden ----------------------------------------------------------------------------------------------

interface Hidden extends Pick<Envelope, 'ttl' | 'hops' | 'root' | 'headers' | 'key'> {
  /** There is data, of no length. */
  readonly empty: boolean
}

/** '' = nothing: an event from outside is written as eventing-rabbitmq writes it. */
function hiddenOf(e: CloudEvent): string {
  const { ttl, hops, root, headers, key } = e.envelope
  const empty = e.data !== null && e.data.length === 0
  if (ttl === NEW_ENVELOPE.ttl && hops === 0 && root === '' && headers.length === 0 && key === '' && !empty) return ''
  return JSON.stringify([ttl, hops, root, headers, key, empty])
}

/** null = nothing of ours: a reader of foreign headers trusts no text. */
function ownOf(header: unknown): Hidden | null {
  if (typeof header !== 'string') return null
  try {
    const value: unknown = JSON.parse(header)
    if (!Array.isArray(value)) return null
    const [ttl, hops, root, headers, key, empty] = value as readonly unknown[]
    if (!Number.isInteger(ttl) || !Number.isInteger(hops) || typeof root !== 'string' || typeof key !== 'string') return null
    if (!Array.isArray(headers) || !headers.every((h): h is string => typeof h === 'string')) return null
    return { ttl: ttl as number, hops: hops as number, root, headers, key, empty: empty === true }
  } catch {
    return null
  }
}

function envelopeOf(headers: Readonly<Record<string, unknown>>, own: Hidden | null, receivedMs: number): Envelope {
  const traceparent = headers['traceparent']
  const tracestate = headers['tracestate']
  return {
    ttl: own?.ttl ?? NEW_ENVELOPE.ttl,
    hops: own?.hops ?? 0,
    traceparent: typeof traceparent === 'string' ? traceparent : '',
    tracestate: typeof tracestate === 'string' ? tracestate : '',
    headers: own?.headers ?? NEW_ENVELOPE.headers,
    key: own?.key ?? '',
    receivedMs,
    root: own?.root ?? '',
  }
}

/** Headers as text, for the person who looks at a message that is no event. */
export function headerTexts(headers: Readonly<Record<string, unknown>>): (readonly [string, string])[] {
  return Object.entries(headers)
    .filter(([name]) => !name.startsWith(OWN))
    .map(([name, value]) => [name, textOf(attributeOf(value) ?? '')])
}

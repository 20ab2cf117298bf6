import type { BadEvent } from './attributes.ts'
import { badEvent, checkAttributeName, isBad, shown } from './attributes.ts'
import { Draft } from './draft.ts'
import type { CloudEvent, Envelope } from './event.ts'
import { NEW_ENVELOPE } from './event.ts'
import { contentTypeText, decodeHeaderValue, headerText, isPlainHeader } from './header-value.ts'
import { decodeBatch, decodeStructured } from './json.ts'
import { decodeProtobuf, decodeProtobufBatch } from './protobuf.ts'
import type { ContentForm } from './media.ts'
import { contentForm, NOT_A_FORM } from './media.ts'

/** Headers of a request or an answer; `get` gives undefined or '' for one that is not there. */
export interface HeaderView {
  get(lowerName: string): string | undefined
  each(f: (lowerName: string, value: string) => void): void
}

export interface DecodeOptions {
  /** Events a batch may have; no limit unless given. */
  readonly mostEvents?: number
  /** Wall clock, ms, for the envelope. */
  readonly receivedMs?: number
}

/**
 * What a request or an answer is. `none`: nothing claims to be a CloudEvent. `bad`: something does and is none; its code
 * tells the answer: `ingress.bad-event` 400, `ingress.loop` 400, `ingress.media-type` 415, `ingress.too-large` 413.
 */
export type DecodedHttp =
  | { readonly kind: 'events'; readonly mode: 'binary' | 'structured' | 'batch'; readonly events: readonly CloudEvent[] }
  | BadEvent
  | { readonly kind: 'none' }

const draft = new Draft()

/** What `collect` finds beside the attributes; one request at a time, in one synchronous step. */
let traceparent = ''
let tracestate = ''
let passed: string[] = []
let wanted = true

const MOST_NAMES = 1024
const attributeOfHeader = new Map<string, string>()

/** `ce-type` → `type`; '' when the rest is no attribute name. Kept, so that the name is one object for every event. */
function attributeName(header: string): string {
  const known = attributeOfHeader.get(header)
  if (known !== undefined) return known
  const rest = header.slice(3)
  const name = checkAttributeName(rest) === null ? rest : ''
  if (attributeOfHeader.size >= MOST_NAMES) attributeOfHeader.clear()
  attributeOfHeader.set(header, name)
  return name
}

function collect(name: string, value: string): void {
  if (name.startsWith('ce-')) {
    if (!wanted) return
    const attribute = attributeName(name)
    if (attribute === '') {
      draft.refuse(name.slice(3), checkAttributeName(name.slice(3)) ?? '')
      return
    }
    if (isPlainHeader(value)) {
      draft.put(attribute, value)
      return
    }
    draft.clean = false
    const text = decodeHeaderValue(value)
    if (text === undefined)
      draft.refuse(attribute, `the header "${name}" is not percent-encoded as it should be: "${shown(value)}"`)
    else draft.put(attribute, text)
  } else if (name === 'traceparent') traceparent = value
  else if (name === 'tracestate') tracestate = tracestate === '' ? value : `${tracestate},${value}`
  else if (isPassed(name)) passed.push(name, value)
}

/** What Knative hands on with an event. `pkg/kncloudevents`: x-request-id, knative-*, and B3 traces */
function isPassed(name: string): boolean {
  return name === 'x-request-id' || name.startsWith('knative-') || name.startsWith('x-b3-')
}

function envelopeOf(receivedMs: number): Envelope {
  if (receivedMs === 0 && traceparent === '' && tracestate === '' && passed.length === 0) return NEW_ENVELOPE
  return { ttl: NEW_ENVELOPE.ttl, hops: 0, traceparent, tracestate, headers: passed, key: '', receivedMs, root: '' }
}

/**
 * Reads a request or an answer in any of the three content modes. The data of the events is a view into `body`, never a
 * copy. `knativebrokerttl` moves into the envelope (one pass taken off); one that is used up is refused here.
 */
export function decodeHttp(headers: HeaderView, body: Uint8Array | null, o: DecodeOptions = {}): DecodedHttp {
  const contentType = headers.get('content-type')
  let form = contentForm(contentType)
  // A format that nobody here can read may still be the data of a binary event. HTTP binding 1.0.2 §3
  if (form.mode !== 'not' && !isReadable(form) && (headers.get('ce-specversion') ?? '') !== '') form = NOT_A_FORM
  wanted = form.mode === 'not'
  draft.begin('refused', false)
  traceparent = tracestate = ''
  passed = []
  headers.each(collect)
  const envelope = envelopeOf(o.receivedMs ?? 0)
  return form.mode === 'not' ? decodeBinary(contentType, body, envelope) : decodeForm(form, body, envelope, o.mostEvents)
}

function decodeBinary(contentType: string | undefined, body: Uint8Array | null, envelope: Envelope): DecodedHttp {
  const claims = draft.specversion ?? draft.id ?? draft.source ?? draft.type
  if (claims === undefined) return { kind: 'none' }
  if (contentType !== undefined && contentType !== '') draft.datacontenttype = contentType
  const event = draft.finish(body === null || body.length === 0 ? null : body, envelope)
  if (isBad(event)) return event
  return spent(event) ?? { kind: 'events', mode: 'binary', events: [event] }
}

function isReadable(form: ContentForm): boolean {
  return form.utf8 && (form.format === 'json' || form.format === '' || form.format === 'protobuf')
}

function decodeForm(form: ContentForm, body: Uint8Array | null, envelope: Envelope, mostEvents: number | undefined): DecodedHttp {
  if (!isReadable(form)) {
    const what = form.utf8 ? `the format "${shown(form.format)}"` : 'this charset'
    return badEvent('', `${what} of events is not known here: send json or protobuf, in UTF-8`, 'ingress.media-type')
  }
  if (body === null || body.length === 0) return badEvent('', 'the body is empty, but its content type says it is an event')
  const protobuf = form.format === 'protobuf'
  if (form.mode === 'structured') {
    const event = protobuf ? decodeProtobuf(body, envelope) : decodeStructured(body, envelope)
    if (isBad(event)) return event
    return spent(event) ?? { kind: 'events', mode: 'structured', events: [event] }
  }
  const events = protobuf ? decodeProtobufBatch(body, envelope, mostEvents) : decodeBatch(body, envelope, mostEvents)
  if (isBad(events)) return events
  for (const event of events) {
    const loop = spent(event)
    if (loop !== null) return loop
  }
  return { kind: 'events', mode: 'batch', events }
}

function spent(event: CloudEvent): BadEvent | null {
  if (event.envelope.ttl > 0) return null
  return badEvent('knativebrokerttl', '"knativebrokerttl" is used up: the event has gone round in a loop', 'ingress.loop')
}

const headOfName = new Map<string, string>()

/** `name` → `ce-name: `, checked once a name, so that nothing can be smuggled into a head by a name either. */
function headerHead(name: string): string {
  const known = headOfName.get(name)
  if (known !== undefined) return known
  const head = `ce-${name.toLowerCase().replace(/[^a-z0-9]/g, '')}: `
  if (headOfName.size >= MOST_NAMES) headOfName.clear()
  headOfName.set(name, head)
  return head
}

/**
 * The attributes as header lines, each ended by CRLF, ready to be written: ASCII, percent-encoded, `content-type` where the
 * event has one, no `content-length`. Made once an attempt: plain concatenation, 0.4 µs for six attributes.
 */
export function binaryHead(e: CloudEvent): string {
  const old = e.specversion === '0.3'
  let head = (old ? 'ce-specversion: 0.3\r\nce-id: ' : 'ce-specversion: 1.0\r\nce-id: ') + headerText(e.id)
  head += '\r\nce-source: ' + headerText(e.source) + '\r\nce-type: ' + headerText(e.type) + '\r\n'
  if (e.subject !== undefined) head += 'ce-subject: ' + headerText(e.subject) + '\r\n'
  if (e.time !== undefined) head += 'ce-time: ' + headerText(e.time) + '\r\n'
  if (e.dataschema !== undefined) head += (old ? 'ce-schemaurl: ' : 'ce-dataschema: ') + headerText(e.dataschema) + '\r\n'
  const extensions = e.extensions
  for (let i = 0; i < extensions.length; i++) {
    const x = extensions[i] as (typeof extensions)[number]
    head += headerHead(x[0]) + headerText(x[1]) + '\r\n'
  }
  if (e.datacontenttype !== undefined) head += 'content-type: ' + contentTypeText(e.datacontenttype) + '\r\n'
  return head
}

/** The same as name, value, name, value …, for clients that take headers as a list. */
export function binaryHeaders(e: CloudEvent): string[] {
  const list = ['ce-specversion', e.specversion, 'ce-id', headerText(e.id), 'ce-source', headerText(e.source)]
  list.push('ce-type', headerText(e.type))
  if (e.subject !== undefined) list.push('ce-subject', headerText(e.subject))
  if (e.time !== undefined) list.push('ce-time', headerText(e.time))
  if (e.dataschema !== undefined) list.push(e.specversion === '0.3' ? 'ce-schemaurl' : 'ce-dataschema', headerText(e.dataschema))
  for (const [name, value] of e.extensions) list.push(headerHead(name).slice(0, -2), headerText(value))
  if (e.datacontenttype !== undefined) list.push('content-type', contentTypeText(e.datacontenttype))
  return list
}

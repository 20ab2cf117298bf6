import { isBad } from './attributes.ts'
import { base64Text } from './bytes.ts'
import { Draft } from './draft.ts'
import type { AttributeValue, Envelope, Extension } from './event.ts'
import { CloudEvent, NEW_ENVELOPE } from './event.ts'
import { decodeStructured, encodeStructured } from './json.ts'
import { contentForm } from './media.ts'
import { decodeProtobuf } from './protobuf.ts'

/** A RocketMQ message without its delivery details. `tag` and `keys` '' = none; properties are the user's. */
export interface RocketMqMessage {
  readonly topic: string
  readonly tag: string
  readonly keys: string
  readonly properties: Readonly<Record<string, string>>
  readonly body: Uint8Array | null
}

export interface RocketMqWrapOptions {
  /** Identity of a message; it stays the same when it is delivered again. */
  readonly messageId: string
  /** Names the RocketMQ instance; the source of the event is `<instance>/<topic>`. */
  readonly instance: string
  readonly type: string
  /** When the message was sent, wall clock ms; 0 = not known. */
  readonly bornMs: number
}

/** What the client and the broker put among the properties for themselves. */
const SYSTEM = new Set(
  (
    'TAGS KEYS DELAY WAIT UNIQ_KEY CLUSTER TRACE_ON MSG_REGION MIN_OFFSET MAX_OFFSET REAL_TOPIC REAL_QID RETRY_TOPIC ' +
    'RECONSUME_TIME ORIGIN_MESSAGE_ID TRAN_MSG PGROUP __SHARDINGKEY'
  ).split(' '),
)

const PREFIX = 'CE_'
const STRUCTURED = 'application/cloudevents+json; charset=UTF-8'
const draft = new Draft()

/**
 * The event a message is, binary or structured, null when it is none (wrap it, or park it). Both spellings of the content
 * type are read, `CE_datacontenttype` and the `CE_contenttype` of the written binding. RocketMQ transport binding §3
 */
export function fromRocketMqMessage(m: RocketMqMessage, receivedMs = 0): CloudEvent | null {
  draft.begin('last-wins', true)
  draft.clean = false
  let contentType: string | undefined
  for (const property of Object.keys(m.properties)) {
    if (!property.startsWith(PREFIX)) continue
    const name = property.slice(PREFIX.length)
    const value = m.properties[property] as string
    const lower = name.toLowerCase()
    if (lower === 'datacontenttype') contentType = value
    else if (lower === 'contenttype') contentType ??= value
    else draft.put(name, value)
  }
  const envelope = envelopeOf(m, receivedMs)
  const form = contentForm(contentType)
  if (form.mode === 'structured' && m.body !== null && form.utf8) {
    if (form.format === 'json' || form.format === '') return eventOrNull(decodeStructured(m.body, envelope))
    if (form.format === 'protobuf') return eventOrNull(decodeProtobuf(m.body, envelope))
  }
  if (draft.specversion === undefined) return null
  if (contentType !== undefined && contentType !== '') draft.datacontenttype = contentType
  return eventOrNull(draft.finish(m.body, envelope))
}

function eventOrNull(result: ReturnType<Draft['finish']>): CloudEvent | null {
  return isBad(result) ? null : result
}

function envelopeOf(m: RocketMqMessage, receivedMs: number): Envelope {
  const key = m.properties['__SHARDINGKEY'] ?? ''
  const traceparent = m.properties['traceparent'] ?? ''
  const tracestate = m.properties['tracestate'] ?? ''
  if (key === '' && traceparent === '' && receivedMs === 0) return NEW_ENVELOPE
  return { ...NEW_ENVELOPE, key, traceparent, tracestate, receivedMs }
}

/**
 * Any message as an event: id from the message id, tag and keys as `rocketmqtag` and `rocketmqkeys`, every property of the
 * user as `rocketmqproperty<name>` (lower case, letters and digits), the body untouched.
 */
export function wrapRocketMqMessage(m: RocketMqMessage, o: RocketMqWrapOptions, receivedMs = 0): CloudEvent {
  const extensions = new Map<string, AttributeValue>()
  const tag = m.tag || (m.properties['TAGS'] ?? '')
  const keys = m.keys || (m.properties['KEYS'] ?? '')
  if (tag !== '') extensions.set('rocketmqtag', tag)
  if (keys !== '') extensions.set('rocketmqkeys', keys)
  for (const [name, value] of Object.entries(m.properties)) {
    if (SYSTEM.has(name)) continue
    extensions.set(`rocketmqproperty${name.toLowerCase().replace(/[^a-z0-9]/g, '')}`, value)
  }
  return new CloudEvent({
    id: o.messageId,
    source: `${o.instance}/${m.topic}`,
    type: o.type,
    time: o.bornMs > 0 ? new Date(o.bornMs).toISOString() : undefined,
    extensions: [...extensions],
    data: m.body,
    envelope: envelopeOf(m, receivedMs),
  })
}

/**
 * The message of an event, binary where that is possible. The client drops empty properties silently and refuses control
 * characters, so an event with such an attribute goes structured and arrives whole. `CE_datacontenttype` is written.
 */
export function toRocketMqMessage(
  e: CloudEvent,
  to: { readonly topic: string; readonly tag?: string; readonly keys?: string; readonly structured?: boolean },
): RocketMqMessage {
  const { topic, tag = '', keys = '' } = to
  const properties: Record<string, string> = {}
  if (e.envelope.traceparent !== '') properties['traceparent'] = e.envelope.traceparent
  if (e.envelope.tracestate !== '') properties['tracestate'] = e.envelope.tracestate
  const attributes = attributesOf(e)
  if (to.structured === true || attributes.some(([, value]) => value === '' || hasControl(value))) {
    return { topic, tag, keys, properties: { ...properties, CE_datacontenttype: STRUCTURED }, body: encodeStructured(e) }
  }
  for (const [name, value] of attributes) properties[PREFIX + name] = value
  return { topic, tag, keys, properties, body: e.data }
}

function attributesOf(e: CloudEvent): [name: string, value: string][] {
  const list: [string, string][] = [
    ['specversion', e.specversion],
    ['id', e.id],
    ['source', e.source],
    ['type', e.type],
  ]
  if (e.subject !== undefined) list.push(['subject', e.subject])
  if (e.time !== undefined) list.push(['time', e.time])
  if (e.datacontenttype !== undefined) list.push(['datacontenttype', e.datacontenttype])
  if (e.dataschema !== undefined) list.push([e.specversion === '0.3' ? 'schemaurl' : 'dataschema', e.dataschema])
  for (const [name, value] of e.extensions as readonly Extension[])
    list.push([name, value instanceof Uint8Array ? base64Text(value) : String(value)])
  return list
}

function hasControl(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const c = value.charCodeAt(i)
    if (c < 0x20 || c === 0x7f) return true
  }
  return false
}

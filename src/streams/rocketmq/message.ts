import { createHash } from 'node:crypto'
import type { DetachedState } from '../../contract/delivery.ts'
import { type CloudEvent, type Envelope, type Extension, NEW_ENVELOPE } from '../../event/event.ts'
import { type RocketMqMessage, toRocketMqMessage } from '../../event/rocketmq.ts'
import { sourceEventOf } from '../../sources/rocketmq/decode.ts'
import { decodeState, encodeState, STATE_NAME } from '../../sources/queue/state.ts'
import type { ReceivedMessage } from '../../vendor/rocketmq/messages.ts'
import type { OutMessage } from '../../vendor/rocketmq/producer.ts'

/** What travels with an event and is no attribute of it; only what has gone through a gateway already has one. */
const ENVELOPE_PROPERTY = 'sluice-envelope'
/** The same as extensions of a structured event, where properties have no room for them. */
const ENVELOPE_EXTENSION = 'sluiceenvelope'
const STATE_EXTENSION = 'sluicestate'

/** The proxy takes 128 properties and 16 KiB of them. */
const MOST_PROPERTIES = 100
const MOST_PROPERTY_BYTES = 12 * 1024
const MOST_GROUP_CHARACTERS = 64
const NO_BODY = new Uint8Array(0)

export interface Addressed {
  readonly topic: string
  /** '' = none. */
  readonly tag?: string
  readonly fifo?: boolean
  /** Wall clock ms, 0 = at once. */
  readonly deliverAtMs?: number
  readonly state?: DetachedState
}

/**
 * The message of an event: binary where that can be, structured where the client would drop or refuse something of it (an
 * empty or odd value, no data at all, more attributes than properties have room for), so that it arrives whole.
 */
export function messageOf(event: CloudEvent, to: Addressed): OutMessage {
  const group = to.fifo === true ? messageGroupOf(event) : ''
  const envelope = envelopeText(event.envelope, group)
  const state = to.state === undefined ? '' : encodeState(to.state)
  let m = toRocketMqMessage(event, { topic: to.topic, structured: event.data === null || event.data.length === 0 })
  const properties = m.properties as Record<string, string>
  if (envelope !== '') properties[ENVELOPE_PROPERTY] = envelope
  if (state !== '') properties[STATE_NAME] = state
  if (!fits(properties)) m = structured(event, to.topic, envelope, state)
  return {
    topic: to.topic,
    tag: to.tag ?? '',
    properties: m.properties,
    body: m.body ?? NO_BODY,
    group,
    deliverAtMs: to.deliverAtMs ?? 0,
  }
}

/** The event a message is; what is no valid one is wrapped as a RocketMQSource wraps it, so that nothing is dropped. */
export function eventOf(
  m: ReceivedMessage,
  instance: string,
  nowMs: number,
): { readonly event: CloudEvent; readonly state: DetachedState | null } {
  const event = sourceEventOf(m, instance, nowMs)
  let envelope = m.properties[ENVELOPE_PROPERTY]
  let state = m.properties[STATE_NAME]
  let extensions = event.extensions
  if (extensions.some(isHidden)) {
    for (const [name, value] of extensions) {
      if (name === ENVELOPE_EXTENSION) envelope = String(value)
      else if (name === STATE_EXTENSION) state = String(value)
    }
    extensions = extensions.filter((e) => !isHidden(e))
  }
  const more = envelope === undefined ? null : readEnvelope(envelope)
  const waited = state === undefined ? null : decodeState(state)
  if (more === null && extensions === event.extensions) return { event, state: waited }
  return { event: event.with({ extensions, envelope: { ...event.envelope, ...more } }), state: waited }
}

function isHidden([name]: Extension): boolean {
  return name === ENVELOPE_EXTENSION || name === STATE_EXTENSION
}

/** Everything in the body: of any length, of any characters. */
function structured(event: CloudEvent, topic: string, envelope: string, state: string): RocketMqMessage {
  const extensions = [...event.extensions]
  const traced = event.envelope.traceparent.length + event.envelope.tracestate.length < MOST_PROPERTY_BYTES / 2
  if (envelope !== '') extensions.push([ENVELOPE_EXTENSION, envelope])
  if (state !== '') extensions.push([STATE_EXTENSION, state])
  const plain = traced ? event.envelope : NEW_ENVELOPE
  return toRocketMqMessage(event.with({ extensions, envelope: plain }), { topic, structured: true })
}

function fits(properties: Readonly<Record<string, string>>): boolean {
  let count = 0
  let bytes = 0
  for (const name in properties) {
    count++
    bytes += name.length + Buffer.byteLength(properties[name] as string)
  }
  return count <= MOST_PROPERTIES && bytes <= MOST_PROPERTY_BYTES
}

/** What orders an event; one without a key is in a group of its own, so that it waits for nobody. */
function messageGroupOf(event: CloudEvent): string {
  const partition = event.attribute('partitionkey')
  const key = typeof partition === 'string' && partition !== '' ? partition : event.envelope.key
  const group = key === '' ? event.id : key
  if (group.length <= MOST_GROUP_CHARACTERS && /^[\x21-\x7e]+$/.test(group)) return group
  return createHash('sha256').update(group).digest('hex')
}

/** '' = there is nothing to say. The message group says the key where it is one. */
function envelopeText({ ttl, hops, headers, root, key }: Envelope, group: string): string {
  if (ttl === NEW_ENVELOPE.ttl && hops === 0 && root === '' && headers.length === 0 && group === key) return ''
  // Control characters that JSON leaves as they are.
  const escaped = (c: string): string => `\\u00${c.charCodeAt(0).toString(16)}`
  return JSON.stringify([ttl, hops, root, headers, key]).replace(/[\u007f-\u009f]/g, escaped)
}

/** null = nothing of ours: a reader of foreign messages trusts no text. */
function readEnvelope(text: string): Pick<Envelope, 'ttl' | 'hops' | 'root' | 'headers' | 'key'> | null {
  try {
    const value: unknown = JSON.parse(text)
    if (!Array.isArray(value)) return null
    const [ttl, hops, root, headers, key] = value as readonly unknown[]
    if (!Number.isInteger(ttl) || !Number.isInteger(hops) || typeof root !== 'string' || typeof key !== 'string') return null
    if (!Array.isArray(headers) || !headers.every((h): h is string => typeof h === 'string')) return null
    return { ttl: ttl as number, hops: hops as number, root, headers, key }
  } catch {
    return null
  }
}

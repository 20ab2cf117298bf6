import { NEW_ENVELOPE, type CloudEvent, type Envelope } from '../../event/event.ts'
import { fromKafkaRecord, type RawRecord, toKafkaRecord, wrapKafkaRecord, type WrapOptions } from '../../event/kafka.ts'
import type { OutRecord } from '../../vendor/kafka/produce.ts'
import type { RecordCursor } from '../../vendor/kafka/records.ts'

/**
 * What travels with an event and is no attribute of it, as one more header. Only what has gone through a gateway already has
 * one: an event from outside is written byte for byte as Knative writes it, and Knative passes over the header.
 */
const ENVELOPE = 'sluice-envelope'
const ENVELOPE_BYTES = Buffer.from(ENVELOPE)

export function recordOf(event: CloudEvent, structured: boolean): OutRecord {
  const record = toKafkaRecord(event, structured)
  const { ttl, hops, headers, root } = event.envelope
  if (ttl === NEW_ENVELOPE.ttl && hops === 0 && root === '' && headers.length === 0) return record
  const text = JSON.stringify([ttl, hops, root, headers])
  return { ...record, headers: [...record.headers, [ENVELOPE_BYTES, Buffer.from(text)]] }
}

/** What is looked at of a record that was read. */
export type RecordRead = Pick<RecordCursor, 'offset' | 'timestampMs' | 'key' | 'value' | 'headers'>

/** The event a record is; what is no valid one is wrapped as a KafkaSource wraps it, so that nothing is dropped. */
export function eventOf(c: RecordRead, topic: string, partition: number, wrap: WrapOptions, nowMs: number): CloudEvent {
  const raw: RawRecord = {
    topic,
    partition,
    offset: c.offset,
    timestampMs: c.timestampMs,
    key: c.key,
    value: c.value,
    headers: c.headers,
  }
  const event = fromKafkaRecord(raw, nowMs) ?? wrapKafkaRecord(raw, wrap, nowMs)
  const last = c.headers.at(-1)
  if (last === undefined || last[1] === null || !isEnvelope(last[0])) return event
  const more = readEnvelope(last[1])
  return more === null ? event : event.with({ envelope: { ...event.envelope, ...more } })
}

function isEnvelope(name: Uint8Array): boolean {
  return name.length === ENVELOPE_BYTES.length && ENVELOPE_BYTES.equals(name)
}

/** null = nothing of ours: a reader of foreign bytes trusts no text. */
function readEnvelope(bytes: Uint8Array): Pick<Envelope, 'ttl' | 'hops' | 'root' | 'headers'> | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString())
    if (!Array.isArray(value)) return null
    const [ttl, hops, root, headers] = value as readonly unknown[]
    if (!Number.isInteger(ttl) || !Number.isInteger(hops) || typeof root !== 'string') return null
    if (!Array.isArray(headers) || !headers.every((h): h is string => typeof h === 'string')) return null
    return { ttl: ttl as number, hops: hops as number, root, headers }
  } catch {
    return null
  }
}

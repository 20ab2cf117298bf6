import type { DetachedState, Undecodable } from '../../../contract/delivery.ts'
import type { CloudEvent } from '../../../event/event.ts'
import type { WrapOptions } from '../../../event/kafka.ts'
import { decodeState, encodeState, STATE_NAME } from '../../../sources/queue/state.ts'
import type { OutRecord } from '../../../vendor/kafka/produce.ts'
import type { RecordHeader } from '../../../vendor/kafka/records.ts'
import { eventOf, recordOf, type RecordRead } from '../record.ts'

/** Where a kept delivery was read first, and what is known of it beside its state. */
export interface Origin {
  readonly topic: string
  /** -1 = it comes from the data folder of an earlier version, and `offset` tells it there. */
  readonly partition: number
  readonly offset: number
  readonly redelivery: number
}

/** What stands in `<group>.parked`. Either `event` or `undecodable` is there. */
export interface ParkedRecord {
  readonly event: CloudEvent | null
  readonly undecodable: Undecodable | null
  readonly state: DetachedState
  readonly origin: Origin
  /** Key of the subscription it was parked for. */
  readonly subscription: string
  /** Wall clock. */
  readonly parkedMs: number
}

const STATE_BYTES = Buffer.from(STATE_NAME)
const ORIGIN_BYTES = Buffer.from('sluice-origin')
const PARKED_BYTES = Buffer.from('sluice-parked')
const EMPTY = new Uint8Array(0)
const UNKNOWN: Origin = { topic: '', partition: -1, offset: 0, redelivery: 0 }

/** What a delivery that waits long stands in `<group>.retry` as: the record of the event, and two headers of ours. */
export function retryRecord(event: CloudEvent, state: DetachedState, origin: Origin, structured: boolean): OutRecord {
  const record = recordOf(event, structured)
  const { key } = event.envelope
  // Ours come first: the envelope is looked for at the end.
  return {
    key: record.key ?? (key === '' ? null : Buffer.from(key)),
    value: record.value,
    headers: [header(STATE_BYTES, encodeState(state)), header(ORIGIN_BYTES, JSON.stringify(origin)), ...record.headers],
  }
}

/** When a record is due; 0 for one that does not say: it was not put there by us, and waits for nothing. */
export function dueOf(headers: readonly RecordHeader[]): number {
  const text = textOf(headers, STATE_BYTES) ?? ''
  // A backlog of them is scanned at a start: parsing the story of each costs ten times this.
  const due = /^\{"dueMs":(\d{1,15}),"story":/.exec(text)?.[1]
  return due === undefined ? (decodeState(text)?.dueMs ?? 0) : Number(due)
}

/** What a record of `<group>.retry` is. */
export function readRetry(
  r: RecordRead,
  place: { readonly topic: string; readonly partition: number },
  wrap: WrapOptions,
  nowMs: number,
): { readonly event: CloudEvent; readonly state: DetachedState; readonly origin: Origin } {
  const state = stateOf(r.headers) ?? { dueMs: 0, story: [], phase: 'subscriber', reason: '' }
  const event = eventOf({ ...plain(r), headers: foreign(r.headers) }, place.topic, place.partition, wrap, nowMs)
  return { event, state, origin: readOrigin(r.headers) }
}

/** The same delivery has the same key however often it is parked, so that a crash in between makes no second entry. */
export function parkedKey(o: Origin): string {
  return `${o.topic}/${o.partition}/${o.offset}`
}

export function parkedRecord(p: ParkedRecord, structured: boolean): OutRecord {
  const { event, undecodable } = p
  const record = event === null ? null : recordOf(event, structured)
  const bad = undecodable === null ? {} : { bad: { headers: undecodable.headers, why: undecodable.why } }
  // A record without a value says that an entry is gone.
  const nothing = record !== null && record.value === null ? { nothing: true } : {}
  const about = { subscription: p.subscription, parkedMs: p.parkedMs, key: event?.envelope.key ?? '', ...bad, ...nothing }
  return {
    key: Buffer.from(parkedKey(p.origin)),
    value: record === null ? (undecodable?.raw ?? EMPTY) : (record.value ?? EMPTY),
    headers: [
      header(STATE_BYTES, encodeState(p.state)),
      header(ORIGIN_BYTES, JSON.stringify(p.origin)),
      header(PARKED_BYTES, JSON.stringify(about)),
      ...(record?.headers ?? []),
    ],
  }
}

/** What stands in the header `sluice-parked`. */
interface About {
  readonly subscription: string
  readonly parkedMs: number
  /** Of the event's record, whose place the entry's own key has taken. */
  readonly key: string
  readonly bad?: { readonly headers: Undecodable['headers']; readonly why: string }
  readonly nothing?: true
}

/** null = it was not put there by us. */
export function readParked(r: RecordRead, topic: string, wrap: WrapOptions): ParkedRecord | null {
  const state = stateOf(r.headers)
  const about = readAbout(r.headers)
  if (state === null || about === null || r.value === null) return null
  const { subscription, parkedMs, bad } = about
  const kept = { state, origin: readOrigin(r.headers), subscription, parkedMs }
  if (bad !== undefined)
    return { ...kept, event: null, undecodable: { raw: Uint8Array.from(r.value), headers: bad.headers, why: bad.why } }
  const key = about.key === '' ? null : Buffer.from(about.key)
  const value = about.nothing === true ? null : r.value
  const event = eventOf({ ...plain(r), key, value, headers: foreign(r.headers) }, topic, 0, wrap, parkedMs)
  return { ...kept, event, undecodable: null }
}

function stateOf(headers: readonly RecordHeader[]): DetachedState | null {
  const text = textOf(headers, STATE_BYTES)
  return text === undefined ? null : decodeState(text)
}

function readOrigin(headers: readonly RecordHeader[]): Origin {
  const value = jsonOf(headers, ORIGIN_BYTES)
  if (value === null) return UNKNOWN
  const { topic, partition, offset, redelivery } = value
  const ok = typeof topic === 'string' && [partition, offset, redelivery].every((n) => Number.isSafeInteger(n))
  return ok ? (value as unknown as Origin) : UNKNOWN
}

function readAbout(headers: readonly RecordHeader[]): About | null {
  const value = jsonOf(headers, PARKED_BYTES)
  if (value === null) return null
  const { subscription, parkedMs, key, bad } = value
  if (typeof subscription !== 'string' || typeof parkedMs !== 'number' || typeof key !== 'string') return null
  if (bad !== undefined && !isBad(bad)) return null
  return value as unknown as About
}

function isBad(value: unknown): value is About['bad'] {
  if (typeof value !== 'object' || value === null) return false
  const { headers, why } = value as Readonly<Record<string, unknown>>
  return Array.isArray(headers) && headers.every((h) => Array.isArray(h) && h.length === 2) && typeof why === 'string'
}

function jsonOf(headers: readonly RecordHeader[], name: Buffer): Readonly<Record<string, unknown>> | null {
  const text = textOf(headers, name)
  if (text === undefined) return null
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : null
  } catch {
    return null
  }
}

function textOf(headers: readonly RecordHeader[], name: Buffer): string | undefined {
  const value = headers.find((h) => same(h[0], name))?.[1]
  return value === undefined || value === null ? undefined : Buffer.from(value).toString()
}

/** What is not ours. */
function foreign(headers: readonly RecordHeader[]): readonly RecordHeader[] {
  return headers.filter((h) => !same(h[0], STATE_BYTES) && !same(h[0], ORIGIN_BYTES) && !same(h[0], PARKED_BYTES))
}

function same(name: Uint8Array, wanted: Buffer): boolean {
  return name.length === wanted.length && wanted.equals(name)
}

function plain(r: RecordRead): RecordRead {
  return { offset: r.offset, timestampMs: r.timestampMs, key: r.key, value: r.value, headers: r.headers }
}

function header(name: Buffer, text: string): readonly [Uint8Array, Uint8Array] {
  return [name, Buffer.from(text)]
}

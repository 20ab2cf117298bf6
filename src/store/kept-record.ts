import type { DetachedState, Position, Undecodable } from '../contract/delivery.ts'
import type { LaneId } from '../contract/ids.ts'
import type { CloudEvent } from '../event/event.ts'
import { decodeStored, encodeStored } from '../event/stored.ts'
import { Fault } from '../runtime/errors.ts'

/** A delivery that waits long or was given up, as it is stored. Either `event` or `undecodable` is there. */
export interface KeptItem {
  readonly event: CloudEvent | null
  readonly undecodable: Undecodable | null
  readonly state: DetachedState
  /** Where it came from. */
  readonly lane: LaneId
  readonly position: Position
  readonly redelivery: number
  /** Wall clock when it was stored. */
  readonly keptMs: number
}

/** The part of an item that is stored as JSON: these are few, and a person with a hex viewer should be able to read them. */
interface Head {
  readonly state: DetachedState
  readonly lane: LaneId
  readonly position: Position
  readonly redelivery: number
  readonly keptMs: number
  readonly bad?: { readonly headers: Undecodable['headers']; readonly why: string }
}

const FORMAT = 1
const PREFIX_BYTES = 5

/** Version, length of the head, the head as JSON, then the stored event or the raw bytes. */
export function encodeKept(item: KeptItem): Buffer {
  const { state, lane, position, redelivery, keptMs, undecodable } = item
  const bad = undecodable === null ? {} : { bad: { headers: undecodable.headers, why: undecodable.why } }
  const head = Buffer.from(JSON.stringify({ state, lane, position, redelivery, keptMs, ...bad } satisfies Head))
  const body = undecodable === null ? encodeStored(item.event!) : undecodable.raw
  const out = Buffer.allocUnsafe(PREFIX_BYTES + head.length + body.length)
  out[0] = FORMAT
  out.writeUInt32BE(head.length, 1)
  out.set(head, PREFIX_BYTES)
  out.set(body, PREFIX_BYTES + head.length)
  return out
}

export function decodeKept(bytes: Uint8Array): KeptItem {
  const b = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (b[0] !== FORMAT) throw new Fault('store.format', `a kept delivery has format ${b[0]}, this version reads ${FORMAT}`)
  const end = PREFIX_BYTES + b.readUInt32BE(1)
  const { bad, ...head } = JSON.parse(b.toString('utf8', PREFIX_BYTES, end)) as Head
  const body = b.subarray(end)
  return bad === undefined
    ? { ...head, event: decodeStored(body), undecodable: null }
    : { ...head, event: null, undecodable: { raw: body, headers: bad.headers, why: bad.why } }
}

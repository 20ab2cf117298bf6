import type { Budget } from '../contract/budget.ts'
import type { StreamId } from '../contract/ids.ts'
import type { Observer } from '../contract/observer.ts'
import type { StreamPlan } from '../contract/plan.ts'
import type { Position } from '../contract/delivery.ts'
import type { Stream } from '../contract/stream.ts'
import type { CloudEvent } from '../event/event.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Fault } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'

/** What every stream of this gateway is built from. */
export interface StreamParts {
  readonly id: StreamId
  readonly plan: StreamPlan
  readonly clock: Clock
  readonly observer: Observer
  readonly log: Log
  /** Of the shard: what waits to be stored is booked there. */
  readonly budget?: Budget
}

/** What a stream that cannot go on tells: nothing is acknowledged any more, the process has to end with 1. */
export type OnFatal = (fault: Fault) => void

/** A subscription that has a position in a stream, attached or not: it holds the events from `position` on. */
export interface Holding {
  readonly key: string
  readonly attached: boolean
  /** Lowest unsettled, or the next to be read. */
  readonly position: Position
  readonly unread: number
}

/** A stream that keeps its own log: it knows who holds its events, also those that are gone from the plan. */
export interface LogStream extends Stream {
  holdings(): readonly Holding[]
  /** Deletes position, delayed and parked events of a subscription that is not attached; false = there is none. */
  forget(key: string): boolean
}

/** Bytes that may wait for their commit, per stream: a disk that hangs must not fill the memory. */
export const MOST_WAITING_BYTES = 64 * 2 ** 20

/** Events handed on in one turn of the loop. */
export const ROUTED_A_TURN = 256

/** Attributes whose lengths count; the rest of an event is covered by the overhead. */
const OVERHEAD_BYTES = 256
/** What attributes may add to the largest event a stream takes. */
const MOST_ATTRIBUTE_BYTES = 64 * 1024

/** What an event costs in memory, roughly. */
export function sizeOf(e: CloudEvent): number {
  return OVERHEAD_BYTES + (e.data?.length ?? 0) + attributeBytes(e)
}

/** Whether an event is over the limit for its data, or has more attributes than any real one. */
export function tooLarge(e: CloudEvent, limitBytes: number): boolean {
  return (e.data?.length ?? 0) > limitBytes || attributeBytes(e) > MOST_ATTRIBUTE_BYTES
}

function attributeBytes(e: CloudEvent): number {
  let bytes = e.id.length + e.source.length + e.type.length + (e.subject?.length ?? 0)
  for (const [name, value] of e.extensions)
    bytes += name.length + (typeof value === 'string' || value instanceof Uint8Array ? value.length : 8)
  return bytes
}

import type { CloudEvent } from '../event/event.ts'
import type { Decision } from './decider.ts'
import type { Delivery, Settlement } from './delivery.ts'
import type { IngressId, PodId, ServiceId, StreamId, SubId, TargetId } from './ids.ts'
import type { Outcome } from './outcome.ts'

export type PodPhase = 'starting' | 'ready' | 'cordoned' | 'gone' | 'failed'

/** One hook an arrow of the walk. Observers are combined once, at start; no stage knows who listens. All times ms. */
export interface Observer {
  /** A new event whose request is answered with success. */
  received(at: IngressId, e: CloudEvent): void
  /** Stored durably, or taken by a subscriber: the events of one request, repeats included, from its beginning to its answer. */
  accepted(at: IngressId, events: number, ms: number): void
  /** One request; `code` is one of the error catalogue. */
  refused(at: IngressId, code: string): void
  /** Of what was accepted: a repeat, stored before. */
  deduplicated(at: IngressId, e: CloudEvent): void
  /** Durable in the stream; `what` are the events themselves, in order. */
  appended(s: StreamId, events: number, bytes: number, ms: number, what: readonly CloudEvent[]): void
  /** An event offered to a subscription that matched it. */
  matched(d: Delivery): void
  filterFailed(sub: SubId, e: CloudEvent, why: string): void
  waiting(d: Delivery, t: TargetId): void
  attempted(d: Delivery, attempt: number, pod: PodId, o: Outcome, waitMs: number, ms: number, t: TargetId): void
  retrying(d: Delivery, retry: number, delayMs: number): void
  replied(d: Delivery, e: CloudEvent): void
  /** It went round in circles and is not passed on any more; it ends as a dead letter or parked. */
  looped(d: Delivery, why: string): void
  settled(d: Delivery, how: Settlement, ms: number): void
  /** A detached delivery that came back: counts as restored, not as offered anew. */
  restored(d: Delivery): void
  undecodable(sub: SubId, why: string): void
  proxied(s: ServiceId, pod: PodId, status: number, waitMs: number, ms: number): void
  scaled(s: ServiceId, x: Decision<unknown>): void
  pod(s: ServiceId, p: PodId, phase: PodPhase, why: string): void
}

/** Does nothing; the base to spread for observers that want a few hooks. */
export const SILENT: Observer = Object.freeze({
  received() {},
  accepted() {},
  refused() {},
  deduplicated() {},
  appended() {},
  matched() {},
  filterFailed() {},
  waiting() {},
  attempted() {},
  retrying() {},
  replied() {},
  looped() {},
  settled() {},
  restored() {},
  undecodable() {},
  proxied() {},
  scaled() {},
  pod() {},
})

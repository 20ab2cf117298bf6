import type { CloudEvent } from '../event/event.ts'
import type { Delivery, DetachedState, Position, Settlement, Undecodable } from './delivery.ts'
import type { LaneId, SubId } from './ids.ts'

/** Where a subscription begins. `committed` = where it stood, else `otherwise`. Times are wall-clock ms. */
export type Start =
  | { readonly at: 'earliest' }
  | { readonly at: 'latest' }
  | { readonly at: 'time'; readonly timeMs: number }
  | { readonly at: 'position'; readonly position: Position }
  | { readonly at: 'committed'; readonly otherwise: Start }

/** How a subscription wants its events: `ordered` = one unsettled at a time, in order; `key` = in order of each key. */
export type Order = 'unordered' | 'ordered' | 'key'

/** Unread events of one subscription. `exact` false = an estimate; `oldestMs` wall clock of the oldest unsettled, 0 = none. */
export interface Backlog {
  readonly events: number
  readonly exact: boolean
  readonly oldestMs: number
}

/** Implemented once, by subscription/: what a feed hands its events to. Every method is synchronous and cheap but `revoking`. */
export interface Intake {
  /** The trigger index, once an event: writes the matching subscriptions into `out`, returns how many. */
  route(event: CloudEvent, out: SubId[]): number
  /** One subscription alone, for catch-up readers. */
  matches(sub: SubId, event: CloudEvent): boolean
  /** Always taken. false = this (sub, lane) is now full: offer it nothing more until `Feed.resume`. */
  offer(d: Delivery): boolean
  /** Bytes that are no event: the machine parks them through `Feed.parkRaw` and settles the position. */
  undecodable(sub: SubId, lane: LaneId, at: Position, bad: Undecodable): void
  assigned(lanes: readonly LaneId[]): void
  /** Finish what runs or hand it back (`settle(d, 'handed-back')`), then resolve; at the deadline (monotonic ms) at the latest. */
  revoking(lanes: readonly LaneId[], deadlineMs: number): Promise<void>
  /** The lanes are somebody else's already: drop what waits, ignore what runs; nothing is settled. */
  lost(lanes: readonly LaneId[]): void
}

/** Owns contiguity, commits and everything durable about deliveries; the delivery machine does not. */
export interface Feed {
  /** `order`: 'unordered' unless said. The machine keeps it; a feed only needs it where its system hands out single messages. */
  attach(sub: SubId, key: string, from: Start, order?: Order): void
  /** Stops offering. `forget` also deletes position, delayed and parked events. */
  detach(sub: SubId, forget: boolean): void
  /** Deletes what a detached subscription left behind; false = nothing of that name was here. */
  forget(key: string): boolean
  /** Room again after `offer` said false. */
  resume(sub: SubId, lane: LaneId): void
  /** Any order, idempotent, returns at once; durable with the next group commit. `handed-back` leaves it unsettled. */
  settle(d: Delivery, how: Settlement): void
  /**
   * The delivery waits long: stores event and state, settles its position as `detached`, offers it again when due
   * (also after a restart). `done(false)` = could not be stored, the machine keeps it in memory.
   */
  detachDelivery(d: Delivery, state: DetachedState, done: (ok: boolean) => void): void
  /** The delivery is given up: stores event and story, settles its position as `parked`. `done(false)` = could not. */
  park(d: Delivery, state: DetachedState, done: (ok: boolean) => void): void
  parkRaw(sub: SubId, lane: LaneId, at: Position, bad: Undecodable, done: (ok: boolean) => void): void
  /** Renews a lease; nothing where the system has none. */
  extend(d: Delivery, leaseMs: number): void
  seek(sub: SubId, to: Start): Promise<void>
  /** Cached figure, never I/O. */
  backlog(sub: SubId): Backlog
  /** Events that have gone past this subscription since the process began, matched or not. */
  passed(sub: SubId): number
  /** Resolves once everything settled so far is durable. */
  flush(signal: AbortSignal): Promise<void>
  /** What was given up and waits for a person; undefined = kept elsewhere. */
  readonly parked: ParkedStore
  /** Second, temporary readers beside the live ones; absent where the system has one reader a subscription. */
  readonly replays?: ReplayFeed
  readonly can: Readonly<{ seek: boolean; release: boolean; lease: boolean; ordered: boolean; exactBacklog: boolean }>
}

/** How far a replay reads, in words of its system; kept as it stands and given back after a restart. */
export type ReplayEnd = string

/** The part of a feed that reads history once more: in its own seat, with its own durable position. */
export interface ReplayFeed {
  /**
   * Settles, durably where others have to know it, that `key` reads for the subscription `of`: from there up to the newest
   * event of now. null = a replay of that name runs already, at another gateway. Rejects with a Fault where it cannot be.
   */
  begin(key: string, of: string, from: Start): Promise<{ readonly end: ReplayEnd; readonly events: number } | null>
  /** false = that end means nothing any more: a stream in memory forgot its history with its process. */
  holds(end: ReplayEnd): boolean
  /** As `Feed.attach`, for what lies up to `end`. What is given up is parked as an event of `of`. */
  attach(sub: SubId, key: string, from: Start, end: ReplayEnd, of: string): void
  /** Everything up to its end is read and settled, also what was detached; at every gateway. */
  through(sub: SubId): boolean
  /** What was begun at other gateways and has parts here; looked for every few seconds. Absent where there are no others. */
  found?(): readonly FoundReplay[]
}

export interface FoundReplay {
  readonly key: string
  readonly of: string
  readonly end: ReplayEnd
}

export interface ParkedEntry {
  /** Stable id within the subscription, ordered by time of parking. */
  readonly id: string
  readonly event: CloudEvent | null
  readonly undecodable: Undecodable | null
  readonly state: DetachedState
  readonly parkedMs: number
  readonly bytes: number
}

/** The parked events of a feed, by subscription key, so that they stay reachable when the subscription is gone. */
export interface ParkedStore {
  counts(key: string): { readonly events: number; readonly bytes: number }
  keys(): readonly string[]
  list(key: string, after: string, most: number): readonly ParkedEntry[]
  get(key: string, id: string): ParkedEntry | undefined
  /** Durable when it resolves. */
  remove(key: string, ids: readonly string[]): Promise<number>
}

/** Of a feed whose system keeps nothing that was given up: a store of the gateway's own is put around it. */
export const NOTHING_PARKED: ParkedStore = {
  counts: () => ({ events: 0, bytes: 0 }),
  keys: () => [],
  list: () => [],
  get: () => undefined,
  remove: () => Promise.resolve(0),
}

export type SourceStatus =
  | { readonly phase: 'starting' | 'ready' | 'stopped' }
  | { readonly phase: 'degraded'; readonly reason: string; readonly message: string }

export interface Source {
  /** Begins at once, connects when it can; never throws for an unreachable system. */
  open(into: Intake, signal: AbortSignal): Feed
  status(): SourceStatus
  close(signal: AbortSignal): Promise<void>
}

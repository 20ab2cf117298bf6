import type { DetachedState, Undecodable } from '../../contract/delivery.ts'
import type { Backlog, Start } from '../../contract/feed.ts'
import type { CloudEvent } from '../../event/event.ts'

/** One message as a consumer of a queue hands it over; a consumer adds what it needs to answer for it. */
export interface QueueMessage {
  /** The same each time the message is delivered, '' = the system has no such thing. */
  readonly id: string
  /** As the system counts, 0 = first time. */
  readonly redelivery: number
  /** What it carries; null where it is no event. */
  readonly event: CloudEvent | null
  readonly undecodable: Undecodable | null
  /** Of a delivery that waited long: what was known of it. */
  readonly state: DetachedState | null
  /** What it costs in memory. */
  readonly bytes: number
  /** Monotonic ms when the system gives it to somebody else, 0 = never while we are connected. */
  readonly leaseUntilMs: number
}

/** An acknowledgement or a renewal came too late: the system gives the message to somebody else, or has done so. */
export class Lapsed extends Error {}

/** Implemented once, by the consumption: what a consumer hands its messages to. */
export interface QueueSink<M extends QueueMessage> {
  /** Messages that may still come, those that were asked for and have not come included. Asked again whenever it matters. */
  room(): number
  taken(messages: readonly M[]): void
  /** The connection is gone: what was handed over and is not acknowledged comes again. `false`: acknowledgements outlive it. */
  lost(forgotten: boolean): void
}

/**
 * One place of a message system that hands out single messages: a queue, a durable consumer, a consumer group on a topic.
 * Nothing in it throws; it connects when it can and never gives up. Vendors are behind it, the core is before it.
 */
export interface QueueConsumer<M extends QueueMessage> {
  start(sink: QueueSink<M>): void
  /** There is room again: ask for more. Cheap. */
  pump(): void
  /**
   * `done` once, with an answer a message in their order: null = the system knows. null for all = every one is known.
   * `Lapsed`: it comes again. Any other error: tried again while the lease lasts.
   */
  acknowledge(messages: readonly M[], done: (answers: readonly (Error | null)[] | null) => void): void
  /** Given back: it comes again after about so long, to anybody; also where nothing can be said any more. */
  release(message: M, delayMs: number): void
  /**
   * Keeps it ours for another lease; resolves with its end (monotonic ms), 0 = it has none. Rejects with `Lapsed` where it is
   * not ours any more; anything else is tried again while the lease lasts.
   */
  extend(message: M): Promise<number>
  /**
   * Asks for no more and takes back what it asked for; resolves when nothing new comes, within the signal. Called before what
   * is held is given back, so that it does not come here again. Absent where giving back does not bring it here.
   */
  quiesce?(signal: AbortSignal): Promise<void>
  /** Waits until what was acknowledged and given back has arrived, says good-bye, within the signal. */
  close(signal: AbortSignal): Promise<void>
}

/** What one subscription reads from a system, and what only its administrator can do there. */
export interface QueueSubscription<M extends QueueMessage> {
  /** The first is where new events come; others are where deliveries that waited come back. */
  readonly consumers: readonly QueueConsumer<M>[]
  /** Resolves when everything published from now on will come to it. Never rejects; it tries until the signal. */
  ready(signal: AbortSignal): Promise<void>
  /** Without what consumers have handed over. Cached figure, asked for every few seconds off the event path. */
  backlog(): Backlog
  /**
   * Deliveries at the system's own limit (a delivery that would be the last before the system drops or moves the message):
   * the machine ends them here instead. 0 = there is none.
   */
  readonly maxDeliveries: number
  /** For the story of a delivery that ends at that limit: whose limit it is, and where the system would put it next. */
  readonly limit?: { readonly to: string; why(deliveries: number): string }
  /**
   * Reads from there on; absent where the system cannot. What was unsettled comes again or is passed over, as said: the core
   * has dropped it and answers for nothing of it any more. From the call on consumers hand over only what lies behind the seek.
   */
  seek?(to: Start): Promise<void>
  /**
   * Stores a delivery that waits long in the system itself; it comes back through one of `consumers` when it is due, with its
   * state. Absent where the system cannot. `done(false)`: it could not be stored.
   */
  delay?(event: CloudEvent, state: DetachedState, done: (ok: boolean) => void): void
}

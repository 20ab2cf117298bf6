import type { CloudEvent } from '../event/event.ts'
import type { Delivery } from './delivery.ts'
import type { PodId, SubId, TargetId } from './ids.ts'
import type { Outcome } from './outcome.ts'

/** Where a pod or URI listens. One object an origin, so that connections are shared by identity. */
export interface Origin {
  readonly protocol: 'http:' | 'https:'
  readonly host: string
  readonly port: number
  /** PEM bundle that signs an https origin, '' = the system's. */
  readonly caCerts: string
  /** Name of this gateway for `Sluice-Hop`, where it is not known that the other side is not this gateway itself. */
  readonly hop?: string
}

/** What one use of a credit was like, for the windows of the autoscaler. */
export interface Sample {
  readonly ms: number
  readonly ok: boolean
}

/** Leave to send one attempt to one named pod. */
export interface Credit {
  readonly pod: PodId
  readonly origin: Origin
  /** The outcome is decided, but the pod still works: the credit stays booked until `release` or the pod is gone. */
  abandon(): void
  /** Exactly once, asserted. */
  release(s: Sample): void
  /** Called when the pod is gone (exited, deleted, connection lost), at most once; not after release. */
  onGone(f: () => void): void
}

/** One wish for a credit. Later exactly one of `start` and `refused` is called, unless it was cancelled. */
export interface Job {
  readonly kind: 'request' | 'event'
  /** Fairness within events is round robin by subscription; 0 for requests. */
  readonly sub: SubId
  /** A due retry goes first within its own subscription. */
  readonly retry: boolean
  readonly bytes: number
  start(c: Credit): void
  refused(why: 'full' | 'expired' | 'gone', retryAfterMs: number): void
}

export interface PodState {
  readonly pod: PodId
  readonly phase: 'ready' | 'cordoned'
  /** Credits booked, abandoned ones among them. */
  readonly inFlight: number
  readonly abandoned: number
  /** Credits it has, 0 = without limit. */
  readonly limit: number
}

/** Exact, not sampled. */
export interface GateState {
  /** Credits booked, abandoned ones among them. */
  readonly inFlight: number
  readonly abandoned: number
  readonly queuedRequests: number
  readonly queuedEvents: number
  readonly limit: number
  readonly pods: readonly PodState[]
}

/** What may be attempted with a credit: bytes to a pod, an append to a stream of ours, a call of a function. */
export interface Attempt {
  readonly delivery: Delivery
  readonly event: CloudEvent
  /** Counts from 1. */
  readonly attempt: number
  /** Monotonic clock, ms: the attempt is over by then. */
  readonly deadlineMs: number
  /** false for the dead-letter leg and where nobody wants a reply: no `Prefer: reply`. */
  readonly wantsReply: boolean
  /** Structured JSON instead of binary. */
  readonly structured: boolean
  /** Which sink of the delivery this goes to; absent = the subscriber. Replies and dead letters may use a stream's reserve. */
  readonly leg?: 'subscriber' | 'reply' | 'dead-letter'
  /** A reply to the stream the delivery came from: the append settles it in the same transaction (`AppendOptions.settles`). */
  readonly settles?: Delivery
  /** More than one event in one attempt, `event` the first of them; answered by `Accepted.failed` where only some failed. */
  readonly batch?: readonly CloudEvent[]
  /** `Kn-Namespace`. */
  readonly namespace: string
  /** Sent as they are: secrets, Host, traceparent of the attempt's span: name, value, … */
  readonly headers: readonly string[]
  /** The one answer. After a time-out it is called with the time-out, and the credit is released when the response really ends. */
  done(o: Outcome): void
  /** A 2xx that came after `done` said time-out. */
  late?(o: Outcome): void
}

/** Where attempts go: a Service's pods, a URI, another stream of this gateway, a function. */
export interface Target {
  readonly id: TargetId
  /** For errors and stories: the URL, or the plan key. */
  readonly name: string
  acquire(job: Job): void
  /**
   * A credit of that very pod, at once and whatever its limit says: it has worked since before this process. null = the pod is
   * not here (any more). Absent where nobody works on after the answer.
   */
  adopt?(pod: PodId): Credit | null
  /** Takes a waiting job back; nothing when it has started. */
  cancel(job: Job): void
  /** Uses and releases the credit. */
  send(a: Attempt, c: Credit): void
  state(): GateState
  /** false: feeds stop reading (open breaker, unresolved). */
  readonly open: boolean
  /** Credits of the pods that take work, 0 or absent = without limit or not known. Read often: must be cheap. */
  readonly credits?: number
  onRoom(f: () => void): void
}

import type { CloudEvent } from '../event/event.ts'

/**
 * How one attempt ended. Classified in one place (`sender/outcome.ts` for HTTP), read by the delivery machine.
 * `status` 0 = no response (connection error, time-out); `why` is one sentence; `body` at most 1,024 bytes of the answer.
 */
export type Outcome = Accepted | Retryable | Rejected | Pending

/** Taken. `reply` is the event the answer carried; `badReply` says why an answer that claimed to be an event is none. */
export interface Accepted {
  readonly kind: 'accepted'
  readonly status: number
  readonly reply?: CloudEvent
  readonly badReply?: string
  /** Events of a batch that failed, by (source, id): the others are settled. */
  readonly failed?: readonly { readonly source: string; readonly id: string; readonly retryable: boolean }[]
}
export interface Retryable {
  readonly kind: 'retryable'
  readonly status: number
  readonly why: string
  readonly body?: Uint8Array
  /** From Retry-After on 429 and 503, as the server wrote it, not yet capped. */
  readonly retryAfterMs?: number
  /** Nothing was sent (a full stream): waits and goes again without counting as an attempt, for as long as it takes. */
  readonly unattempted?: true
}
export interface Rejected {
  readonly kind: 'rejected'
  readonly status: number
  readonly why: string
  readonly body?: Uint8Array
}
/**
 * The subscriber answers later (callback); the credit stays taken until then or until the lease runs out. The sender does
 * not release it: who called `acquire` does.
 */
export interface Pending {
  readonly kind: 'pending'
  readonly leaseMs: number
}

/** The commonest outcome, shared so that a plain 2xx allocates nothing. */
export const ACCEPTED: Accepted = Object.freeze({ kind: 'accepted', status: 202 })

/** One attempt as it is remembered with a parked event. Times are wall-clock ms. */
export interface AttemptStory {
  readonly attempt: number
  readonly atMs: number
  readonly tookMs: number
  readonly to: string
  readonly status: number
  readonly error: string
}

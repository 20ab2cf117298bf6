import type { PodId } from '../contract/ids.ts'
import type { Outcome } from '../contract/outcome.ts'
import type { Credit, Origin, Sample } from '../contract/target.ts'
import type { Clock, Timer } from '../runtime/clock.ts'

/** Header by which a subscriber that answers later learns where to: the callback URL with the token of the attempt. */
export const CALLBACK_HEADER = 'sluice-callback'

/** Keeps a credit booked though the sender is done with it: the pod goes on working until it calls back. */
class HeldCredit implements Credit {
  readonly #inner: Credit
  readonly #startedMs: number
  #senderIsDone = false
  #released = false
  /** Called when the pod is gone after the sender was done. */
  whenGone: (() => void) | null = null

  constructor(inner: Credit, startedMs: number) {
    this.#inner = inner
    this.#startedMs = startedMs
    inner.onGone(() => {
      if (this.#senderIsDone) this.whenGone?.()
    })
  }
  get pod(): PodId {
    return this.#inner.pod
  }
  get origin(): Origin {
    return this.#inner.origin
  }
  abandon(): void {
    this.#inner.abandon()
  }
  /** By the sender; the gate hears of it with `finish`, unless the work ended without a call back. */
  release(s: Sample): void {
    this.#senderIsDone = true
    if (this.#released) this.#inner.release(s)
  }
  onGone(f: () => void): void {
    this.#inner.onGone(f)
  }
  /** The work has ended. While the sender still has the credit (a time-out) it releases it. */
  finish(nowMs: number, ok: boolean): void {
    if (this.#released) return
    this.#released = true
    if (this.#senderIsDone) this.#inner.release({ ms: nowMs - this.#startedMs, ok })
  }
}

/** One attempt that may be answered by a callback. */
export class OpenCall {
  readonly token: string
  readonly credit: HeldCredit
  /** Tells whoever made the attempt how it ended. */
  answer: ((o: Outcome) => void) | null = null
  /** The callback overtook the response. */
  early: Outcome | null = null
  lease: Timer | null = null
  leaseMs = 0
  state: 'sent' | 'pending' | 'closed' = 'sent'
  constructor(token: string, credit: HeldCredit) {
    this.token = token
    this.credit = credit
  }
}

/**
 * Attempts with `sluice.dev/ack: callback`, by token; one per shard.
 * ```
 * sent ── 202 ──► pending ── complete, lease over, pod gone ──► closed
 *   └── any other answer ─────────────────────────────────────► closed
 * ```
 */
export class Callbacks {
  readonly #calls = new Map<string, OpenCall>()
  readonly #clock: Clock
  readonly #newToken: () => string
  readonly #urlOf: (token: string) => string

  constructor(clock: Clock, newToken: () => string, urlOf: (token: string) => string) {
    this.#clock = clock
    this.#newToken = newToken
    this.#urlOf = urlOf
  }

  get size(): number {
    return this.#calls.size
  }

  open(c: Credit): OpenCall {
    const call = new OpenCall(this.#newToken(), new HeldCredit(c, this.#clock.now()))
    this.#calls.set(call.token, call)
    return call
  }

  /** Name and value of the header that tells the subscriber where to call. */
  headerOf(call: OpenCall): readonly [string, string] {
    return [CALLBACK_HEADER, this.#urlOf(call.token)]
  }

  /** The sender has an answer. null = the subscriber will call back; else the outcome that counts. */
  answered(call: OpenCall, o: Outcome, timeoutMs: number): Outcome | null {
    if (call.state === 'closed') return o
    const later = o.kind === 'pending' || (o.kind === 'accepted' && o.status === 202 && o.reply === undefined)
    if (!later || call.early !== null) {
      const counts = later ? call.early! : o
      this.#close(call, counts)
      return counts
    }
    call.state = 'pending'
    call.leaseMs = o.kind === 'pending' ? o.leaseMs : timeoutMs
    this.#lend(call)
    call.credit.whenGone = () =>
      this.#finish(call, { kind: 'retryable', status: 0, why: `the pod ${call.credit.pod} is gone before it called back` })
    return null
  }

  /** The subscriber calls: false = nobody waits for this token (any more). */
  complete(token: string, o: Outcome): boolean {
    const call = this.#calls.get(token)
    if (call === undefined || call.early !== null) return false
    if (call.state === 'pending') this.#finish(call, o)
    else call.early = o
    return true
  }

  /** The subscriber needs longer: the lease begins anew. */
  extend(token: string): boolean {
    const call = this.#calls.get(token)
    if (call === undefined || call.state !== 'pending') return false
    this.#lend(call)
    return true
  }

  #lend(call: OpenCall): void {
    call.lease?.cancel()
    call.lease = this.#clock.after(call.leaseMs, () =>
      this.#finish(call, { kind: 'retryable', status: 0, why: `no callback within ${call.leaseMs} ms` }),
    )
  }

  #finish(call: OpenCall, o: Outcome): void {
    if (call.state !== 'pending') return
    this.#close(call, o)
    call.answer!(o)
  }

  #close(call: OpenCall, o: Outcome): void {
    call.state = 'closed'
    call.lease?.cancel()
    this.#calls.delete(call.token)
    call.credit.finish(this.#clock.now(), o.kind === 'accepted')
  }
}

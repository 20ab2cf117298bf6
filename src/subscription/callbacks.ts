import type { Delivery } from '../contract/delivery.ts'
import type { Key, PodId } from '../contract/ids.ts'
import type { Lease, LeaseMember, LeaseStore } from '../contract/leases.ts'
import type { Outcome } from '../contract/outcome.ts'
import type { Credit, Origin, Sample } from '../contract/target.ts'
import type { Clock, Timer } from '../runtime/clock.ts'

/** Header by which a subscriber that answers later learns where to: the callback URL with the token of the attempt. */
export const CALLBACK_HEADER = 'sluice-callback'

/** No lease is longer, whatever a subscriber asks for: 24 h. */
export const LONGEST_LEASE_MS = 24 * 3_600_000

/** Keeps a credit booked though the sender is done with it: the pod goes on working until it calls back. */
class HeldCredit implements Credit {
  readonly #inner: Credit
  readonly #startedMs: number
  #senderIsDone: boolean
  #released = false
  /** Called when the pod is gone after the sender was done. */
  whenGone: (() => void) | null = null

  constructor(inner: Credit, startedMs: number, senderIsDone = false) {
    this.#inner = inner
    this.#startedMs = startedMs
    this.#senderIsDone = senderIsDone
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
  readonly sub: Key
  readonly credit: HeldCredit
  readonly members: readonly LeaseMember[]
  /** Tells whoever made the attempt how it ended. */
  answer: ((o: Outcome) => void) | null = null
  /** The callback overtook the response. */
  early: Outcome | null = null
  lease: Timer | null = null
  leaseMs = 0
  state: 'sent' | 'pending' | 'suspended' | 'closed' = 'sent'
  constructor(token: string, sub: Key, credit: HeldCredit, members: readonly LeaseMember[]) {
    this.token = token
    this.sub = sub
    this.credit = credit
    this.members = members
  }
}

/**
 * Attempts with `sluice.dev/ack: callback`, by token; one per shard.
 * ```
 * sent ── 202 ──► pending ── complete, lease over, pod gone ──► closed
 *   │               ▲  └─ subscription leaves, gateway stops ─► suspended ── lease over ──► closed
 *   │               └───── adopted by the subscription when it is back ◄─┘ (or from the store, by the next process)
 *   └── any other answer ─────────────────────────────────────► closed
 * ```
 */
export class Callbacks {
  readonly #calls = new Map<string, OpenCall>()
  readonly #clock: Clock
  readonly #newToken: () => string
  readonly #urlOf: (token: string) => string
  readonly #leases: LeaseStore

  constructor(clock: Clock, newToken: () => string, urlOf: (token: string) => string, leases: LeaseStore) {
    this.#clock = clock
    this.#newToken = newToken
    this.#urlOf = urlOf
    this.#leases = leases
  }

  get size(): number {
    return this.#calls.size
  }

  open(c: Credit, sub: Key, members: readonly LeaseMember[]): OpenCall {
    const call = new OpenCall(this.#newToken(), sub, new HeldCredit(c, this.#clock.now()), members)
    this.#calls.set(call.token, call)
    return call
  }

  /** Work that was under way when an earlier process, or an earlier life of the subscription, ended. */
  leasesOf(sub: Key): readonly Lease[] {
    return this.#leases.of(sub).filter(({ token }) => (this.#calls.get(token)?.state ?? 'suspended') === 'suspended')
  }

  /** The lease goes on with what is left of it; null = the pod that works on it is gone. `credit` takes one of that pod. */
  adopt(lease: Lease, credit: (pod: PodId) => Credit | null, answer: (o: Outcome) => void): OpenCall | null {
    const known = this.#calls.get(lease.token)
    if (known !== undefined) {
      known.state = 'pending'
      known.answer = answer
      return known
    }
    const taken = credit(lease.pod)
    if (taken === null) {
      this.#leases.end(lease.token, false)
      return null
    }
    const call = new OpenCall(lease.token, lease.sub, new HeldCredit(taken, this.#clock.now(), true), lease.members)
    this.#calls.set(call.token, call)
    call.answer = answer
    call.leaseMs = lease.leaseMs
    call.state = 'pending'
    this.#wait(call, lease.untilMs - this.#clock.wall())
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
      this.#close(call, counts, later)
      return counts
    }
    call.state = 'pending'
    if (o.kind === 'pending') call.leaseMs = o.leaseMs
    else if (call.leaseMs === 0) call.leaseMs = timeoutMs
    this.#lend(call)
    return null
  }

  /** The subscriber calls: false = nobody waits for this token (any more). */
  complete(token: string, o: Outcome): boolean {
    const call = this.#calls.get(token)
    if (call === undefined || call.state === 'suspended') return false
    if (call.early !== null) return true
    if (call.state === 'pending') this.#finish(call, o, true)
    else call.early = o
    return true
  }

  /** The subscriber needs longer: the lease begins anew, `leaseMs` long; 0 = as long as before. */
  extend(token: string, leaseMs: number): boolean {
    const call = this.#calls.get(token)
    if (call === undefined || call.state === 'suspended' || call.early !== null) return false
    if (leaseMs > 0) call.leaseMs = Math.min(leaseMs, LONGEST_LEASE_MS)
    if (call.state === 'pending') this.#lend(call)
    return true
  }

  /**
   * Nobody here waits for it any more, but the work goes on: its credit stays taken until the lease is over, and it is known
   * again when its events are offered anew, here or by the next process.
   */
  suspend(call: OpenCall): void {
    if (call.state !== 'pending') return
    call.state = 'suspended'
    call.answer = null
  }

  #lend(call: OpenCall): void {
    const { token, sub, leaseMs, members, credit } = call
    this.#leases.save({ token, sub, pod: credit.pod, leaseMs, untilMs: this.#clock.wall() + leaseMs, members })
    this.#wait(call, leaseMs)
  }

  #wait(call: OpenCall, ms: number): void {
    call.lease?.cancel()
    call.lease = this.#clock.after(Math.max(0, ms), () => {
      this.#finish(call, { kind: 'retryable', status: 0, why: `no callback within ${call.leaseMs} ms` }, false)
    })
    call.credit.whenGone = () => {
      const why = `the pod ${call.credit.pod} is gone before it called back`
      this.#finish(call, { kind: 'retryable', status: 0, why }, false)
    }
  }

  #finish(call: OpenCall, o: Outcome, byCallback: boolean): void {
    if (call.state !== 'pending' && call.state !== 'suspended') return
    this.#close(call, o, byCallback)
    call.answer?.(o)
  }

  #close(call: OpenCall, o: Outcome, byCallback: boolean): void {
    call.state = 'closed'
    call.lease?.cancel()
    this.#calls.delete(call.token)
    this.#leases.end(call.token, byCallback)
    call.credit.finish(this.#clock.now(), o.kind === 'accepted')
  }
}

export function memberOf(d: Delivery, attempt: number): LeaseMember {
  return { position: d.position, source: d.event.source, id: d.event.id, attempt }
}

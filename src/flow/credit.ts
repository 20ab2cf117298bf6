import type { PodId } from '../contract/ids.ts'
import type { Credit, Origin, PodState, Sample } from '../contract/target.ts'
import { assert } from '../runtime/errors.ts'
import type { Timer } from '../runtime/clock.ts'

/** What a credit asks of the gate it came from. */
export interface CreditHome {
  released(c: BookedCredit, s: Sample): void
  abandoned(c: BookedCredit): void
}

/**
 * ```
 * booked ── release ──► released
 *   │ abandon              ▲
 *   ▼                      │ release
 * abandoned ───────────────┤
 *   │ pod gone, 60 s       │ (the pod is not touched any more)
 *   └──► returned ─────────┘          booked ── pod gone ──► returned
 * ```
 */
export type CreditPhase = 'booked' | 'abandoned' | 'returned' | 'released'

/** One pod as the gate sees it. */
export class PodRow {
  readonly pod: PodId
  readonly origin: Origin
  /** 0 = without limit. */
  limit: number
  /** Credits booked, abandoned ones among them. */
  inFlight = 0
  abandoned = 0
  cordoned = false
  /** Since when nothing is in flight, monotonic. */
  idleSinceMs: number
  /** The newest of its booked credits; the others hang on it. */
  credits: BookedCredit | null = null
  /** Place by age: older pods have lower ones. */
  slot = -1
  /** Where the index has it: load, and whether among the limited; -1 = nowhere. */
  indexedLoad = -1
  indexedLimited = false

  constructor(pod: PodId, origin: Origin, limit: number, nowMs: number) {
    this.pod = pod
    this.origin = origin
    this.limit = limit
    this.idleSinceMs = nowMs
  }

  get hasRoom(): boolean {
    return !this.cordoned && (this.limit === 0 || this.inFlight < this.limit)
  }

  state(): PodState {
    return {
      pod: this.pod,
      phase: this.cordoned ? 'cordoned' : 'ready',
      inFlight: this.inFlight,
      abandoned: this.abandoned,
      limit: this.limit,
    }
  }
}

/** A credit of one pod. The credits of a pod hang together, so that `gone` reaches them. */
export class BookedCredit implements Credit {
  readonly row: PodRow
  phase: CreditPhase = 'booked'
  abandonedMs = 0
  returning: Timer | null = null
  older: BookedCredit | null
  newer: BookedCredit | null = null
  readonly #home: CreditHome
  #podGone = false
  #whenGone: (() => void) | null = null

  constructor(home: CreditHome, row: PodRow) {
    this.#home = home
    this.row = row
    this.older = row.credits
    if (row.credits !== null) row.credits.newer = this
    row.credits = this
  }

  get pod(): PodId {
    return this.row.pod
  }

  get origin(): Origin {
    return this.row.origin
  }

  abandon(): void {
    assert(this.phase !== 'released', 'a released credit is not abandoned')
    if (this.phase === 'booked') this.#home.abandoned(this)
  }

  release(s: Sample): void {
    assert(this.phase !== 'released', 'a credit is released once')
    this.#whenGone = null
    if (this.phase === 'returned') this.phase = 'released'
    else this.#home.released(this, s)
  }

  onGone(f: () => void): void {
    assert(this.phase !== 'released', 'nobody waits for the pod of a released credit')
    if (this.#podGone) return f()
    const first = this.#whenGone
    this.#whenGone =
      first === null
        ? f
        : () => {
            first()
            f()
          }
  }

  /** The pod is gone: tells whoever asked, once. */
  podGone(): void {
    this.#podGone = true
    const tell = this.#whenGone
    this.#whenGone = null
    if (tell !== null) tell()
  }

  /** Takes the credit off its pod's list. */
  unhook(): void {
    if (this.newer !== null) this.newer.older = this.older
    else this.row.credits = this.older
    if (this.older !== null) this.older.newer = this.newer
    this.older = null
    this.newer = null
    if (this.returning !== null) this.returning.cancel()
    this.returning = null
  }
}

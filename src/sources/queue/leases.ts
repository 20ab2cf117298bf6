import type { Clock, Timer } from '../../runtime/clock.ts'
import { Lapsed, type QueueMessage } from './consumer.ts'
import type { Hold, Holds } from './holds.ts'

const LOOK_MS = 1_000
/** Renewals under way at once. */
const AT_ONCE = 64

export interface LeasesParts<M extends QueueMessage> {
  readonly holds: Holds<M>
  readonly clock: Clock
  /** It was settled while its renewal was under way: it can be acknowledged now. */
  readonly settledMeanwhile: (hold: Hold<M>) => void
  /** It was not offered yet, and the system gives it to somebody else. */
  readonly lapsedUnread: (hold: Hold<M>) => void
}

/** Keeps what we hold ours, whether it waits or is attempted. */
export class Leases<M extends QueueMessage> {
  readonly #p: LeasesParts<M>
  readonly #timer: Timer
  #renewing = 0

  constructor(p: LeasesParts<M>) {
    this.#p = p
    this.#timer = p.clock.every(LOOK_MS, () => this.look())
  }

  /** Renews what has less than half of its lease left. */
  look(): void {
    const nowMs = this.#p.clock.now()
    for (const hold of this.#p.holds.values()) {
      if (this.#renewing >= AT_ONCE) return
      if (hold.leaseUntilMs === 0 || hold.lapsed || hold.renewing || hold.state === 'settled') continue
      if (hold.leaseUntilMs - hold.leaseMs / 2 < nowMs) this.#renew(hold)
    }
  }

  stop(): void {
    this.#timer.cancel()
  }

  #renew(hold: Hold<M>): void {
    const asked = hold.message
    hold.renewing = true
    this.#renewing++
    hold.line.consumer.extend(asked).then(
      (untilMs) => this.#renewed(hold, () => hold.message === asked && hold.leasedUntil(untilMs, this.#p.clock.now())),
      (e: unknown) => this.#renewed(hold, () => hold.message === asked && this.#failed(hold, e)),
    )
  }

  #renewed(hold: Hold<M>, note: () => void): void {
    hold.renewing = false
    this.#renewing--
    if (hold.state === 'gone') return
    note()
    if (hold.state === 'settled') this.#p.settledMeanwhile(hold)
  }

  /** Anything but a lapse is tried once more at the next look, while the lease may still be ours. */
  #failed(hold: Hold<M>, e: unknown): void {
    const overMs = this.#p.clock.now() - hold.leaseUntilMs
    if (!(e instanceof Lapsed) && overMs < 0) return
    hold.lapsed = true
    if (hold.state === 'unread') this.#p.lapsedUnread(hold)
  }
}

import type { Clock, Timer } from '../../runtime/clock.ts'
import type { RocketMqConsumer } from '../../vendor/rocketmq/consumer.ts'
import { RocketMqError } from '../../vendor/rocketmq/errors.ts'
import type { Hold } from './hold.ts'
import type { Holds } from './holds.ts'

const LOOK_MS = 1_000
/** Renewals under way at once. */
const AT_ONCE = 64
/** The shortest a broker takes; it adds about 2 s of its own. */
const BACK_MS = 1_000

/** Keeps what we hold invisible to others, and gives back what we shall not deliver. */
export class Leases {
  readonly #consumer: Pick<RocketMqConsumer, 'changeInvisible'>
  readonly #holds: Holds
  readonly #clock: Clock
  readonly #leaseMs: number
  readonly #settledMeanwhile: (hold: Hold) => void
  readonly #timer: Timer
  #renewing = 0

  constructor(
    consumer: Pick<RocketMqConsumer, 'changeInvisible'>,
    holds: Holds,
    o: { readonly clock: Clock; readonly leaseMs: number; readonly settledMeanwhile: (hold: Hold) => void },
  ) {
    this.#consumer = consumer
    this.#holds = holds
    this.#clock = o.clock
    this.#leaseMs = o.leaseMs
    this.#settledMeanwhile = o.settledMeanwhile
    this.#timer = o.clock.every(LOOK_MS, () => this.look())
  }

  /** Renews what has less than half of its lease left. */
  look(): void {
    const dueMs = this.#clock.now() + this.#leaseMs / 2
    for (const hold of this.#holds.values()) {
      if (this.#renewing >= AT_ONCE) return
      if (hold.state !== 'settled' && !hold.renewing && hold.leaseUntilMs < dueMs) void this.#renew(hold)
    }
  }

  async #renew(hold: Hold): Promise<void> {
    hold.renewing = true
    this.#renewing++
    const untilMs = this.#clock.now() + this.#leaseMs
    const asked = hold.handle
    try {
      const handle = await this.#consumer.changeInvisible(hold.broker, hold, this.#leaseMs)
      if (hold.handle === asked) {
        hold.handle = handle
        hold.leaseUntilMs = untilMs
      }
    } catch (e) {
      // Lapsed: the message comes again and finds its place. Anything else: the next look tries once more.
      if (e instanceof RocketMqError && e.reason === 'HandleInvalid' && hold.handle === asked)
        hold.leaseUntilMs = this.#clock.now() + this.#leaseMs
    }
    hold.renewing = false
    this.#renewing--
    // Settled while the handle was about to change: only the new one can be acknowledged.
    if (hold.state === 'settled') this.#settledMeanwhile(hold)
  }

  /** Somebody gets it again within seconds. */
  async giveBack(hold: Hold): Promise<void> {
    this.#holds.drop(hold)
    await this.#consumer.changeInvisible(hold.broker, hold, BACK_MS).catch(() => '')
  }

  stop(): void {
    this.#timer.cancel()
  }
}

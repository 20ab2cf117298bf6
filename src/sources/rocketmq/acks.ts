import type { Clock, Timer } from '../../runtime/clock.ts'
import type { Broker, Handle, RocketMqConsumer } from '../../vendor/rocketmq/consumer.ts'
import { RocketMqError } from '../../vendor/rocketmq/errors.ts'
import type { Hold } from './hold.ts'
import type { Holds } from './holds.ts'

/** Acknowledgements of one call: one for each message of a receive. */
const BATCH = 32
/** What is settled within this time goes in one call. */
const GATHER_MS = 5
/** Calls under way at once. */
const AT_ONCE = 8
const AGAIN_MS = 1_000

/** Tells RocketMQ what was settled: gathered, repeated until it knows or the lease is over. */
export class Acks {
  readonly #consumer: Pick<RocketMqConsumer, 'acknowledge'>
  readonly #holds: Holds
  readonly #clock: Clock
  #waiting: Hold[] = []
  #calls = 0
  #timer: Timer | null = null
  #resting = false
  #idle: (() => void)[] = []

  constructor(consumer: Pick<RocketMqConsumer, 'acknowledge'>, holds: Holds, clock: Clock) {
    this.#consumer = consumer
    this.#holds = holds
    this.#clock = clock
  }

  add(hold: Hold): void {
    this.#waiting.push(hold)
    // A timer that is armed for longer means that the last call failed.
    if (this.#waiting.length >= BATCH && !this.#resting) this.#pump()
    else this.#arm(GATHER_MS)
  }

  /** Resolves when nothing waits to be acknowledged, or with the signal. */
  flush(signal: AbortSignal): Promise<void> {
    this.#pump()
    return new Promise((resolve) => {
      if (this.#isIdle || signal.aborted) return resolve()
      this.#idle.push(resolve)
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
  }

  get #isIdle(): boolean {
    return this.#waiting.length === 0 && this.#calls === 0
  }

  #arm(ms: number): void {
    this.#timer ??= this.#clock.after(ms, () => {
      this.#timer = null
      this.#pump()
    })
  }

  #pump(): void {
    this.#resting = false
    while (this.#waiting.length > 0 && this.#calls < AT_ONCE) {
      const { broker } = this.#waiting[0] as Hold
      const batch: Hold[] = []
      const others: Hold[] = []
      for (const h of this.#waiting) (batch.length < BATCH && sameBroker(h.broker, broker) ? batch : others).push(h)
      this.#waiting = others
      this.#calls++
      void this.#acknowledge(broker, batch)
    }
  }

  async #acknowledge(broker: Broker, batch: readonly Hold[]): Promise<void> {
    const sent: Handle[] = batch.map(({ messageId, handle }) => ({ messageId, handle }))
    const answers = await this.#consumer.acknowledge(broker, sent).catch((e: unknown) => batch.map(() => e))
    this.#calls--
    batch.forEach((hold, i) => this.#answered(hold, answers[i] ?? null, sent[i]?.handle !== hold.handle))
    this.#resting = answers.some((answer) => answer !== null)
    if (!this.#resting) this.#pump()
    else if (this.#waiting.length > 0) this.#arm(AGAIN_MS)
    if (this.#isIdle) for (const resolve of this.#idle.splice(0)) resolve()
  }

  #answered(hold: Hold, error: unknown, handleChanged: boolean): void {
    if (error === null) {
      this.#holds.drop(hold)
      this.#holds.remember(hold, false)
    } else if (handleChanged || (!isLapsed(error) && this.#clock.now() < hold.leaseUntilMs)) {
      this.#waiting.push(hold)
    } else {
      // It comes again, and is acknowledged then.
      this.#holds.drop(hold)
      this.#holds.remember(hold, true)
    }
  }
}

const isLapsed = (e: unknown): boolean => e instanceof RocketMqError && e.reason === 'HandleInvalid'
const sameBroker = (a: Broker, b: Broker): boolean => a === b || (a.name === b.name && a.target === b.target)

import type { Intake } from '../../contract/feed.ts'
import type { Position, Settlement } from '../../contract/delivery.ts'
import type { SubId } from '../../contract/ids.ts'
import type { Clock, Timer } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import type { Broker, Joined, RocketMqConsumer } from '../../vendor/rocketmq/consumer.ts'
import { RocketMqError } from '../../vendor/rocketmq/errors.ts'
import type { ReceivedMessage } from '../../vendor/rocketmq/messages.ts'
import { Acks } from './acks.ts'
import type { Health } from './health.ts'
import type { Hold } from './hold.ts'
import { Holds } from './holds.ts'
import { Leases } from './leases.ts'
import { Offering } from './offering.ts'
import { Receives } from './receives.ts'
import type { RocketMqOptions } from './settings.ts'

export interface ConsumptionParts {
  readonly consumer: RocketMqConsumer
  readonly options: RocketMqOptions
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly health: Health
}

const AGAIN_LEAST_MS = 250
const AGAIN_MOST_MS = 5_000
/** Receives of a FIFO group bring one message: as many queues are read at once. */
const FIFO_RECEIVES = 32

/**
 * A member of the group and all it holds. Sessions come and go with the proxy; what is held stays, and is acknowledged in
 * whichever session follows.
 *
 *   joining ─▶ in session ─▶ (proxy lost, a receive failed) ─▶ waiting ─▶ joining …
 */
export class Consumption {
  readonly offering: Offering
  readonly #p: ConsumptionParts
  readonly #holds = new Holds()
  readonly #acks: Acks
  readonly #leases: Leases
  #receives: Receives | null = null
  #timers: Timer[] = []
  #againMs = 0
  #again: Timer | null = null
  #joining = false
  #closed = false
  /** The last receive was refused (a filter that does not parse): joining alone does not mend that. */
  #refused = false
  /** It has been in session once. */
  joinedOnce = false

  constructor(intake: Intake, p: ConsumptionParts) {
    this.#p = p
    const { clock, options, consumer } = p
    this.#acks = new Acks(consumer, this.#holds, clock)
    this.#leases = new Leases(consumer, this.#holds, {
      clock,
      leaseMs: options.invisibleMs,
      settledMeanwhile: (hold) => this.#acks.add(hold),
    })
    this.offering = new Offering(intake, { options, clock, unwanted: (hold) => this.#settled(hold) })
    consumer.onLost((why) => this.#lost(why))
  }

  get held(): number {
    return this.#holds.size
  }

  start(sub: SubId): void {
    this.offering.attach(sub)
    if (this.#receives === null) void this.#join()
    else this.#receives.pump()
  }

  resume(): void {
    // Not within the callback that made the room.
    this.#p.clock.soon(() => {
      this.offering.resume()
      this.#receives?.pump()
    })
  }

  settle(position: Position, how: Settlement): void {
    const hold = this.#holds.at(position)
    if (hold === undefined || hold.state === 'settled') return
    if (how === 'handed-back') void this.#leases.giveBack(hold)
    else this.#settled(hold)
  }

  /** Nothing more is offered; what had not been offered yet is given back. */
  detach(): void {
    for (const hold of this.offering.detach()) void this.#leases.giveBack(hold)
  }

  flush(signal: AbortSignal): Promise<void> {
    return this.#acks.flush(signal)
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#endSession()
    this.#again?.cancel()
    this.#leases.stop()
    this.offering.detach()
    const back = [...this.#holds.values()].filter((hold) => hold.state !== 'settled')
    await Promise.race([Promise.all(back.map((hold) => this.#leases.giveBack(hold))), aborted(signal)])
    await this.#acks.flush(signal)
    this.#acks.stop()
    await this.#p.consumer.close(signal)
  }

  // -- session ------------------------------------------------------------------------------------------------------

  async #join(): Promise<void> {
    if (this.#joining || this.#closed) return
    this.#joining = true
    try {
      const joined = await this.#p.consumer.join()
      this.#joining = false
      if (!this.#closed) this.#begin(joined)
    } catch (e) {
      this.#joining = false
      this.#lost(e)
    }
  }

  #begin(joined: Joined): void {
    const { options, clock, consumer, health, log } = this.#p
    const { fifo, fifoTopic, maxAttempts, brokers } = joined
    this.offering.maxAttempts = maxAttempts
    if (!this.joinedOnce) {
      log.info('the RocketMQ source has joined its group', { brokers: brokers.length, fifo, maxAttempts })
      if (fifoTopic && !fifo)
        log.warn('the topic is FIFO, but its group is not: order is not kept; make the group with updateSubGroup -o true')
      if (maxAttempts > 0 && maxAttempts < 4)
        log.warn('RocketMQ moves messages to its dead letter queue after few deliveries; raise retryMaxTimes', { maxAttempts })
    }
    this.joinedOnce = true
    const receives = new Receives(brokers, {
      consumer,
      clock,
      invisibleMs: options.invisibleMs,
      batch: fifo ? 1 : options.batch,
      most: fifo ? FIFO_RECEIVES : options.receives,
      room: () => (this.offering.mayRead ? options.mostHeld - this.#holds.size : 0),
      taken: (messages, broker, leaseUntilMs) => {
        this.#wentWell()
        this.#take(messages, broker, leaseUntilMs)
      },
      failed: (e) => {
        if (this.#receives !== receives) return
        this.#refused = !(e instanceof RocketMqError && e.reason === 'RocketMQUnreachable')
        this.#lost(e)
      },
    })
    this.#receives = receives
    this.#timers = [
      clock.every(options.heartbeatMs, () => void this.#beat()),
      clock.every(options.routeMs, () => void this.#look(brokers)),
    ]
    if (!this.#refused) health.good()
    receives.pump()
  }

  #wentWell(): void {
    this.#againMs = 0
    this.#refused = false
    this.#p.health.good()
  }

  async #beat(): Promise<void> {
    const session = this.#receives
    try {
      await this.#p.consumer.heartbeat()
      // A session that lives so long is a good one, though no message has come.
      if (session !== null && this.#receives === session) this.#wentWell()
    } catch (e) {
      if (session !== null && this.#receives === session) this.#lost(e)
    }
  }

  /** A broker more or less is another session. */
  async #look(known: readonly Broker[]): Promise<void> {
    const session = this.#receives
    const now = await this.#p.consumer.brokers().catch(() => known)
    const names = (list: readonly Broker[]): string =>
      list
        .map((b) => `${b.name} ${b.target}`)
        .sort()
        .join()
    if (session === null || this.#receives !== session || names(now) === names(known)) return
    this.#endSession()
    void this.#join()
  }

  #lost(e: unknown): void {
    if (this.#closed || this.#joining) return
    this.#endSession()
    const { health, options, clock, random } = this.#p
    health.bad(e instanceof RocketMqError ? e.reason : 'RocketMQFailed', sentenceOf(e, options))
    this.#againMs = Math.min(AGAIN_MOST_MS, Math.max(AGAIN_LEAST_MS, this.#againMs * 2))
    this.#again?.cancel()
    this.#again = clock.after(this.#againMs * (0.8 + 0.4 * random.next()), () => void this.#join())
  }

  #endSession(): void {
    for (const t of this.#timers) t.cancel()
    this.#timers = []
    this.#receives?.stop()
    this.#receives = null
  }

  // -- messages -----------------------------------------------------------------------------------------------------

  #take(messages: readonly ReceivedMessage[], broker: Broker, leaseUntilMs: number): void {
    for (const m of messages) {
      const { as, hold } = this.#holds.take(m, broker, leaseUntilMs)
      if (as === 'new') this.offering.add(hold)
      else if (as === 'settled' && !hold.renewing) this.#acks.add(hold)
    }
    this.offering.run()
  }

  #settled(hold: Hold): void {
    hold.state = 'settled'
    if (!hold.renewing) this.#acks.add(hold)
  }
}

function sentenceOf(e: unknown, o: RocketMqOptions): string {
  const why = messageOf(e)
  if (!(e instanceof RocketMqError)) return why
  if (e.reason === 'TopicMissing') return `the topic ${o.topic} is missing; it has to be created first: ${why}`
  if (e.reason === 'GroupMissing') return `the consumer group ${o.group} is missing; it has to be created first: ${why}`
  return why
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

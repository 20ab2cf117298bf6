import { type Appended, DURABLE } from '../../contract/stream.ts'
import type { CloudEvent } from '../../event/event.ts'
import type { Clock, Timer } from '../../runtime/clock.ts'
import { messageOf as textOf } from '../../runtime/errors.ts'
import type { Health } from '../../sources/queue/health.ts'
import { RocketMqError, type RocketMqReason } from '../../vendor/rocketmq/errors.ts'
import type { OutMessage, RocketMqProducer } from '../../vendor/rocketmq/producer.ts'
import { messageOf } from './message.ts'

/** Of one call: the broker takes 4 MiB together. */
const MOST_MESSAGES = 128
const MOST_BYTES = 2 ** 20
/** Calls under way: one alone waits for a disk, several share it. */
const CALLS = 8
/** Single sends of a FIFO topic, each of which is a call. */
const FIFO_CALLS = 64
const AGAIN_MS = 1_000
/** After a failure RocketMQ is looked for so often, whether somebody publishes or not. */
const LOOK_MS = 2_000
/** What the broker may refuse of one message and take of the others. */
const OF_ONE_MESSAGE: readonly RocketMqReason[] = ['TooLarge', 'RocketMQFailed']

export interface PublishingParts {
  readonly producer: RocketMqProducer
  readonly topic: string
  readonly fifo: boolean
  /** One after the other: the topic has one queue, and with it an order. */
  readonly inTurn: boolean
  readonly clock: Clock
  readonly health: Health
  /** What is to be done about a topic that is missing. */
  readonly missing: (why: string) => string
}

/** One call of `publish`, until all of its events are stored. */
interface Append {
  left: number
  failure: Appended | null
  readonly done: (r: Appended) => void
}

interface Waiting {
  readonly message: OutMessage
  readonly of: Append
}

/** Publishes what has come together in as few calls as may be. */
export class Publishing {
  readonly #p: PublishingParts
  readonly #most: number
  readonly #batch: number
  #waiting: Waiting[] = []
  #calls = 0
  #soon = false
  #idle: (() => void)[] = []
  #look: Timer | null = null
  #closed = false

  constructor(p: PublishingParts) {
    this.#p = p
    this.#most = p.inTurn ? 1 : p.fifo ? FIFO_CALLS : CALLS
    // The proxy looks at the message group of a single message only.
    this.#batch = p.fifo ? 1 : MOST_MESSAGES
  }

  publish(events: readonly CloudEvent[], done: (r: Appended) => void): void {
    const { topic, fifo, producer } = this.#p
    const messages = events.map((e) => messageOf(e, { topic, fifo }))
    const most = producer.mostBodyBytes
    if (messages.some((m) => m.body.length > most)) return done({ kind: 'too-large', limitBytes: most })
    const append: Append = { left: messages.length, failure: null, done }
    for (const message of messages) this.#waiting.push({ message, of: append })
    if (this.#waiting.length >= this.#batch && this.#calls < this.#most) this.#pump()
    else this.#pumpSoon()
  }

  /** Nothing is published any more: everything that was given is stored or refused, or the signal aborted. */
  flush(signal: AbortSignal): Promise<void> {
    this.#closed = true
    this.#look?.cancel()
    return new Promise((resolve) => {
      if (this.#waiting.length === 0 && this.#calls === 0) return resolve()
      this.#idle.push(resolve)
      if (signal.aborted) resolve()
      else signal.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  #pumpSoon(): void {
    if (this.#soon) return
    this.#soon = true
    this.#p.clock.soon(() => {
      this.#soon = false
      this.#pump()
    })
  }

  #pump(): void {
    while (this.#waiting.length > 0 && this.#calls < this.#most) {
      this.#calls++
      void this.#send(this.#next())
    }
  }

  #next(): readonly Waiting[] {
    let bytes = 0
    let n = 0
    for (const { message } of this.#waiting) {
      bytes += message.body.length
      if (n >= this.#batch || (n > 0 && bytes > MOST_BYTES)) break
      n++
    }
    return this.#waiting.splice(0, n)
  }

  async #send(batch: readonly Waiting[]): Promise<void> {
    const { producer, health } = this.#p
    try {
      await producer.send(batch.map((w) => w.message))
      health.good()
      this.#stored(batch, null)
    } catch (e) {
      if (batch.length > 1 && e instanceof RocketMqError && OF_ONE_MESSAGE.includes(e.reason)) await this.#each(batch)
      else this.#stored(batch, this.#failure(e))
    }
    this.#calls--
    this.#pump()
    if (this.#waiting.length === 0 && this.#calls === 0) for (const resolve of this.#idle.splice(0)) resolve()
  }

  /** One of them was refused, and with it all: each for itself shows which. */
  async #each(batch: readonly Waiting[]): Promise<void> {
    for (const one of batch) {
      const failure = await this.#p.producer.send([one.message]).then(
        () => null,
        (e: unknown) => this.#failure(e),
      )
      this.#stored([one], failure)
    }
  }

  #failure(e: unknown): Appended {
    const { health, missing, producer } = this.#p
    const reason = e instanceof RocketMqError ? e.reason : 'RocketMQFailed'
    if (reason === 'TooLarge') return { kind: 'too-large', limitBytes: producer.mostBodyBytes }
    const why = reason === 'TopicMissing' ? missing(textOf(e)) : textOf(e)
    health.bad(reason, why)
    this.#lookAgain()
    return { kind: 'unavailable', retryAfterMs: AGAIN_MS, why }
  }

  /** Until it is there again: what is wrong must not be said for longer than it is. */
  #lookAgain(): void {
    if (this.#look !== null || this.#closed) return
    const { clock, producer, topic, health } = this.#p
    this.#look = clock.after(LOOK_MS, () => {
      this.#look = null
      producer.reach(topic).then(
        () => health.good(),
        () => this.#lookAgain(),
      )
    })
  }

  #stored(batch: readonly Waiting[], failure: Appended | null): void {
    for (const { of } of batch) {
      of.failure ??= failure
      if (--of.left === 0) of.done(of.failure ?? DURABLE)
    }
  }
}

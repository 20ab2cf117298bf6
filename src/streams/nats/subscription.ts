import type { DetachedState } from '../../contract/delivery.ts'
import type { Backlog, Start } from '../../contract/feed.ts'
import type { CloudEvent } from '../../event/event.ts'
import type { QueueSubscription } from '../../sources/queue/consumer.ts'
import type { ConsumerView } from '../../vendor/nats/admin.ts'
import type { JetStreamMessage } from './message.ts'
import type { ConsumerPlace } from './place.ts'
import type { PullConsumer } from './pull.ts'
import { startOf } from './settings.ts'

/** A durable consumer with the one that pulls from it. */
export interface Reader {
  readonly place: ConsumerPlace
  readonly pull: PullConsumer
}

/** Stores a delivery where it waits. */
export type StoreDelayed = (consumer: string, event: CloudEvent, state: DetachedState, done: (ok: boolean) => void) => void

/** One subscription: the consumer of its events, and the one of its deliveries that waited long (ordered ones never do). */
export class NatsSubscription implements QueueSubscription<JetStreamMessage> {
  readonly consumers: readonly PullConsumer[]
  readonly delay?: NonNullable<QueueSubscription<JetStreamMessage>['delay']>
  readonly #main: Reader
  readonly #readers: readonly Reader[]
  #unread = 0
  #outside = 0
  /** Sequence of the oldest event that is not settled, as far as it was asked for, and when it was stored. */
  #oldest = 0
  #oldestMs = 0

  constructor(main: Reader, due: Reader | null, store: StoreDelayed) {
    this.#main = main
    this.#readers = due === null ? [main] : [main, due]
    this.consumers = this.#readers.map((r) => r.pull)
    const { name } = main.place
    if (due !== null) this.delay = (event, state, done) => store(name, event, state, done)
  }

  get readers(): readonly Reader[] {
    return this.#readers
  }

  /** Of the subscription. */
  get key(): string {
    return this.#main.place.create.description
  }

  /** Its consumers were closed. */
  get over(): boolean {
    return this.#main.place.stopped
  }

  get name(): string {
    return this.#main.place.name
  }

  get maxDeliveries(): number {
    return this.#main.place.maxDeliver
  }

  readonly limit = {
    to: 'NATS JetStream',
    why: (deliveries: number): string =>
      `JetStream delivered it ${deliveries} times and it was never settled; the consumer ${this.name} drops it then (max_deliver)`,
  }

  async ready(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#readers.map((r) => r.place.whenReady(signal)))
  }

  /** Of events, those that nobody has, and those that a gateway that is gone had: they come again when their lease is over. */
  backlog(): Backlog {
    const events = this.#unread + this.#outside
    return { events, exact: true, oldestMs: events === 0 ? 0 : this.#oldestMs }
  }

  /** What the server says, every few seconds. `storedMs` asks when an event was stored. */
  async seen(view: ConsumerView, storedMs: (sequence: number) => Promise<number>): Promise<void> {
    this.#unread = view.pending
    this.#outside = Math.max(0, view.ackPending - this.#main.pull.out)
    const oldest = view.ackFloor + 1
    if (this.#unread + this.#outside === 0 || oldest === this.#oldest) return
    this.#oldestMs = await storedMs(oldest)
    this.#oldest = oldest
  }

  /** A consumer cannot be moved: it is deleted and made anew there. */
  async seek(to: Start): Promise<void> {
    this.#main.pull.cut()
    await this.#main.place.remake(startOf(to))
  }
}

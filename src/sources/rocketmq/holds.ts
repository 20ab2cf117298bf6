import type { Position } from '../../contract/delivery.ts'
import type { Broker } from '../../vendor/rocketmq/consumer.ts'
import type { ReceivedMessage } from '../../vendor/rocketmq/messages.ts'
import { Hold } from './hold.ts'

/** Ids of settled messages that are remembered, for the case that they come again. */
const MOST_REMEMBERED = 16_384

/** What is to be done with a message that has come. */
export type Taken = { readonly as: 'new' | 'again' | 'settled'; readonly hold: Hold }

/** Every message we are leased, by its position here and by its id; and the ids of those that were settled lately. */
export class Holds {
  readonly #byPosition = new Map<Position, Hold>()
  readonly #byId = new Map<string, Hold>()
  /** Settled ids, oldest first; true = RocketMQ may not know of it. */
  readonly #settled = new Map<string, boolean>()
  #next: Position = 1

  get size(): number {
    return this.#byPosition.size
  }

  values(): IterableIterator<Hold> {
    return this.#byPosition.values()
  }

  at(position: Position): Hold | undefined {
    return this.#byPosition.get(position)
  }

  /**
   * `again`: a lease of ours had lapsed, and the message has come to us once more: it keeps its place under the new lease.
   * `settled`: it was delivered, but RocketMQ does not know (its proxy died with the acknowledgement): acknowledge it only.
   * One that is delivered for the first time is never taken for settled: whoever rewinds a group wants to see it again.
   */
  take(message: ReceivedMessage, broker: Broker, leaseUntilMs: number): Taken {
    const held = this.#byId.get(message.messageId)
    if (held !== undefined) {
      held.handle = message.handle
      held.leaseUntilMs = leaseUntilMs
      return { as: held.state === 'settled' ? 'settled' : 'again', hold: held }
    }
    const hold = new Hold(message, broker, this.#next++, leaseUntilMs)
    this.#byPosition.set(hold.position, hold)
    this.#byId.set(hold.messageId, hold)
    const unsure = this.#settled.get(message.messageId)
    if (unsure === undefined || (!unsure && message.attempt <= 1)) return { as: 'new', hold }
    hold.state = 'settled'
    hold.message = null
    return { as: 'settled', hold }
  }

  /** Not ours any more: acknowledged, given back, or lost. */
  drop(hold: Hold): void {
    this.#byPosition.delete(hold.position)
    this.#byId.delete(hold.messageId)
  }

  /** `unsure`: the acknowledgement did not arrive. */
  remember(hold: Hold, unsure: boolean): void {
    this.#settled.delete(hold.messageId)
    this.#settled.set(hold.messageId, unsure)
    if (this.#settled.size <= MOST_REMEMBERED) return
    const oldest = this.#settled.keys().next()
    if (oldest.done !== true) this.#settled.delete(oldest.value)
  }
}

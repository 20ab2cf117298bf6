import type { Delivery, Position } from '../../contract/delivery.ts'
import type { LaneId, SubId } from '../../contract/ids.ts'
import type { AttemptStory } from '../../contract/outcome.ts'
import type { CloudEvent } from '../../event/event.ts'
import type { Broker, Handle } from '../../vendor/rocketmq/consumer.ts'
import type { ReceivedMessage } from '../../vendor/rocketmq/messages.ts'

/** A source has one lane: a receive may bring messages of any queue. Order is kept by message group, the event's key. */
export const LANE: LaneId = 0

/** What a message costs in memory beside its body. */
const OVERHEAD_BYTES = 1_024

/**
 * One message we are leased, from its receive until it is acknowledged, given back or lost.
 *
 *   unread ─▶ offered ─▶ settled ─▶ acknowledged
 *      └──────────┴─▶ given back          (or the lease lapses: it comes again, and takes its place here)
 */
export class Hold implements Handle {
  readonly messageId: string
  readonly position: Position
  readonly broker: Broker
  readonly bytes: number
  /** Stands for the newest lease. */
  handle: string
  /** Monotonic ms. */
  leaseUntilMs: number
  state: 'unread' | 'offered' | 'settled' = 'unread'
  /** A renewal is under way: its answer brings the handle that counts. */
  renewing = false
  /** Until it has been offered. */
  message: ReceivedMessage | null

  constructor(message: ReceivedMessage, broker: Broker, position: Position, leaseUntilMs: number) {
    this.messageId = message.messageId
    this.handle = message.handle
    this.message = message
    this.broker = broker
    this.position = position
    this.leaseUntilMs = leaseUntilMs
    this.bytes = OVERHEAD_BYTES + (message.body?.length ?? 0)
  }
}

/** An offered message. */
export class RocketMqDelivery implements Delivery {
  readonly event: CloudEvent
  readonly sub: SubId
  readonly lane = LANE
  readonly position: Position
  readonly redelivery: number
  readonly story: readonly AttemptStory[]
  readonly phase: 'subscriber' | 'dead-letter'
  readonly leaseUntilMs: number
  readonly bytes: number

  constructor(hold: Hold, event: CloudEvent, sub: SubId, redelivery: number, leaseUntilMs: number, last: AttemptStory | null) {
    this.event = event
    this.sub = sub
    this.position = hold.position
    this.redelivery = redelivery
    this.leaseUntilMs = leaseUntilMs
    this.bytes = hold.bytes
    this.story = last === null ? NO_STORY : [last]
    this.phase = last === null ? 'subscriber' : 'dead-letter'
  }
}

const NO_STORY: readonly AttemptStory[] = []

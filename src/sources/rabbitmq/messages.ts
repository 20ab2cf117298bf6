import { createHash } from 'node:crypto'
import type { DetachedState, Undecodable } from '../../contract/delivery.ts'
import type { CloudEvent } from '../../event/event.ts'
import type { ReceivedMessage } from '../../vendor/rabbitmq/channel.ts'
import type { QueueMessage } from '../queue/consumer.ts'
import { decodeState, STATE_NAME } from '../queue/state.ts'

/** Tells messages of one queue apart: what the gateway publishes carries one. */
export const ID_HEADER = 'sluice-id'
/** Counted by quorum queues only. */
const DELIVERIES = 'x-delivery-count'
/** What a message costs in memory beside its body. */
const OVERHEAD_BYTES = 1_024

/** A message of a queue as it was handed to us on one channel. */
export class RabbitMqMessage implements QueueMessage {
  readonly id: string
  readonly redelivery: number
  readonly event: CloudEvent | null
  readonly undecodable: Undecodable | null = null
  readonly state: DetachedState | null
  readonly bytes: number
  readonly leaseUntilMs: number
  /** Counts channels: what another one has handed out cannot be answered for any more. */
  readonly epoch: number
  readonly received: ReceivedMessage

  constructor(m: ReceivedMessage, event: CloudEvent, id: string, epoch: number, leaseUntilMs: number) {
    const state = m.headers[STATE_NAME]
    this.id = id
    this.redelivery = redeliveryOf(m)
    this.event = event
    this.state = typeof state === 'string' ? decodeState(state) : null
    this.bytes = m.body.length + OVERHEAD_BYTES
    this.leaseUntilMs = leaseUntilMs
    this.epoch = epoch
    this.received = m
  }
}

function redeliveryOf(m: ReceivedMessage): number {
  const counted = m.headers[DELIVERIES]
  if (typeof counted === 'number') return counted
  return m.redelivered ? 1 : 0
}

/** '' = it has none. */
export function idOf(m: ReceivedMessage): string {
  const id = m.headers[ID_HEADER]
  return typeof id === 'string' ? id : ''
}

/** Messages without an id are known again by what they are: two that are the same in everything may stand for one another. */
export function fingerprintOf(m: ReceivedMessage): string {
  const { [DELIVERIES]: _, ...headers } = m.headers
  const text = JSON.stringify([headers, m.contentType, m.messageId, m.timestamp, m.routingKey])
  return createHash('sha256').update(text).update(m.body).digest('base64')
}

import type { DetachedState, Undecodable } from '../../contract/delivery.ts'
import type { CloudEvent } from '../../event/event.ts'
import { latin1Text } from '../../event/bytes.ts'
import { fromNatsMessage, natsHeader, natsHeaderLine } from '../../event/nats.ts'
import type { QueueMessage } from '../../sources/queue/consumer.ts'
import { decodeState, encodeState, STATE_NAME } from '../../sources/queue/state.ts'
import { headOf, type NatsMessage } from '../../vendor/nats/link.ts'

/** What a message costs in memory beside its bytes. */
const OVERHEAD_BYTES = 512

export interface DeliveryOptions {
  /** Wall clock. */
  readonly nowMs: number
  /** Monotonic. */
  readonly leaseUntilMs: number
  readonly generation: number
  /** It waited, and has a state. */
  readonly due: boolean
  readonly mostRedelivery: number
}

/** One delivery of a JetStream message. */
export class JetStreamMessage implements QueueMessage {
  readonly id: string
  readonly redelivery: number
  readonly event: CloudEvent | null
  readonly undecodable: Undecodable | null
  readonly state: DetachedState | null
  readonly bytes: number
  readonly leaseUntilMs: number
  /** Where it is acknowledged. */
  readonly reply: string
  /** Of the consumer that delivered it; one that was made anew knows nothing of it. */
  readonly generation: number

  constructor(m: NatsMessage, tokens: AckTokens, o: DeliveryOptions) {
    const reply = m.reply ?? ''
    const head = headOf(m)
    const payload = compact(m.data)
    this.id = String(tokens.sequence)
    this.redelivery = Math.min(tokens.deliveries - 1, o.mostRedelivery)
    this.event = fromNatsMessage(head, payload, o.nowMs)
    this.undecodable = this.event === null ? rawOf(head, payload) : null
    this.state = o.due ? decodeState(natsHeader(head, STATE_NAME)) : null
    this.bytes = payload.length + (head?.length ?? 0) + OVERHEAD_BYTES
    this.leaseUntilMs = o.leaseUntilMs
    this.reply = reply
    this.generation = o.generation
  }
}

/** The header line with which a delivery waits. */
export function stateLine(state: DetachedState): string {
  return natsHeaderLine(STATE_NAME, encodeState(state))
}

/** What the subject of the acknowledgement says of a delivery. */
export interface AckTokens {
  /** In the stream. */
  readonly sequence: number
  /** Counts from 1. */
  readonly deliveries: number
}

/**
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<delivered>.<time>.<pending>`, and the same behind two more tokens (and
 * before one) where accounts and domains are told; null = no message of a stream. NATS ADR-15
 */
export function ackTokens(reply: string): AckTokens | null {
  if (!reply.startsWith('$JS.ACK.')) return null
  const tokens = reply.split('.')
  const at = tokens.length === 9 ? 4 : tokens.length >= 11 ? 6 : 0
  if (at === 0) return null
  const deliveries = Number(tokens[at])
  const sequence = Number(tokens[at + 1])
  if (!Number.isSafeInteger(deliveries) || !Number.isSafeInteger(sequence)) return null
  return { sequence, deliveries }
}

/** A small message must not keep the whole piece that was read from the socket. */
function compact(payload: Uint8Array): Uint8Array {
  return payload.length * 2 < payload.buffer.byteLength ? Buffer.from(payload) : payload
}

function rawOf(head: Uint8Array | null, raw: Uint8Array): Undecodable {
  const lines = head === null ? [] : latin1Text(head, 0, head.length).split('\r\n').slice(1)
  const headers = lines.flatMap((line): [string, string][] => {
    const colon = line.indexOf(':')
    return colon > 0 ? [[line.slice(0, colon), line.slice(colon + 1).trim()]] : []
  })
  return { raw, headers, why: 'the message is no valid CloudEvent, neither in its headers nor as JSON' }
}

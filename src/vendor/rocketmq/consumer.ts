import type { RocketMqCredentials, RocketMqTls } from './link.ts'
import type { ReceivedMessage } from './messages.ts'

/** What a consumer reads, and how it says who it is. */
export interface ConsumerSettings {
  /** `host:port` of proxies, tried in turn. */
  readonly endpoints: readonly string[]
  readonly credentials: RocketMqCredentials | null
  /** null = no TLS. */
  readonly tls: RocketMqTls | null
  /** Of the RocketMQ instance, '' = none. */
  readonly namespace: string
  readonly topic: string
  readonly group: string
  readonly filter: { readonly kind: 'tag' | 'sql'; readonly expression: string }
  /** The longest a receive waits for a message. */
  readonly waitMs: number
}

/** A broker that holds part of the topic; one receive asks one broker for any of its queues. */
export interface Broker {
  readonly name: string
  readonly target: string
}

/** What the proxy says of topic and group. */
export interface Joined {
  readonly brokers: readonly Broker[]
  /** The broker hands out a queue's next message only when the one before is acknowledged. */
  readonly fifo: boolean
  /** The topic was made for ordered messages. */
  readonly fifoTopic: boolean
  /** A message is delivered so often before it goes to the group's dead letter queue; 0 = not told. */
  readonly maxAttempts: number
}

/**
 * One member of a consumer group on the proxy's gRPC protocol. Every method rejects with a RocketMqError; none waits longer
 * than its own time-out. Made by `openConsumer`; tests have a double.
 */
export interface RocketMqConsumer {
  /** Finds the brokers and makes itself known to each. Said again after `onLost`. */
  join(): Promise<Joined>
  /** The brokers as they are now. */
  brokers(): Promise<readonly Broker[]>
  /** The proxy has closed its side: nothing is received before the next `join`. */
  onLost(f: (why: Error) => void): void
  heartbeat(): Promise<void>
  /** Up to `most` (32) messages, none when none came in time. An abort ends the wait. */
  receive(from: Broker, most: number, invisibleMs: number, signal: AbortSignal): Promise<readonly ReceivedMessage[]>
  /** One answer a handle, in their order: null = acknowledged. */
  acknowledge(at: Broker, messages: readonly Handle[]): Promise<readonly (Error | null)[]>
  /** Resolves with the handle that stands for the message from now on. */
  changeInvisible(at: Broker, message: Handle, invisibleMs: number): Promise<string>
  /** Says good-bye, within the signal, and closes its connections. */
  close(signal: AbortSignal): Promise<void>
}

export interface Handle {
  readonly messageId: string
  readonly handle: string
}

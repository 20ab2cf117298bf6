import { Buffer } from 'node:buffer'
import type { Channel, ConsumeMessage, Message, Options } from 'amqplib'
import { RabbitMqError, rabbitMqError } from './errors.ts'

/** A message that was handed to a consumer. */
export interface ReceivedMessage {
  /** Dies with its channel. */
  readonly tag: number
  readonly redelivered: boolean
  readonly routingKey: string
  readonly body: Uint8Array
  readonly headers: Readonly<Record<string, unknown>>
  /** '' = none. */
  readonly contentType: string
  readonly messageId: string
  /** Seconds, 0 = none. */
  readonly timestamp: number
}

/** A message as it is published. */
export interface PublishedMessage {
  readonly body: Uint8Array
  readonly headers: Readonly<Record<string, unknown>>
  readonly contentType: string
  readonly messageId: string
}

export interface QueueOptions {
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly exclusive: boolean
  readonly arguments: Readonly<Record<string, unknown>>
}

/** A short string of AMQP holds 255 bytes; what is longer is left out. */
const SHORT = 255

function shortText(text: string): string | undefined {
  return text === '' || (text.length * 3 > SHORT && Buffer.byteLength(text) > SHORT) ? undefined : text
}

/**
 * What the library's `publish` itself calls. It puts the headers behind another object first, whose properties its encoder
 * then finds by the prototype: that takes half of the time of publishing.
 */
interface Sender {
  sendMessage(fields: object, properties: object, content: Buffer): boolean
  pushConfirmCallback(done: (e: Error | null) => void): void
}

/** Method and properties of the message at hand: both are encoded before `sendMessage` returns. */
const FRAME = {
  exchange: '',
  routingKey: '',
  mandatory: true,
  immediate: false,
  ticket: 0,
  contentType: undefined as string | undefined,
  headers: {} as Readonly<Record<string, unknown>>,
  deliveryMode: 2,
  messageId: undefined as string | undefined,
}

/**
 * A channel of one connection. Whatever the server refuses closes it: everything then fails with the same error, and
 * `onClosed` is told once. Rejects with `RabbitMqError` only.
 */
export class RabbitMqChannel {
  readonly #channel: Channel
  #error: RabbitMqError | null = null
  #closed = false
  readonly #closing: ((e: RabbitMqError | null) => void)[] = []

  constructor(channel: Channel) {
    this.#channel = channel
    channel.on('error', (e) => (this.#error = rabbitMqError(e)))
    channel.on('close', () => {
      this.#closed = true
      for (const f of this.#closing.splice(0)) f(this.#error)
    })
    // What a listener throws is a bug of ours, and no reason to close the channel: it ends like every other one.
    channel.on('handler-error', rethrow)
  }

  get open(): boolean {
    return !this.#closed
  }

  /** Called once, at once where it is closed already. null = it was closed by us, or with its connection. */
  onClosed(f: (e: RabbitMqError | null) => void): void {
    if (this.#closed) f(this.#error)
    else this.#closing.push(f)
  }

  // -- declaring ----------------------------------------------------------------------------------------------------

  async declareExchange(name: string, type: string, o: Options.AssertExchange): Promise<void> {
    await this.#call(() => this.#channel.assertExchange(name, type, o))
  }

  async checkExchange(name: string): Promise<void> {
    await this.#call(() => this.#channel.checkExchange(name))
  }

  /** Makes it where it is not there; one with other properties is `PreconditionFailed`. */
  async declareQueue(name: string, o: QueueOptions): Promise<void> {
    await this.#call(() => this.#channel.assertQueue(name, { ...o }))
  }

  /** `QueueMissing` where it is not there. Messages that are ready; those at consumers are not among them. */
  async queue(name: string): Promise<{ readonly ready: number; readonly consumers: number }> {
    const { messageCount, consumerCount } = await this.#call(() => this.#channel.checkQueue(name))
    return { ready: messageCount, consumers: consumerCount }
  }

  async bind(queue: string, exchange: string, routingKey: string): Promise<void> {
    await this.#call(() => this.#channel.bindQueue(queue, exchange, routingKey))
  }

  async deleteQueue(name: string): Promise<void> {
    await this.#call(() => this.#channel.deleteQueue(name))
  }

  // -- consuming ----------------------------------------------------------------------------------------------------

  /** `null` to `take` = the server has cancelled the consumer (its queue is gone). Resolves with what `cancel` wants. */
  async consume(queue: string, tag: string, prefetch: number, take: (m: ReceivedMessage | null) => void): Promise<string> {
    await this.#call(() => this.#channel.prefetch(prefetch))
    const { consumerTag } = await this.#call(() =>
      this.#channel.consume(queue, (m) => take(m === null ? null : received(m)), { noAck: false, consumerTag: tag }),
    )
    return consumerTag
  }

  /** What is on its way still comes; what has come is still to be answered for. */
  async cancel(consumer: string): Promise<void> {
    await this.#call(() => this.#channel.cancel(consumer))
  }

  /** `upTo`: all before it as well. false = the channel is gone, and with it the message. */
  ack(tag: number, upTo: boolean): boolean {
    return this.#send(() => this.#channel.ack(tagged(tag), upTo))
  }

  /** Back to the head of its queue. */
  giveBack(tag: number): boolean {
    return this.#send(() => this.#channel.nack(tagged(tag), false, true))
  }

  // -- publishing, on channels with confirms ------------------------------------------------------------------------

  /**
   * Durable when `done(null)`. Every message is mandatory: where nobody gets it, `onReturned` is told before `done` is.
   * Throws a RangeError for headers that no frame can carry. `false` = the channel is closed, `done` is not called.
   */
  publish(exchange: string, routingKey: string, m: PublishedMessage, done: (e: Error | null) => void): boolean {
    if (this.#closed) return false
    const channel = this.#channel as unknown as Sender
    FRAME.exchange = exchange
    FRAME.routingKey = routingKey
    FRAME.headers = m.headers
    FRAME.contentType = shortText(m.contentType)
    FRAME.messageId = shortText(m.messageId)
    try {
      channel.sendMessage(FRAME, FRAME, bufferOf(m.body))
      channel.pushConfirmCallback(done)
      return true
    } catch (e) {
      if (e instanceof RangeError) throw e
      return false
    }
  }

  /** Headers of messages that no queue took. */
  onReturned(f: (headers: Readonly<Record<string, unknown>>) => void): void {
    this.#channel.on('return', (m: Message) => f(m.properties.headers ?? {}))
  }

  async close(): Promise<void> {
    if (this.#closed) return
    await this.#channel.close().catch(() => undefined)
  }

  #send(f: () => void): boolean {
    if (this.#closed) return false
    try {
      f()
      return true
    } catch {
      return false
    }
  }

  /** The error with which the server closed the channel says more than that of the call that found it closed. */
  async #call<T>(f: () => Promise<T>): Promise<T> {
    try {
      return await f()
    } catch (e) {
      throw this.#error ?? rabbitMqError(e)
    }
  }
}

function received(m: ConsumeMessage): ReceivedMessage {
  const { contentType, messageId, timestamp, headers } = m.properties as unknown as Readonly<Record<string, unknown>>
  return {
    tag: m.fields.deliveryTag,
    redelivered: m.fields.redelivered,
    routingKey: m.fields.routingKey,
    body: m.content,
    headers: (headers as Readonly<Record<string, unknown>> | undefined) ?? NO_HEADERS,
    contentType: typeof contentType === 'string' ? contentType : '',
    messageId: typeof messageId === 'string' ? messageId : '',
    timestamp: typeof timestamp === 'number' ? timestamp : 0,
  }
}

const NO_HEADERS = Object.freeze({})

/** In a turn of its own, where nobody catches it. */
export function rethrow(e: unknown): never {
  throw e
}

/** The library wants a message where it needs its tag alone. */
const TAGGED = { fields: { deliveryTag: 0 } }
function tagged(tag: number): Message {
  TAGGED.fields.deliveryTag = tag
  return TAGGED as Message
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

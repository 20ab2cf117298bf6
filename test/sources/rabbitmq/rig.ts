import type { RabbitMqChannel, ReceivedMessage } from '../../../src/vendor/rabbitmq/channel.ts'
import type { PublishedMessage } from '../../../src/vendor/rabbitmq/channel.ts'
import type { RabbitMqError } from '../../../src/vendor/rabbitmq/errors.ts'
import type { RabbitMqLink } from '../../../src/vendor/rabbitmq/link.ts'

/** A channel that does what a test says, and writes down what was asked of it. */
export class FakeChannel {
  readonly did: string[] = []
  readonly published: { readonly message: PublishedMessage; readonly done: (e: Error | null) => void }[] = []
  #take: ((m: ReceivedMessage | null) => void) | null = null
  #closing: ((e: RabbitMqError | null) => void)[] = []
  #returned: ((headers: Readonly<Record<string, unknown>>) => void) | null = null
  #tag = 0

  onClosed(f: (e: RabbitMqError | null) => void): void {
    this.#closing.push(f)
  }
  onReturned(f: (headers: Readonly<Record<string, unknown>>) => void): void {
    this.#returned = f
  }
  consume(_queue: string, tag: string, prefetch: number, take: (m: ReceivedMessage | null) => void): Promise<string> {
    this.did.push(`consume ${prefetch}`)
    this.#take = take
    return Promise.resolve(tag)
  }
  cancel(): Promise<void> {
    this.did.push('cancel')
    return Promise.resolve()
  }
  queue(): Promise<{ ready: number; consumers: number }> {
    this.did.push('queue')
    return Promise.resolve({ ready: 0, consumers: 0 })
  }
  ack(tag: number, upTo: boolean): boolean {
    this.did.push(`ack ${upTo ? '≤' : ''}${tag}`)
    return true
  }
  giveBack(tag: number): boolean {
    this.did.push(`back ${tag}`)
    return true
  }
  publish(_exchange: string, _key: string, message: PublishedMessage, done: (e: Error | null) => void): boolean {
    this.published.push({ message, done })
    return true
  }
  close(): Promise<void> {
    this.did.push('close')
    this.lose()
    return Promise.resolve()
  }

  /** The server hands messages out: their bodies. */
  push(bodies: readonly string[], more: Partial<ReceivedMessage> = {}): void {
    for (const body of bodies)
      this.#take?.({
        tag: ++this.#tag,
        redelivered: false,
        routingKey: 'q',
        body: Buffer.from(body),
        headers: {},
        contentType: '',
        messageId: '',
        timestamp: 0,
        ...more,
      })
  }
  /** The server cancels the consumer: its queue is gone. */
  queueGone(): void {
    this.#take?.(null)
  }
  return(headers: Readonly<Record<string, unknown>>): void {
    this.#returned?.(headers)
  }
  lose(e: RabbitMqError | null = null): void {
    for (const f of this.#closing.splice(0)) f(e)
  }
}

/** A link whose connection gives a fresh channel each time. */
export class FakeLink {
  readonly channels: FakeChannel[] = []
  readonly connection = {
    version: [3, 10] as const,
    channel: (): Promise<RabbitMqChannel> => Promise.resolve(this.#fresh()),
    confirmChannel: (): Promise<RabbitMqChannel> => Promise.resolve(this.#fresh()),
  }

  get as(): RabbitMqLink {
    return this as unknown as RabbitMqLink
  }
  get last(): FakeChannel {
    const channel = this.channels.at(-1)
    if (channel === undefined) throw new Error('no channel was opened')
    return channel
  }
  #fresh(): RabbitMqChannel {
    const channel = new FakeChannel()
    this.channels.push(channel)
    return channel as unknown as RabbitMqChannel
  }
}

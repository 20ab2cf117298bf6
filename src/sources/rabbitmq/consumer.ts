import type { CloudEvent } from '../../event/event.ts'
import type { Clock, Timer } from '../../runtime/clock.ts'
import { aborted } from '../../runtime/ending.ts'
import type { ReceivedMessage, RabbitMqChannel } from '../../vendor/rabbitmq/channel.ts'
import { RabbitMqError, rabbitMqError } from '../../vendor/rabbitmq/errors.ts'
import type { RabbitMqLink } from '../../vendor/rabbitmq/link.ts'
import { Lapsed, type QueueConsumer, type QueueSink } from '../queue/consumer.ts'
import type { Health } from './health.ts'
import { fingerprintOf, idOf, RabbitMqMessage } from './messages.ts'
import { Prefetch } from './prefetch.ts'

export interface ConsumerParts {
  readonly queue: string
  readonly clock: Clock
  readonly health: Health
  /** Under which name it complains. */
  readonly part: string
  /** Makes sure that the queue is there; rejects with a `RabbitMqError`. */
  readonly prepare: (link: RabbitMqLink) => Promise<void>
  readonly eventOf: (m: ReceivedMessage) => CloudEvent
  /** 1 = one unsettled message at a time. */
  readonly mostPrefetch: number
  /** RabbitMQ closes the channel of a message that is held for `consumer_timeout`; before that it is given back and taken again. */
  readonly leaseMs: number
  /** Its queue was deleted; it is made again. */
  readonly gone: () => void
  /** It is about to close. */
  readonly left: () => void
}

const AGAIN_LEAST_MS = 500
const AGAIN_MOST_MS = 10_000
/** A message that was given back is here again at once, unless somebody else got it. */
const COMES_AGAIN_MS = 10_000
const RETURN_MS = 20
/** The first lets the channel send the rest, the second waits for that. */
const BARRIERS = 2
const LAPSED = new Lapsed('the channel that has handed the message out is gone')

interface Expected {
  readonly message: RabbitMqMessage
  readonly fingerprint: string
  readonly came: (untilMs: number) => void
  readonly lapsed: (e: Error) => void
  readonly timer: Timer
}

/**
 * The consumer of one queue, on a channel of its own. What the server pushes is bounded by the prefetch.
 *
 *   (link up) ─▶ opening ─▶ consuming ─▶ (channel or link lost, queue gone) ─▶ opening …
 */
export class RabbitMqConsumer implements QueueConsumer<RabbitMqMessage> {
  readonly #p: ConsumerParts
  readonly #prefetch: Prefetch
  #sink: QueueSink<RabbitMqMessage> | null = null
  #link: RabbitMqLink | null = null
  #channel: RabbitMqChannel | null = null
  /** What `cancel` wants, '' = no consumer is there. */
  #consumer = ''
  #consumers = 0
  #changing = false
  #opening = false
  #epoch = 0
  #nextId = 1
  /** What this channel has handed out and is not answered for, by tag, in the order of the tags. */
  readonly #held = new Map<number, RabbitMqMessage>()
  #came: RabbitMqMessage[] = []
  /** To be given back. */
  readonly #returning: RabbitMqMessage[] = []
  #returnTimer: Timer | null = null
  /** Given back to be taken again, by id or by what they are. */
  readonly #expected = new Map<string, Expected>()
  #again: Timer | null = null
  #againMs = 0
  /** Nothing is taken and given back any more. */
  #leaving = false
  #closed = false

  constructor(p: ConsumerParts) {
    this.#p = p
    this.#prefetch = new Prefetch(p.mostPrefetch)
  }

  // -- connection ---------------------------------------------------------------------------------------------------

  up(link: RabbitMqLink): void {
    this.#link = link
    this.#againMs = 0
    void this.#open()
  }

  down(): void {
    this.#link = null
    this.#again?.cancel()
  }

  start(sink: QueueSink<RabbitMqMessage>): void {
    this.#sink = sink
    void this.#open()
  }

  async #open(): Promise<void> {
    const link = this.#link
    if (link === null || this.#sink === null || this.#opening || this.#channel !== null || this.#closed) return
    this.#opening = true
    const { health, part, prepare } = this.#p
    let channel: RabbitMqChannel | null = null
    try {
      await prepare(link)
      const { connection } = link
      if (connection === null) throw new RabbitMqError('RabbitMQUnreachable', 'the connection was lost')
      const opened = (channel = await connection.channel())
      this.#epoch++
      this.#channel = opened
      this.#opening = false
      opened.onClosed((e) => this.#lost(opened, e))
      await this.#follow()
      health.good(part)
      this.#againMs = 0
    } catch (e) {
      this.#opening = false
      // Mostly it has told by itself that it is gone; where it was closed before anybody listened, it has not.
      if (channel !== null) this.#lost(channel, rabbitMqError(e))
      else this.#failed(e)
    }
  }

  #lost(channel: RabbitMqChannel, e: RabbitMqError | null): void {
    if (this.#channel !== channel) return
    this.#channel = null
    this.#consumer = ''
    this.#changing = false
    this.#prefetch.begin(0)
    this.#held.clear()
    this.#came = []
    for (const { lapsed, timer } of [...this.#expected.values()]) {
      timer.cancel()
      lapsed(LAPSED)
    }
    this.#expected.clear()
    this.#sink?.lost(true)
    if (!this.#closed) this.#failed(e)
  }

  /** null = the connection is lost, which complains by itself. */
  #failed(e: unknown): void {
    const { clock, health, part } = this.#p
    if (this.#closed || this.#link === null) return
    if (e !== null && this.#link.connection !== null) health.bad(part, e)
    this.#againMs = Math.min(AGAIN_MOST_MS, Math.max(AGAIN_LEAST_MS, this.#againMs * 2))
    this.#again?.cancel()
    this.#again = clock.after(this.#againMs, () => void this.#open())
  }

  // -- room ---------------------------------------------------------------------------------------------------------

  pump(): void {
    if (this.#channel !== null && !this.#changing) void this.#follow().catch(() => undefined)
  }

  /**
   * Consumes once there is room, with a prefetch that fits it: the server pushes no more than that, however long the lane
   * is full. What it refuses closes the channel, which tells.
   */
  async #follow(): Promise<void> {
    const channel = this.#channel
    const sink = this.#sink
    if (channel === null || sink === null || this.#changing || this.#leaving) return
    const want = this.#prefetch.change(this.#held.size)
    if (want === 0 || (this.#consumer === '' && sink.room() === 0)) return
    this.#changing = true
    try {
      if (this.#consumer !== '') await channel.cancel(this.#consumer)
      this.#consumer = ''
      this.#prefetch.begin(want)
      // RabbitMQ takes back what several consumers of a channel hold in the order of their tags.
      const tag = String(this.#consumers++).padStart(9, '0')
      this.#consumer = await channel.consume(this.#p.queue, tag, want, (m) => this.#received(channel, m))
    } finally {
      if (this.#channel === channel) this.#changing = false
    }
    // All that it may push may be here already.
    await this.#follow()
  }

  // -- messages -----------------------------------------------------------------------------------------------------

  #received(channel: RabbitMqChannel, m: ReceivedMessage | null): void {
    if (channel !== this.#channel || this.#leaving) return
    if (m === null) {
      // Its queue is gone. The channel is of no use any more; whoever opens the next finds out what there is.
      this.#consumer = ''
      this.#p.gone()
      void channel.close()
      return
    }
    const { clock, eventOf, leaseMs } = this.#p
    const expected = this.#expectedOf(m)
    const id = expected?.message.id ?? (idOf(m) || `~${this.#nextId++}`)
    const message = new RabbitMqMessage(m, eventOf(m), id, this.#epoch, clock.now() + leaseMs)
    this.#held.set(m.tag, message)
    this.#prefetch.measure(message.bytes)
    // Messages that came in one piece of the socket are handed on together.
    if (this.#came.push(message) === 1) queueMicrotask(() => this.#handOver())
    expected?.came(message.leaseUntilMs)
  }

  #handOver(): void {
    const came = this.#came
    if (came.length === 0) return
    this.#came = []
    this.#sink?.taken(came)
    this.pump()
  }

  acknowledge(messages: readonly RabbitMqMessage[], done: (answers: readonly (Error | null)[] | null) => void): void {
    const channel = this.#channel
    const batch = new Set<number>()
    let answers: (Error | null)[] | null = null
    messages.forEach((m, i) => {
      if (channel !== null && m.epoch === this.#epoch && this.#held.has(m.received.tag)) batch.add(m.received.tag)
      else (answers ??= messages.map(() => null))[i] = LAPSED
    })
    if (channel !== null && batch.size > 0) this.#ack(channel, batch)
    // An acknowledgement has no answer; one that is lost with its channel lets the message come again.
    done(answers)
  }

  /** Everything up to the first that is still held goes in one frame. */
  #ack(channel: RabbitMqChannel, batch: Set<number>): void {
    let upTo = 0
    for (const tag of this.#held.keys()) {
      if (!batch.has(tag)) break
      upTo = tag
    }
    if (upTo > 0) channel.ack(upTo, true)
    for (const tag of batch) {
      this.#held.delete(tag)
      if (tag > upTo) channel.ack(tag, false)
    }
  }

  /** A moment later: one that leaves gives back all it holds with its channel, which keeps the order, and nothing before. */
  release(message: RabbitMqMessage, delayMs: number): void {
    this.#returning.push(message)
    if (this.#returnTimer === null && !this.#leaving)
      this.#returnTimer = this.#p.clock.after(Math.max(delayMs, RETURN_MS), () => this.#return())
  }

  #return(): void {
    this.#returnTimer?.cancel()
    this.#returnTimer = null
    for (const message of this.#returning.splice(0)) this.#giveBack(message)
  }

  #giveBack(message: RabbitMqMessage): boolean {
    const { tag } = message.received
    if (this.#channel === null || message.epoch !== this.#epoch || !this.#held.delete(tag)) return false
    return this.#channel.giveBack(tag)
  }

  /** RabbitMQ has no renewal: the message is given back and taken again, and keeps its place here under its new tag. */
  extend(message: RabbitMqMessage): Promise<number> {
    const named = idOf(message.received) !== ''
    const fingerprint = named ? message.id : fingerprintOf(message.received)
    return new Promise((came, lapsed) => {
      // Two that are the same in everything wait for one another.
      if (this.#expected.has(fingerprint)) return lapsed(new Error('another one like it is on its way'))
      const timer = this.#p.clock.after(COMES_AGAIN_MS, () => {
        this.#expected.delete(fingerprint)
        lapsed(new Lapsed('the message was given back and did not come again'))
      })
      if (this.#giveBack(message)) this.#expected.set(fingerprint, { message, fingerprint, came, lapsed, timer })
      else {
        timer.cancel()
        lapsed(LAPSED)
      }
    })
  }

  #expectedOf(m: ReceivedMessage): Expected | undefined {
    if (this.#expected.size === 0 || !m.redelivered) return undefined
    const found = this.#expected.get(idOf(m) || fingerprintOf(m))
    if (found === undefined) return undefined
    this.#expected.delete(found.fingerprint)
    found.timer.cancel()
    return found
  }

  // -- the end ------------------------------------------------------------------------------------------------------

  /** What the server still pushes is not looked at: it goes back with the channel. */
  quiesce(): Promise<void> {
    this.#leaving = true
    this.#returnTimer?.cancel()
    return Promise.resolve()
  }

  /**
   * Acknowledgements that are on their way to a quorum queue are lost when their channel closes (165 of 5,000, without).
   * The channel sends a few dozen on and keeps the rest until those are stored; a consumer that comes or goes waits for
   * all that was sent before it. What is not acknowledged goes back with the channel, which keeps its order.
   */
  async close(signal: AbortSignal): Promise<void> {
    await this.quiesce()
    this.#closed = true
    this.#again?.cancel()
    this.#p.left()
    const channel = this.#channel
    if (channel === null) return
    const arrived = async (): Promise<void> => {
      const { queue } = this.#p
      for (let i = 0; i < BARRIERS; i++) {
        const last = await channel.consume(queue, `end-${i}`, 1, () => undefined)
        await channel.queue(queue)
        await channel.cancel(last)
        await channel.queue(queue)
      }
      await channel.close()
    }
    await Promise.race([arrived().catch(() => undefined), aborted(signal)])
    this.#channel = null
  }
}

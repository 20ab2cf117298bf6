import type { Clock, Timer } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import { randomId } from '../../runtime/random.ts'
import type { PublishedMessage, RabbitMqChannel } from '../../vendor/rabbitmq/channel.ts'
import type { RabbitMqError } from '../../vendor/rabbitmq/errors.ts'
import type { RabbitMqLink } from '../../vendor/rabbitmq/link.ts'
import type { Health } from './health.ts'
import { ID_HEADER } from './messages.ts'

/** `unroutable`: stored nowhere, because no queue is bound. `why`: nothing is known to be stored. */
export type Sent = 'durable' | 'unroutable' | { readonly why: string }

export interface PublisherParts {
  readonly clock: Clock
  readonly health: Health
  /** Makes what is published to; rejects with a `RabbitMqError`. */
  readonly prepare: (link: RabbitMqLink) => Promise<void>
  /** false = what is sent waits until `go` is called: somebody who should get it is not there yet. */
  readonly mayGo?: () => boolean
}

interface Job {
  readonly exchange: string
  readonly routingKey: string
  readonly message: PublishedMessage
  readonly untilMs: number
  done: ((r: Sent) => void) | null
  returned: boolean
}

/** Whoever publishes waits so long for a connection and for the confirmation. */
const WAIT_MS = 15_000
const SWEEP_MS = 1_000
const AGAIN_LEAST_MS = 500
const AGAIN_MOST_MS = 10_000
const PART = 'publish'

/**
 * Publishes with confirms on a channel of its own, in the order of the calls. What is published while there is no channel
 * waits for one, as long as its producer does.
 */
export class Publisher {
  readonly #p: PublisherParts
  #link: RabbitMqLink | null = null
  #channel: RabbitMqChannel | null = null
  #opening = false
  readonly #run = randomId().slice(0, 16)
  #next = 0
  #waiting: Job[] = []
  /** Not confirmed yet, by their ids, oldest first. */
  readonly #sent = new Map<string, Job>()
  /** Why the server takes nothing, '' = it does. */
  #blocked = ''
  readonly #sweep: Timer
  #again: Timer | null = null
  #againMs = 0
  #closed = false
  #idle: (() => void)[] = []

  constructor(p: PublisherParts) {
    this.#p = p
    this.#sweep = p.clock.every(SWEEP_MS, () => this.#endLate())
  }

  up(link: RabbitMqLink): void {
    this.#link = link
    this.#blocked = ''
    this.#againMs = 0
    void this.#open()
  }

  down(): void {
    this.#link = null
    this.#again?.cancel()
  }

  blocked(reason: string): void {
    this.#blocked = reason
    const { health } = this.#p
    if (reason === '') return health.good('blocked')
    const why = `RabbitMQ takes nothing from publishers: ${reason}`
    health.bad('blocked', why)
    for (const job of [...this.#waiting.splice(0), ...this.#sent.values()]) end(job, { why })
    this.#sent.clear()
  }

  send(
    exchange: string,
    routingKey: string,
    message: Omit<PublishedMessage, 'messageId'> & { readonly messageId: string },
    done: (r: Sent) => void,
  ): void {
    if (this.#closed) return done({ why: 'the connection to RabbitMQ is closed' })
    if (this.#blocked !== '') return done({ why: `RabbitMQ takes nothing from publishers: ${this.#blocked}` })
    const untilMs = this.#p.clock.now() + WAIT_MS
    const job: Job = { exchange, routingKey, message, untilMs, done, returned: false }
    if (this.#channel === null || this.#waiting.length > 0 || !this.#mayGo) this.#waiting.push(job)
    else this.#publish(this.#channel, job)
  }

  /** It may have become possible to publish what waits. */
  go(): void {
    const channel = this.#channel
    if (channel === null || !this.#mayGo) return
    // A channel that turns out to be gone puts back what it was given.
    for (const job of this.#waiting.splice(0)) {
      if (this.#channel === channel) this.#publish(channel, job)
      else this.#waiting.push(job)
    }
  }

  get #mayGo(): boolean {
    return this.#p.mayGo === undefined || this.#p.mayGo()
  }

  /** Everything sent so far has its answer, or the signal is aborted. */
  async close(signal: AbortSignal): Promise<void> {
    if (this.#sent.size + this.#waiting.length > 0 && !signal.aborted)
      await new Promise<void>((resolve) => {
        this.#idle.push(resolve)
        signal.addEventListener('abort', () => resolve(), { once: true })
      })
    this.#closed = true
    this.#sweep.cancel()
    this.#again?.cancel()
    this.#endAll('the connection to RabbitMQ is closed')
    await this.#channel?.close()
  }

  #publish(channel: RabbitMqChannel, job: Job): void {
    const id = `${this.#run}-${this.#next++}`
    const { message } = job
    this.#sent.set(id, job)
    try {
      const headers = { ...message.headers, [ID_HEADER]: id }
      if (channel.publish(job.exchange, job.routingKey, { ...message, headers }, (e) => this.#confirmed(id, e))) return
      this.#sent.delete(id)
      this.#waiting.push(job)
      this.#lost(channel, null)
    } catch (e) {
      this.#sent.delete(id)
      end(job, { why: messageOf(e) })
    }
  }

  #confirmed(id: string, e: Error | null): void {
    const job = this.#sent.get(id)
    if (job === undefined) return
    this.#sent.delete(id)
    if (e !== null) end(job, { why: `RabbitMQ did not confirm it: ${e.message}` })
    else end(job, job.returned ? 'unroutable' : 'durable')
    if (this.#idle.length > 0 && this.#sent.size + this.#waiting.length === 0) for (const f of this.#idle.splice(0)) f()
  }

  #endLate(): void {
    const nowMs = this.#p.clock.now()
    const why = this.#p.health.complaint?.message ?? `RabbitMQ did not answer within ${WAIT_MS} ms`
    while (this.#waiting.length > 0 && (this.#waiting[0] as Job).untilMs < nowMs) end(this.#waiting.shift() as Job, { why })
    for (const [id, job] of this.#sent) {
      if (job.untilMs >= nowMs) break
      this.#sent.delete(id)
      end(job, { why })
    }
  }

  #endAll(why: string): void {
    const all = [...this.#sent.values(), ...this.#waiting]
    this.#sent.clear()
    this.#waiting = []
    for (const job of all) end(job, { why })
  }

  // -- channel ------------------------------------------------------------------------------------------------------

  async #open(): Promise<void> {
    const link = this.#link
    if (link === null || this.#opening || this.#channel !== null || this.#closed) return
    this.#opening = true
    try {
      await this.#p.prepare(link)
      const channel = await link.connection?.confirmChannel()
      this.#opening = false
      if (channel === undefined) return
      this.#channel = channel
      channel.onReturned((headers) => {
        const job = this.#sent.get(String(headers[ID_HEADER]))
        if (job !== undefined) job.returned = true
      })
      channel.onClosed((e) => this.#lost(channel, e))
      this.#againMs = 0
      this.#p.health.good(PART)
      this.go()
    } catch (e) {
      this.#opening = false
      this.#failed(e)
    }
  }

  /** What was not confirmed is answered by the library first. */
  #lost(channel: RabbitMqChannel, e: RabbitMqError | null): void {
    if (this.#channel !== channel) return
    this.#channel = null
    this.#endSent()
    if (!this.#closed) this.#failed(e)
  }

  #endSent(): void {
    const jobs = [...this.#sent.values()]
    this.#sent.clear()
    for (const job of jobs) end(job, { why: 'the channel to RabbitMQ was closed before it confirmed' })
  }

  #failed(e: unknown): void {
    const { clock, health } = this.#p
    if (this.#closed || this.#link === null) return
    if (e !== null && this.#link.connection !== null) health.bad(PART, e)
    this.#againMs = Math.min(AGAIN_MOST_MS, Math.max(AGAIN_LEAST_MS, this.#againMs * 2))
    this.#again?.cancel()
    this.#again = clock.after(this.#againMs, () => void this.#open())
  }
}

function end(job: Job, r: Sent): void {
  const { done } = job
  job.done = null
  done?.(r)
}

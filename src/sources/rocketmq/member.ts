import type { DetachedState, Undecodable } from '../../contract/delivery.ts'
import type { CloudEvent } from '../../event/event.ts'
import type { Clock, Timer } from '../../runtime/clock.ts'
import type { Random } from '../../runtime/random.ts'
import { aborted } from '../../runtime/ending.ts'
import type { Broker, Handle, Joined, RocketMqConsumer } from '../../vendor/rocketmq/consumer.ts'
import { RocketMqError } from '../../vendor/rocketmq/errors.ts'
import type { ReceivedMessage } from '../../vendor/rocketmq/messages.ts'
import { Lapsed, type QueueConsumer, type QueueMessage, type QueueSink } from '../queue/consumer.ts'
import type { Health } from '../queue/health.ts'
import { Receives } from './receives.ts'

/** What a message costs in memory beside its body. */
const OVERHEAD_BYTES = 1_024
/** Acknowledgements of one call. */
const ACKS_A_CALL = 32
/** The shortest a broker takes; it adds about 2 s of its own. */
const BACK_MS = 1_000
const AGAIN_LEAST_MS = 250
const AGAIN_MOST_MS = 5_000
/** Receives of a FIFO group bring one message: as many queues are read at once. */
const FIFO_RECEIVES = 32

/** What a message is to the gateway. */
export interface Decoded {
  readonly event: CloudEvent | null
  readonly undecodable: Undecodable | null
  readonly state: DetachedState | null
}

/** A message that is leased to us. */
export class HeldMessage implements QueueMessage, Handle {
  readonly messageId: string
  readonly redelivery: number
  readonly event: CloudEvent | null
  readonly undecodable: Undecodable | null
  readonly state: DetachedState | null
  readonly bytes: number
  readonly leaseUntilMs: number
  readonly broker: Broker
  /** Stands for the newest lease. */
  handle: string
  /** Monotonic ms: end of the newest lease. */
  heldUntilMs: number

  constructor(m: ReceivedMessage, decoded: Decoded, broker: Broker, leaseUntilMs: number) {
    this.messageId = m.messageId
    this.redelivery = m.attempt - 1
    this.event = decoded.event
    this.undecodable = decoded.undecodable
    this.state = decoded.state
    this.bytes = OVERHEAD_BYTES + (m.body?.length ?? 0)
    this.leaseUntilMs = leaseUntilMs
    this.broker = broker
    this.handle = m.handle
    this.heldUntilMs = leaseUntilMs
  }

  get id(): string {
    return this.messageId
  }
}

export interface MemberOptions {
  /** A message we hold is nobody else's for so long. */
  readonly invisibleMs: number
  /** Messages of one receive. */
  readonly batch: number
  /** Receives under way at one broker, at most. */
  readonly receives: number
  readonly heartbeatMs: number
  readonly routeMs: number
}

export interface MemberParts {
  readonly consumer: RocketMqConsumer
  readonly options: MemberOptions
  readonly clock: Clock
  readonly random: Random
  readonly health: Health
  readonly decode: (m: ReceivedMessage, nowMs: number) => Decoded
  /** What is said of a failure. */
  readonly sentence: (e: unknown) => string
  readonly joined: (as: Joined) => void
  /** Waited for before anything is received. */
  readonly first?: Promise<unknown>
  /** It is being closed: what was done beside it ends. */
  readonly closing?: () => void
}

/**
 * A member of a consumer group. Sessions come and go with the proxy; leases and acknowledgements outlive them.
 *
 *   joining ─▶ in session ─▶ (proxy lost, a receive failed) ─▶ waiting ─▶ joining …
 */
export class Member implements QueueConsumer<HeldMessage> {
  readonly #p: MemberParts
  #sink: QueueSink<HeldMessage> | null = null
  #receives: Receives | null = null
  #timers: Timer[] = []
  #againMs = 0
  #again: Timer | null = null
  #joining = false
  #paused = false
  #closed = false
  /** The last receive was refused (a filter that does not parse): joining alone does not mend that. */
  #refused = false
  readonly #back = new Set<Promise<unknown>>()
  /** Handed over, and neither acknowledged nor given back. */
  readonly #out = new Set<HeldMessage>()

  constructor(p: MemberParts) {
    this.#p = p
    p.consumer.onLost((why) => this.#lost(why))
  }

  start(sink: QueueSink<HeldMessage>): void {
    this.#sink = sink
    if (this.#p.first === undefined) void this.#join()
    else void this.#p.first.then(() => this.#join())
  }

  pump(): void {
    this.#receives?.pump()
  }

  /**
   * Nothing is received while the group is set back, and nothing that was on its way is handed over. What was handed out
   * before is acknowledged then: its lease would bring it again, behind a position that has been passed or is read anyway.
   */
  async moved(set: () => Promise<void>): Promise<void> {
    this.#paused = true
    const receives = this.#receives
    this.#endSession()
    this.#again?.cancel()
    try {
      await receives?.ended()
      const before = [...this.#out]
      await set()
      this.#out.clear()
      await new Promise<void>((resolve) => this.acknowledge(before, () => resolve()))
    } finally {
      this.#paused = false
      void this.#join()
    }
  }

  acknowledge(messages: readonly HeldMessage[], done: (answers: readonly (Error | null)[] | null) => void): void {
    const answers: (Error | null)[] = messages.map(() => null)
    const calls: Promise<void>[] = []
    for (const indexes of byBroker(messages)) calls.push(this.#acknowledge(messages, indexes, answers))
    void Promise.all(calls).then(() => done(answers.some((a) => a !== null) ? answers : null))
  }

  release(message: HeldMessage, delayMs: number): void {
    this.#out.delete(message)
    const back = this.#p.consumer
      .changeInvisible(message.broker, message, Math.max(BACK_MS, Math.round(delayMs)))
      .catch(() => '')
      .finally(() => this.#back.delete(back))
    this.#back.add(back)
  }

  async extend(message: HeldMessage): Promise<number> {
    const { consumer, options, clock } = this.#p
    const untilMs = clock.now() + options.invisibleMs
    try {
      const handle = await consumer.changeInvisible(message.broker, message, options.invisibleMs)
      message.handle = handle
      message.heldUntilMs = untilMs
      return untilMs
    } catch (e) {
      const error = lapsedOr(e)
      if (error instanceof Lapsed) this.#out.delete(message)
      throw error
    }
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#p.closing?.()
    this.#endSession()
    this.#again?.cancel()
    await Promise.race([Promise.all(this.#back), aborted(signal)])
    await this.#p.consumer.close(signal)
  }

  async #acknowledge(messages: readonly HeldMessage[], indexes: readonly number[], answers: (Error | null)[]): Promise<void> {
    const sent = indexes.map((i) => messages[i] as HeldMessage)
    try {
      const got = await this.#p.consumer.acknowledge((sent[0] as HeldMessage).broker, sent)
      indexes.forEach((at, i) => {
        answers[at] = got[i] ? lapsedOr(got[i]) : null
        if (answers[at] === null || answers[at] instanceof Lapsed) this.#out.delete(messages[at] as HeldMessage)
      })
    } catch (e) {
      for (const at of indexes) answers[at] = lapsedOr(e)
    }
  }

  // -- session ------------------------------------------------------------------------------------------------------

  async #join(): Promise<void> {
    if (this.#joining || this.#closed || this.#paused || this.#receives !== null) return
    this.#joining = true
    try {
      const joined = await this.#p.consumer.join()
      this.#joining = false
      if (!this.#closed && !this.#paused) this.#begin(joined)
    } catch (e) {
      this.#joining = false
      this.#lost(e)
    }
  }

  #begin(joined: Joined): void {
    const { options, clock, consumer, health, decode } = this.#p
    const { fifo, brokers } = joined
    this.#p.joined(joined)
    const receives = new Receives(brokers, {
      consumer,
      clock,
      invisibleMs: options.invisibleMs,
      batch: fifo ? 1 : options.batch,
      most: fifo ? FIFO_RECEIVES : options.receives,
      room: () => this.#sink?.room() ?? 0,
      taken: (messages, broker, leaseUntilMs) => {
        // What came while it was paused comes again when its lease is over.
        if (this.#paused) return
        this.#wentWell()
        const nowMs = clock.wall()
        const taken = messages.map((m) => new HeldMessage(m, decode(m, nowMs), broker, leaseUntilMs))
        for (const m of taken) this.#out.add(m)
        this.#sink?.taken(taken)
      },
      failed: (e) => {
        if (this.#receives !== receives) return
        this.#refused = !(e instanceof RocketMqError && e.reason === 'RocketMQUnreachable')
        this.#lost(e)
      },
    })
    this.#receives = receives
    this.#timers = [
      clock.every(options.heartbeatMs, () => void this.#beat()),
      clock.every(options.routeMs, () => void this.#look(brokers)),
    ]
    if (!this.#refused) health.good()
    receives.pump()
  }

  #wentWell(): void {
    this.#againMs = 0
    this.#refused = false
    this.#p.health.good()
  }

  async #beat(): Promise<void> {
    // Somebody else's by now, though nobody could tell us.
    const nowMs = this.#p.clock.now()
    for (const m of this.#out) if (m.heldUntilMs < nowMs) this.#out.delete(m)
    const session = this.#receives
    try {
      await this.#p.consumer.heartbeat()
      // A session that lives so long is a good one, though no message has come.
      if (session !== null && this.#receives === session) this.#wentWell()
    } catch (e) {
      if (session !== null && this.#receives === session) this.#lost(e)
    }
  }

  /** A broker more or less is another session. */
  async #look(known: readonly Broker[]): Promise<void> {
    const session = this.#receives
    const now = await this.#p.consumer.brokers().catch(() => known)
    if (session === null || this.#receives !== session || namesOf(now) === namesOf(known)) return
    this.#endSession()
    void this.#join()
  }

  #lost(e: unknown): void {
    if (this.#closed || this.#joining || this.#paused) return
    this.#endSession()
    const { health, clock, random, sentence } = this.#p
    health.bad(e instanceof RocketMqError ? e.reason : 'RocketMQFailed', sentence(e))
    this.#againMs = Math.min(AGAIN_MOST_MS, Math.max(AGAIN_LEAST_MS, this.#againMs * 2))
    this.#again?.cancel()
    this.#again = clock.after(this.#againMs * (0.8 + 0.4 * random.next()), () => void this.#join())
  }

  #endSession(): void {
    for (const t of this.#timers) t.cancel()
    this.#timers = []
    this.#receives?.stop()
    this.#receives = null
  }
}

/** A handle that counts no more: the message is somebody else's, or will be. */
function lapsedOr(e: unknown): Error {
  if (e instanceof RocketMqError && e.reason === 'HandleInvalid') return new Lapsed(e.message)
  return e instanceof Error ? e : new Error(String(e))
}

/** Indexes of messages that can be acknowledged in one call. */
function byBroker(messages: readonly HeldMessage[]): number[][] {
  const calls: number[][] = []
  const open = new Map<string, number[]>()
  messages.forEach(({ broker }, i) => {
    const name = `${broker.name} ${broker.target}`
    let call = open.get(name)
    if (call === undefined || call.length >= ACKS_A_CALL) {
      call = []
      open.set(name, call)
      calls.push(call)
    }
    call.push(i)
  })
  return calls
}

const namesOf = (list: readonly Broker[]): string =>
  list
    .map((b) => `${b.name} ${b.target}`)
    .sort()
    .join()

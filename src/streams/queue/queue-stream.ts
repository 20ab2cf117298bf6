import type { Feed, Intake } from '../../contract/feed.ts'
import { type Appended, type AppendOptions, DURABLE, type Stream, type StreamStats } from '../../contract/stream.ts'
import type { CloudEvent } from '../../event/event.ts'
import { endingWithin } from '../../runtime/ending.ts'
import { assert } from '../../runtime/errors.ts'
import type { QueueLimits } from '../../sources/queue/consumption.ts'
import type { QueueMessage } from '../../sources/queue/consumer.ts'
import { queueFeed, type QueueFeed } from '../../sources/queue/feed.ts'
import type { Custody } from '../../store/custody.ts'
import { MOST_WAITING_BYTES, sizeOf, type StreamParts, tooLarge } from '../parts.ts'
import { Gate } from './gate.ts'
import type { QueueSystem } from './system.ts'

export interface QueueStreamParts<M extends QueueMessage> extends StreamParts {
  readonly system: QueueSystem<M>
  /** Keeps what is parked, and what waits long where the system cannot keep it. */
  readonly custody: Custody
  readonly limits?: Partial<QueueLimits>
  /** What the system can beyond a plain queue. */
  readonly can?: Partial<Stream['can'] & Feed['can']>
  /** What is said of a seek where the system has none. */
  readonly noSeek?: string
}

const RETRY_MS = 1_000
/** A system that does not answer holds up the closing of its stream for no longer than this. */
const ANSWERS_MS = 5_000
const LEAVING_MS = 5_000

/**
 * A stream on a message system that hands out single messages: it publishes once, and every subscription has a queue of its
 * own there. The system is the log; what waits long stays in it, what is given up goes to the custody.
 */
export function createQueueStream<M extends QueueMessage>(parts: QueueStreamParts<M>): Stream {
  return new QueueStream(parts)
}

class QueueStream<M extends QueueMessage> implements Stream {
  readonly can: Stream['can']
  readonly #p: QueueStreamParts<M>
  /** Nothing is published while a subscription is being made: what is appended after `attach` has to reach it. */
  readonly #gate: Gate
  #inner: QueueFeed | null = null
  #feed: Feed | null = null
  #waitingBytes = 0
  #answered: (() => void) | null = null
  #closed = false

  constructor(parts: QueueStreamParts<M>) {
    this.#p = parts
    this.#gate = new Gate(parts.clock)
    const { atomicBatch = false, delay = false, seekTime = false } = parts.can ?? {}
    this.can = { atomicBatch, delay, seekTime }
  }

  append(events: readonly CloudEvent[], done: (r: Appended) => void, options: AppendOptions = {}): void {
    const { maxEventBytes } = this.#p.plan
    if (this.#closed) return done(CLOSED)
    if (events.length === 0) return done(DURABLE)
    let bytes = 0
    for (const e of events) {
      if (tooLarge(e, maxEventBytes)) return done({ kind: 'too-large', limitBytes: maxEventBytes })
      bytes += sizeOf(e)
    }
    const { budget, system } = this.#p
    if (system.away !== undefined) return done({ kind: 'unavailable', retryAfterMs: RETRY_MS, why: system.away.message })
    if (this.#waitingBytes + bytes > MOST_WAITING_BYTES && this.#waitingBytes > 0) return done(BEHIND)
    // Replies and dead letters go on, so that what fills the memory can leave it.
    if (budget?.full === true && options.reserve !== true) return done(NO_MEMORY)
    this.#waitingBytes += bytes
    budget?.take(bytes)
    const atMs = this.#p.clock.now()
    const ended = (r: Appended): void => {
      this.#waitingBytes -= bytes
      budget?.give(bytes)
      this.#appended(events, bytes, atMs, r, options)
      done(r)
      if (this.#waitingBytes === 0) this.#answered?.()
    }
    if (this.#gate.open) system.publish(events, ended)
    else this.#gate.wait((closed) => (closed ? ended(CLOSED) : system.publish(events, ended)))
  }

  open(into: Intake, signal: AbortSignal): Feed {
    assert(this.#inner === null, 'a stream is opened once')
    const { system, clock, custody, limits, can, noSeek, budget } = this.#p
    const { seek = false, exactBacklog = false, lease = true, release = true, ordered = true } = can ?? {}
    const inner = queueFeed({
      intake: into,
      clock,
      subscribe: (key, from, order) => system.subscribe(key, from, order),
      forget: (key) => system.forget(key),
      starting: (ready) => this.#gate.shut(ready),
      limits: limits ?? {},
      budget,
      can: { seek, exactBacklog, lease, release, ordered },
      ...(noSeek === undefined ? {} : { noSeek }),
    })
    this.#inner = inner
    signal.addEventListener('abort', () => inner.stop(), { once: true })
    this.#feed = custody.wrap(inner, into, (sub) => inner.keyOf(sub))
    return this.#feed
  }

  stats(): StreamStats {
    const refusing = this.#closed ? 'the stream is closed' : (this.#p.system.complaint?.message ?? '')
    return { events: 0, bytes: 0, oldestMs: 0, refusing }
  }

  /** First what was published arrives, then what it settles and all else that is settled; then the system is left. */
  async close(signal: AbortSignal): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#gate.close()
    this.#inner?.stop()
    const { clock, system } = this.#p
    await endingWithin(clock, ANSWERS_MS, signal, (over) => this.#allAnswered(over))
    await this.#inner?.close(signal)
    await endingWithin(clock, LEAVING_MS, signal, (over) => system.close(over))
  }

  #allAnswered(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (this.#waitingBytes === 0 || signal.aborted) return resolve()
      this.#answered = resolve
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  #appended(events: readonly CloudEvent[], bytes: number, atMs: number, r: Appended, { settles }: AppendOptions): void {
    const { observer, id, clock } = this.#p
    if (r.kind === 'durable') {
      if (settles !== undefined) this.#feed?.settle(settles, 'delivered')
      observer.appended(id, events.length, bytes, clock.now() - atMs, events)
    } else if (r.kind === 'partial' && r.durable > 0) {
      const stored = events.slice(0, r.durable)
      const size = stored.reduce((sum, e) => sum + sizeOf(e), 0)
      observer.appended(id, stored.length, size, clock.now() - atMs, stored)
    }
  }
}

const CLOSED: Appended = Object.freeze({ kind: 'unavailable', retryAfterMs: RETRY_MS, why: 'the stream is closed' })
const NO_MEMORY: Appended = Object.freeze({ kind: 'full', retryAfterMs: RETRY_MS, why: 'the memory for events is used up' })
const BEHIND: Appended = Object.freeze({
  kind: 'full',
  retryAfterMs: RETRY_MS,
  why: 'the message system does not keep up with what is appended',
})

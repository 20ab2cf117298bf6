import type { Clock } from '../../runtime/clock.ts'
import type { Broker, RocketMqConsumer } from '../../vendor/rocketmq/consumer.ts'
import type { ReceivedMessage } from '../../vendor/rocketmq/messages.ts'

/** What all receives of one answerful moment may bring, bytes: as much as a lane holds. */
const BYTES_AT_ONCE = 8 * 2 ** 20
/** Assumed of the first messages; then the measured size counts. */
const FIRST_BYTES = 16 * 1_024

export interface ReceivesParts {
  readonly consumer: Pick<RocketMqConsumer, 'receive'>
  readonly clock: Clock
  readonly invisibleMs: number
  /** Messages of one receive, at most: 1 where the order of queues is kept. */
  readonly batch: number
  readonly most: number
  /** How many more messages may be held, those that running receives were asked for not counted. */
  readonly room: () => number
  /** None where none came in time. `leaseUntilMs`: monotonic. */
  readonly taken: (messages: readonly ReceivedMessage[], broker: Broker, leaseUntilMs: number) => void
  /** A receive failed: nothing is asked for before `pump` is called again. */
  readonly failed: (e: unknown) => void
}

interface Line {
  readonly broker: Broker
  running: number
  /** As many as the last answers were worth: one more after a good one, one less after an empty one. */
  wanted: number
}

/** Receives of a session: several at each broker while there is much, one long wait while there is nothing. */
export class Receives {
  readonly #p: ReceivesParts
  readonly #lines: readonly Line[]
  readonly #stop = new AbortController()
  #asked = 0
  #meanBytes = FIRST_BYTES
  #failing = false
  #waiters: (() => void)[] = []

  constructor(brokers: readonly Broker[], p: ReceivesParts) {
    this.#p = p
    this.#lines = brokers.map((broker) => ({ broker, running: 0, wanted: 1 }))
  }

  /** Asks for what there is room for. */
  pump(): void {
    this.#failing = false
    for (let any = true; any;) {
      any = false
      // Brokers take turns, so that none has all the room.
      for (const line of this.#lines) {
        if (this.#stop.signal.aborted || line.running >= line.wanted) continue
        const most = this.#size()
        if (most < 1) return
        any = true
        void this.#receive(line, most)
      }
    }
  }

  /** Ends the waits. What is on its way comes again when its invisible time is over. */
  stop(): void {
    this.#stop.abort()
  }

  /** Resolves when no receive is under way. */
  ended(): Promise<void> {
    if (this.#running === 0) return Promise.resolve()
    return new Promise((resolve) => this.#waiters.push(resolve))
  }

  get #running(): number {
    return this.#lines.reduce((sum, line) => sum + line.running, 0)
  }

  /** A receive that may bring more bytes than there is room for brings fewer messages. */
  #size(): number {
    const byBytes = Math.floor(BYTES_AT_ONCE / this.#p.most / this.#meanBytes)
    return Math.min(this.#p.batch, this.#p.room() - this.#asked, Math.max(1, byBytes))
  }

  async #receive(line: Line, most: number): Promise<void> {
    line.running++
    this.#asked += most
    let found: readonly ReceivedMessage[] = []
    let error: unknown = null
    try {
      found = await this.#p.consumer.receive(line.broker, most, this.#p.invisibleMs, this.#stop.signal)
    } catch (e) {
      error = e
    }
    line.running--
    this.#asked -= most
    if (this.#running === 0) for (const resolve of this.#waiters.splice(0)) resolve()
    if (error !== null) {
      if (!this.#stop.signal.aborted && !this.#failing) {
        this.#failing = true
        this.#p.failed(error)
      }
      return
    }
    if (found.length * 2 > most) line.wanted = Math.min(this.#p.most, line.wanted + 1)
    else if (found.length === 0) line.wanted = Math.max(1, line.wanted - 1)
    this.#measure(found)
    // Their lease began at the broker when it handed them out, which was a moment ago.
    this.#p.taken(found, line.broker, this.#p.clock.now() + this.#p.invisibleMs)
    if (!this.#failing) this.pump()
  }

  /** A large message counts at once, small ones little by little. */
  #measure(found: readonly ReceivedMessage[]): void {
    for (const m of found) {
      const bytes = m.body?.length ?? 0
      this.#meanBytes = bytes > this.#meanBytes ? bytes : this.#meanBytes + (bytes - this.#meanBytes) * 0.05
    }
  }
}

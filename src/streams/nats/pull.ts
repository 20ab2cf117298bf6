import type { Clock, Timer } from '../../runtime/clock.ts'
import { aborted } from '../../runtime/ending.ts'
import { Lapsed, type QueueConsumer, type QueueSink } from '../../sources/queue/consumer.ts'
import type { NatsLink, NatsMessage } from '../../vendor/nats/link.ts'
import type { Answers } from './answers.ts'
import { ackTokens, JetStreamMessage } from './message.ts'
import type { ConsumerPlace } from './place.ts'

/** A pull waits at the server for so long, and says every so often that it still does. */
const EXPIRES_MS = 60_000
const HEARTBEAT_MS = 10_000
/** Nothing at all for so long: the pull is lost, or the consumer. */
const SILENT_MS = 25_000
/** What one pull may bring, at least; a message that is larger than this would never come. */
const PULL_BYTES = 8 * 2 ** 20
const NS = 1e6
/** Who hands back is often about to leave: at once it would come here again, and each time counts as a delivery. */
const BACK_MS = 500
/** What leaving may still take when its time is up. */
const LATE_MS = 1_000

const ACK = Buffer.from('+ACK')
const NAK = Buffer.from('-NAK')
const IN_PROGRESS = Buffer.from('+WPI')

export interface PullParts {
  readonly link: Pick<NatsLink, 'up' | 'maxPayload' | 'listen' | 'unlisten' | 'publish' | 'drain' | 'flush'>
  readonly clock: Clock
  readonly place: Pick<
    ConsumerPlace,
    'ready' | 'stream' | 'name' | 'generation' | 'ackWaitMs' | 'maxDeliver' | 'doubt' | 'look' | 'stop'
  >
  readonly answers: Pick<Answers, 'ask'>
  /** Its messages waited with a state: what is not due yet goes back until it is. */
  readonly due: boolean
  /** Names its inbox within the link. */
  readonly tail: string
}

/**
 * Pulls from a durable consumer what there is room for. A message is a callback, an acknowledgement four bytes; the last of a
 * batch asks for an answer, which stands for all before it, as a consumer handles its acknowledgements in their order.
 */
export class PullConsumer implements QueueConsumer<JetStreamMessage> {
  readonly #p: PullParts
  #sink: QueueSink<JetStreamMessage> | null = null
  /** What each pull may still bring, oldest first: the server serves them in this order. */
  #pulls: number[] = []
  #asked = 0
  #inbox = ''
  #inboxes = 0
  #came: JetStreamMessage[] = []
  #handing = false
  #heardMs = 0
  #quiet = false
  #quieting: Promise<void> | null = null
  readonly #timer: Timer
  /** Handed over and neither acknowledged nor given back. */
  out = 0

  constructor(p: PullParts) {
    this.#p = p
    this.#timer = p.clock.every(HEARTBEAT_MS / 2, () => this.#look())
  }

  start(sink: QueueSink<JetStreamMessage>): void {
    this.#sink = sink
    this.pump()
  }

  pump(): void {
    const { link, place } = this.#p
    if (this.#sink === null || this.#quiet || !place.ready || !link.up) return
    const room = this.#sink.room()
    const want = room - this.#asked
    // A pull costs as much as a few messages: half of the room together is worth one.
    if (want < 1 || (this.#asked > 0 && want * 2 < room)) return
    if (this.#inbox === '') this.#inbox = link.listen(`${this.#p.tail}.${++this.#inboxes}`, (m) => this.#received(m))
    const request = {
      batch: want,
      expires: EXPIRES_MS * NS,
      idle_heartbeat: HEARTBEAT_MS * NS,
      max_bytes: Math.max(PULL_BYTES, 2 * link.maxPayload),
    }
    const { stream, name } = place
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${stream.name}.${name}`
    if (!link.publish(subject, this.#inbox, '', JSON.stringify(request))) return
    this.#heardMs = this.#p.clock.now()
    this.#pulls.push(want)
    this.#asked += want
  }

  acknowledge(messages: readonly JetStreamMessage[], done: (answers: readonly (Error | null)[] | null) => void): void {
    const { answers, link, place, clock } = this.#p
    const live = messages.filter((m) => m.generation === place.generation)
    // A consumer that was made anew is not to hear of what the one before it delivered.
    const last = live.pop()
    if (last === undefined) {
      this.out -= messages.length
      return clock.soon(() => done(null))
    }
    for (const m of live) link.publish(m.reply, '', '', ACK)
    answers.ask(last.reply, ACK, (ok) => {
      if (ok) this.out -= messages.length
      done(ok ? null : messages.map(() => NOT_ANSWERED))
    })
  }

  release(message: JetStreamMessage, delayMs: number): void {
    this.out--
    this.#giveBack(message, this.#quiet ? delayMs : Math.max(delayMs, BACK_MS))
  }

  extend(message: JetStreamMessage): Promise<number> {
    const { link, place, clock } = this.#p
    if (message.generation !== place.generation) return Promise.reject(new Lapsed('the consumer was made anew'))
    if (!link.publish(message.reply, '', '', IN_PROGRESS)) return Promise.reject(NOT_ANSWERED)
    return Promise.resolve(clock.now() + place.ackWaitMs)
  }

  /** The connection is gone: what was asked for does not come, what was acknowledged may not have arrived. */
  lost(): void {
    this.#forgetPulls()
    this.#sink?.lost(false)
  }

  /** What was asked for before is not taken any more; what came and was not handed over is dropped. */
  cut(): void {
    this.#forgetPulls()
    this.#came = []
    this.out = 0
  }

  /**
   * What is on its way here goes back at once: it would wait out its lease for nobody. Asking for the consumer makes the
   * server forget the pulls of the inbox that is gone: one that it still has swallows the first message that is given back
   * (nats-server 2.9), until its lease is over.
   */
  quiesce(signal: AbortSignal): Promise<void> {
    this.#quieting ??= this.#quietly(signal)
    return this.#quieting
  }

  async #quietly(signal: AbortSignal): Promise<void> {
    this.#quiet = true
    this.#timer.cancel()
    const inbox = this.#inbox
    this.#inbox = ''
    if (inbox === '') return
    const { link, place, clock } = this.#p
    const drained = link.drain(inbox).then(() => place.look())
    // Also when the time is up: it takes a few ms, and without it what is given back now would be lost to its lease.
    const late = new Promise<void>((resolve) => void aborted(signal).then(() => clock.after(LATE_MS, resolve)))
    await Promise.race([drained, late])
  }

  async close(signal: AbortSignal): Promise<void> {
    await this.quiesce(signal)
    await Promise.race([this.#p.link.flush(), aborted(signal)])
    this.#p.place.stop()
  }

  // -- what comes ---------------------------------------------------------------------------------------------------

  #received(m: NatsMessage): void {
    this.#heardMs = this.#p.clock.now()
    const tokens = ackTokens(m.reply ?? '')
    if (tokens === null) return this.#status(m)
    const oldest = this.#pulls[0]
    if (oldest !== undefined) {
      this.#asked--
      if (oldest > 1) this.#pulls[0] = oldest - 1
      else this.#pulls.shift()
    }
    const { clock, place, due } = this.#p
    const nowMs = clock.now()
    const message = new JetStreamMessage(m, tokens, {
      nowMs: clock.wall(),
      leaseUntilMs: nowMs + place.ackWaitMs,
      generation: place.generation,
      due,
      mostRedelivery: due ? redeliveryOfDue(place.maxDeliver) : Infinity,
    })
    const waitMs = message.state === null ? 0 : message.state.dueMs - clock.wall()
    if (waitMs > 0) {
      this.#giveBack(message, waitMs)
      if (this.#asked === 0) this.#handSoon()
      return
    }
    this.#came.push(message)
    this.#handSoon()
  }

  /** Everything of one piece that was read from the socket is handed over together. */
  #handSoon(): void {
    if (this.#handing) return
    this.#handing = true
    queueMicrotask(() => {
      this.#handing = false
      const came = this.#came
      this.#came = []
      this.out += came.length
      if (came.length > 0) this.#sink?.taken(came)
      this.pump()
    })
  }

  /** A pull has ended before it brought all it was asked for, or it says that it still waits. */
  #status(m: NatsMessage): void {
    const code = m.headers?.code ?? 0
    if (code === 100) return
    this.#asked -= this.#pulls.shift() ?? 0
    const { place } = this.#p
    if (code === 409 && /deleted|push based/i.test(m.headers?.description ?? '')) {
      this.#forgetPulls()
      if (!this.#quiet) place.doubt()
    } else this.#handSoon()
  }

  #look(): void {
    if (this.#quiet) return
    const { clock, place, link } = this.#p
    if (this.#pulls.length > 0 && clock.now() - this.#heardMs > SILENT_MS) {
      this.#forgetPulls()
      if (link.up) place.doubt()
    }
    this.pump()
  }

  #forgetPulls(): void {
    this.#pulls = []
    this.#asked = 0
    // A pull that the server still knows would bring more than there is room for.
    if (this.#inbox !== '') this.#p.link.unlisten(this.#inbox)
    this.#inbox = ''
  }

  #giveBack(message: JetStreamMessage, delayMs: number): void {
    const { link, place } = this.#p
    if (message.generation !== place.generation) return
    const text = delayMs < 1 ? NAK : Buffer.from(`-NAK {"delay": ${Math.ceil(delayMs) * NS}}`)
    link.publish(message.reply, '', '', text)
  }
}

const NOT_ANSWERED = new Error('NATS did not answer; it is tried again')

/** What waits is handed back and forth while it does, which is none of its fault. */
function redeliveryOfDue(maxDeliver: number): number {
  return maxDeliver === 0 ? 1 : Math.min(1, Math.max(0, maxDeliver - 2))
}

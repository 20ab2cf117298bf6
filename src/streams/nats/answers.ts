import type { Clock, Timer } from '../../runtime/clock.ts'
import type { NatsLink, NatsMessage } from '../../vendor/nats/link.ts'

const ANSWER_MS = 5_000
const LOOK_MS = 1_000

type AnswersLink = Pick<NatsLink, 'inbox' | 'listen' | 'publish'>

interface Question {
  readonly done: (ok: boolean) => void
  readonly untilMs: number
}

/** Acknowledgements that JetStream is to confirm: one number a batch, no promise. */
export class Answers {
  readonly #link: AnswersLink
  readonly #clock: Clock
  readonly #replies: string
  readonly #timer: Timer
  readonly #asked = new Map<number, Question>()
  #last = 0

  constructor(link: AnswersLink, clock: Clock) {
    this.#link = link
    this.#clock = clock
    this.#replies = link.inbox('a.')
    link.listen('a.*', (m) => this.#answered(m))
    this.#timer = clock.every(LOOK_MS, () => this.#look())
  }

  /** Publishes; `done(false)`: nothing is known to have arrived. */
  ask(subject: string, data: Uint8Array, done: (ok: boolean) => void): void {
    const number = ++this.#last
    if (!this.#link.publish(subject, this.#replies + number, '', data)) return this.#clock.soon(() => done(false))
    this.#asked.set(number, { done, untilMs: this.#clock.now() + ANSWER_MS })
  }

  /** The connection is lost, and with it every answer. */
  lost(): void {
    const asked = [...this.#asked.values()]
    this.#asked.clear()
    for (const q of asked) q.done(false)
  }

  close(): void {
    this.#timer.cancel()
    this.lost()
  }

  #answered(m: NatsMessage): void {
    const number = Number(m.subject.slice(this.#replies.length))
    const q = this.#asked.get(number)
    if (q === undefined) return
    this.#asked.delete(number)
    // The answer has nothing in it; a status in its headers says that nobody listens: the consumer is gone.
    q.done(m.headers === undefined || m.headers.code === 0)
  }

  #look(): void {
    const nowMs = this.#clock.now()
    for (const [number, q] of this.#asked) {
      if (q.untilMs > nowMs) return
      this.#asked.delete(number)
      q.done(false)
    }
  }
}

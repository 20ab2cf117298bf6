import { type Appended, DURABLE } from '../../contract/stream.ts'
import { latin1Text } from '../../event/bytes.ts'
import type { NatsContent } from '../../event/nats.ts'
import type { Clock, Timer } from '../../runtime/clock.ts'
import { errorOfApi, type ApiErrorLike, type NatsError } from '../../vendor/nats/errors.ts'
import type { NatsLink, NatsMessage } from '../../vendor/nats/link.ts'

/** Nothing is tried for longer than this: who appends sends again then. */
const DELIVERY_MS = 10_000
/** A publish without an answer goes again, under the same id, so that it is stored once. */
const ANSWER_MS = 3_000
const LOOK_MS = 500
const RETRY_MS = 1_000
/** Sent and not answered, at most. */
const MOST_SENT = 4_096
const MOST_SENT_BYTES = 16 * 2 ** 20
/** What the header with the id adds to a message. */
const ID_BYTES = 80

export interface PublisherParts {
  readonly link: Pick<NatsLink, 'up' | 'maxPayload' | 'inbox' | 'listen' | 'publish'>
  readonly clock: Clock
  /** Begins every message id; no two processes have the same. */
  readonly session: string
  /** The stream is there. */
  readonly ready: () => boolean
  /** Nobody listens on the subject: the stream has to be looked after. */
  readonly missing: () => void
  /** What a stream refuses, or null for the last time it took something. */
  readonly refused: (e: NatsError | null) => void
  /** Why nothing is taken, for what has waited too long. */
  readonly why: () => string
}

/** One append: so many messages, answered together. */
interface Append {
  readonly done: (r: Appended) => void
  readonly atMs: number
  left: number
  failedAt: number
  failed: Appended
}

interface Publish {
  readonly number: number
  readonly of: Append
  readonly index: number
  readonly subject: string
  readonly content: NatsContent
  readonly bytes: number
  sentMs: number
}

/** Publishes with an id a message, and says so when JetStream has stored it. Answers come by number, without a promise. */
export class Publisher {
  readonly #p: PublisherParts
  readonly #replies: string
  readonly #timer: Timer
  /** In the order of the calls; those before `#at` are sent. */
  #waiting: Publish[] = []
  #at = 0
  readonly #sent = new Map<number, Publish>()
  #sentBytes = 0
  #last = 0
  #closed = false
  #drained: () => void = () => {}

  constructor(p: PublisherParts) {
    this.#p = p
    this.#replies = p.link.inbox('p.')
    p.link.listen('p.*', (m) => this.#answered(m))
    this.#timer = p.clock.every(LOOK_MS, () => this.#look())
  }

  /** Bytes of one message that are too many for the server as it is now. */
  tooLarge({ head, payload }: NatsContent, mostBytes: number): boolean {
    return head.length + payload.length + ID_BYTES > mostBytes
  }

  send(subject: string, contents: readonly NatsContent[], done: (r: Appended) => void): void {
    const of: Append = { done, atMs: this.#p.clock.now(), left: contents.length, failedAt: contents.length, failed: DURABLE }
    if (this.#closed) return done(unavailable('the stream is closed'))
    for (let index = 0; index < contents.length; index++) {
      const content = contents[index] as NatsContent
      const bytes = content.head.length + content.payload.length
      this.#waiting.push({ number: ++this.#last, of, index, subject, content, bytes, sentMs: 0 })
    }
    this.flush()
  }

  /** Sends what there is room for. */
  flush(): void {
    const { link, clock, session, ready } = this.#p
    if (this.#at === this.#waiting.length || !link.up || !ready()) return
    const nowMs = clock.now()
    for (; this.#at < this.#waiting.length; this.#at++) {
      const one = this.#waiting[this.#at] as Publish
      if (this.#sent.size >= MOST_SENT || (this.#sent.size > 0 && this.#sentBytes + one.bytes > MOST_SENT_BYTES)) break
      one.sentMs = nowMs
      this.#sent.set(one.number, one)
      this.#sentBytes += one.bytes
      const head = `Nats-Msg-Id: ${session}${one.number.toString(36)}\r\n${one.content.head}`
      link.publish(one.subject, this.#replies + one.number, head, one.content.payload)
    }
    // Moving the rest for every answer would cost more than the answers.
    if (this.#at === this.#waiting.length) {
      this.#waiting.length = 0
      this.#at = 0
    } else if (this.#at >= MOST_SENT) this.#rest([])
  }

  /** What waits is `first`, then what has waited so far. */
  #rest(first: readonly Publish[]): void {
    this.#waiting = [...first, ...this.#waiting.slice(this.#at)]
    this.#at = 0
  }

  /** The connection is new, or the stream is: what was not answered goes again, before anything newer. */
  resend(): void {
    const again = [...this.#sent.values()]
    this.#sent.clear()
    this.#sentBytes = 0
    this.#rest(again)
    this.flush()
  }

  /** Waits for the answers; what has none when the signal aborts is unavailable. */
  async close(signal: AbortSignal): Promise<void> {
    this.#closed = true
    if (this.#size > 0 && !signal.aborted)
      await new Promise<void>((resolve) => {
        this.#drained = resolve
        signal.addEventListener('abort', () => resolve(), { once: true })
      })
    this.#timer.cancel()
    this.#failAll('the stream is closed', () => true)
  }

  get #size(): number {
    return this.#waiting.length - this.#at + this.#sent.size
  }

  #answered(m: NatsMessage): void {
    const one = this.#sent.get(Number(m.subject.slice(this.#replies.length)))
    if (one === undefined) return
    const { data } = m
    // Nothing at all: nobody listens on the subject.
    if (data.length === 0) return this.#p.missing()
    const error = errorOf(data)
    this.#p.refused(error)
    if (error === null) this.#end(one, DURABLE)
    else {
      const how = outcomeOf(error, this.#p.link.maxPayload)
      // It may pass: goes again when it has had no answer for a while.
      if (how !== null) this.#end(one, how)
    }
    this.flush()
  }

  #look(): void {
    if (this.#size === 0) return
    const { clock, why } = this.#p
    const nowMs = clock.now()
    this.#failAll(why(), (one) => one.of.atMs < nowMs - DELIVERY_MS)
    const [first] = this.#sent.values()
    if (first !== undefined && first.sentMs < nowMs - ANSWER_MS) this.resend()
    else this.flush()
  }

  #failAll(why: string, which: (one: Publish) => boolean): void {
    this.#rest([])
    const failed = [...[...this.#sent.values()].filter(which), ...this.#waiting.filter(which)]
    if (failed.length === 0) return
    this.#waiting = this.#waiting.filter((one) => !which(one))
    for (const one of failed) this.#end(one, unavailable(why))
  }

  #end(one: Publish, how: Appended): void {
    if (this.#sent.delete(one.number)) this.#sentBytes -= one.bytes
    const { of } = one
    if (how.kind !== 'durable' && one.index < of.failedAt) {
      of.failedAt = one.index
      of.failed = how
    }
    if (--of.left > 0) return
    if (of.failed.kind === 'unavailable' && of.failedAt > 0) of.done({ kind: 'partial', durable: of.failedAt })
    else of.done(of.failed)
    if (this.#size === 0) this.#drained()
  }
}

const S = 0x73

/** null = it is stored. The answer begins with `{"stream":` or `{"error":`: only the second is parsed. */
function errorOf(data: Uint8Array): NatsError | null {
  if (data[2] === S) return null
  let answer: { readonly error?: ApiErrorLike; readonly stream?: string }
  try {
    answer = JSON.parse(latin1Text(data, 0, data.length)) as { error?: ApiErrorLike; stream?: string }
  } catch {
    return errorOfApi({ description: 'an answer that is no JSON' })
  }
  return answer.error === undefined ? null : errorOfApi(answer.error)
}

/** null = trying again may help. */
function outcomeOf(e: NatsError, limitBytes: number): Appended | null {
  if (e.reason === 'TooLarge') return { kind: 'too-large', limitBytes }
  if (e.reason === 'Full') return { kind: 'full', retryAfterMs: RETRY_MS, why: `NATS takes nothing: ${e.message}` }
  return null
}

function unavailable(why: string): Appended {
  return { kind: 'unavailable', retryAfterMs: RETRY_MS, why }
}

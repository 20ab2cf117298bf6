import type { Outcome } from '../contract/outcome.ts'
import type { Attempt, Credit, Origin } from '../contract/target.ts'
import { encodeBatch, encodeStructured } from '../event/json.ts'
import { isJsonType } from '../event/media.ts'
import { assert } from '../runtime/errors.ts'
import type { Clock } from '../runtime/clock.ts'
import { Deadline, type Deadlines } from './deadlines.ts'
import type { AnswerHead, Exchange, Lane, Line } from './exchange.ts'
import {
  accepted,
  acceptedBatch,
  acceptedWithReply,
  ERROR_BODY_BYTES,
  kindOf,
  mayCarryReply,
  refused,
  REPLY_BYTES,
  unanswered,
  viewOf,
} from './outcome.ts'
import { unfitHeader, type RequestHeads } from './request-head.ts'

/**
 * Bytes of a body nobody wants that are read to keep the connection; then it is closed. Much, because closing early frees
 * the credit while the pod may still be at work, and reading costs next to nothing.
 */
const DRAIN_BYTES = 1 << 20

/**
 * An abandoned connection is closed after this, or twice the time the attempt had: long after a stuck pod was replaced and
 * a URI's credit came back, so that a sink that never answers cannot gather connections without end.
 */
export const ABANDONED_MS = 600_000

const NOTHING: Uint8Array = new Uint8Array(0)

/** What all attempts of a sender share. */
export interface CallParts {
  readonly clock: Clock
  readonly deadlines: Deadlines
  readonly heads: RequestHeads
  laneOf(o: Origin): Lane
  /** The call is over and may be used for another attempt. */
  recycle(call: AttemptCall): void
}

/**
 * One attempt of an event over one credit. Used again and again: an attempt in flight costs no closures and no object of
 * its own beside its outcome.
 *
 * ```
 *   running ── answer whole, or connection lost ─────────────→ release credit, done
 *      ├── time-out ──→ done, abandon credit ── answer ends, connection closes ──→ release credit (late 2xx: attempt.late)
 *      └── pod gone ──→ done, connection destroyed ──────────→ release credit
 * ```
 * A time-out before any byte was sent destroys the connection: the pod has nothing to finish.
 */
export class AttemptCall implements Exchange {
  readonly method = 'POST'
  readonly streamed = false
  readonly bodyLength = 0
  line: Line | null = null
  body: Uint8Array | null = null
  path = ''
  private readonly parts: CallParts
  private readonly deadline: Deadline
  private readonly onGone: () => void
  private attempt: Attempt | null = null
  private credit: Credit | null = null
  private text = ''
  private startMs = 0
  private decided = false
  private starting = false
  private gone = false
  private sent = false
  private status = 0
  private retryAfterText = ''
  /** The head of a reply that may be an event; null = the body is not wanted as one. */
  private replyHead: string[] | null = null
  /** The body may say which events of a batch failed. */
  private wantsFailed = false
  private kept: Uint8Array[] = []
  private keptBytes = 0
  private seenBytes = 0

  constructor(parts: CallParts) {
    this.parts = parts
    this.deadline = new Deadline(() => this.timedOut())
    this.onGone = () => this.podGone()
  }

  get origin(): Origin {
    assert(this.credit !== null, 'an attempt in flight has a credit')
    return this.credit.origin
  }

  get repeatable(): boolean {
    return !this.decided
  }

  start(path: string, host: string, a: Attempt, c: Credit): void {
    this.attempt = a
    this.credit = c
    this.startMs = this.parts.clock.now()
    this.decided = false
    this.gone = false
    this.sent = false
    this.clearAnswer()
    const unfit = a.headers.length > 0 || host !== '' ? unfitHeader(a.headers, host) : ''
    if (unfit !== '') return this.parts.clock.soon(() => this.failed(unfit))
    this.path = path
    this.body = a.batch !== undefined ? encodeBatch(a.batch) : a.structured ? encodeStructured(a.event) : a.event.data
    this.text = this.parts.heads.ofAttempt(c.origin, path, host, a)
    this.starting = true
    c.onGone(this.onGone)
    this.starting = false
    if (this.gone) return this.parts.clock.soon(() => this.failed(`the pod ${c.pod} is gone`))
    this.parts.deadlines.set(this.deadline, a.deadlineMs)
    this.parts.laneOf(c.origin).send(this)
  }

  headText(): string {
    return this.text
  }

  opened(): void {
    this.sent = true
    this.clearAnswer()
  }

  head(head: AnswerHead): void {
    this.status = head.status
    if (head.status < 200 || head.status > 299) this.retryAfterText = head.retryAfter()
    else if (head.claimsEvent && mayCarryReply(head.status) && this.attempt?.wantsReply === true) this.replyHead = head.list()
    else if (this.attempt?.batch !== undefined) this.wantsFailed = isJsonType(viewOf(head.list()).get('content-type'))
  }

  data(bytes: Uint8Array, from: number, to: number): void {
    this.seenBytes += to - from
    const whole = this.replyHead !== null || this.wantsFailed
    const wanted = whole ? REPLY_BYTES : kindOf(this.status) === 'accepted' ? 0 : ERROR_BODY_BYTES
    if (whole && this.seenBytes > wanted) {
      this.kept = []
      this.keptBytes = 0
    } else if (this.keptBytes < wanted) {
      const piece = Buffer.copyBytesFrom(bytes, from, Math.min(to - from, wanted - this.keptBytes))
      this.kept.push(piece)
      this.keptBytes += piece.length
    }
    if (this.seenBytes > DRAIN_BYTES) this.line?.abort()
  }

  drained(): void {}

  ended(): void {
    this.finish(this.outcome())
  }

  failed(why: string): void {
    // The answer was told whole but for a body that nobody wants to the end: it stands.
    this.finish(this.seenBytes > DRAIN_BYTES ? this.outcome() : unanswered(why))
  }

  private outcome(): Outcome {
    if (kindOf(this.status) !== 'accepted') {
      return refused(this.status, this.retryAfterText, this.keptBody(), this.parts.clock.wall())
    }
    if (this.wantsFailed && this.attempt?.batch !== undefined) {
      return acceptedBatch(this.status, this.seenBytes > REPLY_BYTES ? null : this.keptBody(), this.attempt.batch)
    }
    if (this.replyHead === null) return accepted(this.status)
    return acceptedWithReply(
      this.status,
      this.replyHead,
      this.seenBytes > REPLY_BYTES ? null : this.keptBody(),
      this.parts.clock.wall(),
    )
  }

  private keptBody(): Uint8Array {
    if (this.kept.length === 1) return this.kept[0] ?? NOTHING
    return this.kept.length === 0 ? NOTHING : Buffer.concat(this.kept)
  }

  /**
   * Nothing runs any more: the credit goes back, then whoever waits is told. A late 2xx is told first: the credit it frees
   * would otherwise go to the retry it makes needless, and a sink slower than its time-out would never be done.
   */
  private finish(o: Outcome): void {
    const { attempt, credit, decided } = this
    assert(attempt !== null && credit !== null, 'an attempt ends once')
    this.parts.deadlines.clear(this.deadline)
    const ms = this.parts.clock.now() - this.startMs
    const late = decided && !this.gone && o.kind === 'accepted'
    this.attempt = null
    this.credit = null
    this.body = null
    this.text = ''
    this.clearAnswer()
    if (late) attempt.late?.(o)
    credit.release({ ms, ok: o.kind === 'accepted' })
    this.parts.recycle(this)
    if (!decided) attempt.done(o)
  }

  private timedOut(): void {
    const { attempt, credit } = this
    if (attempt === null || credit === null) return
    if (this.decided) return this.line?.abort()
    this.decided = true
    const phase = !this.sent ? 'while connecting' : this.status === 0 ? 'without an answer' : 'within the answer'
    const nowMs = this.parts.clock.now()
    const ms = Math.round(nowMs - this.startMs)
    if (this.sent) {
      this.parts.deadlines.set(this.deadline, nowMs + Math.max(ABANDONED_MS, 2 * ms))
      credit.abandon()
    } else this.line?.abort()
    attempt.done(unanswered(`timed out after ${ms} ms ${phase}`))
  }

  private podGone(): void {
    const { attempt, credit } = this
    if (attempt === null || credit === null || this.gone) return
    this.gone = true
    if (this.starting) return
    this.parts.deadlines.clear(this.deadline)
    this.line?.abort()
    if (this.decided) return
    this.decided = true
    attempt.done(unanswered(`the pod ${credit.pod} is gone`))
  }

  private clearAnswer(): void {
    this.status = 0
    this.retryAfterText = ''
    this.replyHead = null
    this.wantsFailed = false
    this.seenBytes = 0
    this.keptBytes = 0
    if (this.kept.length > 0) this.kept = []
  }
}

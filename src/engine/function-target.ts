import type { Key, TargetId } from '../contract/ids.ts'
import type { Outcome } from '../contract/outcome.ts'
import type { TargetPlan } from '../contract/plan.ts'
import type { Attempt, Credit, Job, Target } from '../contract/target.ts'
import { isBad } from '../event/attributes.ts'
import type { CloudEvent } from '../event/event.ts'
import { decodeStructured, encodeStructured } from '../event/json.ts'
import { createGate } from '../flow/gate.ts'
import type { Clock } from '../runtime/clock.ts'
import { passOn } from '../subscription/stream-target.ts'
import type { Evaluation, Evaluator } from '../vendor/jsonata/evaluator.ts'

/** Events a function may have at a time: most of them wait for its sink, as it computes one after another. */
const CREDITS = 64
/** The event has gone through too many functions and streams. RFC 5842 §7.2 */
const LOOP_DETECTED = 508

/** What an EventTransform was lowered to; see `resources/event-transform.ts`. */
export interface TransformSettings {
  readonly expression: string
  readonly sink: Key | null
  readonly resolved: boolean
  readonly discardReply: boolean
  readonly replyExpression: string | null
  readonly namespace: string
}

export interface FunctionParts {
  readonly clock: Clock
  readonly evaluator: Evaluator
  /** A target of the plan in force. */
  readonly target: (key: Key) => Target | undefined
}

/**
 * An EventTransform as a target.
 * ```
 *   event → expression ─ nothing ──────────────────────────────→ accepted, the event ends here
 *              │  └─ no event ─→ accepted with a bad reply, so that a person sees it
 *              ├─ an event, no sink ──────────────────────────→ accepted, it is the reply
 *              └─ an event → sink ─ its answer ─ discarded ────→ accepted
 *                              │        └─ reply → as it is, or through the reply's expression → accepted with that
 *                              └─ not taken ──────────────────→ the sink's outcome
 *   the expression fails → rejected (again it would fail the same way); it takes too long or too much → retryable
 * ```
 */
export function createFunctionTarget(id: TargetId, plan: FunctionPlan, parts: FunctionParts): Target & { close(): void } {
  const settings = plan.settings as unknown as TransformSettings
  const gate = createGate({ clock: parts.clock, maxQueuedRequests: 0 })
  gate.add(`function-${plan.key}`, { protocol: 'http:', host: '', port: 0, caCerts: '' }, CREDITS)
  gate.setOpen(settings.resolved)
  return {
    id,
    name: plan.key,
    acquire: (job) => gate.acquire(job),
    cancel: (job) => gate.cancel(job),
    send(a, c) {
      const startMs = parts.clock.now()
      transform(a, settings, parts, (o) => {
        c.release({ ms: parts.clock.now() - startMs, ok: o.kind === 'accepted' })
        a.done(o)
      })
    },
    state: () => gate.state(),
    get open() {
      return gate.open
    },
    get credits() {
      return gate.credits
    },
    onRoom: (f) => gate.onRoom(f),
    close() {
      gate.close()
      parts.evaluator.close()
    },
  }
}

type FunctionPlan = Extract<TargetPlan, { kind: 'function' }>
type Done = (o: Outcome) => void

function transform(a: Attempt, s: TransformSettings, parts: FunctionParts, done: Done): void {
  evaluated(parts.evaluator, s.expression, a.event, done, (event) => {
    if (event === null) return done(TAKEN)
    if (s.sink === null) return done({ kind: 'accepted', status: 200, reply: event })
    const passed = passOn(event, a.leg)
    if (passed === null) return done({ kind: 'rejected', status: LOOP_DETECTED, why: 'the event has gone round too often' })
    forward(a, s.sink, passed, s, parts, (o) => answered(a.event, o, s, parts, done))
  })
}

/** The event that an expression makes of one, null = none; what goes wrong is told to `failed`. */
function evaluated(
  evaluator: Evaluator,
  expression: string,
  event: CloudEvent,
  failed: Done,
  made: (event: CloudEvent | null) => void,
): void {
  const input = Buffer.from(encodeStructured(event)).toString()
  evaluator.evaluate(expression, input, (e: Evaluation) => {
    if (e.kind === 'exhausted') return failed({ kind: 'retryable', status: 504, why: e.why })
    if (e.kind === 'error') return failed({ kind: 'rejected', status: 500, why: `the expression failed: ${e.why}` })
    if (e.json === undefined || e.json === 'null') return made(null)
    const result = decodeStructured(Buffer.from(e.json), event.envelope)
    if (!isBad(result)) return made(result)
    failed({ kind: 'accepted', status: 200, badReply: `the expression made no valid event: ${result.message}` })
  })
}

function forward(a: Attempt, sink: Key, event: CloudEvent, s: TransformSettings, parts: FunctionParts, done: Done): void {
  const target = parts.target(sink)
  if (target === undefined) return done({ kind: 'retryable', status: 503, why: `${sink} is not open`, unattempted: true })
  const job: Job = {
    kind: 'event',
    sub: a.delivery.sub,
    retry: a.attempt > 1,
    bytes: event.data?.length ?? 0,
    start(c: Credit) {
      target.send(
        {
          delivery: a.delivery,
          event,
          attempt: a.attempt,
          deadlineMs: a.deadlineMs,
          wantsReply: a.wantsReply && !s.discardReply,
          structured: false,
          namespace: s.namespace,
          headers: [],
          done,
        },
        c,
      )
    },
    refused: (why, retryAfterMs) =>
      done({ kind: 'retryable', status: 503, why: `no room at ${target.name}: ${why}`, retryAfterMs, unattempted: true }),
  }
  target.acquire(job)
}

/** What the sink said, and what of it goes back. */
function answered(parent: CloudEvent, o: Outcome, s: TransformSettings, parts: FunctionParts, done: Done): void {
  if (o.kind === 'pending')
    return done({ kind: 'rejected', status: 202, why: 'the sink wants to answer later, which a transformation cannot wait for' })
  if (o.kind !== 'accepted' || o.badReply !== undefined) return done(o)
  if (s.discardReply || o.reply === undefined || s.replyExpression === null) return done(s.discardReply ? TAKEN : o)
  const reply = o.reply.with({ envelope: parent.envelope })
  evaluated(parts.evaluator, s.replyExpression, reply, done, (event) =>
    done(event === null ? TAKEN : { kind: 'accepted', status: 200, reply: event }),
  )
}

const TAKEN: Outcome = Object.freeze({ kind: 'accepted', status: 200 })

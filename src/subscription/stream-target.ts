import type { TargetId } from '../contract/ids.ts'
import { ACCEPTED, type Outcome } from '../contract/outcome.ts'
import type { Appended, AppendOptions, Stream } from '../contract/stream.ts'
import type { Attempt, Credit, Target } from '../contract/target.ts'
import type { CloudEvent } from '../event/event.ts'
import type { Clock } from '../runtime/clock.ts'
import { Descendants, rootOf } from './descendants.ts'

/** Answered where an event went round in circles: never retried, filed as `loop`. RFC 5842 §7.2 */
const LOOP_DETECTED = 508

export interface StreamTargetParts {
  readonly id: TargetId
  readonly name: string
  readonly clock: Clock
  /** One of the gateway, as a loop may go through many streams; its own unless said. */
  readonly descendants?: Descendants
  /** undefined while the stream is not open. */
  readonly stream: () => Stream | undefined
}

/**
 * The event as it enters a stream of this gateway: one pass less, one hop more. null = it has gone round too often. An
 * event whose passes are used up may still become a dead letter, once.
 */
export function passOn(event: CloudEvent, leg: Attempt['leg']): CloudEvent | null {
  const { envelope } = event
  const ttl = envelope.ttl - 1
  if (ttl < (leg === 'dead-letter' ? 0 : 1)) return null
  const root = envelope.root === '' ? rootOf(event) : envelope.root
  return event.with({ envelope: { ...envelope, ttl, hops: envelope.hops + 1, root } })
}

/**
 * Appends to a stream of this gateway: durable is accepted. A full or unavailable stream is no attempt: what wants in
 * waits for as long as it takes. Only replies and dead letters may use its reserve.
 */
export function createStreamTarget({ id, name, clock, descendants = new Descendants(), stream }: StreamTargetParts): Target {
  let inFlight = 0
  const send = (a: Attempt, c: Credit): void => {
    const startMs = clock.now()
    const end = (o: Outcome): void => {
      c.release({ ms: clock.now() - startMs, ok: o.kind === 'accepted' })
      a.done(o)
    }
    const into = stream()
    if (into === undefined) return end({ kind: 'retryable', status: 503, why: `${name} is not open`, unattempted: true })
    const events: CloudEvent[] = []
    for (const event of a.batch ?? [a.event]) {
      const passed = passOn(event, a.leg)
      if (passed === null)
        return end({ kind: 'rejected', status: LOOP_DETECTED, why: `the event has gone round too often to enter ${name}` })
      // What comes from outside goes in once; only what came of an event that went in can go round.
      if (event.envelope.hops > 0 && !descendants.add(passed.envelope.root, a.leg === 'dead-letter')) {
        const why = `too many events came of one event: it is not taken into ${name}`
        return end({ kind: 'rejected', status: LOOP_DETECTED, why })
      }
      events.push(passed)
    }
    const reserve = a.leg === 'reply' || a.leg === 'dead-letter'
    const options: AppendOptions = a.settles === undefined ? { reserve } : { reserve, settles: a.settles }
    into.append(events, (r) => end(outcomeOf(r, name, a)), options)
  }
  return {
    id,
    name,
    // What a stream can take is decided by its append: one credit serves all.
    acquire(job) {
      inFlight++
      job.start({
        pod: name,
        origin: { protocol: 'http:', host: '', port: 0, caCerts: '' },
        abandon() {},
        release() {
          inFlight--
        },
        onGone() {},
      })
    },
    cancel() {},
    send,
    state: () => ({ inFlight, abandoned: 0, queuedRequests: 0, queuedEvents: 0, limit: 0, pods: [] }),
    open: true,
    onRoom() {},
  }
}

function outcomeOf(r: Appended, name: string, a: Attempt): Outcome {
  switch (r.kind) {
    case 'durable':
      return ACCEPTED
    case 'too-large':
      return { kind: 'rejected', status: 413, why: `the event is over the ${r.limitBytes} bytes ${name} takes` }
    case 'partial': {
      const rest = (a.batch ?? [a.event]).slice(r.durable)
      return { kind: 'accepted', status: 200, failed: rest.map((e) => ({ source: e.source, id: e.id, retryable: true })) }
    }
    case 'full':
    case 'unavailable':
      return {
        kind: 'retryable',
        status: r.kind === 'full' ? 429 : 503,
        why: r.why,
        retryAfterMs: r.retryAfterMs,
        unattempted: true,
      }
  }
}

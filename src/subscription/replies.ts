import { type CloudEvent, type Extension } from '../event/event.ts'
import { TTL_ATTRIBUTE } from '../event/ttl.ts'
import { rootOf } from './descendants.ts'
import type { Failure } from './walk.ts'

/** Knative: at most so many characters of base64; 768 bytes fill them without a torn group. */
const ERROR_DATA_BYTES = 768

const ERROR_ATTRIBUTES = new Set(['knativeerrordest', 'knativeerrorcode', 'knativeerrordata'])

/** Where nothing answered, Knative's Go side says 500. */
const NO_ANSWER = 500

/**
 * The reply as it goes on: it has the passes and hops of the event it answers, whatever the subscriber wrote (it never
 * saw them), and its trace unless the answer carried one. The stream it enters counts the pass. null = no pass is left.
 */
export function replyTo(parent: CloudEvent, reply: CloudEvent, wallMs: number): CloudEvent | null {
  if (parent.envelope.ttl <= 1) return null
  const own = reply.envelope
  const traced = own.traceparent !== '' ? own : parent.envelope
  return reply.with({
    extensions: reply.extensions.filter(([name]) => name !== TTL_ATTRIBUTE),
    envelope: {
      ttl: parent.envelope.ttl,
      hops: parent.envelope.hops,
      traceparent: traced.traceparent,
      tracestate: traced.tracestate,
      headers: parent.envelope.headers,
      key: own.key,
      receivedMs: wallMs,
      root: parent.envelope.root === '' ? rootOf(parent) : parent.envelope.root,
    },
  })
}

/** The event as its dead-letter sink gets it, with Knative's three attributes; older ones are replaced. */
export function deadLetterOf(event: CloudEvent, f: Failure): CloudEvent {
  const body = f.body !== undefined && f.body.length > 0 ? f.body : Buffer.from(f.why)
  const said: Extension[] = [
    ['knativeerrordest', f.to],
    ['knativeerrorcode', f.status > 0 ? f.status : NO_ANSWER],
    ['knativeerrordata', Buffer.from(body.buffer, body.byteOffset, Math.min(body.length, ERROR_DATA_BYTES)).toString('base64')],
  ]
  return event.with({ extensions: [...event.extensions.filter(([name]) => !ERROR_ATTRIBUTES.has(name)), ...said] })
}

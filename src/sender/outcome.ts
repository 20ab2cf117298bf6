import { STATUS_CODES } from 'node:http'
import type { Accepted, Outcome, Rejected, Retryable } from '../contract/outcome.ts'
import type { CloudEvent } from '../event/event.ts'
import { decodeHttp, type HeaderView } from '../event/http.ts'
import { retryAfterMs } from './retry-after.ts'

/** Bytes of an answer that is no success kept for the story and `knativeerrordata`. */
export const ERROR_BODY_BYTES = 1_024
/** A reply event over this is no reply. Bytes. */
export const REPLY_BYTES = 1 << 20

type Kind = Outcome['kind']

/**
 * What a status means for an event, in this one place. DESIGN §5: 404, 408, 409, 429 and every 5xx are tried again; what
 * is over 599 is read as 5xx (RFC 9110 §15); every other answer that is no 2xx is final: 1xx, 3xx, other 4xx.
 */
export function kindOf(status: number): Exclude<Kind, 'pending'> {
  if (status >= 200 && status < 300) return 'accepted'
  if (status >= 500 || status === 404 || status === 408 || status === 409 || status === 429) return 'retryable'
  return 'rejected'
}

/** A success that carries nothing is one shared object a status. */
const PLAIN: readonly Accepted[] = Array.from({ length: 100 }, (_, i) => Object.freeze({ kind: 'accepted', status: 200 + i }))

export function accepted(status: number): Accepted {
  return PLAIN[status - 200] ?? { kind: 'accepted', status }
}

/** Whether the body of this answer may be a reply event: a 202 never is. */
export function mayCarryReply(status: number): boolean {
  return status >= 200 && status < 300 && status !== 202
}

/** The outcome of a 2xx whose head claims to be an event. `headers` is name, value, …; null body = too large to be kept. */
export function acceptedWithReply(status: number, headers: readonly string[], body: Uint8Array | null, wallMs: number): Outcome {
  if (body === null) return { kind: 'accepted', status, badReply: `the reply is larger than ${REPLY_BYTES} bytes` }
  const decoded = decodeHttp(viewOf(headers), body.length === 0 ? null : body, { receivedMs: wallMs })
  if (decoded.kind === 'none') return accepted(status)
  if (decoded.kind === 'bad') return { kind: 'accepted', status, badReply: `the reply is no valid event: ${decoded.message}` }
  const [reply] = decoded.events
  if (reply === undefined) return accepted(status)
  if (decoded.events.length > 1) {
    return { kind: 'accepted', status, badReply: `the reply is a batch of ${decoded.events.length} events, a reply is one event` }
  }
  return { kind: 'accepted', status, reply }
}

/**
 * The outcome of a 2xx with a JSON body to a batch: `{"failed":[{"source","id","retryable"?}]}` names the events that failed,
 * the others are settled. What it says and cannot be understood fails the whole batch: settling a failed event would lose it.
 */
export function acceptedBatch(status: number, body: Uint8Array | null, batch: readonly CloudEvent[]): Outcome {
  const unclear = (why: string): Outcome => ({ kind: 'retryable', status, why: `the answer to the batch ${why}` })
  if (body === null) return unclear(`is larger than ${REPLY_BYTES} bytes`)
  if (body.length === 0) return accepted(status)
  let said: unknown
  try {
    said = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.length).toString())
  } catch {
    return unclear('says that it is JSON and is none')
  }
  const list = typeof said === 'object' && said !== null && 'failed' in said ? said.failed : undefined
  if (list === undefined) return accepted(status)
  if (!Array.isArray(list)) return unclear('has a "failed" that is no list')
  const failed: { readonly source: string; readonly id: string; readonly retryable: boolean }[] = []
  for (const entry of list as unknown[]) {
    const { source, id, retryable } = (typeof entry === 'object' && entry !== null ? entry : {}) as Record<string, unknown>
    if (typeof source !== 'string' || typeof id !== 'string') return unclear('has a "failed" entry without source or id')
    if (!batch.some((e) => e.id === id && e.source === source)) {
      return unclear(`says that ${JSON.stringify(id)} of ${JSON.stringify(source)} failed, which it does not hold`)
    }
    failed.push({ source, id, retryable: retryable !== false })
  }
  return failed.length === 0 ? accepted(status) : { kind: 'accepted', status, failed }
}

/** The outcome of an answer that is no 2xx. `retryAfter` is the header as it came. */
export function refused(status: number, retryAfter: string, body: Uint8Array, wallMs: number): Retryable | Rejected {
  const why = `answered ${status} ${STATUS_CODES[status] ?? ''}`.trimEnd()
  const kept = body.length === 0 ? undefined : { body }
  if (kindOf(status) === 'rejected') return { kind: 'rejected', status, why, ...kept }
  const waitMs = status === 429 || status === 503 ? retryAfterMs(retryAfter, wallMs) : undefined
  return { kind: 'retryable', status, why, ...kept, ...(waitMs === undefined ? undefined : { retryAfterMs: waitMs }) }
}

/** No answer, or not all of it: connection error, time-out, pod gone. */
export function unanswered(why: string): Retryable {
  return { kind: 'retryable', status: 0, why }
}

/** Headers as name, value, … with lower-case names, seen as the codec wants them. The first of a repeated name counts. */
export function viewOf(list: readonly string[]): HeaderView {
  return {
    get(lowerName) {
      for (let i = 0; i < list.length; i += 2) if (list[i] === lowerName) return list[i + 1]
      return undefined
    },
    each(f) {
      for (let i = 0; i < list.length; i += 2) f(list[i] ?? '', list[i + 1] ?? '')
    },
  }
}

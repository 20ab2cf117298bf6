import type { ErrorCode } from '../runtime/errors.ts'

/** A whole answer: `headers` is name, value, … */
export interface Answer {
  readonly status: number
  readonly headers: readonly string[]
  readonly body: string | null
}

export const ACCEPTED: Answer = Object.freeze({ status: 202, headers: [], body: null })
export const ALIVE: Answer = Object.freeze({ status: 200, headers: [], body: null })

/** What a refusal's code means to the client: the one place where codes become statuses. DESIGN §5 "ingress", "Service host" */
const STATUS = {
  'ingress.bad-event': 400,
  'ingress.bad-request': 400,
  'ingress.not-found': 404,
  'ingress.method': 405,
  'ingress.slow': 408,
  'ingress.too-large': 413,
  'ingress.media-type': 415,
  'ingress.full': 429,
  'ingress.unsupported': 501,
  'ingress.unavailable': 503,
  'ingress.draining': 503,
  'ingress.loop': 508,
  'proxy.busy': 503,
  'proxy.failed': 502,
  'proxy.timeout': 504,
} as const satisfies Partial<Record<ErrorCode, number>>

export type RefusalCode = keyof typeof STATUS

export interface Refusal extends Answer {
  readonly code: RefusalCode
}

export function isRefusalCode(code: string): code is RefusalCode {
  return Object.hasOwn(STATUS, code)
}

/** `status` only where the code alone does not decide. `more`: further headers. */
export function refusal(
  code: RefusalCode,
  message: string,
  more: readonly string[] = [],
  status: number = STATUS[code],
): Refusal {
  return { code, status, headers: ['content-type', 'application/json', ...more], body: JSON.stringify({ code, message }) + '\n' }
}

/** Whole seconds, at least one: 0 would ask the client to try at once. RFC 9110 §10.2.3 */
export function retryAfter(ms: number): readonly string[] {
  return ['retry-after', String(Math.max(1, Math.ceil(ms / 1000)))]
}

/** How long a client of a stopping gateway should wait: another one answers, or this one is back. */
export const DRAIN_RETRY_MS = 1_000

export function drainingRefusal(): Refusal {
  return refusal('ingress.draining', 'the gateway is stopping: send it again', retryAfter(DRAIN_RETRY_MS))
}

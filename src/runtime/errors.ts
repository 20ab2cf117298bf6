/**
 * Every code an operational failure may carry, in one table: docs/errors.md is made from it, a test holds both together.
 * `retryable` says whether doing the same again later can help.
 */
export const ERRORS = {
  'ingress.bad-event': { retryable: false, about: 'The request is no valid CloudEvent; the message names the attribute.' },
  'ingress.bad-request': { retryable: false, about: 'The request itself is malformed.' },
  'ingress.not-found': { retryable: false, about: 'No broker, channel or service has this address.' },
  'ingress.method': { retryable: false, about: 'Events are sent with POST.' },
  'ingress.too-large': { retryable: false, about: 'The body is over the limit of the stream.' },
  'ingress.media-type': { retryable: false, about: 'The content type is no form of CloudEvents.' },
  'ingress.full': { retryable: true, about: 'The stream is full; Retry-After says when to try again.' },
  'ingress.unavailable': { retryable: true, about: 'The stream cannot store at the moment; nothing was acknowledged.' },
  'ingress.draining': { retryable: true, about: 'The gateway is stopping.' },
  'ingress.loop': { retryable: false, about: 'The request has passed this gateway already, or its TTL is used up.' },
  'ingress.unsupported': { retryable: false, about: 'The request uses something this port does not serve (an upgrade).' },
  'ingress.slow': { retryable: true, about: 'The body came too slowly; the message gives the limit.' },
  'ingress.listen': { retryable: false, about: 'The data port cannot be opened.' },
  'proxy.busy': { retryable: true, about: 'A service has no room for a request, and its queue is full or took too long.' },
  'proxy.timeout': { retryable: true, about: 'A service did not answer within its timeoutSeconds.' },
  'proxy.failed': { retryable: true, about: 'The connection to a pod broke before its answer was whole.' },
  'store.locked': { retryable: false, about: 'The data folder serves another gateway; the message names its process.' },
  'store.format': { retryable: false, about: 'The data folder was written by a version with another format.' },
  'store.folder': { retryable: false, about: 'The data folder, or a store in it, cannot be opened.' },
  'store.failed': { retryable: false, about: 'The store could not make something durable; the gateway stops.' },
  'filter.syntax': { retryable: false, about: 'A filter expression does not parse; the message names the column.' },
  'config.invalid': { retryable: false, about: 'Manifests are not valid; every fault is listed with its line.' },
  'config.usage': { retryable: false, about: 'The command line is not valid.' },
  'admin.unreachable': { retryable: true, about: 'No gateway answers at the admin address.' },
  'admin.not-found': { retryable: false, about: 'The gateway has nothing of that name.' },
  'admin.failed': { retryable: true, about: 'The gateway failed at a call; its log says why.' },
  'admin.refused': { retryable: false, about: 'The gateway refused the call; the message says why.' },
} as const satisfies Readonly<Record<string, { readonly retryable: boolean; readonly about: string }>>

export type ErrorCode = keyof typeof ERRORS

/** An operational failure: a sentence with the value, the limit and the remedy. Programmer errors are plain asserts. */
export class Fault extends Error {
  readonly code: ErrorCode
  readonly retryable: boolean
  constructor(code: ErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'Fault'
    this.code = code
    this.retryable = ERRORS[code].retryable
  }
}

/** What must hold; a failure is a bug of the gateway, not of its surroundings. */
export function assert(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Error(`invariant broken: ${what}`)
}

/** The text of whatever was thrown. */
export function messageOf(e: unknown): string {
  return e instanceof Error ? e.message : String(e)
}

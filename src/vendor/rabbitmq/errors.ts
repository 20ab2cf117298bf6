/** RabbitMQ refused something, or cannot be reached. `reason` is one CamelCase word for conditions. */
export class RabbitMqError extends Error {
  readonly reason: RabbitMqReason
  constructor(reason: RabbitMqReason, message: string) {
    super(message)
    this.name = 'RabbitMqError'
    this.reason = reason
  }
}

export type RabbitMqReason =
  | 'Unauthorized'
  | 'VhostMissing'
  | 'QueueMissing'
  | 'ExchangeMissing'
  | 'QueueInUse'
  | 'PreconditionFailed'
  | 'DeliveryTimedOut'
  | 'RabbitMQUnreachable'
  | 'RabbitMQFailed'

/** Reply codes of AMQP 0-9-1 §1.8 that mean something of their own here. */
const ACCESS_REFUSED = 403
const NOT_FOUND = 404
const RESOURCE_LOCKED = 405
const PRECONDITION_FAILED = 406
const NOT_ALLOWED = 530
const CONNECTION_FORCED = 320

/** What the client library threw, or told with an event. */
export function rabbitMqError(e: unknown): RabbitMqError {
  if (e instanceof RabbitMqError) return e
  const text = e instanceof Error ? e.message : String(e)
  return new RabbitMqError(reasonOf(codeOf(e), text), text)
}

function codeOf(e: unknown): number {
  const code = typeof e === 'object' && e !== null && 'code' in e ? e.code : undefined
  if (typeof code === 'number') return code
  // What fails in the handshake is told in words only.
  const text = e instanceof Error ? e.message : ''
  return Number(/\b(\d{3}) \([A-Z-]+\) with message/.exec(text)?.[1] ?? 0)
}

function reasonOf(code: number, text: string): RabbitMqReason {
  switch (code) {
    case ACCESS_REFUSED:
      return 'Unauthorized'
    case NOT_FOUND:
      return /no exchange/i.test(text) ? 'ExchangeMissing' : 'QueueMissing'
    case RESOURCE_LOCKED:
      return 'QueueInUse'
    case PRECONDITION_FAILED:
      return /delivery acknowledgement on channel \d+ timed out/i.test(text) ? 'DeliveryTimedOut' : 'PreconditionFailed'
    case NOT_ALLOWED:
      return /vhost/i.test(text) ? 'VhostMissing' : 'Unauthorized'
    case CONNECTION_FORCED:
      return 'RabbitMQUnreachable'
    case 0:
      // The answer to the opening of a vhost is closed without its words; only an unknown or forbidden one does that.
      return /Expected ConnectionOpenOk; got <ConnectionClose/.test(text) ? 'VhostMissing' : 'RabbitMQUnreachable'
    default:
      return 'RabbitMQFailed'
  }
}

/** The proxy refused a call, or could not be reached. `reason` is one CamelCase word for conditions. */
export class RocketMqError extends Error {
  readonly reason: RocketMqReason
  constructor(reason: RocketMqReason, message: string) {
    super(message)
    this.name = 'RocketMqError'
    this.reason = reason
  }
}

export type RocketMqReason =
  | 'TopicMissing'
  | 'GroupMissing'
  | 'Unauthorized'
  | 'FilterInvalid'
  | 'HandleInvalid'
  | 'Throttled'
  | 'TooLarge'
  | 'RocketMQUnreachable'
  | 'RocketMQFailed'

/** Codes of the protocol (apache.rocketmq.v2.Code) that mean something of their own here. */
const REASONS: Readonly<Record<number, RocketMqReason>> = {
  40002: 'TopicMissing',
  40003: 'GroupMissing',
  40010: 'FilterInvalid',
  40013: 'HandleInvalid',
  40100: 'Unauthorized',
  40300: 'Unauthorized',
  40402: 'TopicMissing',
  40403: 'GroupMissing',
  41300: 'TooLarge',
  41301: 'TooLarge',
  42900: 'Throttled',
  43101: 'TooLarge',
}
const OK = 20_000
const MULTIPLE_RESULTS = 30_000
const MESSAGE_NOT_FOUND = 40_401

export interface StatusLike {
  readonly code: number
  readonly message: string
}

/** null = the call succeeded, or found no message. */
export function errorOfStatus(status: StatusLike | undefined): RocketMqError | null {
  if (status === undefined || status.code === OK || status.code === MULTIPLE_RESULTS || status.code === MESSAGE_NOT_FOUND)
    return null
  return new RocketMqError(reasonOf(status), `${status.message} (code ${status.code})`)
}

/** Throws what the status says; nothing where it says that all is well. */
export function check(status: StatusLike | undefined): void {
  const error = errorOfStatus(status)
  if (error !== null) throw error
}

function reasonOf({ code, message }: StatusLike): RocketMqReason {
  return REASONS[code] ?? reasonOfText(message) ?? 'RocketMQFailed'
}

/** Some things are said in words only: an unknown group is an invalid argument to the proxy, a bad filter an internal error. */
function reasonOfText(text: string): RocketMqReason | undefined {
  if (/group not found|(?:subscription|consumer) ?group.*not exist/i.test(text)) return 'GroupMissing'
  if (/topic.*not exist|no (?:topic )?route info/i.test(text)) return 'TopicMissing'
  if (/parse the consumer's subscription failed/i.test(text)) return 'FilterInvalid'
  return undefined
}

const GRPC_UNAUTHENTICATED = 16
const GRPC_PERMISSION_DENIED = 7

/** Whatever a gRPC call failed with: the proxy is away, slow or not what it should be. */
export function errorOfCall(e: unknown, target: string): RocketMqError {
  if (e instanceof RocketMqError) return e
  const code = typeof e === 'object' && e !== null && 'code' in e ? e.code : undefined
  const text = e instanceof Error ? e.message : String(e)
  if (code === GRPC_UNAUTHENTICATED || code === GRPC_PERMISSION_DENIED) return new RocketMqError('Unauthorized', text)
  return new RocketMqError(reasonOfText(text) ?? 'RocketMQUnreachable', `${target}: ${text}`)
}

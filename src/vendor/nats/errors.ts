/** NATS refused a call, or could not be reached. `reason` is one CamelCase word for conditions. */
export class NatsError extends Error {
  readonly reason: NatsReason
  constructor(reason: NatsReason, message: string) {
    super(message)
    this.name = 'NatsError'
    this.reason = reason
  }
}

export type NatsReason =
  | 'Unauthorized'
  | 'JetStreamDisabled'
  | 'StreamMissing'
  | 'StreamMismatch'
  | 'ConsumerMissing'
  | 'ConsumerMismatch'
  | 'TooLarge'
  | 'Full'
  | 'NatsUnreachable'
  | 'NatsFailed'

/** Numbers of JetStream's API errors (`server/errors.json` of nats-server) that mean something of their own here. */
const REASONS: Readonly<Record<number, NatsReason>> = {
  10002: 'Full',
  10014: 'ConsumerMissing',
  10023: 'Full',
  10028: 'Full',
  10035: 'Unauthorized',
  10039: 'JetStreamDisabled',
  10047: 'Full',
  10054: 'TooLarge',
  10058: 'StreamMismatch',
  10059: 'StreamMissing',
  10065: 'StreamMismatch',
  10076: 'JetStreamDisabled',
  10077: 'Full',
  10105: 'ConsumerMismatch',
  10148: 'ConsumerMismatch',
}

export interface ApiErrorLike {
  readonly code?: number
  readonly err_code?: number
  readonly description?: string
}

/** What JetStream answered a call or a publish with. */
export function errorOfApi(e: ApiErrorLike): NatsError {
  const text = `${e.description ?? 'refused'} (${e.err_code ?? e.code ?? 0})`
  return new NatsError(REASONS[e.err_code ?? 0] ?? 'NatsFailed', text)
}

const NOT_LET_IN = ['AuthorizationError', 'UserAuthenticationExpiredError', 'PermissionViolationError']

/** Whatever a call of the client failed with. */
export function errorOfCall(e: unknown): NatsError {
  if (e instanceof NatsError) return e
  if (!(e instanceof Error)) return new NatsError('NatsUnreachable', String(e))
  const { apiError } = e as { apiError?: () => ApiErrorLike }
  if (typeof apiError === 'function') return errorOfApi(apiError.call(e))
  const names = namesOf(e)
  if (names.some((name) => NOT_LET_IN.includes(name))) return new NatsError('Unauthorized', e.message)
  // Its own words for a credentials file or a seed that is none.
  if (/parse credentials|invalid (?:seed|encod|public key|prefix)|nkeys/i.test(e.message))
    return new NatsError('Unauthorized', `the credentials cannot be used: ${e.message}`)
  if (names.includes('JetStreamNotEnabled') || names.includes('NoRespondersError'))
    return new NatsError('JetStreamDisabled', 'nobody answers for JetStream: the server does not have it enabled')
  return new NatsError('NatsUnreachable', e.message === '' ? e.name : e.message)
}

/** The client wraps what happened in what was asked for. */
function namesOf(e: Error): string[] {
  const names: string[] = []
  for (let at: unknown = e; at instanceof Error && names.length < 5; at = at.cause) names.push(at.name)
  return names
}

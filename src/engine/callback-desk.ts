import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { IngressId } from '../contract/ids.ts'
import type { Outcome } from '../contract/outcome.ts'
import { decodeHttp } from '../event/http.ts'
import type { CallbackDestination, CallbackRequest } from '../ingress/destination.ts'
import { CALLBACK_PATH } from '../resources/delivery.ts'
import { parseDuration, parseIsoDuration } from '../resources/durations.ts'
import type { Clock } from '../runtime/clock.ts'
import { Fault, messageOf } from '../runtime/errors.ts'
import { randomId } from '../runtime/random.ts'
import type { KeptLeases } from '../store/leases.ts'
import type { DeliveryMachine } from '../subscription/machine.ts'

const KEY_BYTES = 32
const MAC_LENGTH = 22
/** A callback may carry a reply event. */
const MAX_BODY_BYTES = 1 << 20

export interface CallbackDeskParts {
  /** Signs the tokens; made once, 0600, so that URLs given out before a restart are good after it. */
  readonly keyFile: string
  readonly leases: KeptLeases
  readonly clock: Clock
  readonly machine: () => Pick<DeliveryMachine, 'complete' | 'extendLease'>
  /** Where subscribers reach the data port. */
  readonly baseUrl: () => string
}

/** Where subscribers with `sluice.dev/ack: callback` say how their long work ended. */
export interface CallbackDesk {
  newToken(): string
  urlOf(token: string): string
  destination(id: IngressId): CallbackDestination
}

/**
 * `POST <Sluice-Callback>`; the body says what happened:
 * ```
 * (none), {"status":"success"}                                   the event is settled
 * a CloudEvent, binary or structured                             the same, and this is the reply
 * {"status":"failure","retryable":true,"message":"…"}            a failed attempt; retryable unless it says false
 * {"status":"extend","lease":"PT10M"}                            not yet: the lease begins anew, as long as before unless said
 *
 * 200 taken, or a repeat without effect · 400 not understood · 403 the URL was not made here
 * 410 nobody waits any more: the event was delivered again · 503 the subscription does not run at the moment
 * ```
 */
export function createCallbackDesk(p: CallbackDeskParts): CallbackDesk {
  const key = keyOf(p.keyFile)
  const macOf = (id: string): string => createHmac('sha256', key).update(id).digest('base64url').slice(0, MAC_LENGTH)
  const isOurs = (token: string): boolean => {
    const dot = token.indexOf('.')
    const said = Buffer.from(token.slice(dot + 1))
    const right = Buffer.from(macOf(token.slice(0, dot)))
    return dot > 0 && said.length === right.length && timingSafeEqual(said, right)
  }
  const apply = (token: string, said: Outcome | Extension): Answer => {
    const machine = p.machine()
    const taken = said.kind === 'extend' ? machine.extendLease(token, said.leaseMs) : machine.complete(token, said)
    if (taken) return [200, { result: 'taken' }]
    if (p.leases.answered(token)) return [200, { result: 'repeated', message: 'it was said before how this work ended' }]
    if (p.leases.has(token)) return [503, { message: 'the subscription does not run at the moment: send it again' }]
    return [
      410,
      { message: 'nobody waits for this work any more: its lease ran out and its event was given up or delivered again' },
    ]
  }
  return {
    newToken() {
      const id = randomId()
      return `${id}.${macOf(id)}`
    },
    urlOf: (token) => `${p.baseUrl().replace(/\/$/, '')}${CALLBACK_PATH}?token=${token}`,
    destination: (id) => ({
      kind: 'callback',
      id,
      maxBodyBytes: MAX_BODY_BYTES,
      handle(request, answer) {
        const token = new URLSearchParams(request.query).get('token') ?? ''
        const [status, body] = ((): Answer => {
          if (!isOurs(token))
            return [403, { message: 'this callback URL was not made by this gateway: use it as the header gave it' }]
          const said = whatIsSaid(request, p.clock.wall())
          return 'wrong' in said ? [400, { message: said.wrong }] : apply(token, said)
        })()
        const headers = ['content-type', 'application/json', ...(status === 503 ? ['retry-after', '1'] : [])]
        answer(status, headers, JSON.stringify(body) + '\n')
      },
    }),
  }
}

type Answer = readonly [status: number, body: Readonly<Record<string, string>>]

interface Extension {
  readonly kind: 'extend'
  /** 0 = as long as before. */
  readonly leaseMs: number
}

const DONE: Outcome = Object.freeze({ kind: 'accepted', status: 200 })

function whatIsSaid(request: CallbackRequest, wallMs: number): Outcome | Extension | { readonly wrong: string } {
  const { headers, body } = request
  const decoded = decodeHttp(headers, body, { receivedMs: wallMs })
  if (decoded.kind === 'bad') return { wrong: `the reply is no valid event: ${decoded.message}` }
  if (decoded.kind !== 'none') {
    const [reply] = decoded.events
    if (decoded.events.length > 1) return { wrong: `a reply is one event, these are ${decoded.events.length}` }
    return reply === undefined ? DONE : { kind: 'accepted', status: 200, reply }
  }
  if (body === null || body.length === 0) return DONE
  let said: Readonly<Record<string, unknown>>
  try {
    said = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.length).toString()) as typeof said
  } catch (e) {
    return { wrong: `the body is no JSON: ${messageOf(e)}` }
  }
  const status = typeof said === 'object' && said !== null ? said['status'] : undefined
  if (status === 'success') return DONE
  if (status === 'failure') {
    const message = said['message']
    const why = `the callback said: ${typeof message === 'string' ? message.slice(0, 1_000) : 'failure'}`
    return said['retryable'] === false ? { kind: 'rejected', status: 0, why } : { kind: 'retryable', status: 0, why }
  }
  if (status !== 'extend') return { wrong: `status is ${JSON.stringify(status)}; allowed are success, failure and extend` }
  const lease = said['lease']
  if (lease === undefined) return { kind: 'extend', leaseMs: 0 }
  const ms = typeof lease === 'string' ? (parseIsoDuration(lease) ?? parseDuration(lease)) : undefined
  if (ms === undefined || ms <= 0)
    return { wrong: `lease is ${JSON.stringify(lease)}; it must be a duration such as PT10M or 10m` }
  return { kind: 'extend', leaseMs: ms }
}

function keyOf(file: string): Buffer {
  try {
    if (!existsSync(file)) writeFileSync(file, randomBytes(KEY_BYTES).toString('base64url') + '\n', { mode: 0o600, flag: 'wx' })
    return Buffer.from(readFileSync(file, 'utf8').trim(), 'base64url')
  } catch (e) {
    throw new Fault('store.failed', `the key of callbacks cannot be kept in ${file}: ${messageOf(e)}`, e)
  }
}

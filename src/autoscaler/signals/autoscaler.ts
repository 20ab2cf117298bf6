import type { DeciderKit, ScaleSpec } from '../../contract/decider.ts'
import type { Key } from '../../contract/ids.ts'
import type { Clock, Timer } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import { ScaledService, type Verdict } from './scaled-service.ts'
import type { Scaler } from './scalers.ts'
import type { Signals } from './signals.ts'

export interface AutoscalerParts {
  readonly services: readonly { readonly key: Key; readonly spec: ScaleSpec; readonly kit: DeciderKit }[]
  readonly signals: Signals
  readonly scaler: Scaler
  readonly everyMs: number
  readonly clock: Clock
  readonly log: Log
  /** Each decision that changes something, each beginning and end of a hold. */
  readonly tell: (told: Told) => void
}

export interface Told {
  readonly service: Key
  readonly before: number
  readonly desired: number
  readonly held: boolean
  readonly reason: string
}

export interface Autoscaler {
  close(): Promise<void>
}

interface Running {
  readonly service: ScaledService
  /** −1 = nobody has said yet. */
  size: number
  sizedMs: number
  busy: Promise<void> | null
  held: boolean
  saidMs: number
  /** After a failure: not again before this. */
  retryMs: number
  failures: number
}

/** Where the scaler can say how many pods there are, it is asked so often: somebody else may scale too. */
const SIZE_EVERY_MS = 15_000
const FIRST_RETRY_MS = 1_000
const LONGEST_RETRY_MS = 30_000

/** Runs the deciders outside the gateways: polls, decides, scales, all Services in turn. */
export function runAutoscaler(parts: AutoscalerParts): Autoscaler {
  const { clock, signals, scaler, log } = parts
  const gone = new AbortController()
  const running: readonly Running[] = parts.services.map(({ key, spec, kit }, i) => ({
    service: new ScaledService(key, spec, kit, clock.now()),
    size: -1,
    // Spread out, so that a thousand Services do not ask in one moment.
    sizedMs: clock.now() - SIZE_EVERY_MS - (SIZE_EVERY_MS * i) / parts.services.length,
    busy: null,
    held: false,
    saidMs: -Infinity,
    retryMs: -Infinity,
    failures: 0,
  }))

  const failed = (r: Running, what: string, e: unknown): void => {
    const waitMs = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(r.failures, 10))
    r.failures++
    r.retryMs = clock.now() + waitMs
    log.warn(what, { service: r.service.key, error: messageOf(e), failures: r.failures, againInMs: waitMs })
  }

  /** The size as who runs the pods says it. */
  const measure = async (r: Running): Promise<void> => {
    r.sizedMs = clock.now()
    try {
      const size = await scaler.size(r.service.key, gone.signal)
      if (size !== null) r.size = size
      else if (r.size < 0) r.size = r.service.spec.initialScale
      r.failures = 0
    } catch (e) {
      if (!gone.signal.aborted) failed(r, 'the number of pods could not be read', e)
    }
  }

  const scale = async (r: Running, verdict: Verdict): Promise<void> => {
    const { desired, reason } = verdict
    r.saidMs = clock.now()
    try {
      await scaler.scale(r.service.key, desired, reason, gone.signal)
      const before = r.size
      r.size = desired
      r.failures = 0
      if (before !== desired) parts.tell({ service: r.service.key, before, desired, held: verdict.held, reason })
    } catch (e) {
      if (!gone.signal.aborted) failed(r, 'the Service could not be scaled', e)
    }
  }

  const hold = (r: Running, verdict: Verdict): void => {
    if (verdict.held === r.held) return
    r.held = verdict.held
    const { key } = r.service
    if (verdict.held) log.warn('a Service is held for lack of data', { service: key, size: r.size, reason: verdict.reason })
    else log.info('a Service is decided on full data again', { service: key, size: r.size })
    const reason = verdict.held ? verdict.reason : `all is heard again: ${verdict.reason}`
    parts.tell({ service: key, before: r.size, desired: r.size, held: verdict.held, reason })
  }

  const begin = (r: Running, work: Promise<void>): void => {
    r.busy = work.finally(() => (r.busy = null))
  }

  const look = (r: Running, nowMs: number): void => {
    if (r.busy !== null || nowMs < r.retryMs) return
    const heard = signals.heard(r.service.key)
    if (nowMs - r.sizedMs >= SIZE_EVERY_MS && !scaler.seesPods) return begin(r, measure(r))
    if (scaler.seesPods && heard.load !== null) r.size = heard.load.ready + heard.load.starting
    if (r.size < 0) return
    const starting = scaler.seesPods ? (heard.load?.starting ?? 0) : 0
    const verdict = r.service.look(heard, r.size, starting, nowMs)
    if (verdict === null) return
    hold(r, verdict)
    const renew = scaler.renewMs > 0 && nowMs - r.saidMs >= scaler.renewMs
    if (verdict.desired !== r.size || renew) begin(r, scale(r, verdict))
  }

  const timer: Timer = clock.every(parts.everyMs, () => {
    const nowMs = clock.now()
    for (const r of running) look(r, nowMs)
    signals.poll()
  })
  signals.poll()
  return {
    async close() {
      timer.cancel()
      gone.abort()
      signals.close()
      await Promise.all(running.flatMap((r) => (r.busy === null ? [] : [r.busy])))
    },
  }
}

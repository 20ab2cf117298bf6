import type { DeliveryPlan } from '../contract/plan.ts'
import type { Random } from '../runtime/random.ts'

/** Retries of many events that failed together are spread by this share of the wait, either way. */
const JITTER = 0.2

/** What a back-off is made from. */
export type BackoffPlan = Pick<DeliveryPlan, 'backoffPolicy' | 'backoffDelayMs' | 'backoffMaxMs'>

/**
 * The wait before retry `retry` (from 1), without jitter: linear `d * n`, exponential `d * 2^n`, capped.
 * Whole ms; 0 only where the plan's delay is 0.
 */
export function backoffMs(plan: BackoffPlan, retry: number): number {
  const grown = plan.backoffPolicy === 'linear' ? plan.backoffDelayMs * retry : plan.backoffDelayMs * 2 ** retry
  return Math.min(grown, plan.backoffMaxMs)
}

/** The same wait spread by ±20 %. */
export function jittered(ms: number, random: Random): number {
  return Math.round(ms * (1 - JITTER + 2 * JITTER * random.next()))
}

/**
 * What a retry really waits: the jittered back-off, or what the server asked for (capped by the plan) if that is
 * longer. `retryAfterMs` is looked at only where the plan has `retryAfterMaxMs`.
 */
export function retryDelayMs(plan: DeliveryPlan, retry: number, retryAfterMs: number | undefined, random: Random): number {
  return longerOf(jittered(backoffMs(plan, retry), random), plan.retryAfterMaxMs, retryAfterMs)
}

/** The rule of Retry-After alone: nothing without a cap, else the longer of the two waits. */
export function longerOf(standardMs: number, retryAfterMaxMs: number, retryAfterMs: number | undefined): number {
  if (retryAfterMaxMs <= 0 || retryAfterMs === undefined) return standardMs
  return Math.max(standardMs, Math.min(retryAfterMs, retryAfterMaxMs))
}

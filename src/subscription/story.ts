import type { AttemptStory, Rejected, Retryable } from '../contract/outcome.ts'
import type { Clock } from '../runtime/clock.ts'
import type { RunningAttempt, Walk } from './walk.ts'

/** Attempts that are remembered with a delivery; of more, the first and the newest. */
const MOST_TOLD = 100

/** Adds an attempt that failed to the story of its delivery. */
export function tell(
  story: AttemptStory[],
  w: Walk,
  a: RunningAttempt,
  o: Retryable | Rejected,
  clock: Clock,
  nowMs: number,
): void {
  const tookMs = nowMs - a.startedMs
  if (story.length >= MOST_TOLD) story.splice(1, 1)
  story.push({
    attempt: w.attempts,
    atMs: Math.round(clock.wall() - tookMs),
    tookMs: Math.round(tookMs),
    to: a.target.name,
    status: o.status,
    error: o.why,
  })
}

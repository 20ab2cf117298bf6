import { type Clock, sleep } from './clock.ts'

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

/** Waits for `work` so long at most; never rejects. */
export async function within(clock: Clock, ms: number, work: Promise<unknown>): Promise<void> {
  const over = new AbortController()
  await Promise.race([work.catch(() => {}), sleep(clock, ms, over.signal).catch(() => {})])
  over.abort()
}

/**
 * Does something with a signal that aborts after `ms`, or with `signal`: a system that is away must not hold up a reload,
 * whose own signal never aborts.
 */
export async function endingWithin<T>(
  clock: Clock,
  ms: number,
  signal: AbortSignal | null,
  f: (over: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController()
  const abort = (): void => over.abort()
  if (signal?.aborted === true) abort()
  signal?.addEventListener('abort', abort, { once: true })
  const timer = clock.after(ms, abort)
  try {
    return await f(over.signal)
  } finally {
    timer.cancel()
    signal?.removeEventListener('abort', abort)
  }
}

import { type Clock, sleep } from '../../runtime/clock.ts'

/** Waits for `work` so long at most; never rejects. */
export async function within(clock: Clock, ms: number, work: Promise<unknown>): Promise<void> {
  const over = new AbortController()
  await Promise.race([work.catch(() => {}), sleep(clock, ms, over.signal).catch(() => {})])
  over.abort()
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

import { performance } from 'node:perf_hooks'

export interface Timer {
  cancel(): void
}

/** Time, passed in wherever it is needed, so that a simulation can own it. Milliseconds throughout. */
export interface Clock {
  /** Monotonic, with a fraction; for durations and deadlines. */
  now(): number
  /** Wall clock, whole ms; for what is stored or shown. */
  wall(): number
  /** Calls `f` once, `ms` from now at the earliest. Never keeps the process alive. */
  after(ms: number, f: () => void): Timer
  /** Calls `f` every `ms`. Never keeps the process alive. */
  every(ms: number, f: () => void): Timer
  /** Calls `f` when the running turn of the loop has ended. */
  soon(f: () => void): void
}

/** setTimeout takes a signed 32-bit number of ms and fires at once above it. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, f) {
    const dueMs = performance.now() + ms
    const arm = (leftMs: number): NodeJS.Timeout =>
      setTimeout(
        () => {
          const stillMs = dueMs - performance.now()
          if (leftMs > LONGEST_TIMEOUT_MS && stillMs > 1) handle = arm(stillMs)
          else f()
        },
        Math.min(Math.max(leftMs, 0), LONGEST_TIMEOUT_MS),
      ).unref()
    let handle = arm(ms)
    return { cancel: () => clearTimeout(handle) }
  },
  every(ms, f) {
    const handle = setInterval(f, ms).unref()
    return { cancel: () => clearInterval(handle) }
  },
  soon(f) {
    setImmediate(f)
  },
}

/** Resolves after `ms`, rejects with the signal's reason when aborted first. */
export function sleep(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason as Error)
    const onAbort = (): void => {
      timer.cancel()
      reject(signal.reason as Error)
    }
    const timer = clock.after(ms, () => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    })
    signal.addEventListener('abort', onAbort, { once: true })
  })
}

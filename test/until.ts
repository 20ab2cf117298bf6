import { setTimeout as pause } from 'node:timers/promises'

/** Waits until `condition` gives something truthy and returns it; fails after `deadlineMs` with `what`. */
export async function until<T>(what: string, condition: () => T | Promise<T>, deadlineMs = 60_000): Promise<NonNullable<T>> {
  const endMs = performance.now() + deadlineMs
  let last: unknown
  for (;;) {
    try {
      const value = await condition()
      if (value) return value
      last = value
    } catch (e) {
      last = e
    }
    if (performance.now() > endMs) throw new Error(`not within ${deadlineMs} ms: ${what} (last: ${String(last)})`)
    await pause(10)
  }
}

import type { Clock } from '../../../src/runtime/clock.ts'

/** Time that passes when a test says so; `every` is called once each period. */
export function steppedClock(): Clock & { step(ms: number): void } {
  let nowMs = 0
  const ticks = new Map<() => void, { readonly everyMs: number; dueMs: number }>()
  return {
    now: () => nowMs,
    wall: () => nowMs,
    after: () => ({ cancel() {} }),
    every(ms, f) {
      ticks.set(f, { everyMs: ms, dueMs: nowMs + ms })
      return { cancel: () => ticks.delete(f) }
    },
    soon: (f) => setImmediate(f),
    step(ms) {
      const endMs = nowMs + ms
      for (;;) {
        const next = [...ticks].sort((a, b) => a[1].dueMs - b[1].dueMs)[0]
        if (next === undefined || next[1].dueMs > endMs) break
        nowMs = next[1].dueMs
        next[1].dueMs += next[1].everyMs
        next[0]()
      }
      nowMs = endMs
    },
  }
}

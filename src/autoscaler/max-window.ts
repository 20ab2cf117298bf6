/** The most of the last ticks: entries in order of time, each smaller than the one before it, so the first is the maximum. */
export type MaxWindow = readonly { readonly tick: number; readonly value: number }[]

/** Adds what was wanted at `tick`; entries of `ticks` ago and older leave. A pure step of a monotone queue. */
export function recordMax(
  window: MaxWindow,
  ticks: number,
  tick: number,
  value: number,
): { readonly window: MaxWindow; readonly max: number } {
  const next = window.filter((e) => e.value > value && e.tick > tick - ticks)
  next.push({ tick, value })
  return { window: next, max: next[0]?.value ?? value }
}

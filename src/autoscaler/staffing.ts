/** Up to so many slots the smallest margin holds; many slots wait less at equal margin, so the margin may follow the wish there. */
const MANY_SLOTS = 150
/** With `wait-target`: at most this share waits longer. */
const SHARE_LATE = 0.01
const MOST_SLOTS = 100_000

/** Slots to hold ready for an offered load of `a` (arrivals × service time) so that few find none free. */
export function slotsFor(a: number, serviceMs: number, waitTargetMs: number): number {
  if (a <= 0) return 0
  if (waitTargetMs <= 0) return a + (a >= MANY_SLOTS ? 2 : 1) * Math.sqrt(a)
  return erlangSlots(a, serviceMs, waitTargetMs)
}

/** The fewest slots n with P(wait > T) ≤ 1 %: Erlang C, by the recursion of Erlang B. Reference §6.2 */
export function erlangSlots(a: number, serviceMs: number, waitTargetMs: number): number {
  let blocked = 1
  for (let n = 1; n < MOST_SLOTS; n++) {
    blocked = (a * blocked) / (n + a * blocked)
    if (n <= a) continue
    const waits = blocked / (1 - (a / n) * (1 - blocked))
    if (waits * Math.exp((-(n - a) * waitTargetMs) / Math.max(1, serviceMs)) <= SHARE_LATE) return n
  }
  return MOST_SLOTS
}

/** So many jobs a subscription may have waiting in a gate at least, however few credits there are. */
const WAITING_LEAST = 64

/**
 * How many waiting jobs one subscription may offer a gate: enough that no credit ever stays free, not so many that the
 * order among subscriptions is decided long before it matters. `credits` 0 or absent = without limit or not known.
 */
export function waitingMost(credits: number | undefined): number {
  return credits === undefined ? WAITING_LEAST : Math.max(WAITING_LEAST, 2 * credits)
}

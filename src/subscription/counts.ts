/**
 * What happened to the deliveries of one subscription since the process began. At every instant
 * `restored + offered + replayed = filtered + delivered + deadLettered + parked + handedBack + waiting`.
 */
export class Counts {
  restored = 0
  /** Offered because they matched; what matched nothing is known to the feed alone. */
  matched = 0
  replayed = 0
  /** Matched, but not delivered all the same: a dead letter of the subscription itself that came back. */
  filtered = 0
  delivered = 0
  deadLettered = 0
  parked = 0
  handedBack = 0
  /** Kept by the feed until they are due: they wait, though not in memory. */
  detached = 0
  /** Bytes that were no event, on their way to the parked ones. */
  undecodable = 0
  attempts = 0
  retries = 0

  /**
   * One that was detached came back. Which process detached it is not known, so those of this one are counted off
   * first; in the end the sums are the same.
   */
  cameBack(): void {
    if (this.detached > 0) this.detached--
    else this.restored++
  }
}

/** What a prefetch may bring at once, bytes: as much as a lane holds. */
const BYTES_AT_ONCE = 8 * 2 ** 20
/** Assumed of the first messages, so that the first prefetch of large ones does not fill the memory; then the measured size counts. */
const FIRST_BYTES = 128 * 1_024

/**
 * How many messages the server may push before it has answers: it bounds what is held, by count and by bytes. It is fixed
 * while a consumer lives (quorum queues know no other), so it changes by leaps only: another consumer costs two round trips.
 */
export class Prefetch {
  readonly #most: number
  #meanBytes = FIRST_BYTES
  #now = 0

  constructor(most: number) {
    this.#most = most
  }

  /**
   * What a consumer should have now; 0 = the one that is there does. `held`: messages handed over and not answered. What is
   * on its way when a consumer is taken back comes again later, out of order: so only one whose prefetch is used up is.
   */
  change(held: number): number {
    if (held < this.#now) return 0
    const fits = Math.min(this.#most, Math.max(1, Math.floor(BYTES_AT_ONCE / this.#meanBytes)))
    return fits >= this.#now * 2 || fits * 2 <= this.#now ? fits : 0
  }

  begin(prefetch: number): void {
    this.#now = prefetch
  }

  /** A large message counts at once, small ones little by little. */
  measure(bytes: number): void {
    this.#meanBytes = bytes > this.#meanBytes ? bytes : this.#meanBytes + (bytes - this.#meanBytes) * 0.05
  }
}

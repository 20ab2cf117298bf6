/** Ids of one half: between one and two halves are remembered. */
const MOST_OF_A_HALF = 8_192

/**
 * Settled messages by id, for the case that they come again. The oldest are forgotten, a half at once: taking the oldest out
 * of a Set one by one walks over all that were taken out before (12 µs an event).
 */
export class Remembered {
  readonly #sure = new Halves()
  /** Those of which the system may not know. */
  readonly #unsure = new Halves()

  add(id: string, unsure: boolean): void {
    if (unsure) return this.#unsure.add(id)
    if (!this.#unsure.empty) this.#unsure.delete(id)
    this.#sure.add(id)
  }

  /**
   * Whether it was settled here, and the system does not know. What is delivered for the first time is told from that only
   * where an acknowledgement is known to be missing: whoever rewinds a queue wants to see it again.
   */
  has(id: string, redelivered: boolean): boolean {
    if (!this.#unsure.empty && this.#unsure.has(id)) return true
    return redelivered && this.#sure.has(id)
  }

  clear(): void {
    this.#sure.clear()
    this.#unsure.clear()
  }
}

class Halves {
  #young = new Set<string>()
  #old = new Set<string>()

  get empty(): boolean {
    return this.#young.size === 0 && this.#old.size === 0
  }

  has(id: string): boolean {
    return this.#young.has(id) || this.#old.has(id)
  }

  add(id: string): void {
    this.#young.add(id)
    if (this.#young.size < MOST_OF_A_HALF) return
    this.#old = this.#young
    this.#young = new Set()
  }

  delete(id: string): void {
    this.#young.delete(id)
    this.#old.delete(id)
  }

  clear(): void {
    this.#young.clear()
    this.#old.clear()
  }
}

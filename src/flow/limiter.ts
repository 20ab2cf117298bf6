import { assert } from '../runtime/errors.ts'

/** `sluice.dev/max-concurrency` of one subscription: what it has asked for and what runs, together. */
export class Limiter {
  readonly most: number
  #taken = 0

  /** 0 = no limit. */
  constructor(most: number) {
    this.most = most === 0 ? Infinity : most
  }

  get taken(): number {
    return this.#taken
  }

  /** false = at the limit, nothing taken. */
  tryTake(): boolean {
    if (this.#taken >= this.most) return false
    this.#taken++
    return true
  }

  give(): void {
    assert(this.#taken > 0, 'nothing is given back that was not taken')
    this.#taken--
  }
}

import { assert } from '../runtime/errors.ts'

/** `sluice.dev/max-concurrency` of one subscription: what it has asked for and what runs, together. */
export class Limiter {
  readonly most: number
  #taken: number

  /** `most` 0 = no limit; `taken` = what is under way already. */
  constructor(most: number, taken = 0) {
    this.most = most === 0 ? Infinity : most
    this.#taken = taken
  }

  get taken(): number {
    return this.#taken
  }

  get hasRoom(): boolean {
    return this.#taken < this.most
  }

  /** Only where there is room. */
  take(): void {
    assert(this.hasRoom, `no more than ${this.most} at once`)
    this.#taken++
  }

  give(): void {
    assert(this.#taken > 0, 'nothing is given back that was not taken')
    this.#taken--
  }
}

import type { Budget } from '../contract/budget.ts'
import { assert } from '../runtime/errors.ts'

const MOST_BYTES = 256 * 2 ** 20

/** A full budget has room again below this share of its limit, so that readers do not stop and go with every event. */
const ROOM_AGAIN = 7 / 8

/** The budget of a shard: a quarter of the memory it may use, at most 256 MiB. */
export function budgetBytes(memoryLimitBytes: number): number {
  return Math.min(MOST_BYTES, Math.floor(memoryLimitBytes / 4))
}

/** One per shard. */
export function createBudget(limitBytes: number): Budget {
  return new ByteBudget(limitBytes)
}

class ByteBudget implements Budget {
  readonly limitBytes: number
  usedBytes = 0
  full = false
  readonly #listeners: (() => void)[] = []

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes
  }

  take(bytes: number): boolean {
    this.usedBytes += bytes
    if (this.usedBytes >= this.limitBytes) this.full = true
    return !this.full
  }

  give(bytes: number): void {
    this.usedBytes -= bytes
    assert(this.usedBytes >= 0, 'no more bytes come back than were taken')
    if (!this.full || this.usedBytes > this.limitBytes * ROOM_AGAIN) return
    this.full = false
    for (const f of this.#listeners) f()
  }

  onRoom(f: () => void): void {
    this.#listeners.push(f)
  }
}

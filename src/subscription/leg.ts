import type { Target } from '../contract/target.ts'
import { Fifo } from '../flow/fifo.ts'
import { waitingMost } from '../flow/window.ts'
import type { LegName, Walk } from './walk.ts'

/**
 * Attempts one subscription may have under way towards a target without a limit: a bound for sockets and memory where
 * nobody named one. With credits the credits are the bound.
 */
const UNLIMITED_ATTEMPTS = 512

/** The way to one sink of a subscription: who wants to go, and how many have been offered to its gate. */
export class Leg {
  readonly name: LegName
  #target: Target | null = null
  /** Of a target that does not say it at every moment: as it was when it last had news. */
  #lastCredits = 0
  /** Offered to the gate and not yet started. */
  asked = 0
  attempting = 0
  /** Due retries and those that go nowhere else; first in, first out. Who has left meanwhile is passed over. */
  readonly ready = new Fifo<Walk>()
  /** The gate refused: nothing is offered before it says that there is room, or a timer does. */
  refused = false

  constructor(name: LegName, target: Target | null) {
    this.name = name
    this.target = target
  }

  get target(): Target | null {
    return this.#target
  }
  set target(target: Target | null) {
    this.#target = target
    this.roomAgain()
  }

  /** The target has another pod, more credits or is open again. */
  roomAgain(): void {
    this.refused = false
    if (this.#target !== null && this.#target.credits === undefined) this.#lastCredits = this.#target.state().limit
  }

  /** Whether the gate may be offered one more. */
  get mayAsk(): boolean {
    const target = this.#target
    if (target === null || this.refused || !target.open) return false
    const credits = target.credits ?? this.#lastCredits
    if (credits === 0 && this.asked + this.attempting >= UNLIMITED_ATTEMPTS) return false
    return this.asked < waitingMost(credits)
  }

  nextReady(): Walk | undefined {
    for (let w = this.ready.shift(); w !== undefined; w = this.ready.shift()) {
      if (w.state === 'waiting' && w.leg === this.name) return w
    }
    return undefined
  }
}

import type { Clock, Timer } from '../runtime/clock.ts'
import type { Delayed, Kept, KeptRef, Line } from './kept.ts'

/** Due deliveries offered in one turn of the loop, over all lines. */
const OFFERS_A_TURN = 64

/** One subscription that gets its due deliveries. */
interface Watch {
  readonly line: Line
  /** Hands one over; false = no room for another until `resume`. */
  offer: (d: Delayed) => boolean
  /** In the hands of the machine, by id: still in the store until they are out of it. */
  readonly offered: Set<number>
  /** Of these, the ones that have ended and are on their way out of the store. */
  readonly ending: Set<number>
  /** Of these, the ones it gave back. */
  readonly returned: Set<number>
  /** `away` = nobody takes them at the moment; what is out may still end. */
  state: 'open' | 'blocked' | 'away'
  dueMs: number
}

/** Offers delayed deliveries again when they are due, in order of their due time, as long as their subscription has room. */
export class DueOffers {
  readonly #kept: Kept
  readonly #clock: Clock
  readonly #watches = new Map<Line, Watch>()
  #timer: Timer | undefined
  #timerMs = Infinity
  #turnDue = false
  #stopped = false

  constructor(kept: Kept, clock: Clock) {
    this.#kept = kept
    this.#clock = clock
    kept.onDelayed = (ref) => this.#delayed(ref)
    kept.onRemoved = (ref) => {
      const w = this.#watches.get(ref.line)
      w?.offered.delete(ref.id)
      w?.ending.delete(ref.id)
    }
  }

  /** Everything due is offered, also what was offered to the one before and has not ended. */
  watch(line: Line, offer: (d: Delayed) => boolean): void {
    let w = this.#watches.get(line)
    if (w === undefined) {
      w = { line, offer, offered: new Set(), ending: new Set(), returned: new Set(), state: 'open', dueMs: 0 }
      this.#watches.set(line, w)
    }
    w.offer = offer
    w.state = 'open'
    for (const id of w.offered) if (!w.ending.has(id)) w.offered.delete(id)
    w.returned.clear()
    this.#look(w)
  }

  unwatch(line: Line): void {
    const w = this.#watches.get(line)
    if (w !== undefined) w.state = 'away'
  }

  /** Deleted: nothing of it is known any more. */
  forget(line: Line): void {
    this.#watches.delete(line)
  }

  /** No room until `resume`. */
  block(line: Line): void {
    const w = this.#watches.get(line)
    if (w?.state === 'open') w.state = 'blocked'
  }

  /** There is room again: also for what was given back. */
  resume(line: Line): void {
    const w = this.#watches.get(line)
    if (w === undefined || w.state === 'away' || (w.state === 'open' && w.returned.size === 0)) return
    w.state = 'open'
    for (const id of w.returned) if (!w.ending.has(id)) w.offered.delete(id)
    w.returned.clear()
    this.#look(w)
  }

  /** The delivery has ended and goes out of the store; false = it has already, or nobody was offered it. */
  end(ref: KeptRef): boolean {
    const w = this.#watches.get(ref.line)
    if (w === undefined || !w.offered.has(ref.id) || w.ending.has(ref.id)) return false
    w.ending.add(ref.id)
    return true
  }

  /** It could not be taken out of the store. */
  reopen(ref: KeptRef): void {
    this.#watches.get(ref.line)?.ending.delete(ref.id)
  }

  /** Given back unsettled: stays in the store, offered again after `resume`. */
  handedBack(ref: KeptRef): void {
    const w = this.#watches.get(ref.line)
    if (w?.offered.has(ref.id) && !w.ending.has(ref.id)) w.returned.add(ref.id)
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  #delayed(ref: KeptRef): void {
    const w = this.#watches.get(ref.line)
    if (w === undefined || ref.dueMs >= w.dueMs) return
    w.dueMs = ref.dueMs
    this.#schedule()
  }

  #look(w: Watch): void {
    w.dueMs = w.line.delayed.events === 0 ? Infinity : this.#kept.nextDueMs(w.line, w.offered)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#stopped || this.#turnDue) return
    let atMs = Infinity
    for (const w of this.#watches.values()) if (w.state === 'open' && w.dueMs < atMs) atMs = w.dueMs
    const nowMs = this.#clock.wall()
    if (atMs <= nowMs) {
      this.#turnDue = true
      this.#clock.soon(() => this.#turn())
    } else if (atMs !== this.#timerMs) {
      this.#timer?.cancel()
      this.#timerMs = atMs
      // Asked again at the latest after a minute: the wall clock may have been set forward meanwhile.
      if (atMs !== Infinity) this.#timer = this.#clock.after(Math.min(atMs - nowMs, 60_000), () => this.#rang())
    }
  }

  #rang(): void {
    this.#timerMs = Infinity
    this.#schedule()
  }

  #turn(): void {
    this.#turnDue = false
    if (this.#stopped) return
    const nowMs = this.#clock.wall()
    const ready = [...this.#watches.values()].filter((w) => w.state === 'open' && w.dueMs <= nowMs)
    const each = Math.max(1, Math.floor(OFFERS_A_TURN / Math.max(1, ready.length)))
    for (const w of ready) {
      for (const d of this.#kept.due(w.line, nowMs, each, w.offered)) {
        w.offered.add(d.ref.id)
        if (!w.offer(d)) this.block(w.line)
        if (w.state !== 'open') break
      }
      w.dueMs = this.#kept.nextDueMs(w.line, w.offered)
    }
    this.#schedule()
  }
}

import type { Clock, Timer } from '../../runtime/clock.ts'
import { Lapsed, type QueueMessage } from './consumer.ts'
import type { Hold, Holds, Line } from './holds.ts'

/** Calls under way at once. */
const AT_ONCE = 8
const AGAIN_MS = 1_000

export interface AcksParts<M extends QueueMessage> {
  readonly line: Line<M>
  readonly holds: Holds<M>
  readonly clock: Clock
  /** Messages of one call. */
  readonly batch: number
  /** What is settled within this time goes in one call; 0 = within the same turn of the loop. */
  readonly gatherMs: number
  /** There is room again. */
  readonly freed: () => void
}

/** Tells a system what was settled: gathered, repeated until it knows or has taken the message back. */
export class Acks<M extends QueueMessage> {
  readonly #p: AcksParts<M>
  #waiting: Hold<M>[] = []
  #calls = 0
  #timer: Timer | null = null
  #soon = false
  #resting = false

  constructor(p: AcksParts<M>) {
    this.#p = p
  }

  add(hold: Hold<M>): void {
    this.#queue(hold)
    // A timer that is armed for longer means that the last call failed.
    if (this.#resting) return
    if (this.#waiting.length >= this.#p.batch) this.pump()
    else if (this.#p.gatherMs > 0) this.#arm(this.#p.gatherMs)
    else this.#pumpSoon()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
    this.#waiting = []
  }

  pump(): void {
    this.#resting = false
    const { batch, line } = this.#p
    while (this.#waiting.length > 0 && this.#calls < AT_ONCE) {
      const holds = this.#waiting.length <= batch ? this.#waiting.splice(0) : this.#waiting.splice(0, batch)
      const live = holds.filter((hold) => hold.state === 'settled')
      for (const hold of live) hold.queued = false
      if (live.length === 0) continue
      const messages = live.map((hold) => hold.message)
      this.#calls++
      line.consumer.acknowledge(messages, (answers) => this.#answered(live, messages, answers))
    }
  }

  #queue(hold: Hold<M>): void {
    if (hold.queued) return
    hold.queued = true
    this.#waiting.push(hold)
  }

  #arm(ms: number): void {
    this.#timer ??= this.#p.clock.after(ms, () => {
      this.#timer = null
      this.pump()
    })
  }

  #pumpSoon(): void {
    if (this.#soon) return
    this.#soon = true
    this.#p.clock.soon(() => {
      this.#soon = false
      this.pump()
    })
  }

  #answered(holds: readonly Hold<M>[], sent: readonly M[], answers: readonly (Error | null)[] | null): void {
    this.#calls--
    let failed = false
    holds.forEach((hold, i) => {
      const error = answers === null ? null : (answers[i] ?? null)
      if (error !== null && !(error instanceof Lapsed)) failed = true
      this.#settle(hold, error, sent[i] !== hold.message)
    })
    if (!failed) {
      if (!this.#resting) this.pump()
    } else if (this.#waiting.length > 0) {
      this.#resting = true
      this.#arm(AGAIN_MS)
    }
    this.#p.freed()
  }

  #settle(hold: Hold<M>, error: Error | null, cameAgain: boolean): void {
    const { holds, line, clock } = this.#p
    if (hold.state !== 'settled') return
    const held = hold.leaseUntilMs === 0 || clock.now() < hold.leaseUntilMs
    if (error === null && !cameAgain) {
      holds.drop(hold)
      line.remember(hold.message.id, false)
    } else if (cameAgain || (!(error instanceof Lapsed) && !hold.lapsed && held)) {
      // A renewal that is under way brings it here again when it ends.
      if (!hold.renewing) this.#queue(hold)
    } else {
      // It comes again, and is acknowledged then.
      holds.drop(hold)
      line.remember(hold.message.id, true)
    }
  }
}

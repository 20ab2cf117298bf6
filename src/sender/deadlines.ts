import type { Clock, Timer } from '../runtime/clock.ts'

const TICK_MS = 8
const SLOTS = 1024
const UNSET = -1
const FIRING = -2

/** A deadline that can be set again and again without allocating; belongs to one owner. */
export class Deadline {
  dueMs = 0
  slot = UNSET
  next: Deadline | null = null
  previous: Deadline | null = null
  readonly due: () => void
  constructor(due: () => void) {
    this.due = due
  }
}

export interface Deadlines {
  /** `atMs` on the monotonic clock, Infinity = none. Fires at most about one tick (8 ms) late, never early. */
  set(d: Deadline, atMs: number): void
  clear(d: Deadline): void
}

/**
 * A timer wheel: one clock timer for every deadline of the sender, armed only while there is one. Setting and clearing
 * a timer of Node's own for each request costs more than writing the request line.
 */
export function createDeadlines(clock: Clock): Deadlines {
  const slots: (Deadline | null)[] = Array.from({ length: SLOTS }, () => null)
  let count = 0
  let lastTick = 0
  let timer: Timer | null = null

  const unlink = (d: Deadline): void => {
    if (d.previous === null) slots[d.slot] = d.next
    else d.previous.next = d.next
    if (d.next !== null) d.next.previous = d.previous
    d.next = null
    d.previous = null
    d.slot = UNSET
    count--
  }

  const takeDue = (slot: number, nowMs: number, due: Deadline[]): void => {
    for (let d = slots[slot] ?? null; d !== null;) {
      const next: Deadline | null = d.next
      if (d.dueMs <= nowMs) {
        unlink(d)
        d.slot = FIRING
        due.push(d)
      }
      d = next
    }
  }

  const tick = (): void => {
    timer = null
    const nowMs = clock.now()
    const nowTick = Math.floor(nowMs / TICK_MS)
    const due: Deadline[] = []
    for (let t = Math.max(lastTick + 1, nowTick - SLOTS + 1); t <= nowTick; t++) takeDue(t % SLOTS, nowMs, due)
    lastTick = Math.max(lastTick, nowTick)
    if (count > 0) timer = clock.after(TICK_MS, tick)
    // A callback may clear or set again what is due in the same tick: its slot says so.
    for (const d of due) {
      if (d.slot !== FIRING) continue
      d.slot = UNSET
      d.due()
    }
  }

  return {
    set(d, atMs) {
      if (d.slot >= 0) unlink(d)
      d.slot = UNSET
      if (atMs === Infinity) return
      if (timer === null) {
        lastTick = Math.floor(clock.now() / TICK_MS)
        timer = clock.after(TICK_MS, tick)
      }
      d.dueMs = atMs
      d.slot = Math.max(Math.ceil(atMs / TICK_MS), lastTick + 1) % SLOTS
      d.next = slots[d.slot] ?? null
      if (d.next !== null) d.next.previous = d
      slots[d.slot] = d
      count++
    },
    clear(d) {
      if (d.slot >= 0) unlink(d)
      d.slot = UNSET
    },
  }
}

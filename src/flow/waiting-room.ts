import type { SubId } from '../contract/ids.ts'
import type { Job } from '../contract/target.ts'

/** Proxied requests served for one event while both wait: somebody is looking at a request. */
const REQUESTS_PER_EVENT = 4

/** Empty lines are kept for their next event; over this many they are swept out. */
const MOST_IDLE_LINES = 1024

class Waiter {
  readonly job: Job
  readonly sinceMs: number
  readonly line: Line
  before: Waiter | null = null
  after: Waiter | null = null
  constructor(job: Job, sinceMs: number, line: Line) {
    this.job = job
    this.sinceMs = sinceMs
    this.line = line
  }
}

/** First in, first out, and anybody may leave at any time at the same cost. */
class Line {
  first: Waiter | null = null
  last: Waiter | null = null
  size = 0
  readonly owner: SubscriptionLines | null
  constructor(owner: SubscriptionLines | null) {
    this.owner = owner
  }

  push(job: Job, nowMs: number): Waiter {
    const w = new Waiter(job, nowMs, this)
    w.before = this.last
    if (this.last === null) this.first = w
    else this.last.after = w
    this.last = w
    this.size++
    return w
  }

  remove(w: Waiter): void {
    if (w.before === null) this.first = w.after
    else w.before.after = w.after
    if (w.after === null) this.last = w.before
    else w.after.before = w.before
    this.size--
  }
}

/** What one subscription has waiting: due retries first, then the rest. In the round while it has anything. */
class SubscriptionLines {
  readonly sub: SubId
  readonly retries = new Line(this)
  readonly fresh = new Line(this)
  /** Neighbours in the round; itself when alone, null when it has nothing waiting. */
  next: SubscriptionLines | null = null
  previous: SubscriptionLines | null = null
  constructor(sub: SubId) {
    this.sub = sub
  }
  get size(): number {
    return this.retries.size + this.fresh.size
  }
}

/**
 * Who waits for a credit, and who is next: requests before events 4:1, events round robin by subscription, a due retry
 * first in its own. Coming, going and leaving early cost the same however many wait.
 */
export class WaitingRoom {
  readonly #waiters = new Map<Job, Waiter>()
  readonly #requests = new Line(null)
  readonly #bySub = new Map<SubId, SubscriptionLines>()
  #turn: SubscriptionLines | null = null
  #requestsInARow = 0

  get size(): number {
    return this.#waiters.size
  }
  get requests(): number {
    return this.#requests.size
  }
  get events(): number {
    return this.#waiters.size - this.#requests.size
  }
  ofSubscription(sub: SubId): number {
    return this.#bySub.get(sub)?.size ?? 0
  }

  push(job: Job, nowMs: number): void {
    if (job.kind === 'request') {
      this.#waiters.set(job, this.#requests.push(job, nowMs))
      return
    }
    const lines = this.#linesOf(job.sub)
    if (lines.size === 0) this.#joinRound(lines)
    this.#waiters.set(job, (job.retry ? lines.retries : lines.fresh).push(job, nowMs))
  }

  has(job: Job): boolean {
    return this.#waiters.has(job)
  }

  /** false = it did not wait here. */
  remove(job: Job): boolean {
    const w = this.#waiters.get(job)
    if (w === undefined) return false
    this.#leave(w)
    return true
  }

  /** Takes the next job out, null = nobody waits. */
  next(): Job | null {
    const request = this.#requests.first
    if (request !== null && (this.#turn === null || this.#requestsInARow < REQUESTS_PER_EVENT)) {
      if (this.#turn !== null) this.#requestsInARow++
      this.#leave(request)
      return request.job
    }
    this.#requestsInARow = 0
    const lines = this.#turn
    if (lines === null) return null
    this.#turn = lines.next
    const w = lines.retries.first ?? lines.fresh.first!
    this.#leave(w)
    return w.job
  }

  /** Takes out the requests that wait since `beforeMs` or longer, oldest first. */
  requestsSince(beforeMs: number): Job[] {
    const out: Job[] = []
    for (let w = this.#requests.first; w !== null && w.sinceMs <= beforeMs; w = this.#requests.first) {
      this.#leave(w)
      out.push(w.job)
    }
    return out
  }

  #leave(w: Waiter): void {
    this.#waiters.delete(w.job)
    w.line.remove(w)
    const lines = w.line.owner
    if (lines !== null && lines.size === 0) this.#leaveRound(lines)
  }

  #linesOf(sub: SubId): SubscriptionLines {
    let lines = this.#bySub.get(sub)
    if (lines === undefined) {
      if (this.#bySub.size >= MOST_IDLE_LINES) for (const [id, l] of this.#bySub) if (l.size === 0) this.#bySub.delete(id)
      lines = new SubscriptionLines(sub)
      this.#bySub.set(sub, lines)
    }
    return lines
  }

  /** A newcomer stands at the end of the round: just before whose turn it is. */
  #joinRound(lines: SubscriptionLines): void {
    const turn = this.#turn
    if (turn === null) {
      lines.next = lines.previous = lines
      this.#turn = lines
      return
    }
    const end = turn.previous!
    lines.previous = end
    lines.next = turn
    end.next = lines
    turn.previous = lines
  }

  #leaveRound(lines: SubscriptionLines): void {
    const next = lines.next!
    if (next === lines) this.#turn = null
    else {
      next.previous = lines.previous
      lines.previous!.next = next
      if (this.#turn === lines) this.#turn = next
    }
    lines.next = lines.previous = null
  }
}

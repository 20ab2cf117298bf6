import type { Delivery, Position } from '../../contract/delivery.ts'
import type { Intake } from '../../contract/feed.ts'
import type { LaneId, SubId } from '../../contract/ids.ts'
import type { AttemptStory } from '../../contract/outcome.ts'
import type { CloudEvent } from '../../event/event.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { QueueMessage, QueueSubscription } from './consumer.ts'
import type { Hold } from './holds.ts'

/** A queue is one lane: what a consumer hands over may be of any part of it. */
export const LANE: LaneId = 0

/** Handed on in one turn of the loop. */
const OFFERS_A_TURN = 256

const NO_STORY: readonly AttemptStory[] = []
const NO_BYTES = new Uint8Array(0)

/** An offered message. A class, so that all of them share one hidden class. */
class QueueDelivery implements Delivery {
  readonly event: CloudEvent
  readonly sub: SubId
  readonly lane = LANE
  readonly position: Position
  readonly redelivery: number
  readonly story: readonly AttemptStory[]
  readonly phase: 'subscriber' | 'dead-letter'
  readonly leaseUntilMs: number
  readonly bytes: number

  constructor(sub: SubId, event: CloudEvent, hold: Hold<QueueMessage>, leaseUntilMs: number, last: AttemptStory | null) {
    const { state, redelivery } = hold.message
    const before = state?.story ?? NO_STORY
    this.event = event
    this.sub = sub
    this.position = hold.position
    this.redelivery = state === null ? redelivery : redelivery + 1
    this.leaseUntilMs = leaseUntilMs
    this.bytes = hold.bytes
    this.story = last === null ? before : [...before, last]
    this.phase = last === null ? (state?.phase ?? 'subscriber') : 'dead-letter'
  }
}

export interface OfferingParts<M extends QueueMessage> {
  readonly sub: SubId
  readonly intake: Intake
  readonly clock: Clock
  readonly of: Pick<QueueSubscription<M>, 'maxDeliveries' | 'limit'>
  /** It leaves the unread ones. */
  readonly offered: (hold: Hold<M>) => void
  /** A message the subscription does not want: settled. */
  readonly unwanted: (hold: Hold<M>) => void
  /** More may be asked for. */
  readonly drained: () => void
}

/** Offers what has come while the lane has room; what came too much waits its turn here, what was due before what is new. */
export class Offering<M extends QueueMessage> {
  readonly #p: OfferingParts<M>
  #open = true
  #stopped = false
  #again = false
  #due: Hold<M>[] = []
  #fresh: Hold<M>[] = []
  /** Events that went past the subscription. */
  passed = 0

  constructor(p: OfferingParts<M>) {
    this.#p = p
  }

  /** Messages that wait here because the lane is full. */
  get unread(): number {
    return this.#due.length + this.#fresh.length
  }

  /**
   * More may be asked for: of what is new only while the lane has room. What was due is at hand when the lane has room again,
   * or a deep queue would always be there first.
   */
  mayRead(due: boolean): boolean {
    if (this.#stopped) return false
    return due ? this.#due.length === 0 : this.#open && this.#fresh.length === 0
  }

  /** Nothing is offered any more. */
  stop(): void {
    this.#stopped = true
  }

  add(hold: Hold<M>): void {
    if (hold.line.due || hold.message.state !== null) this.#due.push(hold)
    else this.#fresh.push(hold)
  }

  /** What was dropped while it waited takes no place here. */
  sweep(): void {
    this.#due = this.#due.filter((hold) => hold.state === 'unread')
    this.#fresh = this.#fresh.filter((hold) => hold.state === 'unread')
  }

  resume(): void {
    this.#open = true
    // Not within the callback that made the room.
    this.#runSoon()
  }

  /** Offers what waits, as long as the lane has room. */
  run(): void {
    const nowMs = this.#p.clock.wall()
    for (let n = 0; n < OFFERS_A_TURN; n++) {
      if (!this.#open || this.#stopped) return
      const hold = this.#due.length > 0 ? this.#due.shift() : this.#fresh.shift()
      if (hold === undefined) return
      if (hold.state === 'unread') this.#offer(hold, nowMs)
    }
    this.#runSoon()
  }

  #runSoon(): void {
    if (this.#again) return
    this.#again = true
    this.#p.clock.soon(() => {
      this.#again = false
      this.run()
      this.#p.drained()
    })
  }

  #offer(hold: Hold<M>, nowMs: number): void {
    const { intake, sub, clock } = this.#p
    const { event, undecodable } = hold.message
    this.#p.offered(hold)
    if (event === null) {
      this.passed++
      const bad = undecodable ?? { raw: NO_BYTES, headers: [], why: 'it is no event' }
      return intake.undecodable(sub, LANE, hold.position, bad)
    }
    // What waited had matched before.
    if (hold.message.state === null && !intake.matches(sub, event)) {
      this.passed++
      return this.#p.unwanted(hold)
    }
    const leaseUntilMs = hold.leaseUntilMs === 0 ? 0 : nowMs + hold.leaseUntilMs - clock.now()
    const d = new QueueDelivery(sub, event, hold, leaseUntilMs, this.#lastStory(hold.message, nowMs))
    // What comes back with its story has gone past before.
    if (d.story.length === 0) this.passed++
    if (!intake.offer(d)) this.#open = false
  }

  /**
   * The last delivery before the system would drop the message or move it out of our sight: it ends here, at the dead-letter
   * sink or parked. What was never delivered before is not given up, however low the limit is.
   */
  #lastStory({ redelivery }: M, nowMs: number): AttemptStory | null {
    const { maxDeliveries, limit } = this.#p.of
    const deliveries = redelivery + 1
    if (maxDeliveries === 0 || redelivery === 0 || deliveries < maxDeliveries) return null
    return {
      attempt: deliveries,
      to: limit?.to ?? 'the message system',
      atMs: nowMs,
      tookMs: 0,
      status: 0,
      error:
        limit?.why(deliveries) ??
        `it was delivered ${deliveries} times and never settled; the message system would drop it the next time`,
    }
  }
}

import type { Intake } from '../../contract/feed.ts'
import type { SubId } from '../../contract/ids.ts'
import type { WrapOptions } from '../../event/kafka.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Log } from '../../runtime/log.ts'
import { WINDOW } from '../../sources/kafka/tracker.ts'
import type { RecordCursor } from '../../vendor/kafka/records.ts'
import { eventOf } from './record.ts'
import { type Follower, type HeadPartition, type KafkaSeat, StreamDelivery } from './seat.ts'

export interface HeadParts {
  readonly clock: Clock
  readonly log: Log
  readonly wrap: WrapOptions
  follower(sub: SubId): Follower | undefined
  followers(): Iterable<Follower>
  /** Something was read of the partition: it may want more. */
  hungry(p: HeadPartition): void
  /** The seat may have to be read on, now that nothing is being routed. */
  place(seat: KafkaSeat): void
}

/** Most records read in one turn of the loop, and of one partition before its neighbours have theirs. */
const TURN = 256
const PARTITION_TURN = 64

/** The one reader of a topic: every record is decoded and routed once, for everybody who is caught up. */
export class Head {
  readonly #o: HeadParts
  readonly #intake: Intake
  readonly #ready: HeadPartition[] = []
  readonly #queued = new Set<HeadPartition>()
  readonly #matched: SubId[] = []
  /** Seats that were to be placed while an event was being routed. */
  #later: KafkaSeat[] = []
  #routing = false
  #scheduled = false
  #stopped = false
  #nowMs = 0

  constructor(intake: Intake, o: HeadParts) {
    this.#intake = intake
    this.#o = o
  }

  stop(): void {
    this.#stopped = true
    this.#ready.length = 0
    this.#queued.clear()
  }

  ready(p: HeadPartition): void {
    if (this.#stopped || this.#queued.has(p)) return
    this.#queued.add(p)
    this.#ready.push(p)
    this.#schedule()
  }

  /** true = the seat is placed when the event at hand has been routed to everybody. */
  postpone(seat: KafkaSeat): boolean {
    if (this.#routing) this.#later.push(seat)
    return this.#routing
  }

  run(): void {
    let left = TURN
    this.#nowMs = this.#o.clock.wall()
    while (left > 0) {
      const p = this.#ready.shift()
      if (p === undefined) return
      left -= this.#read(p, Math.min(left, PARTITION_TURN))
      if (p.cursors.length > 0 && p.mayRead && !this.#stopped) this.#ready.push(p)
      else this.#queued.delete(p)
      this.#o.hungry(p)
    }
    this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled || this.#ready.length === 0) return
    this.#scheduled = true
    this.#o.clock.soon(() => {
      this.#scheduled = false
      this.run()
    })
  }

  #read(p: HeadPartition, most: number): number {
    let n = 0
    while (n < most && p.mayRead && !this.#stopped) {
      const cursor = p.cursors[0]
      if (cursor === undefined) break
      const found = cursor.next()
      if (found === 'end') p.finished(cursor)
      else {
        n++
        this.#routing = true
        if (found === 'record') this.#route(p, cursor)
        else this.#corrupt(p, cursor)
        this.#routing = false
        if (this.#later.length > 0) for (const seat of this.#later.splice(0)) this.#o.place(seat)
      }
    }
    return n
  }

  #route(p: HeadPartition, c: RecordCursor): void {
    const { offset } = c
    p.tracker.passTo(offset)
    const event = eventOf(c, p.topic, p.partition, this.#o.wrap, this.#nowMs)
    const matched = this.#matched
    const n = this.#intake.route(event, matched)
    for (let i = 0; i < n; i++) {
      const seat = this.#o.follower(matched[i] as SubId)?.seats[p.lane]
      if (seat === undefined || !seat.atHead || offset < seat.joinAt) continue
      if (seat.tracker.window >= WINDOW) {
        this.#stick(seat)
        continue
      }
      const ordinal = seat.tracker.take(offset, c.timestampMs)
      if (ordinal < 0) continue
      const bytes = (c.value?.length ?? 0) + (c.key?.length ?? 0)
      if (!this.#intake.offer(new StreamDelivery(seat, event, offset, bytes, ordinal, false))) {
        seat.blocked = true
        seat.leave()
      }
    }
    p.tracker.passTo(offset + 1)
    p.routed++
  }

  /** Everybody who reads with the head parks the bytes for himself: each has a position of its own to settle. */
  #corrupt(p: HeadPartition, c: RecordCursor): void {
    const { offset, raw, why } = c
    const where = { topic: p.topic, partition: p.partition, offset, why }
    this.#o.log.error('bytes of a Kafka partition cannot be read; they are parked as they are', where)
    p.tracker.passTo(offset)
    for (const f of this.#o.followers()) {
      const seat = f.seats[p.lane]
      if (seat === undefined || !seat.atHead || offset < seat.joinAt) continue
      if (seat.tracker.take(offset, this.#nowMs) >= 0) this.#intake.undecodable(f.sub, p.lane, offset, { raw, headers: [], why })
    }
    p.tracker.passTo(c.position)
    p.routed++
  }

  #stick(seat: KafkaSeat): void {
    seat.stuck = true
    seat.leave()
    warnStuck(this.#o.log, seat)
  }
}

export function warnStuck(log: Log, seat: KafkaSeat): void {
  log.warn('a subscription has too many events behind its oldest unsettled one and is not read on', {
    subscription: seat.follower.key,
    partition: seat.partition.partition,
    unsettled: seat.tracker.committable,
    read: seat.tracker.position,
  })
}

import type { Delivery, Settlement } from '../../src/contract/delivery.ts'
import type { Intake } from '../../src/contract/feed.ts'
import type { Random } from '../../src/runtime/random.ts'
import { FeedDouble, eventOf } from '../subscription/rig.ts'
import { Violation } from './ledger.ts'

interface Partition {
  readonly id: number
  readonly log: string[]
  readonly ended: Set<number>
  /** Everything below is settled, and read again from here by the next owner. */
  committed: number
  next: number
  owned: boolean
  blocked: boolean
  /** Deliveries of an ownership that is over count for nothing. */
  term: number
}

interface PartitionDelivery extends Delivery {
  readonly term: number
}

/** A feed of partitions that come and go, as Kafka's do: contiguous commits, revokes that wait, partitions that are lost. */
export class PartitionFeed extends FeedDouble {
  readonly partitions: Partition[]
  intake: Intake | null = null
  offered = 0
  /** Ids that the subscriber has taken. */
  readonly accepted = new Set<string>()
  readonly #random: Random
  readonly #sub: number

  constructor(sub: number, count: number, random: Random) {
    super()
    this.#sub = sub
    this.#random = random
    this.partitions = Array.from({ length: count }, (_, id) => ({
      id,
      log: [],
      ended: new Set(),
      committed: 0,
      next: 0,
      owned: true,
      blocked: false,
      term: 0,
    }))
  }

  produce(lane: number, id: string): void {
    this.partitions[lane]!.log.push(id)
    this.read(lane)
  }

  read(lane: number): void {
    const p = this.partitions[lane]!
    while (p.owned && !p.blocked && p.next < p.log.length) {
      const position = p.next++
      const id = p.log[position]!
      const d: PartitionDelivery = {
        event: eventOf(id, { key: id.slice(0, 1) }),
        sub: this.#sub,
        lane,
        position,
        redelivery: 0,
        story: [],
        phase: 'subscriber',
        leaseUntilMs: 0,
        bytes: 50,
        term: p.term,
      }
      this.offered++
      this.passedEvents++
      if (!this.intake!.offer(d)) p.blocked = true
    }
  }

  override resume(_sub: number, lane: number): void {
    this.partitions[lane]!.blocked = false
    this.read(lane)
  }

  override settle(d: Delivery, how: Settlement): void {
    const p = this.partitions[d.lane]!
    const current = (d as PartitionDelivery).term === p.term
    if (how === 'handed-back') {
      if (p.owned && current) throw new Violation(`${d.event.id} is handed back though its partition ${p.id} stays`)
      return
    }
    if (!current) throw new Violation(`${d.event.id} is settled as ${how} after its partition ${p.id} was given away`)
    if (!this.accepted.has(d.event.id)) throw new Violation(`${d.event.id} is settled as ${how}, but no sink took it`)
    this.#end(p, d.position)
  }

  override park(d: Delivery, _state: unknown, done: (ok: boolean) => void): void {
    if (this.#random.next() < 0.2) return done(false)
    this.#end(this.partitions[d.lane]!, d.position)
    done(true)
  }

  override detachDelivery(_d: Delivery, _state: unknown, done: (ok: boolean) => void): void {
    done(false)
  }

  #end(p: Partition, position: number): void {
    p.ended.add(position)
    while (p.ended.has(p.committed)) p.committed++
  }

  /** Owned no longer: the lanes wait for what runs (`revoke`) or drop it. */
  async give(lanes: readonly number[], how: 'revoke' | 'lose', deadlineMs: number): Promise<void> {
    for (const lane of lanes) this.partitions[lane]!.owned = false
    if (how === 'revoke') await this.intake!.revoking(lanes, deadlineMs)
    else this.intake!.lost(lanes)
    for (const lane of lanes) this.partitions[lane]!.term++
  }

  /** Owned again, by this gateway or by what stands for another: reading begins at the commit. */
  take(lanes: readonly number[]): void {
    for (const lane of lanes) {
      const p = this.partitions[lane]!
      p.owned = true
      p.blocked = false
      p.next = p.committed
    }
    this.intake!.assigned(lanes)
    for (const lane of lanes) this.read(lane)
  }

  get isThrough(): boolean {
    return this.partitions.every((p) => p.owned && p.committed === p.log.length)
  }
}

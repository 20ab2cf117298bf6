import type { Delivery, Undecodable } from '../../src/contract/delivery.ts'
import type { Feed, Intake } from '../../src/contract/feed.ts'
import type { LaneId } from '../../src/contract/ids.ts'

/** An intake that remembers what it was offered and settles as it is told. */
export class RecordingIntake implements Intake {
  feed: Feed | null = null
  readonly offered: Delivery[] = []
  readonly running = new Set<Delivery>()
  readonly lanes = new Set<LaneId>()
  readonly revokes: { lanes: readonly LaneId[]; deadlineMs: number }[] = []
  readonly bad: { lane: LaneId; at: number; bad: Undecodable }[] = []
  lostLanes: LaneId[] = []
  /** What happens to a delivery: settled at once unless told otherwise. */
  onOffer: (d: Delivery) => void = (d) => this.settle(d)
  /** Lanes that are full, or how many may run in one. */
  room: (lane: LaneId) => number = () => Infinity
  wants: (d: { readonly id: string }) => boolean = () => true
  /** During a revoke: what is done with what runs. */
  onRevoke: () => Promise<void> = () => {
    for (const d of this.running) this.handBack(d)
    return Promise.resolve()
  }

  route(): number {
    throw new Error('a Kafka source has one subscription and routes nothing')
  }
  matches(_sub: number, event: { readonly id: string }): boolean {
    return this.wants(event)
  }
  offer(d: Delivery): boolean {
    this.offered.push(d)
    this.running.add(d)
    this.onOffer(d)
    const room = this.room(d.lane)
    return room === Infinity || this.runningIn(d.lane) < room
  }
  undecodable(_sub: number, lane: LaneId, at: number, bad: Undecodable): void {
    this.bad.push({ lane, at, bad })
  }
  assigned(lanes: readonly LaneId[]): void {
    for (const lane of lanes) this.lanes.add(lane)
  }
  async revoking(lanes: readonly LaneId[], deadlineMs: number): Promise<void> {
    this.revokes.push({ lanes, deadlineMs })
    await this.onRevoke()
    for (const lane of lanes) this.lanes.delete(lane)
  }
  lost(lanes: readonly LaneId[]): void {
    this.lostLanes.push(...lanes)
    for (const lane of lanes) this.lanes.delete(lane)
    for (const d of this.running) if (lanes.includes(d.lane)) this.running.delete(d)
  }

  settle(d: Delivery): void {
    this.running.delete(d)
    this.feed?.settle(d, 'delivered')
  }
  handBack(d: Delivery): void {
    this.running.delete(d)
    this.feed?.settle(d, 'handed-back')
  }
  settleAll(lane?: LaneId): void {
    for (const d of this.running) if (lane === undefined || d.lane === lane) this.settle(d)
  }
  runningIn(lane: LaneId): number {
    let n = 0
    for (const d of this.running) if (d.lane === lane) n++
    return n
  }
  /** The data of all offers as text, in order. */
  texts(lane?: LaneId): string[] {
    return this.offered
      .filter((d) => lane === undefined || d.lane === lane)
      .map((d) => Buffer.from(d.event.data ?? []).toString())
  }
}

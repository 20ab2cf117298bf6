import type { Delivery, Position, Undecodable } from '../../src/contract/delivery.ts'
import type { Feed, Intake, Start } from '../../src/contract/feed.ts'
import type { LaneId, SubId } from '../../src/contract/ids.ts'
import type { CloudEvent } from '../../src/event/event.ts'

/** One subscription as a test plays it: what it matches, how much it takes, what it was offered. */
export class Player {
  readonly sub: SubId
  readonly key: string
  matches: (e: CloudEvent) => boolean
  /** Unsettled deliveries it takes before it says that it is full. */
  lane = Infinity
  /** Settles at once what it is offered. */
  settlesAtOnce = false
  /** Settles everything in a later turn whenever it is full. */
  settlesSoon = false
  readonly offered: Delivery[] = []
  readonly open = new Set<Delivery>()
  readonly undecodable: { at: Position; bad: Undecodable }[] = []
  /** It has said that it is full and nobody resumed it since. */
  full = false
  /** Offers made while it was full: there must be none. */
  rude = 0
  mostOpen = 0

  constructor(sub: SubId, key: string, matches: (e: CloudEvent) => boolean) {
    this.sub = sub
    this.key = key
    this.matches = matches
  }

  get ids(): string[] {
    return this.offered.map((d) => d.event.id)
  }
  of(id: string): Delivery {
    const d = this.offered.findLast((x) => x.event.id === id)
    if (d === undefined) throw new Error(`${this.key} was not offered ${id}`)
    return d
  }
}

/** An intake that remembers what it was offered, and settles and resumes as the test says. */
export class RecordingIntake implements Intake {
  readonly players = new Map<SubId, Player>()
  lanes: readonly LaneId[] = []
  /** How often it was asked. */
  readonly asked = { route: 0, matches: 0 }
  feed!: Feed

  /** Adds a subscription and attaches it to the feed. */
  attach(sub: SubId, key: string, from: Start, matches: (e: CloudEvent) => boolean = () => true): Player {
    const player = new Player(sub, key, matches)
    this.players.set(sub, player)
    this.feed.attach(sub, key, from)
    return player
  }

  route(event: CloudEvent, out: SubId[]): number {
    let n = 0
    this.asked.route++
    for (const p of this.players.values()) if (p.matches(event)) out[n++] = p.sub
    return n
  }

  matches(sub: SubId, event: CloudEvent): boolean {
    this.asked.matches++
    return this.#the(sub).matches(event)
  }

  offer(d: Delivery): boolean {
    const p = this.#the(d.sub)
    if (p.full) p.rude++
    p.offered.push(d)
    p.open.add(d)
    p.mostOpen = Math.max(p.mostOpen, p.open.size)
    if (p.settlesAtOnce) this.settle(p, d)
    if (p.open.size >= p.lane) {
      if (!p.full && p.settlesSoon) setImmediate(() => this.settleAll(p))
      p.full = true
    }
    return !p.full
  }

  undecodable(sub: SubId, _lane: LaneId, at: Position, bad: Undecodable): void {
    this.#the(sub).undecodable.push({ at, bad })
  }

  assigned(lanes: readonly LaneId[]): void {
    this.lanes = lanes
  }
  revoking(): Promise<void> {
    return Promise.resolve()
  }
  lost(): void {}

  settle(p: Player, d: Delivery): void {
    this.feed.settle(d, 'delivered')
    this.done(p, d)
  }

  settleAll(p: Player): void {
    for (const d of [...p.open]) this.settle(p, d)
  }

  /** It has left the player's hands. */
  done(p: Player, d: Delivery): void {
    p.open.delete(d)
    if (p.full && p.open.size * 2 <= p.lane) {
      p.full = false
      this.feed.resume(p.sub, d.lane)
    }
  }

  #the(sub: SubId): Player {
    const p = this.players.get(sub)
    if (p === undefined) throw new Error(`subscription ${sub} is not here`)
    return p
  }
}

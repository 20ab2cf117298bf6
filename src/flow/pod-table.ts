import type { PodId } from '../contract/ids.ts'
import { assert } from '../runtime/errors.ts'
import type { PodRow } from './credit.ts'
import { OrderedBits } from './ordered-bits.ts'

/** Loads from here on are alike to the choice: a bound for the index, far over any sensible limit of one pod. */
const HEAVIEST = 1023

/** Pods by load, so that the wanted one is found at once however many there are. */
class LoadIndex {
  readonly #pods: OrderedBits[] = []
  readonly #sizes: number[] = []
  readonly #loads = new OrderedBits()

  put(load: number, slot: number): void {
    while (this.#pods.length <= load) {
      this.#pods.push(new OrderedBits())
      this.#sizes.push(0)
    }
    this.#pods[load]!.set(slot)
    if (this.#sizes[load]!++ === 0) this.#loads.set(load)
  }

  take(load: number, slot: number): void {
    this.#pods[load]!.clear(slot)
    if (--this.#sizes[load]! === 0) this.#loads.clear(load)
  }

  /** Slot of the oldest among the fullest, -1 = none. */
  fullest(): number {
    const load = this.#loads.last()
    return load < 0 ? -1 : this.#pods[load]!.first()
  }

  /** Slot of the oldest among the least loaded, -1 = none. */
  leastLoaded(): number {
    const load = this.#loads.first()
    return load < 0 ? -1 : this.#pods[load]!.first()
  }
}

/**
 * The pods of a gate and the choice among them. With a limit it packs: the fullest pod with room, ties the oldest, so
 * that young pods fall idle and can go. Without, the least loaded, ties the oldest.
 */
export class PodTable {
  readonly #byId = new Map<PodId, PodRow>()
  #slots: (PodRow | null)[] = []
  #limited = new LoadIndex()
  #unlimited = new LoadIndex()
  #unlimitedReady = 0
  #creditsReady = 0

  get size(): number {
    return this.#byId.size
  }

  /** Credits of the pods that are not cordoned, 0 = without limit (or no pod). */
  get credits(): number {
    return this.#unlimitedReady > 0 ? 0 : this.#creditsReady
  }

  get(pod: PodId): PodRow | undefined {
    return this.#byId.get(pod)
  }

  rows(): IterableIterator<PodRow> {
    return this.#byId.values()
  }

  add(row: PodRow): void {
    assert(!this.#byId.has(row.pod), `pod ${row.pod} is in the gate once`)
    this.#byId.set(row.pod, row)
    row.slot = this.#slots.push(row) - 1
    this.#count(row, 1)
    this.place(row)
  }

  remove(row: PodRow): void {
    this.#byId.delete(row.pod)
    this.#unplace(row)
    if (!row.cordoned) this.#count(row, -1)
    this.#slots[row.slot] = null
    if (this.#slots.length > 64 && this.#slots.length > 2 * this.#byId.size) this.#closeRanks()
  }

  cordon(row: PodRow, cordoned: boolean): void {
    if (row.cordoned === cordoned) return
    row.cordoned = cordoned
    this.#count(row, cordoned ? -1 : 1)
    this.place(row)
  }

  setLimit(row: PodRow, limit: number): void {
    if (!row.cordoned) this.#count(row, -1)
    row.limit = limit
    if (!row.cordoned) this.#count(row, 1)
    this.place(row)
  }

  /** Brings the index up to date after the row changed. */
  place(row: PodRow): void {
    if (!row.hasRoom) return this.#unplace(row)
    const load = row.inFlight < HEAVIEST ? row.inFlight : HEAVIEST
    const limited = row.limit > 0
    if (row.indexedLoad === load && row.indexedLimited === limited) return
    this.#unplace(row)
    row.indexedLoad = load
    row.indexedLimited = limited
    if (limited) this.#limited.put(load, row.slot)
    else this.#unlimited.put(load, row.slot)
  }

  /** The pod that gets the next credit, null = no room anywhere. */
  choose(): PodRow | null {
    let slot = this.#limited.fullest()
    if (slot < 0) slot = this.#unlimited.leastLoaded()
    return slot < 0 ? null : this.#slots[slot]!
  }

  #unplace(row: PodRow): void {
    if (row.indexedLoad < 0) return
    if (row.indexedLimited) this.#limited.take(row.indexedLoad, row.slot)
    else this.#unlimited.take(row.indexedLoad, row.slot)
    row.indexedLoad = -1
  }

  #count(row: PodRow, sign: 1 | -1): void {
    if (row.limit === 0) this.#unlimitedReady += sign
    else this.#creditsReady += sign * row.limit
  }

  /** Gives the slots of pods that are gone back; the order of age stays. */
  #closeRanks(): void {
    this.#limited = new LoadIndex()
    this.#unlimited = new LoadIndex()
    this.#slots = this.#slots.filter((row) => row !== null)
    for (const [slot, row] of this.#slots.entries()) {
      row!.slot = slot
      row!.indexedLoad = -1
      this.place(row!)
    }
  }
}

import type { CompiledFilter, FilterExpression, TriggerIndex } from '../contract/filter.ts'
import type { SubId } from '../contract/ids.ts'
import type { AttributeValue, CloudEvent } from '../event/event.ts'
import { Anchored, AnchoredInData } from './anchored.ts'
import { textOf } from './attribute.ts'
import type { Anchor, Need } from './clause.ts'
import { compileFilter } from './compile.ts'

/** One subscription in the index. */
interface Entry {
  readonly sub: SubId
  readonly filter: CompiledFilter | null
  /** The number of the last event it was asked about: several anchors may lead to it. */
  asked: number
}

/** Subscriptions that share a need: the first few as they are, more by what they need of the data. */
interface Shelf {
  readonly entries: Entry[]
  readonly inData: AnchoredInData<Entry>
}

/** Where an entry stands. `need` null = it is asked about every event, or by its data alone. */
interface Place {
  readonly entry: Entry
  readonly need: Need | null
  readonly shelves: readonly Shelf[]
  readonly dataNeed: Need | null
}

/** Attributes that nearly all events share make poor anchors: taken only where there is no other. */
const COMMON: readonly string[] = ['specversion', 'datacontenttype', 'dataschema', 'schemaurl']
const COMMON_COST = 1_000
/** Up to here it is cheaper to ask each than to look into the data. */
const SHELF_LENGTH = 4

/**
 * Every trigger stands under something that must hold of the events it matches: a value, a prefix or a suffix of an
 * attribute, then of a text in the data. An event is looked up once, only what is found there is evaluated: 1,000
 * triggers of which one matches cost about as much as one. Nothing is allocated while an event is routed. The data is
 * parsed only where all that is needed of the attributes holds for some trigger that reads it. Who is not asked does not
 * match and reports no failure; data that is no JSON fails for everyone who was to look into it.
 */
export function createTriggerIndex(failed: (sub: SubId, event: CloudEvent, why: string) => void): TriggerIndex {
  return new AnchoredIndex(failed)
}

class AnchoredIndex implements TriggerIndex {
  readonly #bySub = new Map<SubId, Place>()
  readonly #everyEvent = newShelf()
  readonly #byAttribute = new Map<string, Anchored<Shelf>>()
  /** The shelf of each anchor, by its attribute, kind and text. */
  readonly #shelves = new Map<string, Shelf>()
  readonly #failed: (sub: SubId, event: CloudEvent, why: string) => void
  #eventNumber = 0

  // The event under way, in fields instead of closures so that routing allocates nothing.
  #event: CloudEvent | null = null
  #asking: SubId = 0
  #out: SubId[] = []
  #found = 0
  readonly #report = (why: string): void => this.#failed(this.#asking, this.#event!, why)
  readonly #askAll = (entries: readonly Entry[]): void => {
    for (let i = 0; i < entries.length; i++) this.#ask(entries[i]!)
  }
  readonly #askShelves = (shelves: readonly Shelf[]): void => {
    for (let i = 0; i < shelves.length; i++) this.#askShelf(shelves[i]!)
  }

  constructor(failed: (sub: SubId, event: CloudEvent, why: string) => void) {
    this.#failed = failed
  }

  set(sub: SubId, filter: FilterExpression | null): void {
    // Compiled first: an expression with a fault leaves what stood here as it was.
    const compiled = filter === null ? null : compileFilter(filter)
    this.delete(sub)
    this.#bySub.set(sub, this.#put({ sub, filter: compiled, asked: 0 }, compiled?.needs ?? []))
  }

  delete(sub: SubId): void {
    const place = this.#bySub.get(sub)
    if (place === undefined) return
    this.#bySub.delete(sub)
    for (const shelf of place.shelves) takeFrom(shelf, place)
    for (const anchor of place.need ?? []) this.#dropShelf(anchor)
  }

  route(event: CloudEvent, out: SubId[]): number {
    this.#eventNumber++
    this.#event = event
    this.#out = out
    this.#found = 0
    this.#askShelf(this.#everyEvent)
    if (this.#byAttribute.size > 0) {
      this.#look('type', event.type)
      this.#look('source', event.source)
      this.#look('subject', event.subject)
      this.#look('id', event.id)
      this.#look('time', event.time)
      this.#look('specversion', event.specversion)
      this.#look('datacontenttype', event.datacontenttype)
      this.#look(event.specversion === '0.3' ? 'schemaurl' : 'dataschema', event.dataschema)
      const extensions = event.extensions
      for (let i = 0; i < extensions.length; i++) this.#look(extensions[i]![0], extensions[i]![1])
    }
    this.#event = null
    return this.#found
  }

  matches(sub: SubId, event: CloudEvent): boolean {
    const place = this.#bySub.get(sub)
    if (place === undefined) return false
    this.#event = event
    const matched = this.#evaluate(place.entry)
    this.#event = null
    return matched
  }

  #look(name: string, value: AttributeValue | undefined): void {
    if (value === undefined) return
    this.#byAttribute.get(name)?.visit(typeof value === 'string' ? value : textOf(value), this.#askShelves)
  }

  #askShelf(shelf: Shelf): void {
    this.#askAll(shelf.entries)
    if (!shelf.inData.empty) shelf.inData.visit(this.#event!, this.#askAll)
  }

  #ask(entry: Entry): void {
    if (entry.asked === this.#eventNumber) return
    entry.asked = this.#eventNumber
    if (this.#evaluate(entry)) this.#out[this.#found++] = entry.sub
  }

  #evaluate(entry: Entry): boolean {
    if (entry.filter === null) return true
    this.#asking = entry.sub
    return entry.filter.matches(this.#event!, this.#report)
  }

  #put(entry: Entry, needs: readonly Need[]): Place {
    const need = this.#leastCrowded(needs.filter((n) => n.every((a) => a.path === undefined)))
    const shelves = need === null ? [this.#everyEvent] : need.map((anchor) => this.#shelfOf(anchor))
    const ofData = needs.filter((n) => n.every((a) => a.path !== undefined))
    const crowded = need === null || shelves.some((shelf) => shelf.entries.length >= SHELF_LENGTH)
    const dataNeed = crowded ? leastBy(ofData, (a) => shelves[0]?.inData.countAt(a) ?? 0) : null
    for (const shelf of shelves) {
      if (dataNeed === null) shelf.entries.push(entry)
      else for (const anchor of dataNeed) shelf.inData.add(anchor, entry)
    }
    return { entry, need, shelves, dataNeed }
  }

  /** The need under which fewest others stand, so that triggers that share a type part by their source; null = none. */
  #leastCrowded(needs: readonly Need[]): Need | null {
    return leastBy(needs, (anchor) => {
      const shared = this.#shelves.get(keyOf(anchor))?.entries.length ?? 0
      return shared + (anchor.how === 'is' ? 0 : 1) + (COMMON.includes(anchor.attribute) ? COMMON_COST : 0)
    })
  }

  #shelfOf(a: Anchor): Shelf {
    const known = this.#shelves.get(keyOf(a))
    if (known !== undefined) return known
    const shelf = newShelf()
    this.#shelves.set(keyOf(a), shelf)
    let anchored = this.#byAttribute.get(a.attribute)
    if (anchored === undefined) {
      anchored = new Anchored()
      this.#byAttribute.set(a.attribute, anchored)
    }
    anchored.add(a, shelf)
    return shelf
  }

  /** Takes the shelf of an anchor away where nothing stands on it any more. */
  #dropShelf(a: Anchor): void {
    const shelf = this.#shelves.get(keyOf(a))
    const anchored = this.#byAttribute.get(a.attribute)
    if (shelf === undefined || anchored === undefined || shelf.entries.length > 0 || !shelf.inData.empty) return
    this.#shelves.delete(keyOf(a))
    anchored.remove(a, shelf)
    if (anchored.empty) this.#byAttribute.delete(a.attribute)
  }
}

function newShelf(): Shelf {
  return { entries: [], inData: new AnchoredInData() }
}

function takeFrom(shelf: Shelf, { entry, dataNeed }: Place): void {
  for (const anchor of dataNeed ?? []) shelf.inData.remove(anchor, entry)
  const at = shelf.entries.indexOf(entry)
  if (at >= 0) shelf.entries.splice(at, 1)
}

function keyOf(a: Anchor): string {
  return `${a.attribute} ${a.how} ${a.text}`
}

/** The need whose anchors together cost least; the first of equals, null where there is none. */
function leastBy(needs: readonly Need[], costOf: (anchor: Anchor) => number): Need | null {
  let best: Need | null = null
  let bestCost = Infinity
  for (const need of needs) {
    let cost = need.length
    for (const anchor of need) cost += costOf(anchor)
    if (cost < bestCost) {
      best = need
      bestCost = cost
    }
  }
  return best
}

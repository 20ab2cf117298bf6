import type { CompiledFilter, FilterExpression, TriggerIndex } from '../contract/filter.ts'
import type { SubId } from '../contract/ids.ts'
import type { AttributeValue, CloudEvent } from '../event/event.ts'
import { textOf } from './attribute.ts'
import type { Anchor, Need } from './clause.ts'
import { compileFilter } from './compile.ts'
import { TextTree } from './text-tree.ts'

/** One subscription in the index. */
interface Entry {
  readonly sub: SubId
  readonly filter: CompiledFilter | null
  /** Where it stands: under each of these; null = it is asked about every event. */
  readonly need: Need | null
  /** The number of the last event it was asked about: several anchors may lead to it. */
  asked: number
}

/** Everything that is anchored in one attribute. */
interface AttributeEntries {
  readonly is: Map<string, Entry[]>
  readonly starts: TextTree<Entry>
  readonly ends: TextTree<Entry>
}

/** Attributes that nearly all events share make poor anchors: taken only where there is no other. */
const COMMON: readonly string[] = ['specversion', 'datacontenttype', 'dataschema', 'schemaurl']
const COMMON_COST = 1_000

/**
 * Every trigger stands under something that must hold of the events it matches: a value, a prefix or a suffix of an
 * attribute. An event's attributes are looked up once, only what is found there is evaluated: 1,000 triggers of which
 * one matches cost about as much as one. Nothing is allocated while an event is routed.
 */
export function createTriggerIndex(failed: (sub: SubId, event: CloudEvent, why: string) => void): TriggerIndex {
  return new AnchoredIndex(failed)
}

class AnchoredIndex implements TriggerIndex {
  readonly #bySub = new Map<SubId, Entry>()
  readonly #everyEvent: Entry[] = []
  readonly #byAttribute = new Map<string, AttributeEntries>()
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

  constructor(failed: (sub: SubId, event: CloudEvent, why: string) => void) {
    this.#failed = failed
  }

  set(sub: SubId, filter: FilterExpression | null): void {
    // Compiled first: an expression with a fault leaves what stood here as it was.
    const compiled = filter === null ? null : compileFilter(filter)
    this.delete(sub)
    const entry: Entry = { sub, filter: compiled, need: this.#leastCrowded(compiled?.needs ?? []), asked: 0 }
    this.#bySub.set(sub, entry)
    if (entry.need === null) this.#everyEvent.push(entry)
    else for (const anchor of entry.need) this.#put(anchor, entry)
  }

  delete(sub: SubId): void {
    const entry = this.#bySub.get(sub)
    if (entry === undefined) return
    this.#bySub.delete(sub)
    if (entry.need === null) this.#everyEvent.splice(this.#everyEvent.indexOf(entry), 1)
    else for (const anchor of entry.need) this.#take(anchor, entry)
  }

  route(event: CloudEvent, out: SubId[]): number {
    this.#eventNumber++
    this.#event = event
    this.#out = out
    this.#found = 0
    this.#askAll(this.#everyEvent)
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
    const entry = this.#bySub.get(sub)
    if (entry === undefined) return false
    this.#event = event
    const matched = this.#evaluate(entry)
    this.#event = null
    return matched
  }

  #look(name: string, value: AttributeValue | undefined): void {
    if (value === undefined) return
    const entries = this.#byAttribute.get(name)
    if (entries === undefined) return
    const text = typeof value === 'string' ? value : textOf(value)
    const equal = entries.is.get(text)
    if (equal !== undefined) this.#askAll(equal)
    if (!entries.starts.empty) entries.starts.visit(text, this.#askAll)
    if (!entries.ends.empty) entries.ends.visit(text, this.#askAll)
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

  /** The need under which fewest others stand, so that triggers that share a type part by their source; null = none. */
  #leastCrowded(needs: readonly Need[]): Need | null {
    let best: Need | null = null
    let bestCost = Infinity
    for (const need of needs) {
      let cost = need.length
      for (const anchor of need) {
        cost += this.#countAt(anchor) + (anchor.how === 'is' ? 0 : 1)
        if (COMMON.includes(anchor.attribute)) cost += COMMON_COST
      }
      if (cost < bestCost) {
        best = need
        bestCost = cost
      }
    }
    return best
  }

  #countAt(a: Anchor): number {
    const entries = this.#byAttribute.get(a.attribute)
    if (entries === undefined) return 0
    return a.how === 'is' ? (entries.is.get(a.text)?.length ?? 0) : entries[a.how].countAt(a.text)
  }

  #put(a: Anchor, entry: Entry): void {
    let entries = this.#byAttribute.get(a.attribute)
    if (entries === undefined) {
      entries = { is: new Map(), starts: new TextTree(false), ends: new TextTree(true) }
      this.#byAttribute.set(a.attribute, entries)
    }
    if (a.how !== 'is') return entries[a.how].add(a.text, entry)
    const equal = entries.is.get(a.text)
    if (equal === undefined) entries.is.set(a.text, [entry])
    else equal.push(entry)
  }

  #take(a: Anchor, entry: Entry): void {
    const entries = this.#byAttribute.get(a.attribute)
    if (entries === undefined) return
    if (a.how === 'is') {
      const left = entries.is.get(a.text)?.filter((e) => e !== entry) ?? []
      if (left.length === 0) entries.is.delete(a.text)
      else entries.is.set(a.text, left)
    } else entries[a.how].remove(a.text, entry)
    if (entries.is.size === 0 && entries.starts.empty && entries.ends.empty) this.#byAttribute.delete(a.attribute)
  }
}

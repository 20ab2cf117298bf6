import type { Anchor } from './clause.ts'
import { dataAsJson } from '../event/attributes.ts'
import type { CloudEvent } from '../event/event.ts'
import { TextTree } from './text-tree.ts'

/** Things that stand under the value, a prefix or a suffix of one text. */
export class Anchored<T> {
  readonly #is = new Map<string, T[]>()
  readonly #starts = new TextTree<T>(false)
  readonly #ends = new TextTree<T>(true)

  get empty(): boolean {
    return this.#is.size === 0 && this.#starts.empty && this.#ends.empty
  }

  add(a: Anchor, thing: T): void {
    if (a.how !== 'is') return (a.how === 'starts' ? this.#starts : this.#ends).add(a.text, thing)
    const equal = this.#is.get(a.text)
    if (equal === undefined) this.#is.set(a.text, [thing])
    else equal.push(thing)
  }

  remove(a: Anchor, thing: T): void {
    if (a.how !== 'is') return (a.how === 'starts' ? this.#starts : this.#ends).remove(a.text, thing)
    const left = this.#is.get(a.text)?.filter((other) => other !== thing) ?? []
    if (left.length === 0) this.#is.delete(a.text)
    else this.#is.set(a.text, left)
  }

  countAt(a: Anchor): number {
    if (a.how === 'is') return this.#is.get(a.text)?.length ?? 0
    return (a.how === 'starts' ? this.#starts : this.#ends).countAt(a.text)
  }

  /** Calls `f` with everything whose anchor holds of `text`; allocates nothing. */
  visit(text: string, f: (things: readonly T[]) => void): void {
    const equal = this.#is.get(text)
    if (equal !== undefined) f(equal)
    if (!this.#starts.empty) this.#starts.visit(text, f)
    if (!this.#ends.empty) this.#ends.visit(text, f)
  }
}

interface AtPath<T> {
  readonly path: readonly string[]
  readonly anchored: Anchored<T>
}

/** Things that stand under texts within the JSON data, by the path to the text. */
export class AnchoredInData<T> {
  readonly #paths = new Map<string, AtPath<T>>()
  readonly #things = new Set<T>()

  get empty(): boolean {
    return this.#paths.size === 0
  }

  add(a: Anchor, thing: T): void {
    let at = this.#paths.get(a.attribute)
    if (at === undefined) {
      at = { path: a.path!, anchored: new Anchored() }
      this.#paths.set(a.attribute, at)
    }
    at.anchored.add(a, thing)
    this.#things.add(thing)
  }

  remove(a: Anchor, thing: T): void {
    const at = this.#paths.get(a.attribute)
    if (at === undefined) return
    at.anchored.remove(a, thing)
    this.#things.delete(thing)
    if (at.anchored.empty) this.#paths.delete(a.attribute)
  }

  countAt(a: Anchor): number {
    return this.#paths.get(a.attribute)?.anchored.countAt(a) ?? 0
  }

  /** As `Anchored.visit`; where the data is no JSON everything is visited, so that each can say that it failed. */
  visit(event: CloudEvent, f: (things: readonly T[]) => void): void {
    const data = dataAsJson(event)
    if ('error' in data) return f([...this.#things])
    for (const { path, anchored } of this.#paths.values()) {
      const text = textAt(data.value, path)
      if (text !== null) anchored.visit(text, f)
    }
  }
}

/** The text at a path of fields, null = there is none. */
function textAt(value: unknown, path: readonly string[]): string | null {
  let at = value
  for (let i = 0; i < path.length; i++) {
    if (typeof at !== 'object' || at === null || Array.isArray(at) || !Object.hasOwn(at, path[i]!)) return null
    at = (at as Readonly<Record<string, unknown>>)[path[i]!]
  }
  return typeof at === 'string' ? at : null
}

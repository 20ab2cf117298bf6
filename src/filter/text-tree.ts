/** One step of the tree: the characters that lead here, and what is kept for the text that ends here. */
interface Node<T> {
  label: string
  readonly children: Map<number, Node<T>>
  readonly kept: T[]
}

/**
 * Keeps things under prefixes (or suffixes) and finds those of a text in one walk along it, without allocating: a radix
 * tree whose edges are compared character by character. With suffixes everything runs from the end.
 */
export class TextTree<T> {
  readonly #root: Node<T> = { label: '', children: new Map(), kept: [] }
  readonly #fromEnd: boolean

  constructor(fromEnd: boolean) {
    this.#fromEnd = fromEnd
  }

  get empty(): boolean {
    return this.#root.children.size === 0 && this.#root.kept.length === 0
  }

  add(text: string, thing: T): void {
    let node = this.#root
    let at = 0
    while (at < text.length) {
      const first = this.#code(text, at)
      const next = node.children.get(first)
      if (next === undefined) {
        const leaf: Node<T> = { label: this.#rest(text, at), children: new Map(), kept: [] }
        node.children.set(first, leaf)
        node = leaf
        break
      }
      const same = this.#shared(next.label, text, at)
      if (same < next.label.length) {
        const middle: Node<T> = { label: next.label.slice(0, same), children: new Map(), kept: [] }
        next.label = next.label.slice(same)
        middle.children.set(next.label.charCodeAt(0), next)
        node.children.set(first, middle)
        node = middle
      } else node = next
      at += same
    }
    node.kept.push(thing)
  }

  remove(text: string, thing: T): void {
    this.#removeBelow(this.#root, text, 0, thing)
  }

  /** How many things stand under exactly this text. */
  countAt(text: string): number {
    let node: Node<T> | undefined = this.#root
    let at = 0
    while (at < text.length) {
      node = node.children.get(this.#code(text, at))
      if (node === undefined || this.#shared(node.label, text, at) < node.label.length) return 0
      at += node.label.length
    }
    return node.kept.length
  }

  /** Calls `f` with what is kept under every prefix (suffix) of `text`. */
  visit(text: string, f: (kept: readonly T[]) => void): void {
    let node = this.#root
    let at = 0
    for (;;) {
      if (node.kept.length > 0) f(node.kept)
      if (at >= text.length) return
      const next = node.children.get(this.#code(text, at))
      if (next === undefined || this.#shared(next.label, text, at) < next.label.length) return
      at += next.label.length
      node = next
    }
  }

  #removeBelow(node: Node<T>, text: string, at: number, thing: T): void {
    if (at === text.length) {
      const place = node.kept.indexOf(thing)
      if (place >= 0) node.kept.splice(place, 1)
      return
    }
    const first = this.#code(text, at)
    const next = node.children.get(first)
    if (next === undefined || this.#shared(next.label, text, at) < next.label.length) return
    this.#removeBelow(next, text, at + next.label.length, thing)
    if (next.kept.length === 0 && next.children.size === 0) node.children.delete(first)
  }

  /** How many characters of `label` stand in `text` from `at` on. */
  #shared(label: string, text: string, at: number): number {
    const most = Math.min(label.length, text.length - at)
    let i = 0
    while (i < most && label.charCodeAt(i) === this.#code(text, at + i)) i++
    return i
  }

  #code(text: string, at: number): number {
    return text.charCodeAt(this.#fromEnd ? text.length - 1 - at : at)
  }

  #rest(text: string, at: number): string {
    if (!this.#fromEnd) return text.slice(at)
    let out = ''
    for (let i = at; i < text.length; i++) out += text[text.length - 1 - i]!
    return out
  }
}

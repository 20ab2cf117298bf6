/**
 * JSON as brokers write it: an object may have numbers and objects for its keys (`{0:"a"}`, `{{"queueId":1}:{…}}`). Such a
 * key becomes its own JSON text. Throws a SyntaxError for what is neither.
 */
export function parseLooseJson(text: string): unknown {
  const reader = new Reader(text)
  const value = reader.value()
  reader.end()
  return value
}

const SPACE = /[ \t\r\n]*/y
const WORD = /true|false|null|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const STRING = /"(?:[^"\\]|\\.)*"/y
/** Deeper than anything a broker writes. */
const MOST_DEPTH = 64

class Reader {
  readonly #text: string
  #at = 0
  #depth = 0

  constructor(text: string) {
    this.#text = text
  }

  value(): unknown {
    this.#skip()
    const c = this.#text[this.#at]
    if (c !== '{' && c !== '[') return JSON.parse(this.#match(c === '"' ? STRING : WORD))
    if (++this.#depth > MOST_DEPTH) this.#fail()
    const value = c === '{' ? this.#object() : this.#array()
    this.#depth--
    return value
  }

  end(): void {
    this.#skip()
    if (this.#at < this.#text.length) this.#fail()
  }

  #object(): Record<string, unknown> {
    const entries: [string, unknown][] = []
    this.#items('}', () => {
      const key = this.value()
      this.#expect(':')
      entries.push([typeof key === 'string' ? key : JSON.stringify(key), this.value()])
    })
    return Object.fromEntries(entries)
  }

  #array(): unknown[] {
    const items: unknown[] = []
    this.#items(']', () => items.push(this.value()))
    return items
  }

  #items(close: string, item: () => void): void {
    this.#at++
    this.#skip()
    if (this.#text[this.#at] === close) {
      this.#at++
      return
    }
    for (;;) {
      item()
      this.#skip()
      const c = this.#text[this.#at++]
      if (c === close) return
      if (c !== ',') this.#fail()
    }
  }

  #expect(c: string): void {
    this.#skip()
    if (this.#text[this.#at++] !== c) this.#fail()
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0] ?? this.#fail()
    this.#at += found.length
    return found
  }

  #skip(): void {
    SPACE.lastIndex = this.#at
    this.#at += SPACE.exec(this.#text)?.[0].length ?? 0
  }

  #fail(): never {
    throw new SyntaxError(`no JSON at ${this.#at} of ${this.#text.length}`)
  }
}

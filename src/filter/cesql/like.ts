import { indexOfText } from '../text-search.ts'

/** What stands between two `%`: single characters, null = any one (`_`). */
type Segment = readonly (string | null)[]

/** Finds a segment in a text (an array of characters), -1 = nowhere. */
interface Finder {
  readonly length: number
  /** Whether it stands exactly here. */
  at(text: readonly string[], from: number): boolean
  find(text: readonly string[], from: number): number
}

/**
 * Compiles a LIKE pattern: `%` any characters, `_` one, `\%` and `\_` these themselves. Segments are taken from left to
 * right, each where it first fits, which needs no way back: the time is linear in the text, whatever the pattern.
 * CESQL 1.0 §3.4.3
 */
export function compileLike(pattern: string): (text: string) => boolean {
  const segments = segmentsOf(pattern)
  const only = segments[0]!
  if (segments.every((s) => !s.includes(null))) return literalLike(segments.map((s) => s.join('')))
  const finders = segments.map(finderOf)
  if (segments.length === 1) {
    return (text) => {
      const characters = Array.from(text)
      return characters.length === only.length && finders[0]!.at(characters, 0)
    }
  }
  const first = finders[0]!
  const last = finders.at(-1)!
  const middle = finders.slice(1, -1)
  return (text) => {
    const characters = Array.from(text)
    const end = characters.length - last.length
    if (first.length > end || !first.at(characters, 0) || !last.at(characters, end)) return false
    let at = first.length
    for (const finder of middle) {
      const place = finder.find(characters, at)
      if (place < 0 || place + finder.length > end) return false
      at = place + finder.length
    }
    return true
  }
}

/** What every matching text equals, starts or ends with, as far as the pattern says; for the trigger index. */
export function likeEnds(pattern: string): { readonly whole: string | null; readonly start: string; readonly end: string } {
  const segments = segmentsOf(pattern)
  const first = segments[0]!
  const last = segments.at(-1)!
  if (segments.length === 1 && !first.includes(null)) return { whole: first.join(''), start: '', end: '' }
  const wild = first.indexOf(null)
  return {
    whole: null,
    start: (wild < 0 ? first : first.slice(0, wild)).join(''),
    end: last.slice(last.lastIndexOf(null) + 1).join(''),
  }
}

function literalLike(parts: readonly string[]): (text: string) => boolean {
  const first = parts[0]!
  if (parts.length === 1) return (text) => text === first
  const last = parts.at(-1)!
  const middle = parts.slice(1, -1).filter((p) => p !== '')
  return (text) => {
    const end = text.length - last.length
    if (first.length > end || !text.startsWith(first) || !text.endsWith(last)) return false
    let at = first.length
    for (const part of middle) {
      const place = indexOfText(text, part, at)
      if (place < 0 || place + part.length > end) return false
      at = place + part.length
    }
    return true
  }
}

function segmentsOf(pattern: string): readonly Segment[] {
  const segments: (string | null)[][] = [[]]
  const characters = Array.from(pattern)
  for (let i = 0; i < characters.length; i++) {
    const c = characters[i]!
    const escaped = c === '\\' ? characters[i + 1] : undefined
    if (escaped === '%' || escaped === '_') {
      segments.at(-1)!.push(escaped)
      i++
    } else if (c === '%') segments.push([])
    else segments.at(-1)!.push(c === '_' ? null : c)
  }
  return segments
}

/**
 * Shift-And: bit i of the state says that the first i + 1 characters of the segment fit here; 31 of them a word, so
 * that `_` costs nothing and no text makes it walk back.
 */
function finderOf(segment: Segment): Finder {
  const BITS = 31
  const words = Math.max(1, Math.ceil(segment.length / BITS))
  const anyMask = new Int32Array(words)
  const masks = new Map<string, Int32Array>()
  segment.forEach((c, i) => {
    if (c === null) anyMask[Math.floor(i / BITS)]! |= 1 << (i % BITS)
  })
  segment.forEach((c, i) => {
    if (c === null) return
    const mask = masks.get(c) ?? anyMask.slice()
    mask[Math.floor(i / BITS)]! |= 1 << (i % BITS)
    masks.set(c, mask)
  })
  const lastWord = Math.floor((segment.length - 1) / BITS)
  const lastBit = 1 << ((segment.length - 1) % BITS)
  const state = new Int32Array(words)
  return {
    length: segment.length,
    at: (text, from) => segment.every((c, i) => c === null || c === text[from + i]),
    find(text, from) {
      if (segment.length === 0) return from
      state.fill(0)
      for (let i = from; i < text.length; i++) {
        const mask = masks.get(text[i]!) ?? anyMask
        let carry = 1
        for (let w = 0; w < words; w++) {
          const next = state[w]!
          state[w] = (((next << 1) & 0x7fffffff) | carry) & mask[w]!
          carry = (next >>> (BITS - 1)) & 1
        }
        if ((state[lastWord]! & lastBit) !== 0) return i - segment.length + 1
      }
      return -1
    },
  }
}

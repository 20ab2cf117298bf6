import fc from 'fast-check'
import { expect, test } from 'vitest'
import { indexOfText } from '../../src/filter/text-search.ts'
import { TextTree } from '../../src/filter/text-tree.ts'

const word = fc.string({ unit: fc.constantFrom('a', 'b', 'ä'), minLength: 1, maxLength: 6 })

function found(tree: TextTree<number>, text: string): number[] {
  const out: number[] = []
  tree.visit(text, (kept) => out.push(...kept))
  return out.sort((a, b) => a - b)
}

test.for([false, true])('finds what stands under every prefix (from the end: %s) and forgets what is removed', (fromEnd) => {
  fc.assert(
    fc.property(fc.array(word, { maxLength: 30 }), word, fc.array(fc.nat(40)), (words, text, removed) => {
      const tree = new TextTree<number>(fromEnd)
      const left = new Map(words.entries())
      for (const [i, w] of left) tree.add(w, i)
      for (const i of removed) {
        const w = left.get(i)
        if (w !== undefined) tree.remove(w, i)
        left.delete(i)
      }
      const wanted = [...left].filter(([, w]) => (fromEnd ? text.endsWith(w) : text.startsWith(w))).map(([i]) => i)
      expect(found(tree, text)).toEqual(wanted)
      for (const w of words) expect(tree.countAt(w)).toBe([...left.values()].filter((x) => x === w).length)
      for (const [i, w] of left) tree.remove(w, i)
      expect(tree.empty).toBe(true)
    }),
  )
})

test('removing what is not there changes nothing', () => {
  const tree = new TextTree<number>(false)
  tree.add('abc', 1)
  tree.remove('ab', 1)
  tree.remove('abcd', 1)
  tree.remove('abc', 2)
  expect(found(tree, 'abcd')).toEqual([1])
})

test('a text is found where indexOf finds it, also past the length where that may take long', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 2_000 })
  fc.assert(
    fc.property(text, text, fc.nat(50), fc.nat(60), (hay, needle, from, repeats) => {
      const long = hay.repeat(repeats)
      expect(indexOfText(long, needle, from)).toBe(long.indexOf(needle, from))
      const part = long.slice(from * 7, from * 7 + 300)
      expect(indexOfText(long, part)).toBe(long.indexOf(part))
    }),
    { numRuns: 200 },
  )
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { difference, same } from '../../src/engine/difference.ts'
import { Secret } from '../../src/runtime/secret.ts'

const item = (key: string, value: unknown = 0): { key: string; value: unknown } => ({ key, value })

describe('difference', () => {
  test('names what came, what changed and what went, and leaves out what stayed', () => {
    const before = [item('stays'), item('changes', 1), item('goes')]
    const after = [item('comes'), item('changes', 2), item('stays')]
    expect(difference(before, after)).toEqual({
      added: [item('comes')],
      changed: [item('changes', 2)],
      removed: [item('goes')],
    })
    expect(difference([], after).added).toEqual(after)
    expect(difference(before, []).removed).toEqual(before)
  })

  test('applied to what was, it gives what is', () => {
    const list = fc.uniqueArray(fc.record({ key: fc.constantFrom(...'abcdefgh'), value: fc.integer({ min: 0, max: 2 }) }), {
      selector: (i) => i.key,
    })
    fc.assert(
      fc.property(list, list, (before, after) => {
        const { added, changed, removed } = difference(before, after)
        const state = new Map(before.map((i) => [i.key, i]))
        for (const i of removed) expect(state.delete(i.key)).toBe(true)
        for (const i of changed) expect(state.has(i.key)).toBe(true)
        for (const i of added) expect(state.has(i.key)).toBe(false)
        for (const i of [...added, ...changed]) state.set(i.key, i)
        expect(state).toEqual(new Map(after.map((i) => [i.key, i] as const)))
      }),
    )
  })
})

describe('same', () => {
  test.each([
    [{ a: [1, { b: null }] }, { a: [1, { b: null }] }, true],
    [{ a: 1, b: 2 }, { b: 2, a: 1 }, true],
    [Number.NaN, Number.NaN, true],
    [Infinity, Infinity, true],
    [{ a: undefined }, {}, false],
    [{ a: undefined }, { b: undefined }, false],
    [[1, 2], [2, 1], false],
    [[1], [1, 2], false],
    [[], {}, false],
    [{}, [], false],
    [null, {}, false],
    [0, '0', false],
    [new Uint8Array([1, 2]), new Uint8Array([1, 2]), true],
    [new Uint8Array([1, 2]), new Uint8Array([1, 3]), false],
    [new Secret('x'), new Secret('x'), true],
    [new Secret('x'), new Secret('y'), false],
    [new Secret('x'), {}, false],
    [{}, new Secret('x'), false],
  ])('%j and %j: %s', (a, b, expected) => {
    expect(same(a, b)).toBe(expected)
    expect(same(b, a)).toBe(expected)
  })

  test('a copy of anything is the same, and one more member is not', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        expect(same(value, structuredClone(value))).toBe(true)
        expect(same(value, { ...value, 'one more': 1 })).toBe('one more' in value && value['one more'] === 1)
      }),
    )
  })
})

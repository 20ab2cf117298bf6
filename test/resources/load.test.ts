import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { digestOf, loadPaths, parseText } from '../../src/resources/load.ts'

let dir = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sluice-load-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

describe('paths', () => {
  test('a folder gives its manifests by name, not what is below it and not what is none', () => {
    writeFileSync(join(dir, 'b.yml'), 'a: 2')
    writeFileSync(join(dir, 'a.yaml'), 'a: 1')
    writeFileSync(join(dir, 'c.json'), '{"a": 3}')
    writeFileSync(join(dir, 'notes.txt'), 'a: 4')
    mkdirSync(join(dir, 'below'))
    writeFileSync(join(dir, 'below', 'd.yaml'), 'a: 5')
    const { documents, faults } = loadPaths([dir], '')
    expect(faults).toEqual([])
    expect(documents.map((d) => [d.file, d.value])).toEqual([
      [join(dir, 'a.yaml'), { a: 1 }],
      [join(dir, 'b.yml'), { a: 2 }],
      [join(dir, 'c.json'), { a: 3 }],
    ])
  })

  test('a minus is the text of standard input', () => {
    const { documents } = loadPaths(['-'], 'a: 1')
    expect(documents.map((d) => [d.file, d.value])).toEqual([['stdin', { a: 1 }]])
  })

  test('what cannot be read and a folder without manifests are faults, and the rest is read all the same', () => {
    writeFileSync(join(dir, 'a.yaml'), 'a: 1')
    mkdirSync(join(dir, 'empty'))
    const { documents, faults } = loadPaths([join(dir, 'gone.yaml'), join(dir, 'empty'), join(dir, 'a.yaml')], '')
    expect(documents.length).toBe(1)
    expect(faults.map((f) => f.message)).toEqual([
      expect.stringMatching(/^cannot be read: ENOENT/),
      'the folder holds no .yaml, .yml or .json file',
    ])
  })
})

describe('documents', () => {
  test('every part of a path is found on its line, through lists, flow style, anchors and JSON', () => {
    const [first, second] = parseText(
      '# a comment\na:\n  - x: 1\n  - y: {z: &deep\n      {w: 2}}\nb: *deep\n---\n{\n  "c": [\n    {"d": 1}\n  ]\n}',
      'm',
    ).documents
    const lines = [[], ['a'], ['a', 0], ['a', 0, 'x'], ['a', 1, 'y', 'z', 'w'], ['b'], ['b', 'w'], ['nothing', 'here']]
    expect(lines.map((path) => first?.lineOf(path))).toEqual([2, 2, 3, 3, 5, 6, 5, 2])
    expect(second?.lineOf(['c', 0, 'd'])).toBe(10)
  })

  test('lists are taken apart, nested ones and those of a kind as well, with the lines of their items', () => {
    const { documents } = parseText(
      'kind: List\nitems:\n- a: 1\n- kind: BrokerList\n  items:\n  - a: 2\n- kind: Broker\n  items: [not, a, list]',
      'm',
    )
    expect(documents.map((d) => d.value)).toEqual([{ a: 1 }, { a: 2 }, { kind: 'Broker', items: ['not', 'a', 'list'] }])
    expect(documents.map((d) => d.lineOf(['a']))).toEqual([3, 6, 7])
  })

  test('empty documents are nothing', () => {
    expect(parseText('---\n---\n# only a comment\n---\nnull\n', 'm')).toEqual({ files: ['m'], documents: [], faults: [] })
    expect(parseText('', 'm')).toEqual({ files: ['m'], documents: [], faults: [] })
  })

  test('a key that stands twice is a fault, not the last of the two', () => {
    const { faults, documents } = parseText('a: 1\na: 2', 'm')
    expect(documents).toEqual([])
    expect(faults.map((f) => [f.line, f.message])).toEqual([[2, 'is no YAML: Map keys must be unique']])
  })

  test('cycles and bombs made of anchors are faults', () => {
    const bomb = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]']
    for (let i = 1; i < 9; i++) bomb.push(`a${i}: &a${i} [${Array.from({ length: 10 }, () => `*a${i - 1}`).join(', ')}]`)
    for (const yaml of ['&a [*a, *a]', `${'['.repeat(150)}${']'.repeat(150)}`, bomb.join('\n')]) {
      const { faults, documents } = parseText(yaml, 'm')
      expect(documents.length).toBe(0)
      expect(faults[0]?.message).toMatch(/^is no (manifest|YAML): /)
    }
  })
})

test('the digest changes with what a manifest says or is called, and with nothing else of its folder', () => {
  const folder = mkdtempSync(join(tmpdir(), 'digest-'))
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return digestOf([folder, '-'])
  }
  const first = write('a.yaml', 'kind: Broker\n')
  expect(write('gateway.log', 'a line')).toBe(first)
  expect(write('a.yaml', 'kind: Broker\n')).toBe(first)
  const second = write('a.yaml', 'kind: Trigger\n')
  expect(second).not.toBe(first)
  const third = write('b.yaml', '')
  expect(third).not.toBe(second)
  rmSync(join(folder, 'a.yaml'))
  expect(digestOf([folder])).not.toBe(third)
  rmSync(folder, { recursive: true })
  expect(() => digestOf([folder])).not.toThrow()
})

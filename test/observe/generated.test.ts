import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { PAGES } from '../../scripts/pages.ts'
import { INSTRUMENTS } from '../../src/observe/instruments.ts'
import { ERRORS } from '../../src/runtime/errors.ts'

const root = join(import.meta.dirname, '..', '..')
const text = (path: string): string => readFileSync(join(root, path), 'utf8')

describe('what is made from tables', () => {
  test.each(Object.entries(PAGES))('%s is up to date (else: npm run generate)', (file, make) => {
    expect(text(file)).toBe(make())
  })

  test('says so in its first lines', () => {
    expect(Object.keys(PAGES).length).toBeGreaterThanOrEqual(3)
    for (const file of Object.keys(PAGES))
      expect(text(file).split('\n').slice(0, 2).join(' '), file).toMatch(/Generated from src\//)
  })

  test('the dashboard asks for series that are there', () => {
    const dashboard = JSON.parse(text('deploy/grafana/sluice.json')) as {
      panels: { type: string; targets?: { expr: string }[] }[]
    }
    const asked = dashboard.panels.flatMap((p) => p.targets ?? []).map((t) => t.expr)
    expect(asked).toHaveLength(INSTRUMENTS.length)
    for (const i of INSTRUMENTS) {
      const series = i.type === 'counter' ? `${i.name}_total` : i.type === 'histogram' ? `${i.name}_bucket` : i.name
      expect(
        asked.filter((expr) => new RegExp(`\\b${series}\\b`).test(expr)),
        i.name,
      ).toHaveLength(1)
    }
  })
})

describe('error codes', () => {
  const sources = (dir: string): string[] =>
    readdirSync(join(root, dir), { withFileTypes: true, recursive: true })
      .filter((e) => e.isFile() && e.name.endsWith('.ts'))
      .map((e) => readFileSync(join(e.parentPath, e.name), 'utf8'))

  test('every code of the table is made somewhere, and expected by a test', () => {
    const src = sources('src')
    // This file names none.
    const tests = sources('test')
    expect(src.length).toBeGreaterThan(100)
    expect(tests.length).toBeGreaterThan(50)
    const quoted = (code: string): RegExp => new RegExp(`['"\`/\\\\]${code.replace('.', '\\\\?\\.')}\\b(?!-)`)
    const codes = Object.keys(ERRORS)
    expect(codes.filter((code) => src.filter((s) => quoted(code).test(s)).length < 2)).toEqual([])
    expect(codes.filter((code) => !tests.some((s) => quoted(code).test(s)))).toEqual([])
  })

  test('a code is a room and a word, its line a sentence', () => {
    for (const [code, { about }] of Object.entries(ERRORS)) {
      expect(code).toMatch(/^[a-z]+\.[a-z]+(-[a-z]+)*$/)
      expect(about, code).toMatch(/^[A-Z].*\.$/)
    }
  })
})

import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { parseSync } from 'oxc-parser'
import { describe, expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')
const src = join(root, 'src')

/** Which room may import which; everything may import itself, `runtime` and `event`. Types count as imports. DESIGN: the house. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  runtime: [],
  event: ['vendor'],
  contract: [],
  vendor: [],
  filter: ['contract', 'vendor'],
  flow: ['contract'],
  sender: ['contract', 'vendor'],
  store: ['contract', 'vendor'],
  sources: ['contract', 'vendor'],
  streams: ['contract', 'store', 'vendor', 'sources'],
  subscription: ['contract', 'filter', 'flow'],
  services: ['contract', 'flow', 'sender'],
  ingress: ['contract', 'filter', 'sender', 'vendor'],
  resources: ['filter', 'contract'],
  autoscaler: ['contract'],
  observe: ['contract', 'vendor'],
  engine: [
    'contract',
    'vendor',
    'filter',
    'flow',
    'sender',
    'store',
    'sources',
    'streams',
    'subscription',
    'services',
    'ingress',
    'resources',
    'autoscaler',
    'observe',
  ],
}
const EVERYWHERE = ['runtime', 'event']

/** Time, chance and environment are passed in; only the ground and the edges may touch the real ones. */
const BANNED = /\b(Date\.now|performance\.now|Math\.random|setTimeout|setInterval|process\.env)\b/
const MAY_TOUCH_THE_WORLD = ['runtime', 'vendor', 'cli']

const MOST_LINES_A_FILE = 400
const MOST_LINES_A_FUNCTION = 60

interface SourceFile {
  readonly path: string
  readonly room: string
  readonly text: string
  readonly imports: readonly string[]
  readonly packages: readonly string[]
}

function filesBelow(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((e) =>
    e.isDirectory() ? filesBelow(join(dir, e.name)) : [join(dir, e.name)],
  )
}

const files: SourceFile[] = filesBelow(src)
  .filter((path) => path.endsWith('.ts'))
  .map((path) => {
    const text = readFileSync(path, 'utf8')
    const module = parseSync(path, text).module
    const specifiers = [
      ...module.staticImports.map((i) => i.moduleRequest.value),
      ...module.staticExports.flatMap((e) => e.entries.map((entry) => entry.moduleRequest?.value ?? '')),
      ...[...text.matchAll(/\bimport\(\s*'([^']+)'\s*\)/g)].map((m) => m[1] ?? ''),
    ].filter((s) => s !== '')
    const name = relative(src, path)
    return {
      path: name,
      room: name.includes('/') ? name.slice(0, name.indexOf('/')) : name.replace(/\.ts$/, ''),
      text,
      imports: specifiers.filter((s) => s.startsWith('.')).map((s) => relative(src, join(dirname(path), s))),
      packages: specifiers.filter((s) => !s.startsWith('.') && !s.startsWith('node:')),
    }
  })

function roomOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : path.replace(/\.ts$/, '')
}

test('the rules see the whole tree', () => {
  expect(files.length).toBeGreaterThan(80)
  for (const room of Object.keys(MAY_IMPORT))
    expect(
      files.some((f) => f.room === room),
      `src/${room} has files`,
    ).toBe(true)
})

describe('imports', () => {
  test('rooms import only what the table allows', () => {
    const wrong = files.flatMap((f) => {
      const allowed = MAY_IMPORT[f.room]
      if (allowed === undefined) return []
      return f.imports
        .filter((i) => roomOf(i) !== f.room && !allowed.includes(roomOf(i)) && !EVERYWHERE.includes(roomOf(i)))
        .map((i) => `src/${f.path} imports src/${i}: pass it in, or move it below both`)
    })
    expect(wrong).toEqual([])
  })

  test('client libraries are imported by their own vendor folder only', () => {
    const direct = ['zod', 'yaml']
    const wrong = files
      .filter((f) => f.room !== 'vendor')
      .flatMap((f) =>
        f.packages
          .filter((p) => !(direct.includes(p.split('/')[0] ?? '') && ['resources', 'cli'].includes(f.room)))
          .map((p) => `src/${f.path} imports ${p}: put it behind src/vendor/`),
      )
    expect(wrong).toEqual([])
  })

  test('there are no cycles', () => {
    const graph = new Map(files.map((f) => [f.path, f.imports]))
    const done = new Set<string>()
    const cycles: string[] = []
    const walk = (path: string, trail: readonly string[]): void => {
      if (trail.includes(path)) {
        cycles.push([...trail.slice(trail.indexOf(path)), path].join(' → '))
        return
      }
      if (done.has(path)) return
      for (const next of graph.get(path) ?? []) walk(next, [...trail, path])
      done.add(path)
    }
    for (const f of files) walk(f.path, [])
    expect(cycles).toEqual([])
  })

  test('every file is reached from an entry', () => {
    const graph = new Map(files.map((f) => [f.path, f.imports]))
    const seen = new Set<string>()
    const walk = (path: string): void => {
      if (seen.has(path)) return
      seen.add(path)
      for (const next of graph.get(path) ?? []) walk(next)
    }
    walk('cli/main.ts')
    const dead = files.map((f) => f.path).filter((p) => !seen.has(p))
    expect(dead, 'delete these or use them').toEqual([])
  })
})

describe('shape', () => {
  test('files stay short', () => {
    const long = files
      .map((f) => ({ path: f.path, lines: f.text.split('\n').length - 1 }))
      .filter((f) => f.lines > MOST_LINES_A_FILE)
    expect(long, `split what is over ${MOST_LINES_A_FILE} lines`).toEqual([])
  })

  test('no function outgrows a screen', () => {
    // Factories that return an object of small functions are judged by those, so only bodies without inner functions count.
    const long = files.flatMap((f) => longFunctions(f).map((lines) => `src/${f.path}: a function of ${lines} lines of its own`))
    expect(long, `split what is over ${MOST_LINES_A_FUNCTION} lines`).toEqual([])
  })

  test('time, chance and environment come in from outside', () => {
    const wrong = files
      .filter((f) => !MAY_TOUCH_THE_WORLD.includes(f.room))
      .flatMap((f) =>
        withoutPlainTemplates(f.text)
          .split('\n')
          .map((line, i) => ({ line, at: i + 1 }))
          .filter(({ line }) => BANNED.test(line.replace(/\/\/.*$|^\s*\*.*$/g, '')))
          .map(({ line, at }) => `src/${f.path}:${at}: ${line.trim()} (use the Clock, Random or settings that are passed in)`),
      )
    expect(wrong).toEqual([])
  })

  test('nothing is silenced, left for later or named without meaning', () => {
    const smell =
      /@ts-(ignore|nocheck|expect-error)|\b(TODO|FIXME|XXX)\b|\bas any\b|: any\b|\bclass \w*(Impl|Base|Helper|Utils?)\b|\benum\b \w/
    const wrong = files.flatMap((f) =>
      f.text.split('\n').flatMap((line, i) => (smell.test(line) ? [`src/${f.path}:${i + 1}: ${line.trim()}`] : [])),
    )
    expect(wrong).toEqual([])
    expect(files.filter((f) => /(^|\/)(utils|helpers|common|index)\.ts$/.test(f.path)).map((f) => f.path)).toEqual([])
  })
})

/** Text in backquotes without `${` (a page for the browser) is no code of the gateway; its lines stay, empty. */
function withoutPlainTemplates(text: string): string {
  return text.replace(/`(?:[^`\\$]|\\.|\$(?!\{))*`/g, (template) => template.replace(/[^\n]/g, ''))
}

/** Lengths of the functions that are too long, without the lines of the functions inside them. */
function longFunctions(f: SourceFile): number[] {
  const long: number[] = []
  const linesWithin = (node: unknown): number => {
    if (Array.isArray(node)) return node.reduce<number>((sum, n) => sum + linesWithin(n), 0)
    if (typeof node !== 'object' || node === null) return 0
    const { type, start, end } = node as { type?: string; start?: number; end?: number }
    const inner = Object.values(node).reduce<number>((sum, value) => sum + linesWithin(value), 0)
    if (start === undefined || end === undefined) return inner
    if (!['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression'].includes(type ?? '')) return inner
    const lines = f.text.slice(start, end).split('\n').length
    if (lines - inner > MOST_LINES_A_FUNCTION) long.push(lines - inner)
    // A one-line function inside a line takes that line from nobody.
    return lines > 1 ? lines : 0
  }
  linesWithin(parseSync(f.path, f.text).program)
  return long
}

test('docs name no registry host and no path of a machine', () => {
  const texts = [
    'README.md',
    'package.json',
    '.npmrc',
    'Dockerfile',
    ...filesBelow(join(root, 'docs')).map((p) => relative(root, p)),
  ].filter((p) => existsSync(join(root, p)))
  expect(texts.length).toBeGreaterThan(5)
  const wrong = texts.filter((p) =>
    /registry\.npmjs|repo1?\.maven|deb\.debian|proxy\.golang/.test(readFileSync(join(root, p), 'utf8')),
  )
  expect(wrong).toEqual([])
})

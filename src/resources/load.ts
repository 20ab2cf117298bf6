import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type Document as YamlDocument, isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseAllDocuments } from 'yaml'
import { messageOf } from '../runtime/errors.ts'
import type { ManifestFault, Path } from './faults.ts'

/** One object of a manifest and where it stands. */
export interface Document {
  readonly value: unknown
  readonly file: string
  /** The line of the deepest part of the path that is there, counted from 1. */
  lineOf(path: Path): number
}

export interface Loaded {
  /** All that was read or should have been, in order. */
  readonly files: readonly string[]
  readonly documents: readonly Document[]
  readonly faults: readonly ManifestFault[]
}

const MANIFEST = /\.(ya?ml|json)$/i
const MOST_BYTES = 64 * 2 ** 20
/** Deeper than any resource; a cycle made of anchors is deeper than anything. */
const DEEPEST = 100

/** Reads files, folders (their .yaml, .yml and .json files, by name, not below) and `-`, which is the text of `stdin`. */
export function loadPaths(paths: readonly string[], stdin: string): Loaded {
  const documents: Document[] = []
  const faults: ManifestFault[] = []
  const files: string[] = []
  for (const path of paths) {
    if (path === '-') {
      append(parseText(stdin, 'stdin'))
      continue
    }
    for (const file of filesOf(path, faults)) {
      const text = readText(file, faults)
      if (text === undefined) files.push(file)
      if (text !== undefined) append(parseText(text, file))
    }
  }
  return { files, documents, faults }

  function append(l: Loaded): void {
    files.push(...l.files)
    documents.push(...l.documents)
    faults.push(...l.faults)
  }
}

/** The manifests behind a path: itself, or what its folder holds. Also for whoever watches them. */
export function filesOf(path: string, faults: ManifestFault[]): readonly string[] {
  try {
    if (!statSync(path).isDirectory()) return [path]
    const files = readdirSync(path, { withFileTypes: true })
      .filter((e) => !e.isDirectory() && MANIFEST.test(e.name))
      .map((e) => join(path, e.name))
      .sort()
    if (files.length === 0) faults.push(fileFault(path, 'the folder holds no .yaml, .yml or .json file'))
    return files
  } catch (e) {
    faults.push(fileFault(path, `cannot be read: ${messageOf(e)}`))
    return []
  }
}

/** Names and bytes of all manifests as one digest: who is told that something in a folder has changed asks whether it was they. */
export function digestOf(paths: readonly string[]): string {
  const digest = createHash('sha256')
  for (const file of paths.flatMap((path) => (path === '-' ? [] : filesOf(path, [])))) {
    const text = readText(file, [])
    digest.update(JSON.stringify([file, text ?? null]))
  }
  return digest.digest('hex')
}

function readText(file: string, faults: ManifestFault[]): string | undefined {
  try {
    const { size } = statSync(file)
    if (size > MOST_BYTES) {
      faults.push(fileFault(file, `has ${size} bytes, at most ${MOST_BYTES} are read`))
      return undefined
    }
    return readFileSync(file, 'utf8')
  } catch (e) {
    faults.push(fileFault(file, `cannot be read: ${messageOf(e)}`))
    return undefined
  }
}

function fileFault(file: string, message: string): ManifestFault {
  return { file, line: 1, resource: '', path: '', message }
}

/** YAML or JSON, many documents, lists taken apart. A document that does not parse is a fault; the others are read on. */
export function parseText(text: string, file: string): Loaded {
  const documents: Document[] = []
  const faults: ManifestFault[] = []
  const lines = new LineCounter()
  const fault = (offset: number, message: string): void => {
    faults.push({ file, line: Math.max(1, lines.linePos(offset).line), resource: '', path: '', message })
  }
  const parsed = parseAllDocuments(text, { lineCounter: lines, merge: true, prettyErrors: false, logLevel: 'silent' })
  for (const doc of Array.isArray(parsed) ? parsed : []) {
    for (const e of doc.errors) fault(e.pos[0], `is no YAML: ${e.message}`)
    if (doc.errors.length > 0 || doc.contents === null) continue
    let value: unknown
    try {
      value = doc.toJS() as unknown
      if (tooDeep(value, DEEPEST)) throw new Error(`is nested deeper than ${DEEPEST}`)
    } catch (e) {
      fault(isNode(doc.contents) ? (doc.contents.range?.[0] ?? 0) : 0, `is no manifest: ${messageOf(e)}`)
      continue
    }
    takeApart(value, [], { file, lineOf: (path) => lineIn(doc, lines, path) }, documents)
  }
  return { files: [file], documents, faults }
}

/** `kind: List`, and the `BrokerList` kind of thing that the API server itself answers, become their items. */
function takeApart(value: unknown, base: Path, at: Omit<Document, 'value'>, out: Document[]): void {
  if (isObject(value) && typeof value['kind'] === 'string' && value['kind'].endsWith('List') && Array.isArray(value['items'])) {
    for (const [i, item] of value['items'].entries()) takeApart(item, [...base, 'items', i], at, out)
    return
  }
  // `null` documents come from a stray `---`; an empty List item is as harmless.
  if (value === null || value === undefined) return
  out.push({ value, file: at.file, lineOf: (path) => at.lineOf([...base, ...path]) })
}

function lineIn(doc: YamlDocument, lines: LineCounter, path: Path): number {
  let node: unknown = doc.contents
  let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0
  for (const part of path) {
    if (isAlias(node)) node = node.resolve(doc)
    if (isMap(node)) {
      const pair = node.items.find((p) => isScalar(p.key) && String(p.key.value) === String(part))
      if (pair === undefined) break
      offset = isNode(pair.key) ? (pair.key.range?.[0] ?? offset) : offset
      node = pair.value
    } else if (isSeq(node) && typeof part === 'number') {
      node = node.items[part]
      if (!isNode(node)) break
      offset = node.range?.[0] ?? offset
    } else break
  }
  return Math.max(1, lines.linePos(offset).line)
}

function tooDeep(value: unknown, left: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (left === 0) return true
  for (const v of Object.values(value)) if (tooDeep(v, left - 1)) return true
  return false
}

/** A plain object, not an array and not null. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

import { Fault } from '../runtime/errors.ts'

/** Keys and indexes from the root of a resource, e.g. `['spec', 'filters', 0, 'exact']`. */
export type Path = readonly (string | number)[]

/** One thing that is wrong in a manifest. */
export interface ManifestFault {
  readonly file: string
  /** Counts from 1. */
  readonly line: number
  /** `Kind namespace/name`, '' where the text could not be read that far. */
  readonly resource: string
  /** '' = the resource as a whole. */
  readonly path: string
  /** What is wrong, what is allowed. */
  readonly message: string
}

/** `file:line: Kind ns/name: spec.path: what is wrong, what is allowed` */
export function faultText(f: ManifestFault): string {
  return [`${f.file}:${f.line}`, f.resource, f.path, f.message].filter((part) => part !== '').join(': ')
}

/** All faults as the one error that stops a start or a reload. */
export function faultOf(faults: readonly ManifestFault[]): Fault {
  return new Fault('config.invalid', faults.map(faultText).join('\n'))
}

/** In the order of the files, and of their lines. */
export function inOrder(faults: readonly ManifestFault[], files: readonly string[]): ManifestFault[] {
  const rank = new Map(files.map((file, i) => [file, i]))
  return faults.toSorted((a, b) => (rank.get(a.file) ?? -1) - (rank.get(b.file) ?? -1) || a.line - b.line)
}

/** `spec.filters[0].exact.type`; keys that are no plain word stand in quotes. */
export function pathText(path: Path): string {
  let text = ''
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`
    else if (/^[\w-]+$/.test(part)) text += text === '' ? part : `.${part}`
    else text += `[${JSON.stringify(part)}]`
  }
  return text
}

const LONGEST_SHOWN = 80

/** A value as it is shown in a message: JSON, cut when long. */
export function shown(value: unknown): string {
  if (value === undefined) return 'missing'
  if (typeof value === 'number') return String(value)
  const text = JSON.stringify(value) ?? typeof value
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text
}

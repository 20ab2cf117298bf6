import type { z } from 'zod'
import { isObject } from './load.ts'
import { type Path, shown } from './faults.ts'

type Issue = z.core.$ZodIssue
type RawIssue = z.core.$ZodRawIssue
export interface Located {
  readonly path: Path
  readonly message: string
}

/** For `safeParse(…, { error })`: every default message in our words, beginning with what must be. */
export function mustBe(issue: RawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${withArticle(issue.expected)}`
    case 'invalid_value':
      return issue.values.length === 1
        ? `must be ${shown(issue.values[0])}`
        : `must be one of ${issue.values.map(plain).join(', ')}`
    case 'too_small':
      return issue.origin === 'string' || issue.origin === 'array'
        ? 'must not be empty'
        : `must be at least ${String(issue.minimum)}`
    case 'too_big':
      return issue.origin === 'string' || issue.origin === 'array'
        ? `must have at most ${String(issue.maximum)} ${issue.origin === 'string' ? 'characters' : 'entries'}`
        : `must be at most ${String(issue.maximum)}`
    case 'invalid_format':
      return issue.pattern === undefined ? `must be a valid ${issue.format}` : `must match ${issue.pattern}`
    case 'invalid_key':
      return issue.issues[0]?.message ?? 'must be a valid name'
    default:
      return issue.message ?? 'must be something else'
  }
}

function plain(value: unknown): string {
  return typeof value === 'string' ? value : shown(value)
}

function withArticle(expected: string): string {
  if (expected === 'record' || expected === 'object') return 'an object'
  if (expected === 'array') return 'a list'
  if (expected === 'int') return 'a whole number'
  if (expected === 'boolean') return 'true or false'
  return `a ${expected}`
}

/**
 * What zod found, one located sentence a fault. Values are shown unless `secret`. A message that begins with `must` gets
 * the value before it; any other stands as it is.
 */
export function faultsOf(issues: readonly Issue[], root: unknown, schema: z.ZodType, secret: boolean): Located[] {
  const out: Located[] = []
  for (const issue of issues) {
    const path = issue.path.map((p) => (typeof p === 'symbol' ? String(p) : p))
    if (issue.code === 'unrecognized_keys') {
      const allowed = keysAllowed(schema, path)
      const list = allowed.length === 0 ? '' : `; allowed: ${allowed.join(', ')}`
      for (const key of issue.keys) out.push({ path: [...path, key], message: `unknown field${list}` })
    } else {
      out.push({ path, message: sentence(issue.message, valueAt(root, path), secret) })
    }
  }
  return out
}

/** `is 0, must be at least 1`; the message alone where it does not begin with `must`. */
export function sentence(message: string, value: unknown, secret = false): string {
  if (!message.startsWith('must')) return message
  if (value === undefined) return `is missing, ${message}`
  return secret ? message : `is ${shown(value)}, ${message}`
}

/** What stands at a path, undefined when nothing does. */
export function valueAt(root: unknown, path: Path): unknown {
  let at = root
  for (const part of path) {
    if (Array.isArray(at) && typeof part === 'number') at = at[part] as unknown
    else if (isObject(at) && Object.hasOwn(at, part)) at = at[String(part)]
    else return undefined
  }
  return at
}

/** The fields of the object schema at a path, so that an unknown one can be answered with the known ones. */
function keysAllowed(schema: z.ZodType, path: Path): string[] {
  let at: z.core.$ZodType | undefined = unwrap(schema)
  for (const part of path) {
    if (at === undefined) return []
    const def: z.core.$ZodTypes['_zod']['def'] = (at as z.core.$ZodTypes)._zod.def
    if (def.type === 'object') at = def.shape[String(part)]
    else if (def.type === 'array') at = def.element
    else if (def.type === 'record') at = def.valueType
    else return []
    at = at === undefined ? undefined : unwrap(at)
  }
  const def = at === undefined ? undefined : (at as z.core.$ZodTypes)._zod.def
  return def?.type === 'object' ? Object.keys(def.shape) : []
}

function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  let at = schema
  for (;;) {
    const def = (at as z.core.$ZodTypes)._zod.def
    if (def.type === 'optional' || def.type === 'default' || def.type === 'prefault' || def.type === 'nullable')
      at = def.innerType
    else if (def.type === 'lazy') at = def.getter()
    else return at
  }
}

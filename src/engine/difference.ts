import type { Key } from '../contract/ids.ts'
import { Secret } from '../runtime/secret.ts'

/** What changed between two lists of plan items, by key. */
export interface Difference<T> {
  readonly added: readonly T[]
  readonly changed: readonly T[]
  readonly removed: readonly T[]
}

export function difference<T extends { readonly key: Key }>(before: readonly T[], after: readonly T[]): Difference<T> {
  const old = new Map(before.map((item) => [item.key, item]))
  const added: T[] = []
  const changed: T[] = []
  for (const item of after) {
    const was = old.get(item.key)
    if (was === undefined) added.push(item)
    else if (!same(was, item)) changed.push(item)
    old.delete(item.key)
  }
  return { added, changed, removed: [...old.values()] }
}

/** Deep equality of plan data; secrets compare by their text, bytes by their content. */
export function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (a instanceof Secret) return a.equals(b)
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, i) => same(item, b[i]))
  if (Array.isArray(b) || b instanceof Secret) return false
  const keys = Object.keys(a)
  if (keys.length !== Object.keys(b).length) return false
  const right = b as Record<string, unknown>
  return Object.entries(a).every(([key, value]) => Object.hasOwn(right, key) && same(value, right[key]))
}

import type { Key } from '../contract/ids.ts'
import type { Path } from './faults.ts'
import type { Secret } from '../runtime/secret.ts'
import { isObject } from './load.ts'

/** Writes down one fault of the resource at hand. */
export type Complain = (path: Path, message: string) => void

/** Fields that stay as they are while the resource lives, and what they hold. */
export type Immutable = readonly (readonly [path: Path, value: unknown])[]

export type Immutables = ReadonlyMap<Key, Immutable>

/** A resource that was accepted, in the newest spelling, with its defaults. */
export interface Resource<Spec = unknown> {
  readonly apiVersion: string
  readonly kind: string
  readonly plural: string
  readonly namespace: string
  readonly name: string
  readonly key: Key
  readonly uid: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly spec: Spec
  readonly complain: Complain
  /** `file:line` of its first line, for messages of others about it. */
  readonly place: string
}

export interface ConfigMapSpec {
  readonly data: Readonly<Record<string, string>>
}

export interface SecretSpec {
  readonly data: Readonly<Record<string, Secret>>
}

/** `kind/namespace/name` in lower case. */
export function keyOf(kind: string, namespace: string, name: string): Key {
  return `${kind}/${namespace}/${name}`.toLowerCase()
}

/** A map of strings as it stands in metadata; anything else is left out. */
export function texts(value: unknown): Readonly<Record<string, string>> {
  if (!isObject(value)) return {}
  return Object.fromEntries(Object.entries(value).filter((e): e is [string, string] => typeof e[1] === 'string'))
}

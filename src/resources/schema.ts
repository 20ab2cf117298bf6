import { z } from 'zod'
import type { Kind } from './kind.ts'
import { KINDS } from './kinds.ts'

export interface ServedKind {
  readonly kind: string
  /** The newest first. */
  readonly apiVersions: readonly string[]
}

export function servedKinds(): readonly ServedKind[] {
  return KINDS.map((k) => ({ kind: k.kind, apiVersions: k.apiVersions })).sort((a, b) => (a.kind < b.kind ? -1 : 1))
}

export function apiVersionsOf(kind: string): readonly string[] {
  return find(kind)?.apiVersions ?? []
}

/** JSON Schema (draft 2020-12) of what may be written; undefined = no such kind or version. `apiVersion` '' = the newest. */
export function jsonSchemaOf(kind: string, apiVersion: string): unknown {
  const k = find(kind)
  const wanted = apiVersion === '' ? k?.apiVersions[0] : apiVersion
  const schema = wanted === undefined ? undefined : k?.schema(wanted)
  if (k === undefined || schema === undefined) return undefined
  const json = z.toJSONSchema(schema, { io: 'input' })
  const properties = { ...json.properties, apiVersion: { const: wanted }, kind: { const: k.kind } }
  return { ...json, title: k.kind, properties }
}

/** By kind or by plural, in any case, as kubectl takes them. */
function find(kind: string): Kind | undefined {
  const wanted = kind.toLowerCase()
  return KINDS.find((k) => k.kind.toLowerCase() === wanted || k.plural === wanted)
}

import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Key } from '../contract/ids.ts'
import { checkAnnotations } from './annotations.ts'
import type { Draft } from './draft.ts'
import { METADATA } from './fields.ts'
import { faultsOf, mustBe } from './issues.ts'
import { type Document, isObject } from './load.ts'
import { type Complain, type Immutable, keyOf, type Resource, texts } from './resource.ts'

/** One apiVersion: what is read, and how it becomes the newest spelling. */
export interface Version<Spec> {
  readonly schema: z.ZodType
  read(object: unknown): { readonly spec: Spec } | { readonly issues: readonly z.core.$ZodIssue[] }
}

/** A kind, written once a file. The steps run in this order, each for all resources before the next begins. */
export interface KindSpec<Spec> {
  readonly kind: string
  readonly plural: string
  readonly versions: Readonly<Record<string, Version<Spec>>>
  /** Values of this kind must not be shown in faults. */
  readonly secret?: boolean
  /** What can be judged even when the shape is wrong; gets the object as it was written. */
  inspect?(object: unknown, complain: Complain, draft: Draft): void
  /** What others refer to: streams, services, routes. */
  address?(r: Resource<Spec>, draft: Draft): void
  /** What refers to others: subscriptions, sources, targets. */
  connect?(r: Resource<Spec>, draft: Draft): void
  /** What a reload may not change. */
  immutable?(r: Resource<Spec>): Immutable
  /** What `sluice get` shows; the spec where absent. */
  view?(spec: Spec): unknown
}

/** The same with the spec's type closed over, so that kinds fit one table. */
export interface Kind {
  readonly kind: string
  readonly plural: string
  readonly apiVersions: readonly string[]
  schema(apiVersion: string): z.ZodType | undefined
  /** null = it has faults, all of them written to the draft. */
  admit(object: Readonly<Record<string, unknown>>, document: Document, draft: Draft): Admitted | null
}

export interface Admitted {
  readonly resource: Resource
  address(draft: Draft): void
  connect(draft: Draft): void
  readonly immutable: Immutable
  readonly view: unknown
}

export function defineKind<Spec>(k: KindSpec<Spec>): Kind {
  return {
    kind: k.kind,
    plural: k.plural,
    apiVersions: Object.keys(k.versions),
    schema: (apiVersion) => k.versions[apiVersion]?.schema,
    admit: (object, document, draft) => admit(k, object, document, draft),
  }
}

/** A version whose body (everything but the envelope) has this shape; `read` gives the newest spelling. */
export function version<Body extends z.core.$ZodLooseShape, Spec>(
  body: Body,
  read: (body: z.infer<z.ZodObject<Body, z.core.$strict>>) => Spec,
): Version<Spec> {
  const schema = z.strictObject({
    apiVersion: z.string(),
    kind: z.string(),
    metadata: METADATA,
    status: z.unknown().optional(),
    ...body,
  })
  return {
    schema,
    read(object) {
      const parsed = schema.safeParse(object, { error: mustBe })
      if (!parsed.success) return { issues: parsed.error.issues }
      return { spec: read(parsed.data as z.infer<z.ZodObject<Body, z.core.$strict>>) }
    },
  }
}

function admit<Spec>(
  k: KindSpec<Spec>,
  object: Readonly<Record<string, unknown>>,
  document: Document,
  draft: Draft,
): Admitted | null {
  const apiVersion = object['apiVersion'] as string
  const v = k.versions[apiVersion] as Version<Spec>
  const metadata = isObject(object['metadata']) ? object['metadata'] : {}
  const namespace = typeof metadata['namespace'] === 'string' ? metadata['namespace'] : 'default'
  const name = typeof metadata['name'] === 'string' ? metadata['name'] : '?'
  let sound = true
  const complain: Complain = (path, message) => {
    sound = false
    draft.fault(document, `${k.kind} ${namespace}/${name}`, path, message)
  }
  const read = v.read(object)
  if ('issues' in read) {
    for (const f of faultsOf(read.issues, object, v.schema, k.secret === true)) complain(f.path, f.message)
  }
  checkAnnotations(k.kind, metadata['annotations'], ['metadata', 'annotations'], complain)
  k.inspect?.(object, complain, draft)
  if ('issues' in read || !sound) return null
  const key = keyOf(k.kind, namespace, name)
  const resource: Resource<Spec> = {
    apiVersion,
    kind: k.kind,
    plural: k.plural,
    namespace,
    name,
    key,
    uid: typeof metadata['uid'] === 'string' ? metadata['uid'] : derivedUid(key),
    labels: texts(metadata['labels']),
    annotations: texts(metadata['annotations']),
    spec: read.spec,
    complain,
    place: `${document.file}:${document.lineOf([])}`,
  }
  return {
    resource,
    address: (d) => k.address?.(resource, d),
    connect: (d) => k.connect?.(resource, d),
    immutable: k.immutable?.(resource) ?? [],
    view: k.view === undefined ? read.spec : k.view(read.spec),
  }
}

/** The same resource has the same uid in every run, though no API server gave it one. */
export function derivedUid(key: Key): string {
  const hex = createHash('sha256').update(key).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

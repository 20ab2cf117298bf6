import { z } from 'zod'
import { MUST_BE_ISO, parseIsoDuration } from './durations.ts'

const LABEL = '[a-z0-9](?:[-a-z0-9]*[a-z0-9])?'
const MUST_BE_LABEL =
  'must be a DNS label: at most 63 lower-case letters, digits and -, beginning and ending with a letter or digit'
const MUST_BE_SUBDOMAIN =
  'must be a DNS name: at most 253 lower-case letters, digits, - and ., beginning and ending with a letter or digit'

/** A DNS-1123 label: namespaces, traffic tags. */
export const dnsLabel = z
  .string()
  .regex(new RegExp(`^${LABEL}$`), MUST_BE_LABEL)
  .max(63, MUST_BE_LABEL)
/** A DNS-1123 subdomain: names of resources. */
export const dnsName = z
  .string()
  .regex(new RegExp(`^${LABEL}(?:\\.${LABEL})*$`), MUST_BE_SUBDOMAIN)
  .max(253, MUST_BE_SUBDOMAIN)

export const isoDuration = z
  .string()
  .refine((text) => parseIsoDuration(text) !== undefined, MUST_BE_ISO)
  .meta({ format: 'duration' })
export const isoDurationOverZero = isoDuration.refine((text) => parseIsoDuration(text) !== 0, 'must be longer than PT0S')

/** A whole number in a range, with one message for all ways to miss it. */
export function whole(least: number, most: number): z.ZodNumber {
  const error =
    most >= 2 ** 31 - 1 ? `must be a whole number of at least ${least}` : `must be a whole number from ${least} to ${most}`
  return z.number(error).int(error).min(least, error).max(most, error)
}

/** What lies in a resource and is nothing to us: accepted, not looked at. */
export const anything = z.unknown()

const textMap = z.record(z.string(), z.string('must be a string: put it in quotes'))

/** What the API server writes is accepted and ignored; `uid` is kept. */
export const METADATA = z.strictObject({
  name: dnsName,
  namespace: dnsLabel.optional(),
  labels: textMap.nullish(),
  annotations: textMap.nullish(),
  uid: z.string().optional(),
  resourceVersion: anything.optional(),
  generation: anything.optional(),
  creationTimestamp: anything.optional(),
  deletionTimestamp: anything.optional(),
  deletionGracePeriodSeconds: anything.optional(),
  selfLink: anything.optional(),
  managedFields: anything.optional(),
  ownerReferences: anything.optional(),
  finalizers: anything.optional(),
  generateName: anything.optional(),
  clusterName: anything.optional(),
})

/** KReference. `group` without a version is Knative's feature kreference-group. */
export const REF = z.strictObject({
  apiVersion: z.string().optional(),
  group: z.string().optional(),
  kind: z.string().min(1),
  name: z.string().min(1),
  namespace: z.string().optional(),
  address: z.string().optional(),
})
/** A ref of the first versions was an ObjectReference of Kubernetes. */
export const OLD_REF = REF.extend({
  uid: anything.optional(),
  resourceVersion: anything.optional(),
  fieldPath: anything.optional(),
})

export const sinkUri = z
  .string()
  .min(1)
  .refine(isUriReference, 'must be an http or https URI, or relative to its ref')
  .refine(
    (text) => !holdsCredentials(text),
    'holds a user name or password; put them into a Secret and name it in sluice.dev/headers-from-secret',
  )

/** For checks across fields: told beside the faults of the fields themselves, not only once those are mended. */
export const ALWAYS = { when: (p: { readonly value: unknown }): boolean => typeof p.value === 'object' && p.value !== null }

interface SinkLike {
  readonly ref?: unknown
  readonly uri?: string | undefined
}

export function checkSink(sink: SinkLike, refine: z.RefinementCtx): void {
  if (sink.ref === undefined && sink.uri === undefined) {
    refine.addIssue({ code: 'custom', message: 'must have a ref or a uri', input: sink })
  } else if (sink.ref === undefined && sink.uri !== undefined && !URL.canParse(sink.uri)) {
    refine.addIssue({
      code: 'custom',
      path: ['uri'],
      message: 'must be an absolute http or https URI, as there is no ref',
      input: sink.uri,
    })
  }
}

/** The fields of a Destination, for what has more beside them; `checkSink` belongs to it. */
export const SINK_SHAPE = {
  ref: REF.optional(),
  uri: sinkUri.optional(),
  CACerts: z.string().optional(),
  audience: z.string().optional(),
}

/** Destination: where events go. */
export const SINK = z.strictObject(SINK_SHAPE).superRefine(checkSink, ALWAYS)

/** Destination as v1alpha1 and v1beta1 had it: the ref's fields may stand beside it, `dnsName` was a host alone. */
export const OLD_SINK_SHAPE = {
  ...SINK_SHAPE,
  ref: OLD_REF.optional(),
  dnsName: z.string().min(1).optional(),
  apiVersion: z.string().optional(),
  kind: z.string().optional(),
  name: z.string().optional(),
  namespace: z.string().optional(),
  deprecatedAPIVersion: z.string().optional(),
  deprecatedKind: z.string().optional(),
  deprecatedName: z.string().optional(),
  deprecatedNamespace: z.string().optional(),
}
interface OldSinkLike extends SinkLike {
  readonly dnsName?: string | undefined
  readonly kind?: string | undefined
  readonly name?: string | undefined
  readonly deprecatedKind?: string | undefined
  readonly deprecatedName?: string | undefined
}

export function checkOldSink(sink: OldSinkLike, refine: z.RefinementCtx): void {
  const kind = sink.kind ?? sink.deprecatedKind
  const name = sink.name ?? sink.deprecatedName
  if (kind === undefined && name === undefined && sink.dnsName === undefined) checkSink(sink, refine)
  else if (sink.dnsName === undefined && (kind === undefined || name === undefined)) {
    refine.addIssue({ code: 'custom', message: 'must have a kind and a name, or a ref, or a uri', input: sink })
  }
}

export const OLD_SINK = z.strictObject(OLD_SINK_SHAPE).superRefine(checkOldSink, ALWAYS)

const DELIVERY_SHAPE = {
  retry: whole(0, 2 ** 31 - 1).optional(),
  timeout: isoDurationOverZero.optional(),
  backoffPolicy: z.enum(['linear', 'exponential']).optional(),
  backoffDelay: isoDuration.optional(),
  retryAfterMax: isoDuration.optional(),
  format: z.enum(['binary', 'json']).optional(),
}
/** DeliverySpec. */
export const DELIVERY = z.strictObject({ ...DELIVERY_SHAPE, deadLetterSink: SINK.optional() })
export const OLD_DELIVERY = z.strictObject({ ...DELIVERY_SHAPE, deadLetterSink: OLD_SINK.optional() })

export const CHANNEL_TEMPLATE = z.strictObject({
  apiVersion: z.string().min(1),
  kind: z.string().min(1),
  metadata: anything.optional(),
  spec: anything.optional(),
})

export type SinkSpec = z.infer<typeof OLD_SINK>
export type RefSpec = z.infer<typeof REF>
export type DeliverySpec = z.infer<typeof OLD_DELIVERY>

function isUriReference(text: string): boolean {
  if (/[\s\p{Cc}]/u.test(text)) return false
  if (URL.canParse(text)) return /^https?:$/.test(new URL(text).protocol)
  return !/^[a-z][a-z0-9+.-]*:/i.test(text) && URL.canParse(text, 'http://sink.invalid')
}

function holdsCredentials(text: string): boolean {
  if (!URL.canParse(text, 'http://sink.invalid')) return false
  const url = new URL(text, 'http://sink.invalid')
  return url.username !== '' || url.password !== ''
}

import { z } from 'zod'
import { Secret } from '../runtime/secret.ts'
import type { Draft } from './draft.ts'
import type { Resource } from './resource.ts'

const keyRef = z
  .strictObject({
    secretKeyRef: z.strictObject({ name: z.string().min(1), key: z.string().min(1), optional: z.boolean().optional() }).nullish(),
  })
  .nullish()
const SASL = z.strictObject({
  enable: z.boolean().optional(),
  user: keyRef,
  password: keyRef,
  type: keyRef,
  tokenProvider: keyRef,
  roleARN: keyRef,
})
const TLS = z.strictObject({ enable: z.boolean().optional(), caCert: keyRef, cert: keyRef, key: keyRef })

/** `spec.net` of a KafkaSource: what the API server itself fills with empty objects is nothing. */
export const KAFKA_NET = z.strictObject({ sasl: SASL.nullish(), tls: TLS.nullish() })

type KeyRef = z.infer<typeof keyRef>

export interface KafkaNet {
  /** null = off. */
  readonly sasl: z.infer<typeof SASL> | null
  readonly tls: z.infer<typeof TLS> | null
}

export interface KafkaCredentials {
  readonly sasl: { readonly mechanism: string; readonly user: string; readonly password: Secret } | null
  /** PEM texts; '' = the system's authorities, no client certificate. */
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: Secret | null } | null
}

const MECHANISMS = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512']

/** null = something is missing or not served; the resource's status says what, and nothing is read until it is there. */
export function kafkaCredentials(r: Resource, net: KafkaNet, draft: Draft): KafkaCredentials | null {
  const missing: string[] = []
  const read = (ref: KeyRef, at: string, needed: boolean): Secret => {
    const key = ref?.secretKeyRef
    if (key === null || key === undefined) {
      if (needed) missing.push(`${at}.secretKeyRef is not written`)
      return new Secret('')
    }
    const value = draft.secret(r.namespace, key.name)?.[key.key]
    if (value === undefined && key.optional !== true)
      missing.push(`${at}: there is no key ${key.key} in a Secret ${r.namespace}/${key.name}`)
    return value ?? new Secret('')
  }
  const sasl =
    net.sasl === null
      ? null
      : {
          mechanism: read(net.sasl.type, 'spec.net.sasl.type', false).reveal() || 'PLAIN',
          user: read(net.sasl.user, 'spec.net.sasl.user', true).reveal(),
          password: read(net.sasl.password, 'spec.net.sasl.password', true),
        }
  const tls =
    net.tls === null
      ? null
      : {
          ca: read(net.tls.caCert, 'spec.net.tls.caCert', false).reveal(),
          cert: read(net.tls.cert, 'spec.net.tls.cert', false).reveal(),
          key: net.tls.key?.secretKeyRef ? read(net.tls.key, 'spec.net.tls.key', false) : null,
        }
  if (sasl !== null && !MECHANISMS.includes(sasl.mechanism))
    missing.push(`spec.net.sasl.type: the mechanism is not one of ${MECHANISMS.join(', ')}`)
  for (const why of missing) draft.unresolved(r.key, 'ConnectionEstablished', 'SecretMissing', why)
  return missing.length > 0 ? null : { sasl, tls }
}

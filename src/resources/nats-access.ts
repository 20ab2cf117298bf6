import { parse } from 'yaml'
import { z } from 'zod'
import { messageOf } from '../runtime/errors.ts'
import { Secret } from '../runtime/secret.ts'
import type { Draft } from './draft.ts'
import { anything } from './fields.ts'
import { faultsOf, mustBe } from './issues.ts'
import type { Resource } from './resource.ts'

/** Where NATS is and how to be let in: `servers`, `login`, `tls` of the settings of streams/nats. */
export interface NatsAccess {
  readonly servers: readonly string[]
  readonly login:
    | { readonly kind: 'user'; readonly user: string; readonly password: Secret }
    | { readonly kind: 'token'; readonly token: Secret }
    | { readonly kind: 'creds'; readonly creds: Secret }
    | { readonly kind: 'nkey'; readonly seed: Secret }
    | null
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: Secret | null } | null
}

/** eventing-natss has had both names. */
const CONFIGS = ['config-nats', 'config-nats-broker']
const NAMESPACE = 'knative-eventing'
const KEY = 'eventing-nats'
/** Knative's, when the ConfigMap does not say. */
const DEFAULT_URL = 'nats://nats.nats-io.svc.cluster.local:4222'
const CREDS_KEY = 'nats.creds'
const CONDITION = 'ConfigReady'

const secretRef = z.strictObject({ name: z.string().min(1), key: z.string().optional(), optional: anything.optional() })

/** EventingNatsConfig of eventing-natss; `auth.secret` is ours, for the logins it has no field for. */
const CONFIG = z.strictObject({
  url: z.string().min(1).optional(),
  connOpts: anything.optional(),
  auth: z
    .strictObject({
      credentialFile: z.strictObject({ secret: secretRef.optional() }).nullish(),
      tls: z.strictObject({ secret: secretRef.optional() }).nullish(),
      secret: secretRef.optional(),
    })
    .nullish(),
  tls: z.strictObject({ caBundle: z.string().optional(), secret: secretRef.optional() }).nullish(),
})

type Unready = (reason: string, why: string) => null

/**
 * What `eventing-nats` of a ConfigMap says: that of `spec.config` where it has it, else `config-nats` in knative-eventing.
 * null = something is missing or wrong, and the resource's status says what.
 */
export function natsAccess(
  r: Resource,
  draft: Draft,
  given: { readonly namespace: string; readonly name: string } | null,
): NatsAccess | null {
  const unready: Unready = (reason, why) => {
    draft.unresolved(r.key, CONDITION, reason, why)
    return null
  }
  const at = placeOf(draft, given)
  if (at === undefined) {
    const named = given === null ? '' : `neither ConfigMap ${given.namespace}/${given.name} has the key ${KEY}, nor `
    return unready('ConfigMissing', `${named}there is no ConfigMap ${NAMESPACE}/${CONFIGS[0] as string} that says where NATS is`)
  }
  const { namespace, name, text } = at
  const faulty = (why: string): null => unready('ConfigInvalid', `ConfigMap ${namespace}/${name}: ${KEY}: ${why}`)
  let value: unknown
  try {
    value = parse(text)
  } catch (e) {
    return faulty(`is no YAML: ${messageOf(e)}`)
  }
  const read = CONFIG.safeParse(value ?? {}, { error: mustBe })
  if (!read.success)
    return faulty(
      faultsOf(read.error.issues, value, CONFIG, true)
        .map((f) => `${f.path.join('.')} ${f.message}`)
        .join('; '),
    )
  const urls = urlsOf(read.data.url ?? DEFAULT_URL)
  if (urls === null) return faulty('url must be nats://host:port or tls://host:port, several separated by commas')
  return accessOf(read.data, urls, (secret) => draft.secret(namespace, secret), namespace, unready)
}

function placeOf(
  draft: Draft,
  given: { readonly namespace: string; readonly name: string } | null,
): { readonly namespace: string; readonly name: string; readonly text: string } | undefined {
  const places = [...(given === null ? [] : [given]), ...CONFIGS.map((name) => ({ namespace: NAMESPACE, name }))]
  for (const { namespace, name } of places) {
    const text = draft.configMap(namespace, name)?.[KEY]
    if (text !== undefined) return { namespace, name, text }
  }
  return undefined
}

interface Urls {
  readonly servers: readonly string[]
  /** A user and password, or a token, may stand in a URL. */
  readonly login: NatsAccess['login']
  readonly tls: boolean
}

function urlsOf(text: string): Urls | null {
  const servers: string[] = []
  let login: NatsAccess['login'] = null
  let tls = false
  for (const one of text.split(',').map((t) => t.trim())) {
    const url = URL.parse(/^[a-z]+:\/\//.test(one) ? one : `nats://${one}`)
    if (url === null || url.hostname === '' || !['nats:', 'tls:'].includes(url.protocol)) return null
    tls ||= url.protocol === 'tls:'
    if (url.password !== '')
      login = { kind: 'user', user: decodeURIComponent(url.username), password: new Secret(decodeURIComponent(url.password)) }
    else if (url.username !== '') login = { kind: 'token', token: new Secret(decodeURIComponent(url.username)) }
    servers.push(`nats://${url.host}`)
  }
  return { servers, login, tls }
}

function accessOf(
  { auth, tls }: z.infer<typeof CONFIG>,
  urls: Urls,
  secretOf: (name: string) => Readonly<Record<string, Secret>> | undefined,
  namespace: string,
  unready: Unready,
): NatsAccess | null {
  const missing = (name: string, what: string): null => unready('SecretMissing', `Secret ${namespace}/${name}: ${what}`)
  let { login } = urls
  const creds = auth?.credentialFile?.secret
  if (creds !== undefined) {
    const text = secretOf(creds.name)?.[creds.key ?? CREDS_KEY]
    if (text === undefined) return missing(creds.name, `it, or its key ${creds.key ?? CREDS_KEY}, is missing`)
    login = { kind: 'creds', creds: text }
  } else if (auth?.secret !== undefined) {
    const data = secretOf(auth.secret.name)
    if (data === undefined) return missing(auth.secret.name, 'it is missing')
    login = loginOf(data)
    if (login === null) return missing(auth.secret.name, `it must have user and password, token, nkey, or ${CREDS_KEY}`)
  }
  let ca = tls?.caBundle === undefined ? '' : Buffer.from(tls.caBundle, 'base64').toString()
  if (ca === '' && tls?.secret !== undefined) {
    ca = secretOf(tls.secret.name)?.['ca.crt']?.reveal() ?? ''
    if (ca === '') return missing(tls.secret.name, 'it, or its key ca.crt, is missing')
  }
  const client = auth?.tls?.secret
  if (client === undefined) {
    const wanted = urls.tls || (tls !== undefined && tls !== null)
    return { servers: urls.servers, login, tls: wanted ? { ca, cert: '', key: null } : null }
  }
  const pair = secretOf(client.name)
  const cert = pair?.['tls.crt']?.reveal() ?? ''
  const key = pair?.['tls.key']
  if (cert === '' || key === undefined) return missing(client.name, 'it, or its keys tls.crt and tls.key, are missing')
  return { servers: urls.servers, login, tls: { ca: ca === '' ? (pair?.['ca.crt']?.reveal() ?? '') : ca, cert, key } }
}

function loginOf(data: Readonly<Record<string, Secret>>): NatsAccess['login'] {
  const { user, username, password, token, nkey } = data
  const name = user ?? username
  if (name !== undefined && password !== undefined) return { kind: 'user', user: name.reveal(), password }
  if (token !== undefined) return { kind: 'token', token }
  if (nkey !== undefined) return { kind: 'nkey', seed: nkey }
  const creds = data[CREDS_KEY]
  return creds === undefined ? null : { kind: 'creds', creds }
}

import { z } from 'zod'
import { Secret } from '../runtime/secret.ts'

/** Access key of an instance and where it is, as an access token says it; `url` '' = the token does not say. */
export interface RocketMqAccess {
  readonly url: string
  readonly credentials: { readonly accessKey: string; readonly accessSecret: Secret } | null
}

export const NO_ACCESS: RocketMqAccess = Object.freeze({ url: '', credentials: null })
export const MUST_BE_ENDPOINTS = 'must be host:port of the RocketMQ 5 proxy (gRPC, usually port 8081), several separated by ;'
export const MUST_BE_NAME_SERVERS = 'must be host:port of name servers (usually port 9876), several separated by ;'

const ENDPOINT = /^(?:https?:\/\/)?(?:[A-Za-z0-9._-]+|\[[0-9a-fA-F:]+\])(?::\d{1,5})?\/?$/
const NAME_SERVER_PORT = 9876
const PROXY_PORT = 8081
const TOKEN = z.looseObject({ url: z.string().optional(), accessKeyId: z.string().min(1), accessKeySecret: z.string().min(1) })

/** Addresses as people write them, separated by `;` or `,`. */
export function splitEndpoints(text: string): string[] {
  return text
    .split(/[;,]/)
    .map((one) => one.trim())
    .filter((one) => one !== '')
}

/** One at least, and every one an address. */
export function areEndpoints(text: string): boolean {
  const list = splitEndpoints(text)
  return list.length > 0 && list.every((one) => ENDPOINT.test(one))
}

/** `host:port` of each, and whether a written https asks for TLS. */
export function hostsOf(text: string): { readonly hosts: readonly string[]; readonly https: boolean } {
  const list = splitEndpoints(text)
  const hosts = list.map((one) => one.replace(/^https?:\/\//, '').replace(/\/$/, ''))
  return { hosts, https: list.some((one) => one.startsWith('https://')) }
}

/** Name servers have a port of their own; older manifests wrote the proxy's address into `namesrvAddr`. */
export function areNameServers(text: string): boolean {
  const { hosts } = hostsOf(text)
  return hosts.length > 0 && hosts.every((one) => one.endsWith(`:${NAME_SERVER_PORT}`))
}

export function nameServersOf(text: string): readonly string[] {
  return hostsOf(text).hosts.map((one) => (/:\d+$/.test(one) ? one : `${one}:${NAME_SERVER_PORT}`))
}

/** The proxies of an installation whose name servers alone are known: on the same machines, at the usual port. */
export function proxiesBeside(nameServers: string): string {
  return hostsOf(nameServers)
    .hosts.map((one) => one.replace(/:\d+$/, `:${PROXY_PORT}`))
    .join(';')
}

/** What a Secret's value says: JSON in base64 with `accessKeyId`, `accessKeySecret` and, where it has it, `url`. null = it is none. */
export function readToken(value: Secret): RocketMqAccess | null {
  const read = TOKEN.safeParse(jsonOf(value.reveal()))
  if (!read.success) return null
  const { url = '', accessKeyId, accessKeySecret } = read.data
  return { url, credentials: { accessKey: accessKeyId, accessSecret: new Secret(accessKeySecret) } }
}

/** JSON, also where it is in base64 once or twice: the API server's encoding is off already, the token's own is not. */
function jsonOf(text: string): unknown {
  for (let t = text.trim(), n = 0; n < 3; n++, t = Buffer.from(t, 'base64').toString('utf8').trim()) {
    try {
      return JSON.parse(t)
    } catch {
      // Perhaps it is still encoded.
    }
  }
  return undefined
}

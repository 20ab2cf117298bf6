import { isIP, isIPv4 } from 'node:net'
import { definition } from './protocol.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

const DEFAULT_PORT = 8081

/** Of `host:port`, the port being that of a proxy unless it is written. */
export function addressOf(endpoint: string): Address {
  const [, host = '', port = ''] = /^(.*?)(?::(\d+))?$/.exec(endpoint) ?? []
  return { host: host.replace(/^\[|\]$/g, ''), port: port === '' ? DEFAULT_PORT : Number(port) }
}

/** A gRPC target. Several addresses can be one only where they are all IPv4. */
export function targetOf(addresses: readonly Address[]): string {
  const list = addresses.map((a) => (a.host.includes(':') ? `[${a.host}]:${a.port}` : `${a.host}:${a.port}`))
  if (addresses.length > 1 && addresses.every((a) => isIPv4(a.host))) return `ipv4:${list.join(',')}`
  return list[0] ?? ''
}

export function endpointsOf(addresses: readonly Address[]): InstanceType<typeof definition.Endpoints> {
  const { IPV4, IPV6, DOMAIN_NAME } = definition.AddressScheme
  const ip = addresses.map((a) => isIP(a.host))
  const scheme = ip.every((v) => v === 4) ? IPV4 : ip.every((v) => v === 6) ? IPV6 : DOMAIN_NAME
  const endpoints = new definition.Endpoints().setScheme(scheme)
  for (const a of addresses) endpoints.addAddresses().setHost(a.host).setPort(a.port)
  return endpoints
}

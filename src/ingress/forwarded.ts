import type { Exchange } from './http-server.ts'

/**
 * The headers of a request for whoever it is passed on to, with the client's address, host and protocol. Addresses are
 * appended, since every proxy on the way adds its own; host and protocol stay what the first proxy said. RFC 7239 §4
 */
export function forwarded(x: Exchange): string[] {
  const list: string[] = []
  const remote = plainAddress(x.remoteAddress())
  let addresses = remote
  let host = x.host
  let protocol = 'http'
  let elements = ''
  const flat = x.headers.flat
  for (let i = 0; i < flat.length; i += 2) {
    const name = flat[i] as string
    const value = flat[i + 1] as string
    if (name === 'x-forwarded-for') addresses = `${value}, ${addresses}`
    else if (name === 'x-forwarded-host') host = value
    else if (name === 'x-forwarded-proto') protocol = value
    else if (name === 'forwarded') elements = `${elements}${value}, `
    else list.push(name, value)
  }
  const node = remote.includes(':') ? `"[${remote}]"` : remote
  elements += `for=${node === '' ? 'unknown' : node};host="${x.host}";proto=http`
  list.push('x-forwarded-for', addresses, 'x-forwarded-host', host, 'x-forwarded-proto', protocol, 'forwarded', elements)
  return list
}

/** An IPv4 client of an IPv6 socket is shown as what it is. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}

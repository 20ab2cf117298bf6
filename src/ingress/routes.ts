import type { RoutePlan } from '../contract/plan.ts'
import type { Destination } from './destination.ts'

/** Routes of one host: by exact path, and what takes every other path. */
interface Paths {
  readonly exact: Map<string, Destination>
  any: Destination | undefined
}

type Table = ReadonlyMap<string, Paths>

/** Host and path → destination. Per gateway; read once a request, replaced as a whole. */
export class Routes {
  #table: Table = new Map()
  #lastHost = ''
  #lastPaths: Paths | undefined

  /**
   * Replaces everything in one step. What `destinationOf` gives no destination for is left out (404). Of two routes with the
   * same host and path the first holds; admission has refused the second.
   */
  set(routes: readonly RoutePlan[], destinationOf: (route: RoutePlan) => Destination | undefined): void {
    const table = new Map<string, Paths>()
    for (const route of routes) {
      const destination = destinationOf(route)
      if (destination === undefined) continue
      let paths = table.get(route.host)
      if (paths === undefined) table.set(route.host, (paths = { exact: new Map(), any: undefined }))
      const path = plainPath(route.path)
      if (route.path === '') paths.any ??= destination
      else if (!paths.exact.has(path)) paths.exact.set(path, destination)
    }
    this.#table = table
    this.#lastHost = ''
    this.#lastPaths = table.get('')
  }

  /** `host` is the Host header as it came, `path` the part before `?`. An exact host wins over every path alone. */
  resolve(host: string, path: string): Destination | undefined {
    const plain = plainPath(path)
    const own = this.#pathsOf(host)
    const there = own === undefined ? undefined : (own.exact.get(plain) ?? own.any)
    if (there !== undefined) return there
    const everywhere = this.#table.get('')
    return everywhere === undefined || everywhere === own ? undefined : (everywhere.exact.get(plain) ?? everywhere.any)
  }

  /** Most requests come with the host of the one before. */
  #pathsOf(host: string): Paths | undefined {
    if (host !== this.#lastHost) {
      this.#lastPaths = this.#table.get(plainHost(host))
      this.#lastHost = host
    }
    return this.#lastPaths
  }
}

/** Lower case, without port and without the dot of a fully qualified name. */
export function plainHost(host: string): string {
  let end = host.length
  const colon = host.lastIndexOf(':')
  // The colons of an IPv6 address are inside its brackets.
  if (colon > host.lastIndexOf(']')) end = colon
  if (host[end - 1] === '.') end--
  return host.slice(0, end).toLowerCase()
}

function plainPath(path: string): string {
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path
}

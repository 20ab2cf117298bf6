import type { RoutePlan } from '../contract/plan.ts'

/** Routes while the plan is written: the first claim of a host and path stands, host routes win over path routes. */
export class RouteTable {
  readonly #byHost = new Map<string, Map<string, RoutePlan>>()

  /** false = somebody has this host and path already. */
  add(route: RoutePlan): boolean {
    let paths = this.#byHost.get(route.host)
    if (paths === undefined) this.#byHost.set(route.host, (paths = new Map()))
    if (paths.has(route.path)) return false
    paths.set(route.path, route)
    return true
  }

  /** What a request to this host and path would reach. */
  find(host: string, path: string): RoutePlan | undefined {
    return this.findHost(host, path) ?? this.#in('', path)
  }

  /** Host routes alone: a name that only the cluster (or this gateway) knows. */
  findHost(host: string, path: string): RoutePlan | undefined {
    return host === '' ? undefined : this.#in(host, path)
  }

  list(): RoutePlan[] {
    const all = [...this.#byHost.values()].flatMap((paths) => [...paths.values()])
    return all.sort((a, b) => (a.host === b.host ? compare(a.path, b.path) : compare(a.host, b.host)))
  }

  #in(host: string, path: string): RoutePlan | undefined {
    const paths = this.#byHost.get(host)
    const bare = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path
    return paths?.get(bare) ?? paths?.get('')
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

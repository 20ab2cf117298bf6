import type { Key } from '../contract/ids.ts'
import type {
  Plan,
  ResourceView,
  RoutePlan,
  ServicePlan,
  SourcePlan,
  StreamPlan,
  SubscriptionPlan,
  TargetPlan,
} from '../contract/plan.ts'
import type { Secret } from '../runtime/secret.ts'
import type { KnativeConfig } from './config.ts'
import { faultText, type ManifestFault, type Path, pathText } from './faults.ts'
import type { ImageMapping } from './images.ts'
import { type ConfigMapSpec, type Immutables, keyOf, type Resource, type SecretSpec } from './resource.ts'
import type { Document } from './load.ts'
import { RouteTable } from './route-table.ts'

/** What the gateway knows beside the manifests. */
export interface PlanSettings {
  /** `--domain`; '' = config-domain, else example.com. */
  readonly domain: string
  /** `--images`, first match wins. */
  readonly images: readonly ImageMapping[]
  /** Where this gateway itself is reached: `host:port` of its data listeners and `--self` URLs. */
  readonly self: readonly string[]
  /** false = `--no-processes`: Services get no process of their own here. */
  readonly processes: boolean
  readonly generation: number
  /** `Planned.immutables` of the plan that runs: what may not change then is a fault. */
  readonly running?: Immutables
}

/** What subscriptions of a stream can have; `validate` refuses the rest by name. */
export interface Abilities {
  readonly order: readonly SubscriptionPlan['order'][]
  /** `sluice.dev/start`: from the first event that is left; from a moment. */
  readonly startEarliest: boolean
  readonly startTime: boolean
  /** `sluice.dev/stream`, `/retention`, `/max-bytes`, `/max-unsettled`: the gateway says where and how much is kept. */
  readonly keeps: boolean
}

/** What carries a stream, by the name people know it by, and what it can. */
export interface Standing {
  readonly name: string
  readonly can: Abilities
}

/** The gateway's own streams, embedded or in memory. */
export const OWN: Standing = {
  name: 'the embedded stream',
  can: { order: ['unordered', 'ordered', 'key'], startEarliest: true, startTime: true, keeps: true },
}

type Unresolved = ResourceView['unresolved'][number]

/** What a resource was lowered to, while it is being written. */
interface Notes {
  address: string
  clusterUrl: string
  readonly sinks: Record<string, string>
  readonly items: Set<Key>
  readonly unresolved: Unresolved[]
}

/** The plan while it is being written, and all that the kinds ask of one another. */
export class Draft {
  readonly settings: PlanSettings
  readonly config: KnativeConfig
  readonly faults: ManifestFault[] = []
  readonly routes = new RouteTable()
  readonly childUids: Record<Key, string> = {}
  readonly #said = new Set<string>()
  readonly #streams = new Map<Key, StreamPlan>()
  readonly #streamOwners = new Map<Key, Resource>()
  readonly #standings = new Map<Key, Standing>()
  readonly #fixed = new Map<Key, string>()
  readonly #places = new Map<string, Resource>()
  readonly #subscriptions = new Map<Key, SubscriptionPlan>()
  readonly #sources = new Map<Key, SourcePlan>()
  readonly #targets = new Map<Key, TargetPlan>()
  readonly #services = new Map<Key, ServicePlan>()
  readonly #resources = new Map<Key, Resource>()
  readonly #notes = new Map<Key, Notes>()
  readonly #notices: string[] = []

  constructor(settings: PlanSettings, config: KnativeConfig) {
    this.settings = settings
    this.config = config
  }

  /** One that is said already is not said again: two Brokers may read one ConfigMap. */
  fault(document: Document, resource: string, path: Path, message: string): void {
    const fault = { file: document.file, line: document.lineOf(path), resource, path: pathText(path), message }
    const text = faultText(fault)
    if (this.#said.has(text)) return
    this.#said.add(text)
    this.faults.push(fault)
  }

  notice(text: string): void {
    this.#notices.push(text)
  }

  /** A resource that others may refer to from now on. */
  register(r: Resource): void {
    this.#resources.set(r.key, r)
  }

  resource(key: Key): Resource | undefined {
    return this.#resources.get(key)
  }

  configMap(namespace: string, name: string): Readonly<Record<string, string>> | undefined {
    return (this.resource(keyOf('ConfigMap', namespace, name)) as Resource<ConfigMapSpec> | undefined)?.spec.data
  }

  secret(namespace: string, name: string): Readonly<Record<string, Secret>> | undefined {
    return (this.resource(keyOf('Secret', namespace, name)) as Resource<SecretSpec> | undefined)?.spec.data
  }

  /** false and a fault where another resource has lowered to an item of this key already. */
  stream(owner: Resource, plan: StreamPlan): boolean {
    if (this.#streams.has(plan.key)) {
      owner.complain(
        ['metadata', 'name'],
        `would make the stream ${plan.key}, which another resource makes already; rename one of them`,
      )
      return false
    }
    this.#streams.set(plan.key, plan)
    this.#streamOwners.set(plan.key, owner)
    this.#item(owner.key, plan.key)
    return true
  }

  streamOwner(key: Key): Resource | undefined {
    return this.#streamOwners.get(key)
  }

  /** What a stream stands on; known also where something is missing for the stream itself. */
  stand(owner: Resource, stream: Key, on: Standing): void {
    this.#standings.set(stream, on)
    this.#fixed.set(owner.key, on.name)
  }

  standing(stream: Key): Standing {
    return this.#standings.get(stream) ?? OWN
  }

  /** Whoever stood at this place of a message system before, undefined = nobody; it is `owner`'s from now on. */
  takePlace(owner: Resource, place: string): Resource | undefined {
    const before = this.#places.get(place)
    if (before === undefined) this.#places.set(place, owner)
    return before
  }

  /** What the streams of a resource stand on, undefined = it has none. */
  standsOn(owner: Key): string | undefined {
    return this.#fixed.get(owner)
  }

  subscription(owner: Resource, plan: SubscriptionPlan): void {
    if (this.#subscriptions.has(plan.key)) {
      const message = `would make the subscription ${plan.key}, which another resource makes already; rename one of them`
      owner.complain(['metadata', 'name'], message)
      return
    }
    this.#subscriptions.set(plan.key, plan)
    this.#item(owner.key, plan.key)
  }

  source(owner: Resource, plan: SourcePlan): void {
    this.#sources.set(plan.key, plan)
    this.#item(owner.key, plan.key)
  }

  target(owner: Resource, plan: TargetPlan): Key {
    this.#targets.set(plan.key, plan)
    this.#item(owner.key, plan.key)
    return plan.key
  }

  targetPlan(key: Key): TargetPlan | undefined {
    return this.#targets.get(key)
  }

  /** The uid of what a controller made in the place of a subscription of the plan. */
  childUid(subscription: Key, uid: string): void {
    this.childUids[subscription] = uid
  }

  service(owner: Resource, plan: ServicePlan): void {
    this.#services.set(plan.key, plan)
    this.#item(owner.key, plan.key)
  }

  servicePlan(key: Key): ServicePlan | undefined {
    return this.#services.get(key)
  }

  route(plan: RoutePlan): boolean {
    return this.routes.add(plan)
  }

  /** Where it is reached: `address` is shown, `clusterUrl` is what refs to it mean; a host route carries it. */
  addressable(owner: Key, address: string, clusterUrl: string): void {
    const n = this.#note(owner)
    n.address = address
    n.clusterUrl = clusterUrl
  }

  /** '' = not addressable. */
  clusterUrl(owner: Key): string {
    return this.#notes.get(owner)?.clusterUrl ?? ''
  }

  sink(owner: Key, role: string, url: string): void {
    this.#note(owner).sinks[role] = url
  }

  /** The resource is accepted, but not Ready: one sentence why. */
  unresolved(owner: Key, condition: string, reason: string, message: string): void {
    this.#note(owner).unresolved.push({ condition, reason, message })
  }

  #item(owner: Key, item: Key): void {
    this.#note(owner).items.add(item)
  }

  #note(owner: Key): Notes {
    let n = this.#notes.get(owner)
    if (n === undefined)
      this.#notes.set(owner, (n = { address: '', clusterUrl: '', sinks: {}, items: new Set(), unresolved: [] }))
    return n
  }

  /** The plan as it stands, everything by key, so that the order of the manifests makes no difference. */
  finish(views: ReadonlyMap<Key, unknown>): Plan {
    const resources = [...this.#resources.values()].map((r): ResourceView => {
      const { address, sinks, items, unresolved } = this.#note(r.key)
      return {
        apiVersion: r.apiVersion,
        kind: r.kind,
        namespace: r.namespace,
        name: r.name,
        key: r.key,
        uid: r.uid,
        spec: views.get(r.key),
        annotations: shownAnnotations(r.annotations),
        labels: r.labels,
        address,
        sinks,
        items: [...items],
        unresolved,
      }
    })
    return {
      generation: this.settings.generation,
      streams: byKey(this.#streams.values()),
      subscriptions: byKey(this.#subscriptions.values()),
      sources: byKey(this.#sources.values()),
      targets: byKey(this.#targets.values()),
      services: byKey(this.#services.values()),
      routes: this.routes.list(),
      resources: byKey(resources),
      notices: this.#notices,
    }
  }
}

function byKey<T extends { readonly key: Key }>(items: Iterable<T>): T[] {
  return [...items].sort((a, b) => (a.key < b.key ? -1 : 1))
}

/** What kubectl keeps there is the whole manifest once more, in a Secret with its values. */
function shownAnnotations(annotations: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const { 'kubectl.kubernetes.io/last-applied-configuration': _kept, ...rest } = annotations
  return rest
}

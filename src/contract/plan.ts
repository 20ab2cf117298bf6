import type { ScaleSpec } from './decider.ts'
import type { FilterExpression } from './filter.ts'
import type { Key } from './ids.ts'
import type { Start } from './feed.ts'
import type { Secret } from '../runtime/secret.ts'

/**
 * What resources are lowered to: five kinds of items, each named by a key that stays the same across reloads.
 * The engine applies the difference of two plans; two items are the same when they are deeply equal.
 */
export interface Plan {
  readonly generation: number
  readonly streams: readonly StreamPlan[]
  readonly subscriptions: readonly SubscriptionPlan[]
  readonly sources: readonly SourcePlan[]
  readonly targets: readonly TargetPlan[]
  readonly services: readonly ServicePlan[]
  readonly routes: readonly RoutePlan[]
  /** What `sluice get` shows, one an accepted resource. */
  readonly resources: readonly ResourceView[]
  /** By subscription: the uid of the Subscription that Knative's controllers made for a Trigger or a step, where it was given. */
  readonly childUids?: Readonly<Record<Key, string>>
  /** One line each: foreign kinds that were skipped, classes that were replaced. */
  readonly notices: readonly string[]
}

export interface ResourceRef {
  readonly apiVersion: string
  readonly kind: string
  readonly namespace: string
  readonly name: string
}

/** A resource as it was accepted, and how its state is found: it is Ready when all `needs` are. */
export interface ResourceView extends ResourceRef {
  readonly key: Key
  readonly uid: string
  /** Spec after defaults, secrets left out. */
  readonly spec: unknown
  readonly annotations: Readonly<Record<string, string>>
  readonly labels: Readonly<Record<string, string>>
  /** Where it is reached, '' = not addressable; `{data}` stands for the data port's URL. */
  readonly address: string
  /** Resolved sinks by role: subscriber, reply, deadLetterSink, sink. */
  readonly sinks: Readonly<Record<string, string>>
  /** Plan items it was lowered to, by key. */
  readonly items: readonly Key[]
  /** What is wrong with it though it was accepted (a ref that is missing): one sentence a fault, by condition type. */
  readonly unresolved: readonly { readonly condition: string; readonly reason: string; readonly message: string }[]
}

export interface StreamPlan {
  readonly key: Key
  readonly system: 'embedded' | 'memory' | 'kafka' | 'nats' | 'rabbitmq' | 'rocketmq'
  /** Settled events are kept for replay this long and up to this many bytes. */
  readonly retentionMs: number
  readonly maxBytes: number
  /** Unsettled bytes over which nothing is taken; 0 = 10 GiB or half the free disk. */
  readonly maxUnsettledBytes: number
  /** Ingress forgets (source, id) pairs after this; 0 = no deduplication. */
  readonly dedupWindowMs: number
  /** Largest event taken, bytes. */
  readonly maxEventBytes: number
  /** Of the system: bootstrap servers, topic names, credentials. */
  readonly settings: Readonly<Record<string, unknown>>
}

export interface DeliveryPlan {
  /** Extra attempts. */
  readonly retry: number
  readonly backoffPolicy: 'linear' | 'exponential'
  readonly backoffDelayMs: number
  readonly backoffMaxMs: number
  /** An attempt's time-out, from credit to last response byte. */
  readonly timeoutMs: number
  /** 0 = Retry-After is not looked at. */
  readonly retryAfterMaxMs: number
  readonly format: 'binary' | 'json'
}

/** Off unless written: 0 = no limit. */
export interface LimitsPlan {
  readonly maxConcurrency: number
  readonly ratePerS: number
}

export interface SubscriptionPlan {
  readonly key: Key
  readonly namespace: string
  readonly from: { readonly stream: Key } | { readonly source: Key }
  readonly start: Start
  /** null = everything. */
  readonly filter: FilterExpression | null
  readonly order: 'unordered' | 'ordered' | 'key'
  readonly onPark: 'continue' | 'stop'
  readonly delivery: DeliveryPlan
  /** null = not resolved: the subscription holds its position and delivers nothing. */
  readonly target: Key | null
  /** Where reply events go; null = dropped. */
  readonly reply: Key | null
  readonly deadLetter: Key | null
  readonly limits: LimitsPlan
  /** Headers from `sluice.dev/headers-from-secret`; never logged. */
  readonly headers: readonly (readonly [name: string, value: Secret])[]
  /** Batched delivery: 1 = one event an attempt. */
  readonly batchMax: number
  readonly batchWaitMs: number
  readonly ack: 'response' | 'callback'
}

export interface SourcePlan {
  readonly key: Key
  readonly system: 'kafka' | 'rocketmq' | 'rabbitmq' | 'ping'
  readonly namespace: string
  readonly name: string
  /** Typed by each source room: for kafka see `sources/kafka/settings.ts`. Secrets are `Secret`s. */
  readonly settings: Readonly<Record<string, unknown>>
}

export type TargetPlan =
  | {
      readonly kind: 'uri'
      readonly key: Key
      readonly uri: string
      /** Host header to send instead of the URI's (`k8s.aliyun.com/domain`), '' = the URI's. */
      readonly host: string
      readonly caCerts: string
      readonly limits: LimitsPlan
    }
  | { readonly kind: 'service'; readonly key: Key; readonly service: Key; readonly tag: string; readonly path: string }
  | { readonly kind: 'stream'; readonly key: Key; readonly stream: Key }
  | {
      readonly kind: 'function'
      readonly key: Key
      readonly function: 'jsonata'
      readonly settings: Readonly<Record<string, unknown>>
    }

export interface ServicePlan {
  readonly key: Key
  readonly namespace: string
  readonly name: string
  /** Changes with everything that makes a new revision; `<name>-<short hash>`. */
  readonly revision: string
  readonly process: ProcessPlan | null
  /** Credits a pod: 0 = no limit. */
  readonly limit: number
  readonly timeoutMs: number
  readonly scale: ScaleSpec
  readonly limits: LimitsPlan
  /** Percent of the untagged traffic and the tag by revision name; '' = the newest ready one. */
  readonly traffic: readonly { readonly revision: string; readonly percent: number; readonly tag: string }[]
}

/** A pod as a process of this machine. */
export interface ProcessPlan {
  readonly command: readonly string[]
  readonly env: readonly (readonly [name: string, value: string | Secret])[]
  readonly workingDir: string
  /** 0 = the system picks one a pod and says it in PORT. */
  readonly readiness:
    | { readonly kind: 'tcp' }
    | { readonly kind: 'http'; readonly path: string; readonly headers: readonly (readonly [string, string])[] }
  readonly readinessPeriodMs: number
  readonly initialDelayMs: number
}

export interface RoutePlan {
  /** Exact lower-case host without port, '' = any. Host routes win. */
  readonly host: string
  /** Exact path, '' = any path (services). */
  readonly path: string
  readonly to:
    | { readonly kind: 'stream'; readonly stream: Key; readonly owner: Key }
    | { readonly kind: 'target'; readonly target: Key; readonly owner: Key }
    | { readonly kind: 'service'; readonly service: Key; readonly tag: string }
    | { readonly kind: 'callback' }
}

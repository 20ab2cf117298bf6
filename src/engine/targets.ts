import type { TargetPlan } from '../contract/plan.ts'
import type { Key, TargetId } from '../contract/ids.ts'
import type { Stream } from '../contract/stream.ts'
import type { Attempt, Credit, GateState, Job, Origin, Target } from '../contract/target.ts'
import { createGate } from '../flow/gate.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Sender } from '../sender/sender.ts'
import type { Services } from '../services/services.ts'
import type { Descendants } from '../subscription/descendants.ts'
import { createStreamTarget } from '../subscription/stream-target.ts'
import { createEvaluator } from '../vendor/jsonata/evaluator.ts'
import { createFunctionTarget } from './function-target.ts'

/** A credit on a URI comes back after this though the server never ended its answer. DESIGN §8 */
const URI_ABANDONED_MS = 60_000

/** A target of the plan as the delivery machine uses it, and what the engine needs to let it go. */
export interface RunningTarget extends Target {
  close(): void
}

export interface TargetParts {
  readonly clock: Clock
  readonly sender: Sender
  readonly services: Services
  /** Equal addresses are one object, so that their connections are shared. */
  readonly origins: Map<string, Origin>
  readonly hopId: string
  /** The running stream of a key, undefined while it is not open. */
  readonly stream: (key: Key) => Stream | undefined
  readonly descendants: Descendants
  /** The running target of a key, for functions that pass events on. */
  readonly target: (key: Key) => Target | undefined
  /** Host name of a Service, for the Host header. */
  readonly serviceHost: (key: Key, tag: string) => string
}

export function createTarget(id: TargetId, plan: TargetPlan, parts: TargetParts): RunningTarget {
  switch (plan.kind) {
    case 'uri':
      return uriTarget(id, plan, parts)
    case 'service':
      return serviceTarget(id, plan, parts)
    case 'stream':
      return {
        ...createStreamTarget({
          id,
          name: plan.stream,
          clock: parts.clock,
          descendants: parts.descendants,
          stream: () => parts.stream(plan.stream),
        }),
        close() {},
      }
    case 'function':
      return createFunctionTarget(id, plan, { clock: parts.clock, evaluator: createEvaluator(), target: parts.target })
  }
}

/** One pseudo-pod behind a gate of its own; connections are shared between equal origins by the sender. */
function uriTarget(id: TargetId, plan: Extract<TargetPlan, { kind: 'uri' }>, parts: TargetParts): RunningTarget {
  const { clock, sender } = parts
  const url = new URL(plan.uri)
  const origin = originOf(url, plan.caCerts, parts)
  // The subscription keeps the rate; here the concurrency counts what is abandoned but still runs.
  const gate = createGate({ clock, maxQueuedRequests: 0, abandonedReturnMs: URI_ABANDONED_MS })
  // The same name in every run: a subscriber that works on over a restart (a callback) keeps its credit.
  gate.add(`uri-${plan.key}`, origin, plan.limits.maxConcurrency)
  const path = (url.pathname === '' ? '/' : url.pathname) + url.search
  const host = plan.host === '' ? url.host : plan.host
  return {
    id,
    name: plan.uri,
    acquire: (job) => gate.acquire(job),
    adopt: (name) => gate.adopt(name),
    cancel: (job) => gate.cancel(job),
    send: (attempt, credit) => sender.send(path, host, attempt, credit),
    state: () => gate.state(),
    get credits() {
      return gate.credits
    },
    get open() {
      return gate.open
    },
    onRoom: (f) => gate.onRoom(f),
    close: () => gate.close(),
  }
}

function originOf(url: URL, caCerts: string, { origins, hopId }: TargetParts): Origin {
  const protocol = url.protocol === 'https:' ? 'https:' : 'http:'
  const port = url.port === '' ? (protocol === 'https:' ? 443 : 80) : Number(url.port)
  const name = `${protocol}//${url.hostname}:${port} ${caCerts}`
  let origin = origins.get(name)
  if (origin === undefined) {
    origin = { protocol, host: url.hostname.replace(/^\[|\]$/g, ''), port, caCerts, hop: hopId }
    origins.set(name, origin)
  }
  return origin
}

/** The pods of a Service, whichever revision serves at the moment. */
function serviceTarget(
  id: TargetId,
  plan: Extract<TargetPlan, { kind: 'service' }>,
  { sender, services, serviceHost }: TargetParts,
): RunningTarget {
  const { service, tag } = plan
  const host = serviceHost(service, tag)
  const empty: GateState = { inFlight: 0, abandoned: 0, queuedRequests: 0, queuedEvents: 0, limit: 0, pods: [] }
  return {
    id,
    name: `http://${host}${plan.path}`,
    acquire: (job: Job) => services.acquire(service, tag, job),
    adopt: (pod) => services.gate(service, tag)?.adopt(pod) ?? null,
    cancel: (job: Job) => services.cancel(service, job),
    send: (attempt: Attempt, credit: Credit) => sender.send(plan.path, host, attempt, credit),
    state: () => services.gate(service, tag)?.state() ?? empty,
    get credits() {
      return services.gate(service, tag)?.credits ?? 0
    },
    get open() {
      return services.gate(service, tag)?.open ?? false
    },
    onRoom: (f) => services.onRoom(service, f),
    close() {},
  }
}

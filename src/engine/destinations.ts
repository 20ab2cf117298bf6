import type { CloudEvent } from '../event/event.ts'
import type { IngressId } from '../contract/ids.ts'
import type { RoutePlan } from '../contract/plan.ts'
import { SILENT_DELIVERY } from '../contract/delivery.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Destination } from '../ingress/destination.ts'
import type { Services } from '../services/services.ts'
import type { CallbackDesk } from './callback-desk.ts'
import type { Engine } from './engine.ts'
import type { IdTables } from './id-table.ts'

/** An attempt that an ingress makes for a producer who waits: no retries, this long at most. */
const DIRECT_TIMEOUT_MS = 30_000
/** Largest event for a target without a stream of its own. */
const DIRECT_EVENT_BYTES = 1 << 20

export interface DestinationParts {
  readonly engine: Engine
  readonly services: Services
  readonly ids: IdTables
  readonly clock: Clock
  readonly callbacks: CallbackDesk
}

/** Where a route leads at this moment; undefined while it is not open. */
export function destinationOf(route: RoutePlan, parts: DestinationParts): Destination | undefined {
  const { to } = route
  if (to.kind === 'stream') return streamDestination(to.stream, parts.ids.ingresses.of(to.owner), parts)
  if (to.kind === 'target') return targetDestination(to.target, parts.ids.ingresses.of(to.owner), parts)
  if (to.kind === 'service') return serviceDestination(to.service, to.tag, parts)
  return parts.callbacks.destination(parts.ids.ingresses.of('callback'))
}

function streamDestination(key: string, id: IngressId, { engine }: DestinationParts): Destination | undefined {
  const running = engine.streams.get(key)
  if (running === undefined) return undefined
  return {
    kind: 'stream',
    id,
    append: (events, done) => running.stream.append(events, done),
    maxEventBytes: running.plan.maxEventBytes,
    dedupWindowMs: running.plan.dedupWindowMs,
  }
}

function targetDestination(key: string, id: IngressId, { engine, clock }: DestinationParts): Destination | undefined {
  const target = engine.targets.get(key)
  if (target === undefined) return undefined
  return {
    kind: 'target',
    id,
    maxEventBytes: DIRECT_EVENT_BYTES,
    deliver(event: CloudEvent, done) {
      target.acquire({
        kind: 'event',
        sub: -1,
        retry: false,
        bytes: event.data?.length ?? 0,
        start: (credit) =>
          target.send(
            {
              delivery: SILENT_DELIVERY,
              event,
              attempt: 1,
              deadlineMs: clock.now() + DIRECT_TIMEOUT_MS,
              wantsReply: true,
              structured: false,
              namespace: '',
              headers: [],
              done,
            },
            credit,
          ),
        refused: (why, retryAfterMs) =>
          clock.soon(() => done({ kind: 'retryable', status: 503, why: `no room: ${why}`, retryAfterMs })),
      })
    },
  }
}

function serviceDestination(key: string, tag: string, { services, ids }: DestinationParts): Destination | undefined {
  const plan = services.plan(key)
  if (plan === undefined || services.gate(key, tag) === undefined) return undefined
  return {
    kind: 'service',
    id: ids.services.of(key),
    acquire: (job) => services.acquire(key, tag, job),
    cancel: (job) => services.cancel(key, job),
    timeoutMs: plan.timeoutMs,
  }
}

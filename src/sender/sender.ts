import type { Attempt, Credit, Origin } from '../contract/target.ts'
import type { Clock } from '../runtime/clock.ts'
import { AttemptCall, type CallParts } from './attempt-call.ts'
import { createDeadlines } from './deadlines.ts'
import type { Lane, LaneStats } from './exchange.ts'
import { createOwnLane } from './lane/own-lane.ts'
import { startProxyCall, type ProxyCall, type ProxyRequest, type ProxySink } from './proxy.ts'
import { fitPath, RequestHeads } from './request-head.ts'
import { createUndiciLane } from './undici-lane.ts'

/** Calls kept for the next attempts; per sender. */
const MOST_SPARE_CALLS = 1_024
/** Paths whose checked form is remembered; per sender. */
const MOST_PATHS = 4_096

/** HTTP out: everything that leaves the gateway towards a pod or a URI, one per shard. */
export interface Sender {
  /**
   * One attempt of an event: POST to `path` at the credit's origin, `host` instead of the origin's own Host ('' = that).
   * Calls `a.done` exactly once, never within this call, and releases the credit when the other side has really ended.
   */
  send(path: string, host: string, a: Attempt, c: Credit): void
  /** One plain HTTP request, streamed both ways. */
  proxy(request: ProxyRequest, c: Credit, sink: ProxySink): ProxyCall
  stats(): LaneStats
  /** Destroys every connection; attempts that run end as retryable. */
  close(): void
}

export interface SenderParts {
  readonly clock: Clock
  /** Which lane serves an origin; for tests. Own HTTP/1.1 for `http:`, undici for `https:` unless told otherwise. */
  readonly laneFor?: (o: Origin) => 'own' | 'undici'
}

export function createSender(o: SenderParts): Sender {
  const deadlines = createDeadlines(o.clock)
  const own = createOwnLane(o.clock, deadlines)
  const undici = createUndiciLane(o.clock)
  const laneFor = o.laneFor ?? ((origin: Origin) => (origin.protocol === 'http:' ? 'own' : 'undici'))
  const laneOf = (origin: Origin): Lane => (laneFor(origin) === 'own' ? own : undici)
  const spare: AttemptCall[] = []
  const parts: CallParts = {
    clock: o.clock,
    deadlines,
    heads: new RequestHeads(),
    laneOf,
    recycle(call) {
      if (spare.length < MOST_SPARE_CALLS) spare.push(call)
    },
  }
  const fitPaths = new Map<string, string>()
  const fit = (path: string): string => {
    let known = fitPaths.get(path)
    if (known === undefined) {
      if (fitPaths.size >= MOST_PATHS) fitPaths.clear()
      fitPaths.set(path, (known = fitPath(path)))
    }
    return known
  }
  return {
    send(path, host, a, c) {
      const call = spare.pop() ?? new AttemptCall(parts)
      call.start(fit(path), host, a, c)
    },
    proxy: (request, c, sink) => startProxyCall({ clock: o.clock, deadlines, lane: laneOf(c.origin) }, request, c, sink),
    stats() {
      const a = own.stats()
      const b = undici.stats()
      return { connections: a.connections + b.connections, idle: a.idle + b.idle }
    },
    close() {
      own.close()
      undici.close()
    },
  }
}

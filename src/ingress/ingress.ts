import type { Observer } from '../contract/observer.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import { loadUws } from '../vendor/uws/uws.ts'
import type { Answer } from './answers.ts'
import { ALIVE, drainingRefusal, refusal } from './answers.ts'
import type { BodyLimits } from './body.ts'
import { Bodies } from './body.ts'
import { takeCallback } from './callback.ts'
import type { Destination } from './destination.ts'
import { EventDesk } from './events.ts'
import type { Exchange, HttpServer, HttpServerOptions, ServerLimits } from './http-server.ts'
import { openNodeServer } from './server-node.ts'
import { openUwsServer } from './server-uws.ts'
import type { ProxySender } from './service-proxy.ts'
import { ServiceDesk } from './service-proxy.ts'

export interface IngressLimits extends ServerLimits, BodyLimits {
  readonly maxBatchEvents: number
}

export const DEFAULT_LIMITS: IngressLimits = Object.freeze({
  maxHeaderBytes: 16_384,
  maxHeaders: 99,
  maxConnections: 20_000,
  headerTimeoutMs: 10_000,
  idleTimeoutMs: 10_000,
  bodyTimeoutMs: 60_000,
  minBytesPerS: 1_024,
  slowGraceMs: 5_000,
  maxBufferedBytes: 64 << 20,
  maxBatchEvents: 10_000,
})

export interface IngressOptions {
  /** `uws` falls back to `node` with one line in the log where the library does not load. */
  readonly http: 'uws' | 'node'
  readonly host: string
  /** 0 picks one. */
  readonly port: number
  /** Host header and path as they came; see `Routes.resolve`. */
  readonly resolve: (host: string, path: string) => Destination | undefined
  /** Passes a plain request on to a pod. */
  readonly proxy: ProxySender
  readonly limits: IngressLimits
  /** Name of this gateway in `Sluice-Hop`. */
  readonly hopId: string
  readonly clock: Clock
  readonly log: Log
  readonly observer: Observer
  /** For tests: the library as it would be on a machine that has none. */
  readonly loadUws?: typeof loadUws
}

/** The data port. Per shard. */
export interface Ingress {
  /** `http://host:port`, with the port that was picked. */
  readonly url: string
  readonly port: number
  readonly http: 'uws' | 'node'
  /** Requests that are not answered yet. */
  running(): number
  connections(): number
  /** false: `/readyz` of the data port says 503. It is ready from the start. */
  setReady(ready: boolean): void
  /**
   * Accepts no more connections, refuses new requests with 503, lets those that run finish, each closing its connection, and
   * resolves when none is left or the signal aborts. `close` follows.
   */
  drain(signal: AbortSignal): Promise<void>
  /** Cuts what is left. */
  close(): Promise<void>
}

/** `IngressId` of refusals whose address is unknown. */
export const NO_INGRESS = -1

/** How often a drain looks whether the last request has gone. */
const DRAIN_LOOK_MS = 10
/** After the last answer of a drain its bytes get this long to leave. */
const FLUSH_MS = 50

export async function openIngress(o: IngressOptions): Promise<Ingress> {
  const bodies = new Bodies(o.clock, o.limits)
  const events = new EventDesk({ clock: o.clock, observer: o.observer, bodies, maxBatchEvents: o.limits.maxBatchEvents })
  const services = new ServiceDesk({ clock: o.clock, observer: o.observer, bodies, proxy: o.proxy })
  const door = new Door(o, bodies, events, services)
  const server = await openServer(o, (x) => door.enter(x))
  const shown = o.host.includes(':') ? `[${o.host}]` : o.host
  return {
    url: `http://${shown}:${server.port}`,
    port: server.port,
    http: server.kind,
    running: () => server.running(),
    connections: () => server.connections(),
    setReady(ready) {
      door.ready = ready
    },
    async drain(signal) {
      door.draining = true
      await emptied(o.clock, server, signal)
    },
    async close() {
      door.draining = true
      await server.close()
      events.close()
      bodies.close()
    },
  }
}

async function openServer(o: IngressOptions, handler: (x: Exchange) => void): Promise<HttpServer> {
  const options: HttpServerOptions = { host: o.host, port: o.port, limits: o.limits, clock: o.clock, log: o.log, handler }
  if (o.http === 'node') return openNodeServer(options)
  const loaded = await (o.loadUws ?? loadUws)(o.limits.maxHeaderBytes)
  if ('uws' in loaded) return openUwsServer(loaded.uws, options)
  o.log.warn('uWebSockets.js does not load on this machine: the data port is served by node:http, at about twice the CPU', {
    reason: loaded.absent,
  })
  return openNodeServer(options)
}

/** Drains the server until it has no connection left, or every request has been answered and its bytes had time to leave. */
function emptied(clock: Clock, server: HttpServer, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    let quietSinceMs = -1
    const look = clock.every(DRAIN_LOOK_MS, () => {
      if (server.running() > 0) quietSinceMs = -1
      else if (quietSinceMs < 0) quietSinceMs = clock.now()
      else if (clock.now() - quietSinceMs >= FLUSH_MS) done()
    })
    const done = (): void => {
      look.cancel()
      signal.removeEventListener('abort', done)
      resolve()
    }
    signal.addEventListener('abort', done, { once: true })
    server.drain(done)
    if (signal.aborted) done()
  })
}

/** Decides for each request where it goes. */
class Door {
  readonly #o: IngressOptions
  readonly #bodies: Bodies
  readonly #events: EventDesk
  readonly #services: ServiceDesk
  draining = false
  ready = true

  constructor(o: IngressOptions, bodies: Bodies, events: EventDesk, services: ServiceDesk) {
    this.#o = o
    this.#bodies = bodies
    this.#events = events
    this.#services = services
  }

  enter(x: Exchange): void {
    const to = this.#o.resolve(x.host, x.path)
    if (x.method === 'GET' && this.#probed(x, to)) return
    if (this.draining) return this.#refuse(x, to, drainingRefusal())
    const hop = x.headers.get('sluice-hop')
    if (hop !== undefined && this.#isOurs(hop)) {
      return this.#refuse(x, to, refusal('ingress.loop', 'the request has passed this gateway already: a sink leads back to it'))
    }
    if (to === undefined) {
      return this.#refuse(x, to, refusal('ingress.not-found', 'no broker, channel or service has this address'))
    }
    if (to.kind === 'service') return this.#services.take(x, to)
    if (x.method === 'OPTIONS') return this.#bodies.refuse(x, WEBHOOK)
    if (x.method !== 'POST') return this.#refuse(x, to, refusal('ingress.method', 'events are sent with POST', ALLOW))
    if (to.kind === 'callback') return takeCallback(this.#bodies, this.#o.observer, x, to)
    this.#events.take(x, to)
  }

  /** Several gateways in a row each add their name. */
  #isOurs(hop: string): boolean {
    return hop.split(',').some((id) => id.trim() === this.#o.hopId)
  }

  #refuse(x: Exchange, to: Destination | undefined, r: Answer & { readonly code: string }): void {
    if (to?.kind === 'service') this.#o.observer.proxied(to.id, '', r.status, 0, 0)
    else this.#o.observer.refused(to?.id ?? NO_INGRESS, r.code)
    this.#bodies.refuse(x, r)
  }

  /** Knative's probes, where it has them: on every host, but not in the place of a service's own paths. */
  #probed(x: Exchange, to: Destination | undefined): boolean {
    if (x.headers.get('k-network-probe') === 'probe') {
      this.#bodies.refuse(x, ALIVE)
      return true
    }
    if (to?.kind === 'service' || (x.path !== '/healthz' && x.path !== '/readyz')) return false
    const well = x.path === '/healthz' || (this.ready && !this.draining)
    this.#bodies.refuse(x, well ? ALIVE : drainingRefusal())
    return true
  }
}

const ALLOW = ['allow', 'POST, OPTIONS']

/** Abuse protection: who may send and how fast. HTTP Webhooks 1.0.2 §4.2 */
const WEBHOOK: Answer = Object.freeze({
  status: 200,
  headers: [...ALLOW, 'webhook-allowed-origin', '*', 'webhook-allowed-rate', '*'],
  body: null,
})

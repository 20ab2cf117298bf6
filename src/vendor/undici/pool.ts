import { createRequire } from 'node:module'
import type { Dispatcher, Pool } from 'undici'

/** Loaded with the first origin that needs it: undici takes 120 ms and 24 MB, and plain `http:` does without. */
const load = createRequire(import.meta.url)

/** What a running request of undici lets its handler do. */
export type DispatchController = Dispatcher.DispatchController
export type DispatchHandler = Dispatcher.DispatchHandler
export type DispatchOptions = Dispatcher.DispatchOptions

export interface PoolOptions {
  /** `https://host:port`; `http:` as well. */
  readonly url: string
  /** PEM bundle that signs the origin, '' = the system's. */
  readonly caCerts: string
  readonly headBytes: number
  readonly connectMs: number
  readonly idleMs: number
  readonly longestIdleMs: number
}

/** Connections to one origin; as many as requests run at once, HTTP/2 where the other side chooses it. */
export interface DispatchPool {
  dispatch(options: DispatchOptions, handler: DispatchHandler): void
  stats(): { readonly connections: number; readonly idle: number }
  /** Destroys every connection; requests that run fail. */
  destroy(): void
}

/** Time-outs of answers are not undici's business here: attempts have deadlines of their own. 0 = none. */
export function openPool(o: PoolOptions): DispatchPool {
  const undici = load('undici') as { readonly Pool: typeof Pool }
  const pool = new undici.Pool(o.url, {
    connections: null,
    pipelining: 1,
    allowH2: true,
    headersTimeout: 0,
    bodyTimeout: 0,
    maxHeaderSize: o.headBytes,
    keepAliveTimeout: o.idleMs,
    keepAliveMaxTimeout: o.longestIdleMs,
    connect: { timeout: o.connectMs, ...(o.caCerts === '' ? undefined : { ca: o.caCerts }) },
  })
  return {
    dispatch: (options, handler) => void pool.dispatch(options, handler),
    stats: () => ({ connections: pool.stats.connected, idle: pool.stats.free }),
    // What it rejects with has been told to the handlers already.
    destroy: () => void pool.destroy().catch(() => {}),
  }
}

/** Whether undici failed because a connection that had been used before was closed with nothing answered. */
export function wasClosedWhenReused(e: Error): boolean {
  const { code, socket } = e as { code?: unknown; socket?: { bytesRead?: unknown } }
  if (code === 'UND_ERR_SOCKET') return typeof socket?.bytesRead === 'number' && socket.bytesRead > 0
  return false
}

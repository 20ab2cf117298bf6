import type { HttpRequest, HttpResponse, TemplatedApp, us_listen_socket } from 'uws'

export type { HttpRequest, HttpResponse, us_listen_socket }

/** The library's own types leave out that a host and options may be given together. */
export interface UwsApp extends Omit<TemplatedApp, 'listen'> {
  listen(host: string, port: number, options: number, done: (socket: us_listen_socket | false) => void): unknown
}

/** The part of uWebSockets.js that is used. */
export interface Uws {
  App(): UwsApp
  us_listen_socket_close(socket: us_listen_socket): void
  us_socket_local_port(socket: unknown): number
  /** Do not share the port with another process: without it a second gateway would silently take half of the connections. */
  readonly LIBUS_LISTEN_EXCLUSIVE_PORT: number
}

/** The head limit the library was loaded with, bytes; it cannot change afterwards. */
let loadedWithBytes = 0

/**
 * Loads the native library, or says in `absent` why this machine has none (an ABI or libc it was not built for, a package
 * left out). It reads its limit for the head of a request from the environment when it is loaded, so the limit is per
 * process: a second call with another limit keeps the first. `load` is for tests.
 */
export async function loadUws(
  maxHeaderBytes: number,
  load: () => Promise<unknown> = () => import('uws'),
): Promise<{ readonly uws: Uws } | { readonly absent: string }> {
  try {
    if (loadedWithBytes === 0) {
      process.env['UWS_HTTP_MAX_HEADERS_SIZE'] = String(maxHeaderBytes)
      loadedWithBytes = maxHeaderBytes
    }
    const loaded = (await load()) as Uws & { _cfg(key: string): void }
    // Leaves the line "uWebSockets: 20" out of every answer: it tells a stranger the version and costs 17 bytes.
    loaded._cfg('silent')
    return { uws: loaded }
  } catch (e) {
    return { absent: (e instanceof Error ? e.message : String(e)).split('\n')[0] as string }
  }
}

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { timingSafeEqual } from 'node:crypto'
import { Fault, messageOf } from '../runtime/errors.ts'
import type { Secret } from '../runtime/secret.ts'

/** Who may call a route: `open` everybody, `read` whoever reaches the port (with a token where it is not loopback), `write` the token's owner. */
export type Access = 'open' | 'read' | 'write'

export interface AdminCall {
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  /** Parsed JSON, null when there was none. */
  readonly body: unknown
  readonly accept: string
  readonly signal: AbortSignal
}

export type AdminAnswer =
  | { readonly status?: number; readonly json: unknown }
  | { readonly status?: number; readonly text: string; readonly contentType: string }
  /** Lines as they come, until the caller goes or the source ends. */
  | { readonly lines: AsyncIterable<string>; readonly contentType: string }

export interface AdminRoute {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** Segments; `:name` takes one, `*name` the rest. */
  readonly path: string
  readonly access: Access
  handle(call: AdminCall): AdminAnswer | Promise<AdminAnswer>
}

export interface AdminServerParts {
  readonly host: string
  readonly port: number
  readonly token: Secret
  /** false on loopback: reading needs no token there. */
  readonly readsNeedToken: boolean
  /** Host names it answers to beside the address it listens on; others are refused (DNS rebinding). */
  readonly hosts: readonly string[]
  readonly routes: readonly AdminRoute[]
}

const MOST_BODY_BYTES = 4 << 20
const LOOPBACK_NAMES = ['localhost', '127.0.0.1', '[::1]', '::1']

/** The admin port. Resolves with its URL once it listens. */
export async function openAdminServer(parts: AdminServerParts): Promise<{ readonly url: string; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    answer(parts, request, response).catch((e: unknown) => {
      if (!response.headersSent) sendJson(response, 500, { code: 'admin.failed', message: messageOf(e) })
      else response.destroy()
    })
  })
  server.keepAliveTimeout = 5_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(parts.port, parts.host, resolve)
  })
  return { url: urlOf(server, parts.host), close: () => closeServer(server) }
}

function urlOf(server: Server, host: string): string {
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

async function answer(parts: AdminServerParts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://admin')
  const found = find(parts.routes, request.method ?? 'GET', url.pathname)
  if (found === undefined)
    return sendJson(response, 404, { code: 'admin.not-found', message: `nothing is served at ${request.method} ${url.pathname}` })
  const refusal = found.route.access === 'open' ? null : refusalOf(parts, found.route.access, request)
  if (refusal !== null) return sendJson(response, refusal.status, { code: 'admin.refused', message: refusal.message })
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  try {
    const body = await readJson(request)
    const result = await found.route.handle({
      params: found.params,
      query: url.searchParams,
      body,
      accept: request.headers.accept ?? '',
      signal: gone.signal,
    })
    if ('json' in result) sendJson(response, result.status ?? 200, result.json)
    else if ('text' in result) {
      response.writeHead(result.status ?? 200, { 'content-type': result.contentType })
      response.end(result.text)
    } else await sendLines(response, result.lines, result.contentType)
  } catch (e) {
    if (e instanceof Fault) sendJson(response, e.retryable ? 503 : 400, { code: e.code, message: e.message })
    else throw e
  }
}

function find(
  routes: readonly AdminRoute[],
  method: string,
  path: string,
): { route: AdminRoute; params: Record<string, string> } | undefined {
  const segments = path.split('/').filter((s) => s !== '')
  for (const route of routes) {
    if (route.method !== method && !(method === 'HEAD' && route.method === 'GET')) continue
    const params = match(
      route.path.split('/').filter((s) => s !== ''),
      segments,
    )
    if (params !== undefined) return { route, params }
  }
  return undefined
}

function match(pattern: readonly string[], segments: readonly string[]): Record<string, string> | undefined {
  const params: Record<string, string> = {}
  for (const [i, part] of pattern.entries()) {
    if (part.startsWith('*')) {
      params[part.slice(1)] = segments.slice(i).map(decodeURIComponent).join('/')
      return params
    }
    const segment = segments[i]
    if (segment === undefined) return undefined
    if (part.startsWith(':')) params[part.slice(1)] = decodeURIComponent(segment)
    else if (part !== segment) return undefined
  }
  return pattern.length === segments.length ? params : undefined
}

function refusalOf(
  parts: AdminServerParts,
  access: Access,
  request: IncomingMessage,
): { status: number; message: string } | null {
  const host = (request.headers.host ?? '').replace(/:\d+$/, '').toLowerCase()
  if (![...LOOPBACK_NAMES, parts.host, ...parts.hosts].includes(host)) {
    return {
      status: 421,
      message: `the Host header "${host}" is not one this port answers to; allowed: ${[...LOOPBACK_NAMES, ...parts.hosts].join(', ')}`,
    }
  }
  if (access === 'read' && !parts.readsNeedToken) return null
  if (!hasToken(parts.token, request.headers.authorization ?? '')) {
    return {
      status: 401,
      message: 'this call needs "Authorization: Bearer <token>"; the token is in the file admin.token of the data folder',
    }
  }
  const type = request.headers['content-type'] ?? ''
  if (access === 'write' && request.method === 'POST' && !type.startsWith('application/json')) {
    return { status: 415, message: `writes are sent as application/json, this is "${type}"` }
  }
  return null
}

function hasToken(token: Secret, header: string): boolean {
  const given = Buffer.from(header.replace(/^Bearer\s+/i, ''))
  const wanted = Buffer.from(token.reveal())
  return given.length === wanted.length && timingSafeEqual(given, wanted)
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MOST_BODY_BYTES) throw new Fault('admin.refused', `the body is over ${MOST_BODY_BYTES} bytes`)
    chunks.push(chunk)
  }
  if (bytes === 0) return null
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown
  } catch (e) {
    throw new Fault('admin.refused', `the body is no JSON: ${messageOf(e)}`, e)
  }
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(value) + '\n')
}

async function sendLines(response: ServerResponse, lines: AsyncIterable<string>, contentType: string): Promise<void> {
  response.writeHead(200, { 'content-type': contentType, 'cache-control': 'no-store' })
  for await (const line of lines) {
    if (response.destroyed) return
    if (!response.write(line)) await new Promise<void>((resolve) => response.once('drain', resolve).once('close', resolve))
  }
  response.end()
}

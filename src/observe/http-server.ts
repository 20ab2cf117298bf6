import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { timingSafeEqual } from 'node:crypto'
import { Fault, messageOf } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
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
  /** Segments; `:name` takes one that is not empty. */
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
  readonly log: Log
}

const MOST_BODY_BYTES = 4 << 20
const LOOPBACK_NAMES = ['localhost', '127.0.0.1', '[::1]', '::1']

/** The admin port. Resolves with its URL once it listens. */
export async function openAdminServer(parts: AdminServerParts): Promise<{ readonly url: string; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    answer(parts, request, response).catch((e: unknown) => {
      if (!request.destroyed || request.complete)
        parts.log.error('a call of the admin port failed', { path: request.url, error: messageOf(e) })
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
  const segments = segmentsOf(request.url ?? '/')
  if (segments === undefined)
    return sendJson(response, 400, { code: 'admin.refused', message: `"${request.url}" is no path this port can read` })
  const method = request.method === 'HEAD' ? 'GET' : (request.method ?? 'GET')
  const at = parts.routes.flatMap((route) => {
    const params = match(route.path.split('/').slice(1), segments)
    return params === undefined ? [] : [{ route, params }]
  })
  const found = at.find(({ route }) => route.method === method)
  if (found === undefined) {
    if (at.length === 0)
      return sendJson(response, 404, { code: 'admin.not-found', message: `nothing is served at ${pathOf(request.url ?? '/')}` })
    const allowed = [...new Set(at.map(({ route }) => route.method))].join(', ')
    response.setHeader('allow', allowed)
    return sendJson(response, 405, { code: 'admin.refused', message: `this path takes ${allowed}, not ${request.method}` })
  }
  const refusal = found.route.access === 'open' ? null : refusalOf(parts, found.route.access, request)
  if (refusal !== null) {
    if (refusal.status === 401) response.setHeader('www-authenticate', 'Bearer')
    return sendJson(response, refusal.status, { code: 'admin.refused', message: refusal.message })
  }
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  const body = await readJson(request)
  if ('refusal' in body) return sendJson(response, body.status, { code: 'admin.refused', message: body.refusal })
  try {
    const result = await found.route.handle({
      params: found.params,
      query: new URLSearchParams((request.url ?? '').split('?')[1] ?? ''),
      body: body.value,
      accept: request.headers.accept ?? '',
      signal: gone.signal,
    })
    if ('json' in result) sendJson(response, result.status ?? 200, result.json)
    else if ('text' in result) {
      response.writeHead(result.status ?? 200, { 'content-type': result.contentType })
      response.end(result.text)
    } else await sendLines(response, result.lines, result.contentType, request.method === 'HEAD')
  } catch (e) {
    if (!(e instanceof Fault) || response.headersSent) throw e
    const status = e.code === 'admin.not-found' ? 404 : e.retryable ? 503 : 400
    sendJson(response, status, { code: e.code, message: e.message })
  }
}

function pathOf(url: string): string {
  return url.split('?')[0] ?? ''
}

/** The decoded parts of a path; undefined = an escape in it is none. */
function segmentsOf(url: string): readonly string[] | undefined {
  try {
    return pathOf(url).split('/').slice(1).map(decodeURIComponent)
  } catch {
    return undefined
  }
}

function match(pattern: readonly string[], segments: readonly string[]): Record<string, string> | undefined {
  if (pattern.length !== segments.length) return undefined
  const params: Record<string, string> = {}
  for (const [i, part] of pattern.entries()) {
    const segment = segments[i] ?? ''
    if (part.startsWith(':') && segment !== '') params[part.slice(1)] = segment
    else if (part !== segment) return undefined
  }
  return params
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
  const given = Buffer.from(/^Bearer +(.+)$/i.exec(header)?.[1] ?? '')
  const wanted = Buffer.from(token.reveal())
  return given.length === wanted.length && timingSafeEqual(given, wanted)
}

type Body = { readonly value: unknown } | { readonly status: number; readonly refusal: string }

async function readJson(request: IncomingMessage): Promise<Body> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    // What is too long is read to its end, so that the answer can be read; but it is not kept.
    if (bytes <= MOST_BODY_BYTES) chunks.push(chunk)
  }
  if (bytes > MOST_BODY_BYTES)
    return { status: 413, refusal: `the body has ${bytes} bytes; at most ${MOST_BODY_BYTES} are taken` }
  if (bytes === 0) return { value: null }
  try {
    return { value: JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown }
  } catch (e) {
    return { status: 400, refusal: `the body is no JSON: ${messageOf(e)}` }
  }
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(value) + '\n')
}

/** As fast as the reader takes them and no faster; the source is told when the reader goes. */
async function sendLines(
  response: ServerResponse,
  lines: AsyncIterable<string>,
  contentType: string,
  headOnly: boolean,
): Promise<void> {
  response.writeHead(200, { 'content-type': contentType, 'cache-control': 'no-store' })
  if (headOnly) return void response.end()
  response.flushHeaders()
  let goOn = (): void => {}
  const wake = (): void => goOn()
  response.on('drain', wake).on('close', wake)
  for await (const line of lines) {
    if (response.destroyed) return
    if (!response.write(line)) await new Promise<void>((resolve) => (goOn = resolve))
  }
  response.end()
}

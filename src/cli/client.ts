import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Fault, messageOf } from '../runtime/errors.ts'
import type { Options, Parsed } from './command.ts'

/** How every command that talks to a running gateway finds it. */
export const CLIENT_OPTIONS: Options = {
  admin: { type: 'string', value: 'URL', about: 'admin address of the gateway', default: 'http://127.0.0.1:9090' },
  data: { type: 'string', value: 'DIR', about: "the gateway's data folder, where its token is", default: '.sluice' },
  'token-file': { type: 'string', value: 'FILE', about: 'the token in another file' },
}

export const OUTPUT_OPTION: Options = {
  output: { type: 'string', short: 'o', value: 'json', about: 'print JSON instead of a table' },
}

export interface Client {
  get<T>(path: string): Promise<T>
  post<T>(path: string, body: unknown): Promise<T>
  /** Lines of an answer that goes on until either side ends it. */
  lines(path: string): AsyncIterable<string>
}

const PATIENCE_MS = 30_000

export function clientFor(args: Parsed): Client {
  // A wrong --output is told before anything is done.
  wantsJson(args)
  const base = args.text('admin').replace(/\/$/, '')
  const url = /^https?:\/\//.test(base) ? base : `http://${base}`
  const ask = async (path: string, init: RequestInit): Promise<Response> => {
    const headers = { ...tokenHeader(args), ...init.headers }
    let response: Response
    try {
      response = await fetch(url + path, { ...init, headers })
    } catch (e) {
      const cause = e instanceof Error && e.cause !== undefined ? e.cause : e
      throw new Fault('admin.unreachable', `no gateway answers at ${url} (${messageOf(cause)}); --admin names another address`, e)
    }
    // Readiness is an answer whatever its status.
    if (response.ok || path === '/readyz') return response
    const text = await response.text()
    const body = jsonOf(text) as { code?: string; message?: string } | null
    const code = response.status === 404 ? 'admin.not-found' : response.status >= 500 ? 'admin.failed' : 'admin.refused'
    throw new Fault(code, body?.message ?? `${response.status} ${text.slice(0, 200)}`)
  }
  const call = async <T>(path: string, init: RequestInit): Promise<T> => {
    const response = await ask(path, { ...init, signal: AbortSignal.timeout(PATIENCE_MS) })
    return jsonOf(await response.text()) as T
  }
  return {
    get: (path) => call(path, {}),
    post: (path, body) =>
      call(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    async *lines(path) {
      const response = await ask(path, {})
      const decoder = new TextDecoder()
      let rest = ''
      for await (const chunk of response.body ?? []) {
        const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
        rest = lines.pop() ?? ''
        yield* lines
      }
    },
  }
}

function tokenHeader(args: Parsed): Record<string, string> {
  const named = args.text('token-file')
  const file = named === '' ? join(args.text('data'), 'admin.token') : named
  try {
    return { authorization: `Bearer ${readFileSync(file, 'utf8').trim()}` }
  } catch (e) {
    if (named !== '') throw new Fault('config.usage', `cannot read the token: ${messageOf(e)}`, e)
    return {}
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return null
  }
}

/** `trigger/default/orders`, `trigger/orders` or `trigger default/orders` as the path of the API. */
export function subscriptionPath(words: readonly string[]): string {
  const [first = '', second] = words
  const parts = (second === undefined ? first : `${first}/${second}`).split('/')
  const [kind, namespace, name] = parts.length === 2 ? [parts[0], 'default', parts[1]] : parts
  if (kind === undefined || kind === '' || name === undefined || name === '' || parts.length > 3) {
    throw new Fault(
      'config.usage',
      `"${words.join(' ')}" names no subscription; it is KIND/NAMESPACE/NAME, e.g. trigger/default/orders`,
    )
  }
  return [kind.toLowerCase(), namespace ?? 'default', name].map(encodeURIComponent).join('/')
}

export function wantsJson(args: Parsed): boolean {
  const format = args.text('output')
  if (format !== '' && format !== 'json')
    throw new Fault('config.usage', `--output is "${format}"; the only other format is json`)
  return format === 'json'
}

/** Columns as wide as their widest cell. */
export function table(heads: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = [heads, ...rows.map((r) => r.map(String))]
  const widths = heads.map((_, i) => Math.max(...cells.map((r) => (r[i] ?? '').length)))
  return (
    cells
      .map((r) =>
        r
          .map((c, i) => c.padEnd(widths[i] ?? 0))
          .join('  ')
          .trimEnd(),
      )
      .join('\n') + '\n'
  )
}

export function print(value: unknown): void {
  process.stdout.write(JSON.stringify(value, null, 2) + '\n')
}

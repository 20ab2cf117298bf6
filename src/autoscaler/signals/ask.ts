import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { Secret } from '../../runtime/secret.ts'

export interface AskHow {
  readonly method?: 'GET' | 'POST' | 'PATCH'
  /** Sent as JSON. */
  readonly body?: unknown
  /** Content type where it is not application/json. */
  readonly type?: string
}

/** One call; gives the parsed JSON, or the text where the answer is none, null where it is empty. Rejects for all but 2xx. */
export type Ask = (url: string, how: AskHow, signal: AbortSignal) => Promise<unknown>

export interface AskSettings {
  /** Asked for at each call: a token of a cluster is renewed in its file. */
  readonly token: () => Secret | null
  /** PEM bundle, '' = the system's. */
  readonly ca: string
  readonly timeoutMs: number
}

const MOST_BYTES = 256 << 20

export function createAsk(settings: AskSettings): Ask {
  const http = new HttpAgent({ keepAlive: true })
  const https = new HttpsAgent({ keepAlive: true, ...(settings.ca === '' ? {} : { ca: settings.ca }) })
  return (url, how, signal) =>
    new Promise((resolve, reject) => {
      const text = how.body === undefined ? '' : JSON.stringify(how.body)
      const token = settings.token()
      const secure = url.startsWith('https:')
      const options = {
        method: how.method ?? 'GET',
        agent: secure ? https : http,
        signal: AbortSignal.any([signal, AbortSignal.timeout(settings.timeoutMs)]),
        headers: {
          accept: 'application/json, text/plain',
          ...(token === null ? {} : { authorization: `Bearer ${token.reveal()}` }),
          ...(text === '' ? {} : { 'content-type': how.type ?? 'application/json', 'content-length': Buffer.byteLength(text) }),
        },
      }
      const outgoing = (secure ? httpsRequest : httpRequest)(url, options, (response) => {
        read(response).then((body) => {
          const status = response.statusCode ?? 0
          if (status >= 200 && status < 300) resolve(body)
          else reject(new Error(`${new URL(url).host} answered ${status}: ${wordsOf(body)}`))
        }, reject)
      })
      outgoing.on('error', (e) =>
        reject(e.name === 'AbortError' && !signal.aborted ? new Error(`no answer within ${settings.timeoutMs} ms`) : e),
      )
      outgoing.end(text)
    })
}

async function read(response: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MOST_BYTES) throw new Error(`the answer is over ${MOST_BYTES} bytes`)
    chunks.push(chunk)
  }
  const text = Buffer.concat(chunks).toString('utf8')
  if (text === '') return null
  return (response.headers['content-type'] ?? '').includes('json') ? (JSON.parse(text) as unknown) : text
}

const MOST_WORDS = 200

function wordsOf(body: unknown): string {
  if (typeof body === 'string') return body.slice(0, MOST_WORDS)
  const message = (body as { message?: unknown } | null)?.message
  return typeof message === 'string' ? message : JSON.stringify(body).slice(0, MOST_WORDS)
}

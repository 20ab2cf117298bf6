import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'

/** One request a sink has seen. */
export interface Seen {
  readonly id: string
  readonly type: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
  readonly path: string
  readonly atMs: number
}

export interface Sink {
  readonly url: string
  readonly port: number
  readonly seen: readonly Seen[]
  /** Event id → how often it came. */
  counts(): Map<string, number>
  inFlight(): number
  mostInFlight(): number
  close(): Promise<void>
}

export type Answer = (seen: Seen, response: ServerResponse, nth: number) => void

/** A subscriber in this process. Without `answer` it says 200 at once. */
export async function startSink(answer: Answer = (_s, response) => response.writeHead(200).end(), port = 0): Promise<Sink> {
  const seen: Seen[] = []
  const times = new Map<string, number>()
  let inFlight = 0
  let most = 0
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = []
    inFlight++
    most = Math.max(most, inFlight)
    response.once('close', () => inFlight--)
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const id = String(request.headers['ce-id'] ?? '')
      const entry: Seen = {
        id,
        type: String(request.headers['ce-type'] ?? ''),
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
        path: request.url ?? '',
        atMs: performance.now(),
      }
      seen.push(entry)
      const nth = (times.get(id) ?? 0) + 1
      times.set(id, nth)
      answer(entry, response, nth)
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  const address = server.address()
  const listening = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${listening}/`,
    port: listening,
    seen,
    counts: () => new Map(times),
    inFlight: () => inFlight,
    mostInFlight: () => most,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

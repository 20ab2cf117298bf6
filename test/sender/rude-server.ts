import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { Origin } from '../../src/contract/target.ts'

/** One request as the server read it. `connection` and `nth` count from 1; `nth` is within the connection. */
export interface SeenRequest {
  readonly head: string
  readonly body: Buffer
  readonly connection: number
  readonly nth: number
  readonly socket: Socket
}

export interface RudeServer {
  readonly origin: Origin
  readonly requests: SeenRequest[]
  readonly sockets: Socket[]
  /** Connections that were closed by either side. */
  closed(): number
  close(): Promise<void>
}

/** What the server does on a connection: `request` for each whole request, `accepted` before anything was read. */
export interface Manners {
  request?(r: SeenRequest): void
  accepted?(socket: Socket): void
  /** false = what comes is never read. */
  reads?: boolean
  host?: string
  allowHalfOpen?: boolean
}

/** A server over bare sockets, in this process, that answers whatever a test makes up. */
export async function openRude(m: Manners): Promise<RudeServer> {
  const requests: SeenRequest[] = []
  const sockets: Socket[] = []
  let closed = 0
  const server: Server = createServer(
    { noDelay: true, pauseOnConnect: m.reads === false, allowHalfOpen: m.allowHalfOpen ?? false },
    (socket) => {
      const connection = sockets.push(socket)
      let nth = 0
      let gathered: Buffer = Buffer.alloc(0)
      socket.on('error', () => {})
      socket.on('close', () => closed++)
      m.accepted?.(socket)
      if (m.reads === false) return
      socket.on('data', (b) => {
        gathered = Buffer.concat([gathered, b])
        for (let one = cutRequest(gathered); one !== null; one = cutRequest(gathered)) {
          gathered = one.rest
          nth++
          const seen: SeenRequest = { head: one.head, body: one.body, connection, nth, socket }
          requests.push(seen)
          m.request?.(seen)
        }
      })
    },
  )
  server.listen(0, m.host ?? '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    origin: { protocol: 'http:', host: m.host ?? '127.0.0.1', port, caCerts: '' },
    requests,
    sockets,
    closed: () => closed,
    async close() {
      for (const s of sockets) s.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

function cutRequest(b: Buffer): { head: string; body: Buffer; rest: Buffer } | null {
  const end = b.indexOf('\r\n\r\n')
  if (end < 0) return null
  const head = b.toString('latin1', 0, end + 4)
  const bodyAt = end + 4
  if (/\r\ntransfer-encoding: chunked\r\n/i.test(head)) {
    const last = b.indexOf('0\r\n\r\n', bodyAt)
    if (last < 0) return null
    return { head, body: dechunk(b.subarray(bodyAt, last)), rest: b.subarray(last + 5) }
  }
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0)
  if (b.length < bodyAt + length) return null
  return { head, body: b.subarray(bodyAt, bodyAt + length), rest: b.subarray(bodyAt + length) }
}

function dechunk(b: Buffer): Buffer {
  const pieces: Buffer[] = []
  for (let at = 0; at < b.length;) {
    const lineEnd = b.indexOf('\r\n', at)
    const size = parseInt(b.toString('latin1', at, lineEnd), 16)
    pieces.push(b.subarray(lineEnd + 2, lineEnd + 2 + size))
    at = lineEnd + 2 + size + 2
  }
  return Buffer.concat(pieces)
}

/** An answer with Content-Length; `headers` are whole lines. */
export function answer(status: number, body = '', ...headers: string[]): string {
  return [`HTTP/1.1 ${status} Whatever`, ...headers, `Content-Length: ${Buffer.byteLength(body)}`, '', body].join('\r\n')
}

/** A real RST: `resetAndDestroy` sends a FIN before it. */
export function reset(socket: Socket): void {
  Object.assign(socket, { resetAndClosing: true }).destroy()
}

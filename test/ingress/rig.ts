import net from 'node:net'
import type { CloudEvent } from '../../src/event/event.ts'
import { SILENT } from '../../src/contract/observer.ts'
import type { Appended } from '../../src/contract/stream.ts'
import { DURABLE } from '../../src/contract/stream.ts'
import type { Destination, StreamDestination } from '../../src/ingress/destination.ts'
import type { Ingress, IngressLimits, IngressOptions } from '../../src/ingress/ingress.ts'
import { DEFAULT_LIMITS, openIngress } from '../../src/ingress/ingress.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { until } from '../until.ts'

export const SERVERS = ['uws', 'node'] as const

/** A broker that keeps what it is given and answers when it is told, at once unless `hold`. */
export class FakeStream {
  readonly events: CloudEvent[] = []
  readonly appends: CloudEvent[][] = []
  readonly waiting: ((r: Appended) => void)[] = []
  hold = false
  answer: Appended = DURABLE
  destination: StreamDestination = {
    kind: 'stream',
    id: 7,
    maxEventBytes: 1 << 20,
    dedupWindowMs: 0,
    append: (events, done) => {
      this.appends.push([...events])
      const settle = (r: Appended): void => {
        if (r.kind === 'durable') this.events.push(...events)
        done(r)
      }
      if (this.hold) this.waiting.push(settle)
      else setImmediate(() => settle(this.answer))
    },
  }
}

export interface Seen {
  received: string[]
  refused: string[]
  deduplicated: string[]
  accepted: number[]
  proxied: { pod: string; status: number }[]
}

export interface Rig {
  readonly ingress: Ingress
  readonly stream: FakeStream
  readonly seen: Seen
  readonly routes: Map<string, Destination>
}

export interface RigOptions {
  readonly limits?: Partial<IngressLimits>
  readonly proxy?: IngressOptions['proxy']
  readonly loadUws?: NonNullable<IngressOptions['loadUws']>
  readonly log?: IngressOptions['log']
}

/** A data port on loopback with one broker at /ns/broker; `routes` takes more, by path or by `//host`. */
export async function openRig(http: 'uws' | 'node', o: RigOptions = {}, port = 0): Promise<Rig> {
  const stream = new FakeStream()
  const seen: Seen = { received: [], refused: [], deduplicated: [], accepted: [], proxied: [] }
  const routes = new Map<string, Destination>()
  const ingress = await openIngress({
    http,
    host: '127.0.0.1',
    port,
    limits: { ...DEFAULT_LIMITS, ...o.limits },
    hopId: 'gateway-1',
    clock: systemClock,
    log: o.log ?? SILENT_LOG,
    ...(o.loadUws === undefined ? {} : { loadUws: o.loadUws }),
    proxy:
      o.proxy ??
      (() => {
        throw new Error('nothing is proxied in this test')
      }),
    observer: {
      ...SILENT,
      received: (_at, e) => seen.received.push(e.id),
      refused: (_at, code) => seen.refused.push(code),
      accepted: (_at, events) => seen.accepted.push(events),
      deduplicated: (_at, e) => seen.deduplicated.push(e.id),
      proxied: (_s, pod, status) => seen.proxied.push({ pod, status }),
    },
    resolve: (host, path) => routes.get(`//${host}`) ?? (path === '/ns/broker' ? stream.destination : routes.get(path)),
  })
  return { ingress, stream, seen, routes }
}

/** A client that writes exactly the bytes it is told to. */
export class Raw {
  readonly socket: net.Socket
  text = ''
  ended = false
  closed = false
  error = ''

  constructor(port: number, allowHalfOpen = false) {
    this.socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen })
    this.socket.setNoDelay(true)
    this.socket.on('data', (d: Buffer) => {
      this.text += d.toString('latin1')
    })
    this.socket.on('end', () => {
      this.ended = true
    })
    this.socket.on('close', () => {
      this.closed = true
    })
    this.socket.on('error', (e: NodeJS.ErrnoException) => {
      this.error = e.code ?? e.message
    })
  }

  send(text: string | Uint8Array): this {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text)
    return this
  }

  /** Status codes of the final answers so far. */
  get statuses(): number[] {
    return [...this.text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((m) => Number(m[1])).filter((s) => s >= 200)
  }

  async answers(count: number): Promise<number[]> {
    await until(`${count} answers`, () => this.statuses.length >= count, 15_000)
    return this.statuses
  }

  async end(): Promise<void> {
    await until(`the end of the connection, so far: ${JSON.stringify(this.text)}`, () => this.closed || this.ended, 15_000)
  }

  destroy(): void {
    this.socket.destroy()
  }
}

export const CE = 'ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: t\r\n'

export function post(path: string, body: string, headers: string = CE): string {
  return `POST ${path} HTTP/1.1\r\nHost: x\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

export function ceHeaders(id: string, more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { 'ce-specversion': '1.0', 'ce-id': id, 'ce-source': '/s', 'ce-type': 't', ...more }
}

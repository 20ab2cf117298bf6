import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream'
import {
  type Authenticator,
  connect,
  createInbox,
  credsAuthenticator,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  nkeyAuthenticator,
  type Subscription,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from '@nats-io/transport-node'
import type { Secret } from '../../runtime/secret.ts'
import { errorOfCall, NatsError } from './errors.ts'

export type NatsLogin =
  | { readonly kind: 'user'; readonly user: string; readonly password: Secret }
  | { readonly kind: 'token'; readonly token: Secret }
  /** Text of a credentials file: a JWT and its seed. */
  | { readonly kind: 'creds'; readonly creds: Secret }
  | { readonly kind: 'nkey'; readonly seed: Secret }

/** PEM texts; '' = the system's authorities, no client certificate. */
export interface NatsTls {
  readonly ca: string
  readonly cert: string
  readonly key: Secret | null
}

export interface NatsLinkOptions {
  /** `nats://host:port` or `tls://…`, any of the cluster. */
  readonly servers: readonly string[]
  readonly login: NatsLogin | null
  readonly tls: NatsTls | null
  /** Shown in NATS's list of connections. */
  readonly name: string
}

/** What happens to a connection. Each is called in a turn of its own, never from within a call of the link. */
export interface NatsLinkEvents {
  up(): void
  down(why: NatsError): void
  /** It cannot connect, or the server forbids something. */
  trouble(e: NatsError): void
}

/** A message as it was received. `reply` '' = it wants no answer. */
export type NatsMessage = Msg

const CONNECT_MS = 5_000
const CALL_MS = 5_000
const AGAIN_MS = 500
/** A server that is gone without a word is noticed after two of these. */
const PING_MS = 15_000
const DEFAULT_PAYLOAD = 2 ** 20

/** One connection to NATS that comes back for ever. Subscriptions outlive it; what is published while it is down is refused. */
export class NatsLink {
  readonly #o: NatsLinkOptions
  readonly #events: NatsLinkEvents
  readonly #inbox = createInbox()
  readonly #listening: { readonly subject: string; readonly f: (m: NatsMessage) => void; sub: Subscription | null }[] = []
  #connection: NatsConnection | null = null
  #admin: JetStreamManager | null = null
  #up = false
  #unreached: NatsError | null = null
  #closed = false
  #again: NodeJS.Timeout | undefined

  constructor(o: NatsLinkOptions, events: NatsLinkEvents) {
    this.#o = o
    this.#events = events
  }

  start(): void {
    void this.#run()
  }

  get up(): boolean {
    return this.#up
  }

  /** Why the first connection could not be made so far; null = it was, or that is not known yet. */
  get unreached(): NatsError | null {
    return this.#unreached
  }

  /** Bytes of headers and data that the server takes in one message. */
  get maxPayload(): number {
    return this.#connection?.info?.max_payload ?? DEFAULT_PAYLOAD
  }

  /** JetStream's administration. Throws NatsUnreachable while the connection is down. */
  get admin(): JetStreamManager {
    if (this.#admin === null || !this.#up) throw new NatsError('NatsUnreachable', 'there is no connection to NATS')
    return this.#admin
  }

  /** A subject of ours below which answers come: `<inbox>.<tail>`. */
  listen(tail: string, f: (m: NatsMessage) => void): string {
    const one = { subject: `${this.#inbox}.${tail}`, f, sub: null }
    this.#listening.push(one)
    this.#subscribe(one)
    return one.subject
  }

  unlisten(subject: string): void {
    const at = this.#listening.findIndex((l) => l.subject === subject)
    if (at < 0) return
    const [one] = this.#listening.splice(at, 1)
    if (this.#connection?.isClosed() === false) one?.sub?.unsubscribe()
  }

  /** No more comes to it from the server; resolves when all that was on its way has come. */
  async drain(subject: string): Promise<void> {
    const at = this.#listening.findIndex((l) => l.subject === subject)
    const [one] = at < 0 ? [] : this.#listening.splice(at, 1)
    if (this.#up && one?.sub !== undefined && one.sub !== null) await one.sub.drain().catch(() => {})
  }

  /** Resolves when the server has read everything published so far, or the connection is gone. */
  async flush(): Promise<void> {
    if (this.#up && this.#connection !== null) await this.#connection.flush().catch(() => {})
  }

  /** A subject below the inbox of this link, for answers to `listen` with a wildcard. */
  inbox(tail: string): string {
    return `${this.#inbox}.${tail}`
  }

  /**
   * `head`: header lines, each ended by CRLF, ASCII; '' = none. false = not sent: there is no connection, or it is over
   * `maxPayload`. true promises nothing, an answer does.
   */
  publish(subject: string, reply: string, head: string, data: Uint8Array | string): boolean {
    if (!this.#up || this.#connection === null) return false
    try {
      if (head === '') this.#connection.publish(subject, data, reply === '' ? undefined : { reply })
      else this.#connection.publish(subject, data, reply === '' ? { headers: block(head) } : { reply, headers: block(head) })
      return true
    } catch {
      return false
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#up = false
    clearTimeout(this.#again)
    const connection = this.#connection
    if (connection === null || connection.isClosed()) return
    // What was published last has to leave; a server that is away must not hold us up.
    await Promise.race([connection.flush().catch(() => {}), timer(1_000)])
    await connection.close().catch(() => {})
  }

  // -- the connection -----------------------------------------------------------------------------------------------

  async #run(): Promise<void> {
    while (!this.#closed) {
      try {
        const connection = await connect(optionsOf(this.#o))
        if (this.#closed) await connection.close()
        else await this.#serve(connection)
      } catch (e) {
        const why = errorOfCall(e)
        if (this.#connection === null) this.#unreached = why
        if (!this.#closed) this.#events.trouble(why)
      }
      if (this.#closed) return
      await new Promise<void>((resolve) => {
        this.#again = setTimeout(resolve, AGAIN_MS).unref()
      })
    }
  }

  /** The client reconnects by itself; this ends when it has given up, which it does only when it is told to. */
  async #serve(connection: NatsConnection): Promise<void> {
    this.#connection = connection
    this.#unreached = null
    this.#admin = await jetstreamManager(connection, { checkAPI: false, timeout: CALL_MS })
    for (const one of this.#listening) this.#subscribe(one)
    this.#up = true
    this.#events.up()
    for await (const s of connection.status()) {
      if (this.#closed) return
      if (s.type === 'disconnect') this.#down(new NatsError('NatsUnreachable', `the connection to ${s.server} is lost`))
      else if (s.type === 'reconnect') {
        this.#up = true
        this.#events.up()
      } else if (s.type === 'error') this.#events.trouble(errorOfCall(s.error))
    }
    this.#down(new NatsError('NatsUnreachable', 'the connection was closed'))
  }

  #down(why: NatsError): void {
    if (!this.#up) return
    this.#up = false
    this.#events.down(why)
  }

  #subscribe(one: { readonly subject: string; readonly f: (m: NatsMessage) => void; sub: Subscription | null }): void {
    if (this.#connection === null || this.#connection.isClosed()) return
    one.sub = this.#connection.subscribe(one.subject, {
      callback: (error, m) => {
        if (error === null) one.f(m)
        else this.#events.trouble(errorOfCall(error))
      },
    })
  }
}

/**
 * The client asks its headers for nothing but their bytes; its own list of them checks and copies every name and value a
 * second time, 4 µs for eight.
 */
function block(head: string): MsgHdrs {
  return { encode: () => Buffer.from(`NATS/1.0\r\n${head}\r\n`, 'latin1') } as unknown as MsgHdrs
}

/** The header block as it came, null = none: the client's own way parses every line, 5 µs for eight. */
export function headOf(m: NatsMessage): Uint8Array | null {
  const { _msg, _rdata } = m as unknown as { _msg?: { hdr?: number }; _rdata?: Uint8Array }
  if (_msg?.hdr === undefined || _rdata === undefined) return m.headers === undefined ? null : encoded(m.headers)
  return _msg.hdr > -1 ? _rdata.subarray(0, _msg.hdr) : null
}

/** Should another version of the client hide the bytes. */
function encoded(headers: MsgHdrs): Uint8Array {
  let text = 'NATS/1.0\r\n'
  for (const [name, values] of headers) for (const value of values) text += `${name}: ${value}\r\n`
  return Buffer.from(`${text}\r\n`)
}

function optionsOf(o: NatsLinkOptions): Parameters<typeof connect>[0] {
  const tls = o.tls !== null || o.servers.some((s) => s.startsWith('tls://'))
  const login = o.login === null ? null : authenticatorOf(o.login)
  return {
    servers: [...o.servers],
    name: o.name,
    timeout: CONNECT_MS,
    maxReconnectAttempts: -1,
    reconnectTimeWait: AGAIN_MS,
    reconnectJitter: AGAIN_MS,
    pingInterval: PING_MS,
    // A refused login may be mended on the server at any time.
    ignoreAuthErrorAbort: true,
    noAsyncTraces: true,
    ...(login === null ? {} : { authenticator: login }),
    ...(tls ? { tls: tlsOf(o.tls) } : {}),
  }
}

function tlsOf(t: NatsTls | null): { ca?: string; cert?: string; key?: string } {
  return {
    ...(t === null || t.ca === '' ? {} : { ca: t.ca }),
    ...(t === null || t.cert === '' || t.key === null ? {} : { cert: t.cert, key: t.key.reveal() }),
  }
}

function authenticatorOf(login: NatsLogin): Authenticator {
  const bytes = (s: Secret): Uint8Array => new TextEncoder().encode(s.reveal())
  switch (login.kind) {
    case 'user':
      return usernamePasswordAuthenticator(login.user, login.password.reveal())
    case 'token':
      return tokenAuthenticator(login.token.reveal())
    case 'creds':
      return credsAuthenticator(bytes(login.creds))
    case 'nkey':
      return nkeyAuthenticator(bytes(login.seed))
  }
}

function timer(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref())
}

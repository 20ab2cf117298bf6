import type { Connection, ConnectionPool, SASLOptions } from '@platformatic/kafka'
import type { Secret } from '../../runtime/secret.ts'
import { loadKafkaLibrary } from './library.ts'

export interface BrokerAddress {
  readonly host: string
  readonly port: number
}

export interface KafkaSasl {
  readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512'
  readonly user: string
  readonly password: Secret
}

/** PEM texts; '' = the system's authorities, no client certificate. */
export interface KafkaTls {
  readonly ca: string
  readonly cert: string
  readonly key: Secret | null
}

export interface KafkaLogin {
  readonly clientId: string
  readonly sasl: KafkaSasl | null
  readonly tls: KafkaTls | null
  /** Brokers are addressed by name: the name is sent along (SNI), as brokers behind one address need it. */
  readonly byName: boolean
}

/** What a call did not bring back: the wire failed, or the broker does not let us in. */
export interface KafkaTrouble {
  readonly reason: 'unreachable' | 'authentication' | 'refused'
  readonly message: string
}

const CONNECT_TIMEOUT_MS = 5_000

/**
 * Connections of one purpose to all brokers, one a broker, made when needed and replaced when broken. A broker answers
 * the requests of a connection one after the other, so what may wait long (a fetch, a join) has a link of its own.
 */
export class KafkaLink {
  readonly #login: KafkaLogin
  readonly #requestTimeoutMs: number
  #pool: ConnectionPool | null = null
  #closed = false

  constructor(login: KafkaLogin, requestTimeoutMs: number) {
    this.#login = login
    this.#requestTimeoutMs = requestTimeoutMs
  }

  /** Rejects with the library's error; `troubleOf` tells what it means. */
  async connection(broker: BrokerAddress): Promise<Connection> {
    const library = await loadKafkaLibrary()
    if (this.#closed) throw new Error('the link to Kafka is closed')
    this.#pool ??= this.#open(library)
    return this.#pool.get(broker)
  }

  /** The connection if it stands, for the path on which a promise a call would cost too much. */
  established(broker: BrokerAddress): Connection | undefined {
    const connection = this.#pool?.getEstablishedConnection(broker)
    return connection?.isConnected() === true ? connection : undefined
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#pool?.close()
  }

  #open(library: Awaited<ReturnType<typeof loadKafkaLibrary>>): ConnectionPool {
    const login = this.#login
    const pool = new library.ConnectionPool(login.clientId, {
      connectTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: this.#requestTimeoutMs,
      maxInflights: 16,
      ...(login.sasl === null ? {} : { sasl: saslOptions(login.sasl) }),
      ...(login.tls === null ? {} : { tls: tlsOptions(login.tls), tlsServerName: login.byName }),
    })
    // A connection may report a second failure after the pool has dropped it; without a listener that ends the process.
    pool.on('connecting' as 'connect', ({ connection }) => connection.on('error', () => {}))
    return pool
  }
}

function saslOptions(sasl: KafkaSasl): SASLOptions {
  // The password is a function, so that it is in no options object that might be printed.
  return { mechanism: sasl.mechanism, username: sasl.user, password: () => sasl.password.reveal() }
}

function tlsOptions(tls: KafkaTls): Record<string, string> {
  return {
    ...(tls.ca === '' ? {} : { ca: tls.ca }),
    ...(tls.cert === '' ? {} : { cert: tls.cert }),
    ...(tls.key === null ? {} : { key: tls.key.reveal() }),
  }
}

/** `host:port`, `[v6]:port`, `host` (port 9092). */
export function parseBootstrap(text: string): BrokerAddress {
  const match = /^(?:\[(?<v6>[^\]]+)\]|(?<host>[^:]+))(?::(?<port>\d+))?$/.exec(text.trim())
  const host = match?.groups?.['v6'] ?? match?.groups?.['host'] ?? text
  return { host, port: Number(match?.groups?.['port'] ?? 9092) }
}

/** One sentence with every cause, and whether waiting, credentials or the configuration is what helps. */
export function troubleOf(e: unknown): KafkaTrouble {
  const texts: string[] = []
  let reason: KafkaTrouble['reason'] = 'unreachable'
  const walk = (x: unknown, depth: number): void => {
    if (!(x instanceof Error) || depth > 5) return
    const code = (x as { code?: unknown }).code
    if (code === 'PLT_KFK_AUTHENTICATION') reason = 'authentication'
    else if (code === 'PLT_KFK_USER' && reason === 'unreachable') reason = 'refused'
    else if (typeof code === 'string' && /CERT|SSL|TLS|SELF_SIGNED/.test(code)) reason = 'authentication'
    if (x.message !== '' && !texts.includes(x.message)) texts.push(x.message)
    if (x instanceof AggregateError) for (const one of x.errors.slice(0, 3)) walk(one, depth + 1)
    walk(x.cause, depth + 1)
  }
  walk(e, 0)
  return { reason, message: texts.length === 0 ? String(e) : texts.join(' ') }
}

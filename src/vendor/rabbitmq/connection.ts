import { connect, IllegalOperationError, type ChannelModel } from 'amqplib'
import type { Secret } from '../../runtime/secret.ts'
import { RabbitMqChannel, rethrow } from './channel.ts'
import { RabbitMqError, rabbitMqError } from './errors.ts'

/** PEM texts; '' = the system's authorities, no client certificate. */
export interface RabbitMqTls {
  readonly ca: string
  readonly cert: string
  readonly key: Secret | null
}

export interface RabbitMqLogin {
  /** Any node of the cluster. */
  readonly hosts: readonly { readonly host: string; readonly port: number }[]
  readonly vhost: string
  readonly user: string
  readonly password: Secret
  readonly tls: RabbitMqTls | null
  /** What the server's management shows. */
  readonly name: string
}

/** A server that is silent for two of these is gone. */
const HEARTBEAT_S = 10
const CONNECT_TIMEOUT_MS = 10_000

/** One connection, for as long as it lives. */
export class RabbitMqConnection {
  readonly #model: ChannelModel
  readonly #closed: (e: RabbitMqError | null) => void
  /** 3.10.8 → [3, 10]. */
  readonly version: readonly [major: number, minor: number]

  constructor(model: ChannelModel, events: ConnectionEvents) {
    this.#model = model
    this.version = versionOf(model.connection.serverProperties.version)
    let error: RabbitMqError | null = null
    let told = false
    this.#closed = (e) => {
      if (told) return
      told = true
      events.closed(error ?? e)
    }
    model.on('error', (e) => (error = rabbitMqError(e)))
    model.on('close', (e) => this.#closed(e === undefined ? null : rabbitMqError(e)))
    model.on('blocked', (reason) => events.blocked(reason))
    model.on('unblocked', () => events.blocked(''))
    model.on('handler-error', rethrow)
  }

  async channel(): Promise<RabbitMqChannel> {
    return new RabbitMqChannel(await this.#model.createChannel().catch((e: unknown) => this.#refused(e)))
  }

  async confirmChannel(): Promise<RabbitMqChannel> {
    return new RabbitMqChannel(await this.#model.createConfirmChannel().catch((e: unknown) => this.#refused(e)))
  }

  /** A connection that was closed before anybody listened is found out by whoever wants to use it. */
  #refused(e: unknown): never {
    if (e instanceof IllegalOperationError) this.#closed(rabbitMqError(e))
    return refused(e)
  }

  async close(): Promise<void> {
    await this.#model.close().catch(() => undefined)
  }
}

export interface ConnectionEvents {
  /** Once; null = we have closed it. */
  closed(e: RabbitMqError | null): void
  /** The server takes nothing more from publishers of this connection; '' = it does again. */
  blocked(reason: string): void
}

/** Rejects with a `RabbitMqError`. */
export async function openConnection(
  login: RabbitMqLogin,
  host: string,
  port: number,
  events: ConnectionEvents,
): Promise<RabbitMqConnection> {
  const { tls } = login
  const model = await connect(
    {
      protocol: tls === null ? 'amqp' : 'amqps',
      hostname: host,
      port,
      username: login.user,
      password: login.password.reveal(),
      vhost: encodeURIComponent(login.vhost),
      heartbeat: HEARTBEAT_S,
    },
    {
      noDelay: true,
      keepAlive: true,
      timeout: CONNECT_TIMEOUT_MS,
      clientProperties: { connection_name: login.name },
      ...(tls === null ? {} : { ca: tls.ca === '' ? undefined : tls.ca }),
      ...(tls === null || tls.cert === '' ? {} : { cert: tls.cert, key: tls.key?.reveal() }),
    },
  ).catch(refused)
  return new RabbitMqConnection(model, events)
}

function refused(e: unknown): never {
  throw rabbitMqError(e)
}

function versionOf(text: string): readonly [number, number] {
  const [major = 0, minor = 0] = text.split('.').map(Number)
  return [major, minor]
}

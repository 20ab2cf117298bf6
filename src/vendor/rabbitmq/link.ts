import type { Clock, Timer } from '../../runtime/clock.ts'
import type { Random } from '../../runtime/random.ts'
import { aborted } from '../../runtime/ending.ts'
import type { RabbitMqChannel } from './channel.ts'
import { openConnection, type RabbitMqConnection, type RabbitMqLogin } from './connection.ts'
import { RabbitMqError, rabbitMqError } from './errors.ts'

export interface LinkParts {
  readonly login: RabbitMqLogin
  readonly clock: Clock
  readonly random: Random
  /** A connection stands, the first or another one. */
  readonly up: (link: RabbitMqLink) => void
  /** It is lost, or could not be made; it is tried again. */
  readonly down: (e: RabbitMqError) => void
  /** The server takes nothing from publishers; '' = it does again. */
  readonly blocked?: (reason: string) => void
}

const AGAIN_LEAST_MS = 250
const AGAIN_MOST_MS = 10_000

/**
 * One connection to RabbitMQ that is made again whenever it is lost, for ever.
 *
 *   connecting ─▶ up ─▶ (lost) ─▶ waiting ─▶ connecting …
 */
export class RabbitMqLink {
  readonly #p: LinkParts
  #connection: RabbitMqConnection | null = null
  #reached = false
  #unreached: RabbitMqError | null = null
  /** When it was made. */
  #sinceMs = 0
  #againMs = 0
  #again: Timer | null = null
  #attempts = 0
  #started = false
  #closed = false

  constructor(p: LinkParts) {
    this.#p = p
  }

  get connection(): RabbitMqConnection | null {
    return this.#connection
  }

  /** Why the first connection could not be made so far; null = it was, or that is not known yet. */
  get unreached(): RabbitMqError | null {
    return this.#unreached
  }

  /** Begins to connect, once. */
  start(): void {
    if (this.#started) return
    this.#started = true
    void this.#connect()
  }

  /** Does something on a channel of its own, since a refusal closes it. Rejects with a `RabbitMqError`. */
  async withChannel<T>(f: (channel: RabbitMqChannel) => Promise<T>): Promise<T> {
    if (this.#connection === null) throw new RabbitMqError('RabbitMQUnreachable', 'there is no connection at the moment')
    const channel = await this.#connection.channel()
    try {
      return await f(channel)
    } finally {
      void channel.close()
    }
  }

  async close(signal: AbortSignal): Promise<void> {
    this.#closed = true
    this.#again?.cancel()
    const connection = this.#connection
    this.#connection = null
    if (connection === null) return
    await Promise.race([connection.close(), aborted(signal)])
  }

  async #connect(): Promise<void> {
    const { login, clock, up, blocked } = this.#p
    const { host, port } = login.hosts[this.#attempts++ % login.hosts.length] as (typeof login.hosts)[number]
    let lost: RabbitMqError | null | undefined
    let connection: RabbitMqConnection | null = null
    try {
      connection = await openConnection(login, host, port, {
        closed: (e) => {
          lost = e
          if (connection !== null && this.#connection === connection) this.#lost(e)
        },
        blocked: (reason) => blocked?.(reason),
      })
      if (this.#closed) return void connection.close()
      if (lost !== undefined) return this.#lost(lost)
      this.#connection = connection
      this.#reached = true
      this.#unreached = null
      this.#sinceMs = clock.now()
      up(this)
    } catch (e) {
      const { reason, message } = rabbitMqError(e)
      const why = new RabbitMqError(reason, `${host}:${port}: ${message}`)
      if (!this.#reached) this.#unreached = why
      this.#lost(why)
    }
  }

  #lost(e: RabbitMqError | null): void {
    if (this.#closed) return
    const { clock, random, down, login } = this.#p
    // One that has lived for a while was a good one: the next attempt follows soon.
    if (this.#connection !== null && clock.now() - this.#sinceMs > AGAIN_MOST_MS) this.#againMs = 0
    this.#connection = null
    this.#againMs = Math.min(AGAIN_MOST_MS, Math.max(AGAIN_LEAST_MS, this.#againMs * 2))
    // With several nodes the next one is asked at once.
    const waitMs = this.#attempts % login.hosts.length === 0 ? this.#againMs * (0.8 + 0.4 * random.next()) : AGAIN_LEAST_MS
    this.#again?.cancel()
    this.#again = clock.after(waitMs, () => void this.#connect())
    down(e ?? new RabbitMqError('RabbitMQUnreachable', 'the connection was closed'))
  }
}

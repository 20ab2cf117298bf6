import type { Clock } from '../../runtime/clock.ts'
import type { Random } from '../../runtime/random.ts'
import type { RabbitMqLogin } from '../../vendor/rabbitmq/connection.ts'
import type { RabbitMqChannel } from '../../vendor/rabbitmq/channel.ts'
import { RabbitMqError } from '../../vendor/rabbitmq/errors.ts'
import { RabbitMqLink } from '../../vendor/rabbitmq/link.ts'
import type { Health } from './health.ts'
import type { Publisher } from './publisher.ts'
import type { RabbitMqCluster } from './settings.ts'
import type { RabbitMqSubscription } from './subscription.ts'

export function loginOf(c: RabbitMqCluster, name: string): RabbitMqLogin {
  const port = c.tls === null ? 5672 : 5671
  const hosts = c.hosts.map((one) => {
    const [, host = one, written] = /^(.*?)(?::(\d+))?$/.exec(one) ?? []
    return { host: host.replace(/^\[|\]$/g, ''), port: written === undefined ? port : Number(written) }
  })
  return { hosts, vhost: c.vhost, user: c.user, password: c.password, tls: c.tls, name }
}

export interface LinksParts {
  readonly login: RabbitMqLogin
  readonly clock: Clock
  readonly random: Random
  readonly health: Health
}

/**
 * Two connections: RabbitMQ stops reading from those that publish when it is short of memory or disk, and acknowledgements
 * must arrive all the more then.
 */
export class Links {
  readonly consuming: RabbitMqLink
  readonly publishing: RabbitMqLink
  readonly #subscriptions = new Set<RabbitMqSubscription>()
  /** Those the server has not answered yet. */
  readonly #undecided = new Set<RabbitMqSubscription>()
  /** The channel on which all are asked how much they hold. */
  #asking: Promise<RabbitMqChannel> | null = null

  constructor(p: LinksParts, publisher: () => Publisher) {
    const { clock, random, health, login } = p
    this.consuming = new RabbitMqLink({
      login,
      clock,
      random,
      up: (link) => {
        health.good('consuming')
        for (const s of this.#subscriptions) s.up(link)
      },
      down: (e) => {
        this.#asking = null
        health.bad('consuming', e)
        for (const s of this.#subscriptions) s.down()
      },
    })
    this.publishing = new RabbitMqLink({
      login,
      clock,
      random,
      up: (link) => {
        health.good('publishing')
        publisher().up(link)
      },
      down: (e) => {
        health.bad('publishing', e)
        publisher().down()
      },
      blocked: (reason) => publisher().blocked(reason),
    })
  }

  add(s: RabbitMqSubscription): void {
    this.#subscriptions.add(s)
    this.#undecided.add(s)
    if (this.consuming.connection === null) this.consuming.start()
    else s.up(this.consuming)
  }

  remove(s: RabbitMqSubscription): void {
    this.#subscriptions.delete(s)
    this.#undecided.delete(s)
  }

  /** What is published waits until it is there again. */
  undecided(s: RabbitMqSubscription): void {
    if (this.#subscriptions.has(s)) this.#undecided.add(s)
  }

  /** What is published now comes to everybody who is here. */
  get allDecided(): boolean {
    if (this.#undecided.size === 0) return true
    for (const s of this.#undecided) if (s.decided) this.#undecided.delete(s)
    return this.#undecided.size === 0
  }

  /** Messages of a queue that are ready. Rejects where it cannot be asked. */
  async readyIn(queue: string): Promise<number> {
    const { connection } = this.consuming
    if (connection === null) throw new RabbitMqError('RabbitMQUnreachable', 'there is no connection at the moment')
    this.#asking ??= connection.channel()
    const opened = this.#asking
    try {
      return (await (await opened).queue(queue)).ready
    } catch (e) {
      // A question for a queue that is gone closes the channel.
      if (this.#asking === opened) this.#asking = null
      throw e
    }
  }

  get subscribed(): number {
    return this.#subscriptions.size
  }

  async close(signal: AbortSignal): Promise<void> {
    await Promise.all([this.consuming.close(signal), this.publishing.close(signal)])
  }
}

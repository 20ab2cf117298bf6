import type { DetachedState } from '../../contract/delivery.ts'
import { toAmqpMessage } from '../../event/amqp.ts'
import type { CloudEvent } from '../../event/event.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { QueueOptions } from '../../vendor/rabbitmq/channel.ts'
import type { RabbitMqLink } from '../../vendor/rabbitmq/link.ts'
import { encodeState, STATE_NAME } from '../queue/state.ts'
import type { Publisher } from './publisher.ts'
import { versionOf } from './queues.ts'
import type { QueueType } from './settings.ts'

/** Waits are rounded up to these steps, so that there are few queues: [up to seconds, step]. */
const STEPS = [
  [60, 1],
  [600, 10],
  [3_600, 60],
  [86_400, 600],
  [3_888_000, 86_400],
] as const
/** Times of a queue are 32-bit numbers of ms, which is 49 days. */
const LONGEST_S = 3_888_000
/** A queue that nobody declares again goes so long after the last message could have left it: RabbitMQ does not look whether it is empty. */
const EXPIRES_AFTER_MS = 24 * 3_600_000
/** So long a declaration is good for: no message is put into a queue that may go before it. */
const DECLARED_FOR_MS = 3_600_000
const MS = 1_000

/** Whole seconds, rounded up, so that nothing comes back before it is due. */
export function delaySeconds(ms: number): number {
  const s = Math.max(1, Math.ceil(ms / MS))
  for (const [upTo, step] of STEPS) if (s <= upTo) return Math.ceil(s / step) * step
  return LONGEST_S
}

/**
 * What waits long stands in queues beside the one it came from, one a delay, whose messages expire into it: in order of
 * their time, as all of a queue wait equally long.
 */
export class Delays {
  readonly #p: DelaysParts
  /** Delay in seconds → until when it may be published to (monotonic ms). */
  readonly #declared = new Map<number, { readonly ready: Promise<void>; untilMs: number }>()

  constructor(p: DelaysParts) {
    this.#p = p
  }

  /** Those that were made in this process. */
  get queues(): readonly string[] {
    return [...this.#declared.keys()].map((s) => this.#name(s))
  }

  store(event: CloudEvent, state: DetachedState, done: (ok: boolean) => void): void {
    const { clock, publisher } = this.#p
    const seconds = delaySeconds(state.dueMs - clock.wall())
    this.#ready(seconds).then(
      () => {
        const message = toAmqpMessage(event)
        const headers = { ...message.headers, [STATE_NAME]: encodeState(state) }
        publisher.send('', this.#name(seconds), { ...message, headers }, (r) => {
          // Somebody has deleted it.
          if (r === 'unroutable') this.#declared.delete(seconds)
          done(r === 'durable')
        })
      },
      () => done(false),
    )
  }

  #name(seconds: number): string {
    return `${this.#p.queue}.retry.${seconds}`
  }

  #ready(seconds: number): Promise<void> {
    const nowMs = this.#p.clock.now()
    const known = this.#declared.get(seconds)
    if (known !== undefined && known.untilMs > nowMs) return known.ready
    const ready = this.#declare(seconds)
    this.#declared.set(seconds, { ready, untilMs: nowMs + DECLARED_FOR_MS })
    ready.catch(() => this.#declared.delete(seconds))
    return ready
  }

  async #declare(seconds: number): Promise<void> {
    const link = this.#p.link()
    await link.withChannel((channel) => channel.declareQueue(this.#name(seconds), this.#options(link, seconds)))
  }

  /** Quorum queues know time and a hand-over that loses nothing since 3.10. */
  #options(link: RabbitMqLink, seconds: number): QueueOptions {
    const [major, minor] = versionOf(link)
    const quorum = this.#p.type === 'quorum' && (major > 3 || (major === 3 && minor >= 10))
    return {
      durable: true,
      autoDelete: false,
      exclusive: false,
      arguments: {
        'x-queue-type': quorum ? 'quorum' : 'classic',
        'x-message-ttl': seconds * MS,
        'x-expires': seconds * MS + EXPIRES_AFTER_MS,
        'x-dead-letter-exchange': '',
        'x-dead-letter-routing-key': this.#p.queue,
        ...(quorum ? { 'x-dead-letter-strategy': 'at-least-once', 'x-overflow': 'reject-publish' } : {}),
      },
    }
  }
}

export interface DelaysParts {
  /** Where they come back. */
  readonly queue: string
  readonly type: QueueType
  readonly clock: Clock
  readonly publisher: Publisher
  readonly link: () => RabbitMqLink
}

import type { Clock, Timer } from '../../runtime/clock.ts'
import type { Random } from '../../runtime/random.ts'
import { readMetadata, type ClusterView, type TopicView } from '../../vendor/kafka/calls.ts'
import { CODE, codeName } from '../../vendor/kafka/codes.ts'
import { type BrokerAddress, type KafkaLink, troubleOf } from '../../vendor/kafka/link.ts'
import { Backoff, type Health } from './health.ts'

export interface ClusterParts {
  readonly link: KafkaLink
  readonly bootstrap: readonly BrokerAddress[]
  readonly topics: readonly string[]
  readonly everyMs: number
  readonly clock: Clock
  readonly random: Random
  readonly health: Health
  /** After each answer: leaders, partition counts or topic ids may be others. */
  readonly onView: (view: ClusterView) => void
}

/** Asked again for a leader that moved, this soon at the earliest. */
const SOON_MS = 100

export const REASONS = { unreachable: 'KafkaUnreachable', authentication: 'KafkaLoginFailed', refused: 'KafkaRefused' } as const

/** Who leads which partition, kept fresh: every few seconds, and at once when a leader turns out to be stale. */
export class Cluster {
  view: ClusterView | null = null
  readonly #o: ClusterParts
  readonly #backoff: Backoff
  #timer: Timer | null = null
  #running: Promise<boolean> | null = null
  #askedLast = 0
  #closed = false

  constructor(o: ClusterParts) {
    this.#o = o
    this.#backoff = new Backoff(250, 3_000, o.random)
  }

  /** Begins; never gives up. */
  start(): void {
    void this.refresh()
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }

  topic(name: string): TopicView | undefined {
    return this.view?.topics.get(name)
  }

  leader(topic: string, partition: number): number {
    return this.topic(topic)?.partitions[partition]?.leader ?? -1
  }

  /** Any broker that may answer a question about the cluster, another one each time. */
  anyBroker(): BrokerAddress {
    const all = [...(this.view?.brokers.values() ?? []), ...this.#o.bootstrap]
    return all[this.#askedLast++ % all.length] ?? { host: '127.0.0.1', port: 9092 }
  }

  /** Something was answered that contradicts the view. */
  refreshSoon(): void {
    if (this.#closed || this.#running !== null) return
    this.#schedule(SOON_MS)
  }

  /** One round over the brokers; true = the view is of now. */
  refresh(): Promise<boolean> {
    this.#running ??= this.#round().finally(() => {
      this.#running = null
    })
    return this.#running
  }

  async #round(): Promise<boolean> {
    this.#timer?.cancel()
    const o = this.#o
    const tries = (this.view?.brokers.size ?? 0) + o.bootstrap.length
    let last: unknown
    for (let i = 0; i < tries && !this.#closed; i++) {
      try {
        const view = await readMetadata(o.link, this.anyBroker(), o.topics)
        if (view.brokers.size === 0) continue
        this.#took(view)
        return true
      } catch (e) {
        last = e
      }
    }
    if (!this.#closed) {
      const trouble = troubleOf(last)
      o.health.bad('cluster', REASONS[trouble.reason], trouble.message)
      this.#schedule(this.#backoff.nextMs())
    }
    return false
  }

  #took(view: ClusterView): void {
    const o = this.#o
    this.view = view
    o.health.good('cluster')
    this.#backoff.reset()
    for (const name of o.topics) {
      const code = view.topics.get(name)?.code ?? CODE.unknownTopicOrPartition
      if (code === CODE.none) o.health.good(`topic ${name}`)
      else if (code === CODE.topicAuthorizationFailed)
        o.health.bad(`topic ${name}`, 'TopicForbidden', `topic ${name} may not be read with these credentials`)
      else
        o.health.bad(
          `topic ${name}`,
          'TopicMissing',
          `topic ${name} cannot be read: ${codeName(code)}; it is used as soon as it exists`,
        )
    }
    if (!this.#closed) {
      o.onView(view)
      this.#schedule(o.everyMs)
    }
  }

  #schedule(ms: number): void {
    this.#timer?.cancel()
    this.#timer = this.#o.clock.after(ms, () => void this.refresh())
  }
}

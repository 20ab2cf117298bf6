import type { Clock } from '../../runtime/clock.ts'
import type { Broker, RocketMqConsumer } from '../../vendor/rocketmq/consumer.ts'
import type { ReceivedMessage } from '../../vendor/rocketmq/messages.ts'

/** RocketMQ holds a message back for a day at most: what waits longer is sent again after so long. */
export const MOST_DELAY_MS = 23 * 3_600_000
const PRECISION_MS = 1_000
/** So early it is taken for due: the broker's clock is not ours. */
const EARLY_MS = 500

/** Its timer has whole seconds and is a second early: one that comes back is never due later than it says. */
export function deliverAtMs(dueMs: number, nowMs: number): number {
  const atMs = Math.min(Math.max(dueMs, nowMs), nowMs + MOST_DELAY_MS)
  return Math.ceil(atMs / PRECISION_MS) * PRECISION_MS + PRECISION_MS
}

export interface DueParts {
  readonly consumer: RocketMqConsumer
  readonly tag: string
  readonly clock: Clock
  /** Wall clock ms; 0 = at once. */
  readonly dueMs: (m: ReceivedMessage) => number
  /** Waits on; resolves when it is stored. */
  readonly again: (m: ReceivedMessage) => Promise<void>
}

/**
 * A consumer of the retry topic that hands out what is its own and due. The broker compares the digests of tags, not the
 * tags: what is another's is acknowledged for this group only.
 */
export function dueConsumer(p: DueParts): RocketMqConsumer {
  const { consumer } = p
  const keep = async (m: ReceivedMessage, from: Broker): Promise<boolean> => {
    const mine = m.tag === p.tag
    if (mine && p.dueMs(m) <= p.clock.wall() + EARLY_MS) return true
    try {
      if (mine) await p.again(m)
      await consumer.acknowledge(from, [{ messageId: m.messageId, handle: m.handle }])
    } catch {
      // It comes again when its lease is over.
    }
    return false
  }
  return {
    join: () => consumer.join(),
    brokers: () => consumer.brokers(),
    onLost: (f) => consumer.onLost(f),
    heartbeat: () => consumer.heartbeat(),
    acknowledge: (at, messages) => consumer.acknowledge(at, messages),
    changeInvisible: (at, message, ms) => consumer.changeInvisible(at, message, ms),
    close: (signal) => consumer.close(signal),
    async receive(from, most, invisibleMs, signal) {
      const found = await consumer.receive(from, most, invisibleMs, signal)
      const kept = await Promise.all(found.map((m) => keep(m, from)))
      return found.filter((_, i) => kept[i])
    },
  }
}

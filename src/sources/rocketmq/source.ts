import type { Feed, Intake, Source, SourceStatus } from '../../contract/feed.ts'
import type { SourcePlan } from '../../contract/plan.ts'
import type { Clock } from '../../runtime/clock.ts'
import { assert } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import type { ConsumerSettings, RocketMqConsumer } from '../../vendor/rocketmq/consumer.ts'
import { openConsumer } from '../../vendor/rocketmq/open.ts'
import { Consumption } from './consumption.ts'
import { rocketMqFeed } from './feed.ts'
import { Health } from './health.ts'
import { rocketMqOptions, type RocketMqSettings } from './settings.ts'

export interface RocketMqSourceParts {
  readonly plan: SourcePlan
  readonly settings: RocketMqSettings
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** For tests: another RocketMQ. */
  readonly consumer?: (settings: ConsumerSettings) => RocketMqConsumer
}

/**
 * A RocketMQSource: a member of a consumer group that receives what there is room for, keeps it invisible to others while
 * it waits and is attempted, and acknowledges it when it is settled. It begins with `feed.attach`, connects when it can and
 * never gives up. docs/decisions/rocketmq-client.md
 */
export function createRocketMqSource(o: RocketMqSourceParts): Source {
  const options = rocketMqOptions(o.settings)
  const log = o.log.with({ source: o.plan.key })
  const health = new Health(log)
  let consumption: Consumption | null = null
  let stopped = false

  return {
    open(into: Intake, signal: AbortSignal): Feed {
      assert(consumption === null, 'a source is opened once')
      const consumer = (o.consumer ?? openConsumer)({ ...options, namespace: options.instanceNamespace })
      const opened = new Consumption(into, { consumer, options, clock: o.clock, random: o.random, log, health })
      consumption = opened
      signal.addEventListener('abort', () => opened.detach(), { once: true })
      return rocketMqFeed(opened)
    },
    status(): SourceStatus {
      if (stopped) return { phase: 'stopped' }
      const complaint = health.complaint
      if (complaint !== undefined) return { phase: 'degraded', ...complaint }
      return { phase: consumption?.joinedOnce === true ? 'ready' : 'starting' }
    },
    async close(signal: AbortSignal): Promise<void> {
      if (stopped) return
      stopped = true
      await consumption?.close(signal)
    },
  }
}

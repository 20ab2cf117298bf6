import type { Feed, Intake, Source, SourceStatus } from '../../contract/feed.ts'
import type { Observer } from '../../contract/observer.ts'
import type { SourcePlan } from '../../contract/plan.ts'
import type { Clock } from '../../runtime/clock.ts'
import { assert } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import { Consumption } from './consumption.ts'
import { kafkaFeed } from './feed.ts'
import { Health } from './health.ts'
import type { Memberships } from './memberships.ts'
import { kafkaOptions, type KafkaSettings } from './settings.ts'

export interface KafkaSourceParts {
  readonly plan: SourcePlan
  readonly settings: KafkaSettings
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly observer: Observer
  readonly memberships: Memberships
}

export interface KafkaSource extends Source {
  /** Events that retention deleted at the source before they could be read, since start. */
  lostAtSource(): number
}

/**
 * A KafkaSource: a member of a consumer group that offers what its partitions hold, one lane a partition. It begins with
 * `feed.attach`, connects when it can and never gives up; positions are committed every second, when partitions are given
 * back, and on close. DESIGN §7
 */
export function createKafkaSource(o: KafkaSourceParts): KafkaSource {
  const options = kafkaOptions(o.settings)
  const log = o.log.with({ source: o.plan.key })
  const health = new Health(log)
  let consumption: Consumption | null = null
  let stopped = false
  let forget = false
  if (options.consumers > 1)
    log.info('one member of the group reads all partitions; `consumers` is not needed for more', { consumers: options.consumers })

  return {
    open(into: Intake, signal: AbortSignal): Feed {
      assert(consumption === null, 'a source is opened once')
      const note = o.memberships.of(o.plan.key, options.consumerGroup)
      const opened = new Consumption(into, { options, clock: o.clock, random: o.random, log, health, note })
      consumption = opened
      signal.addEventListener('abort', () => opened.offering.detach(), { once: true })
      return kafkaFeed(opened, () => {
        forget = true
      })
    },
    status(): SourceStatus {
      if (stopped) return { phase: 'stopped' }
      const complaint = health.complaint
      if (complaint !== undefined) return { phase: 'degraded', ...complaint }
      return { phase: consumption?.assignedOnce === true ? 'ready' : 'starting' }
    },
    async close(signal: AbortSignal): Promise<void> {
      if (stopped) return
      stopped = true
      await consumption?.close(signal, forget)
    },
    lostAtSource: () => consumption?.lostAtSource ?? 0,
  }
}

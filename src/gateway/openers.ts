import { join } from 'node:path'
import type { Budget } from '../contract/budget.ts'
import type { Key } from '../contract/ids.ts'
import type { Observer } from '../contract/observer.ts'
import type { Openers } from '../engine/engine.ts'
import { Memberships } from '../sources/kafka/memberships.ts'
import type { KafkaSettings } from '../sources/kafka/settings.ts'
import type { RabbitMqSettings } from '../sources/rabbitmq/settings.ts'
import type { RocketMqSettings } from '../sources/rocketmq/settings.ts'
import type { Custody } from '../store/custody.ts'
import { openSmallFile } from '../store/small-file.ts'
import { openEmbeddedStream } from '../streams/embedded.ts'
import type { KafkaStreamSettings } from '../streams/kafka/settings.ts'
import type { NatsStreamSettings } from '../streams/nats/settings.ts'
import { createMemoryStream } from '../streams/memory.ts'
import type { RabbitMqStreamSettings } from '../streams/rabbitmq/settings.ts'
import type { RocketMqStreamSettings } from '../streams/rocketmq/settings.ts'
import type { GatewayParts } from './settings.ts'

export interface OpenersParts {
  readonly dataDir: string
  readonly observer: Observer
  readonly budget: Budget
  readonly custody: Custody
  /** uid of a resource, by the key of what was made from it. */
  readonly uidOf: (key: Key) => string
}

/** How each kind of stream and source is opened. */
export function openersFor(parts: GatewayParts, { dataDir, observer, budget, custody, uidOf }: OpenersParts): Openers {
  const { clock, random, log } = parts
  const memberships = new Memberships(openSmallFile(join(dataDir, 'kafka-members.json'), log))
  return {
    stream: async (id, plan) => {
      const common = { id, plan, clock, observer, log, budget }
      if (plan.system === 'memory') return createMemoryStream(common)
      if (plan.system === 'kafka') {
        const { createKafkaStream } = await import('../streams/kafka/kafka-stream.ts')
        return createKafkaStream({
          ...common,
          settings: plan.settings as unknown as KafkaStreamSettings,
          random,
          custody,
          copyDir: join(dataDir, 'parked-copies', fileName(plan.key)),
          memberships,
          uidOf,
        })
      }
      if (plan.system === 'nats') {
        const { createNatsStream } = await import('../streams/nats/nats-stream.ts')
        return createNatsStream({ ...common, settings: plan.settings as unknown as NatsStreamSettings, custody, uidOf })
      }
      if (plan.system === 'rabbitmq') {
        const { createRabbitMqStream } = await import('../streams/rabbitmq/rabbitmq-stream.ts')
        return createRabbitMqStream({
          ...common,
          settings: plan.settings as unknown as RabbitMqStreamSettings,
          random,
          custody,
          uidOf,
        })
      }
      if (plan.system === 'rocketmq') {
        const { createRocketMqStream } = await import('../streams/rocketmq/rocketmq-stream.ts')
        return createRocketMqStream({ ...common, settings: plan.settings as unknown as RocketMqStreamSettings, random, custody })
      }
      const dir = join(dataDir, 'streams', fileName(plan.key))
      return openEmbeddedStream({ ...common, dir, onFatal: parts.onFatal })
    },
    // The clients take three quarters of a second to load: only who reads from such a system waits for it.
    source: async (plan) => {
      if (plan.system === 'rabbitmq') {
        const { createRabbitMqSource } = await import('../sources/rabbitmq/source.ts')
        return createRabbitMqSource({ plan, settings: plan.settings as unknown as RabbitMqSettings, clock, random, log })
      }
      if (plan.system === 'rocketmq') {
        const { createRocketMqSource } = await import('../sources/rocketmq/source.ts')
        return createRocketMqSource({ plan, settings: plan.settings as unknown as RocketMqSettings, clock, random, log })
      }
      const { createKafkaSource } = await import('../sources/kafka/source.ts')
      const settings = plan.settings as unknown as KafkaSettings
      return createKafkaSource({ plan, settings, clock, random, log, observer, memberships })
    },
  }
}

/** A key as a folder name: no separators, nothing hidden, never two keys in one folder. */
function fileName(key: string): string {
  return encodeURIComponent(key).replaceAll('.', '%2E')
}

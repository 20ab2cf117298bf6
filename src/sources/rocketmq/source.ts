import type { Source } from '../../contract/feed.ts'
import type { SourcePlan } from '../../contract/plan.ts'
import type { Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import { openAdmin, type AdminSettings, type RocketMqAdmin } from '../../vendor/rocketmq/admin.ts'
import type { ConsumerSettings, Joined, RocketMqConsumer } from '../../vendor/rocketmq/consumer.ts'
import { RocketMqError } from '../../vendor/rocketmq/errors.ts'
import { openConsumer } from '../../vendor/rocketmq/open.ts'
import type { QueueSubscription } from '../queue/consumer.ts'
import { Health } from '../queue/health.ts'
import { queueSource } from '../queue/source.ts'
import { decoderOf } from './decode.ts'
import { type HeldMessage, Member } from './member.ts'
import { NO_SEEK, seekTo } from './seek.ts'
import { rocketMqOptions, type RocketMqOptions, type RocketMqSettings } from './settings.ts'
import { NOT_KNOWN, Unread } from './unread.ts'

export interface RocketMqSourceParts {
  readonly plan: SourcePlan
  readonly settings: RocketMqSettings
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** For tests: another RocketMQ. */
  readonly consumer?: (settings: ConsumerSettings) => RocketMqConsumer
  readonly admin?: (settings: AdminSettings) => RocketMqAdmin
}

/** Acknowledgements gathered for one call of ours. */
const ACKS_AT_ONCE = 32
const MOST_BYTES = 16 * 2 ** 20

/**
 * A RocketMQSource: a member of a consumer group that receives what there is room for, keeps it invisible to others while
 * it waits and is attempted, and acknowledges it when it is settled. It begins with `feed.attach`, connects when it can and
 * never gives up. docs/decisions/rocketmq-client.md
 */
export function createRocketMqSource(o: RocketMqSourceParts): Source {
  const options = rocketMqOptions(o.settings)
  const log = o.log.with({ source: o.plan.key })
  const health = new Health(log, 'RocketMQ source')
  return queueSource<HeldMessage>({
    clock: o.clock,
    subscribe: () => subscriptionOf(o, options, log, health),
    complaint: () => health.complaint,
    limits: { mostHeld: options.mostHeld, mostBytes: MOST_BYTES, ackBatch: ACKS_AT_ONCE },
    can: { seek: options.nameServers.length > 0, exactBacklog: options.nameServers.length > 0 && readsAll(options) },
    noSeek: NO_SEEK,
  })
}

const readsAll = ({ filter }: RocketMqOptions): boolean => filter.kind === 'tag' && filter.expression === '*'

function subscriptionOf(
  o: RocketMqSourceParts,
  options: RocketMqOptions,
  log: Log,
  health: Health,
): QueueSubscription<HeldMessage> {
  const { clock, random } = o
  const { topic, group, nameServers } = options
  const consumer = (o.consumer ?? openConsumer)({ ...options, namespace: options.instanceNamespace })
  const tls = options.nameServersTls ? (options.tls ?? { ca: '', cert: '', key: null }) : null
  const admin =
    nameServers.length === 0 ? null : (o.admin ?? openAdmin)({ nameServers, credentials: options.credentials, tls, cluster: '' })
  const unread =
    admin === null ? null : new Unread({ admin, group, topic, all: readsAll(options), everyMs: options.backlogMs, clock })
  let maxAttempts = 0
  let begun = (): void => {}
  const joinedOnce = new Promise<void>((resolve) => (begun = resolve))
  const member = new Member({
    consumer,
    options,
    clock,
    random,
    health,
    decode: decoderOf(options),
    sentence: (e) => sentenceOf(e, options),
    joined: (as) => {
      if (maxAttempts === 0) tell(as, log)
      maxAttempts = as.maxAttempts
      unread?.start()
      begun()
    },
    closing: () => {
      unread?.stop()
      admin?.close()
    },
  })
  return {
    consumers: [member],
    ready: () => joinedOnce,
    backlog: () => unread?.backlog ?? NOT_KNOWN,
    get maxDeliveries() {
      return maxAttempts
    },
    limit: {
      to: `the group ${group}`,
      why: (n) =>
        `RocketMQ delivered it ${n} times and it was never settled; the next time it would go to %DLQ%${group} (retryMaxTimes)`,
    },
    ...(admin === null
      ? {}
      : {
          seek: async (to) => {
            const place = seekTo(to)
            await member.moved(() => admin.place(group, topic, place, false))
            await unread?.look()
          },
        }),
  }
}

function tell({ brokers, fifo, fifoTopic, maxAttempts }: Joined, log: Log): void {
  log.info('the RocketMQ source has joined its group', { brokers: brokers.length, fifo, maxAttempts })
  if (fifoTopic && !fifo)
    log.warn('the topic is FIFO, but its group is not: order is not kept; make the group with updateSubGroup -o true')
  if (maxAttempts > 0 && maxAttempts < 4)
    log.warn('RocketMQ moves messages to its dead letter queue after few deliveries; raise retryMaxTimes', { maxAttempts })
}

function sentenceOf(e: unknown, o: RocketMqOptions): string {
  const why = messageOf(e)
  if (!(e instanceof RocketMqError)) return why
  if (e.reason === 'TopicMissing') return `the topic ${o.topic} is missing; it has to be created first: ${why}`
  if (e.reason === 'GroupMissing') return `the consumer group ${o.group} is missing; it has to be created first: ${why}`
  return why
}

import type { Stream } from '../../contract/stream.ts'
import type { Random } from '../../runtime/random.ts'
import { NO_SEEK } from '../../sources/rocketmq/seek.ts'
import type { Custody } from '../../store/custody.ts'
import type { StreamParts } from '../parts.ts'
import { createQueueStream } from '../queue/queue-stream.ts'
import type { RocketMqStreamSettings } from './settings.ts'
import { RocketMqSystem } from './system.ts'

export interface RocketMqStreamParts extends StreamParts {
  readonly settings: RocketMqStreamSettings
  readonly random: Random
  /** Keeps what is parked. */
  readonly custody: Custody
}

/** Acknowledgements gathered for calls of 32. */
const ACKS_AT_ONCE = 128

/** A stream on a RocketMQ topic. docs/message-systems.md */
export function createRocketMqStream(parts: RocketMqStreamParts): Stream {
  const { settings, clock, random } = parts
  const administered = settings.nameServers.length > 0
  return createQueueStream({
    ...parts,
    system: new RocketMqSystem({ settings, clock, random, log: parts.log.with({ stream: parts.plan.key }) }),
    limits: { ackBatch: ACKS_AT_ONCE },
    can: { delay: true, seek: administered, seekTime: administered, exactBacklog: administered },
    noSeek: NO_SEEK,
  })
}
